"""Two processes train the shapes model as one does, also as ``accelerate launch`` starts them and after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchbench.config import RunConfig, load
from benchbench.train.loop import train
from tests.ranks import free_port
from tests.train.test_ranks import ADAPTER, ROUNDING, costs, gap, together

SHORT = ["train.eval_every=0", "train.save_every=3"]
RUNS = [  # 3 samples a rollout, shared as 2 + 1; D3PO has 3 pairs
    ("ddpo", "shapes-colour", ["train.batch=3", "method.minibatch=2"], 6),
    pytest.param("d3po", "shapes-colour", ["train.batch=6", "method.minibatch=2"], 12, marks=pytest.mark.long),
    ("tailorpo", "shapes-colour", ["train.batch=3"], 6),
    ("spo", "shapes-spm", ["train.batch=3"], 6),
]


def launch(
    method: str, reward: str, settings: list[str], samples: int, out: Path, *more: str, device: str = "cpu"
) -> subprocess.Popen[str]:
    launcher = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", str(free_port())]
    bench = ["benchbench", "train", "--method", method, "--model", "shapes", "--reward", reward, "--device", device]
    bench += ["--samples", str(samples), "--out", str(out), "--set", *SHORT, *settings, *more]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *launcher, "-m", *bench]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=900)
    assert process.returncode == 0, err
    return out


def configured(method: str, reward: str, settings: list[str], samples: int) -> RunConfig:
    """Returns the settings that ``launch`` names."""
    return load(method, "shapes", reward, "shapes-simple", samples, 0, overrides=[*SHORT, *settings])


@pytest.mark.slow
@pytest.mark.parametrize(("method", "reward", "settings", "samples"), RUNS)
def test_two_processes_and_one(method: str, reward: str, settings: list[str], samples: int, tmp_path: Path) -> None:
    """TailorPO's processes are started by ``accelerate launch``, the others are forks of one interpreter."""
    config = configured(method, reward, settings, samples)
    if method == "tailorpo":
        output = finish(launch(method, reward, settings, samples, tmp_path / "two"))
        assert output.count("training ") == 1 and "2 processes share the work" in output
    else:
        results = together(2, tmp_path / "ranks", config, tmp_path / "two")
        assert all("value" in result for result in results), results
    single = train(config, tmp_path / "one", device="cpu", log=lambda line: None)
    difference = gap(single, tmp_path / "two")
    print(f"{method}: {difference:.2g}")
    assert difference < ROUNDING
    assert costs(single) == costs(tmp_path / "two")
    assert json.loads((tmp_path / "two" / "record.json").read_text())[0]["processes"] == 2


def workers(launcher: int) -> list[int]:
    """Returns the processes that the launcher started, in the order of their ranks."""
    pids = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if parent == launcher and b"benchbench" in arguments:
            pids.append(int(folder.name))
    return sorted(pids)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds processes in /proc")
def test_a_killed_process_ends_all_and_the_run_resumes(tmp_path: Path) -> None:
    """The second process gets SIGKILL after a checkpoint; the resumed run ends in the bits of an uninterrupted one."""
    run = ("tailorpo", "shapes-colour", ["train.batch=3", "method.steps=2"], 24)
    process, out = launch(*run, tmp_path / "killed"), tmp_path / "killed"
    while not list((out / "checkpoints").glob("0*")) and process.poll() is None:
        time.sleep(0.05)
    started = workers(process.pid)
    assert len(started) == 2
    os.kill(started[1], signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode != 0 and not (out / "done.json").exists()
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()], err
    output = finish(launch(*run, out, "--resume"))
    assert "resuming after" in output
    together(2, tmp_path / "ranks", configured(*run), tmp_path / "whole")
    left, right = load_file(out / ADAPTER), load_file(tmp_path / "whole" / ADAPTER)
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert costs(out) == costs(tmp_path / "whole")


@pytest.mark.slow
def test_ctrl_c_saves(tmp_path: Path) -> None:
    run = ("tailorpo", "shapes-colour", ["train.batch=3", "method.steps=2", "train.save_every=1000"], 300)
    process, out = launch(*run, tmp_path / "run"), tmp_path / "run"
    metrics = out / "metrics.jsonl"
    while not (metrics.is_file() and '"loss"' in metrics.read_text()) and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert err.count("interrupted; go on with: accelerate launch (as before) -m benchbench train") == 1
    (checkpoint,) = (out / "checkpoints").iterdir()
    assert json.loads((checkpoint / "state.json").read_text())["samples"] == int(checkpoint.name) < 300


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_two_gpus_and_one(tmp_path: Path) -> None:
    """The precision is fp32, since bf16 rounds batches of other sizes too differently to compare parameters."""
    method, reward, settings, samples = "tailorpo", "shapes-colour", ["train.batch=3", "train.dtype=fp32"], 6
    finish(launch(method, reward, settings, samples, tmp_path / "two", device="cuda"))
    config = load(method, "shapes", reward, "shapes-simple", samples, 0, overrides=[*SHORT, *settings])
    single = train(config, tmp_path / "one", device="cuda:0", log=lambda line: None)
    assert gap(single, tmp_path / "two") < ROUNDING
