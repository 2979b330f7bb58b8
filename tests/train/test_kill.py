"""A run killed with SIGKILL in any phase, at seeded random moments, resumes and ends in the same bits.

The child kills itself with SIGKILL in the middle of the given phase, at the drawn occurrence, after writing the phase
into a file; no Python code runs after that.
"""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchbench.config import load
from benchbench.store.metrics import read_metrics
from benchbench.train.loop import train
from tests.forked import run

ADAPTER = "pytorch_lora_weights.safetensors"
PHASES = {
    "rollout": (2, 4),
    "optimizer": (2, 4),
    "checkpoint": (3, 6),
}  # how often the phase is entered before the kill
CHILD = """
import os, signal, sys
from pathlib import Path
from benchbench.config import RunConfig
from benchbench.diffusion import policy
import torch
from benchbench.train import checkpoint, loop

target, left, log = sys.argv[3], int(sys.argv[4]), Path(sys.argv[5])

def here(phase):
    global left
    if phase == target:
        left -= 1
        if left == 0:
            log.write_text(phase)
            os.kill(os.getpid(), signal.SIGKILL)

def inside(phase, plain):  # kills after the call's work, before its result is returned
    def run(*arguments, **options):
        out = plain(*arguments, **options)
        here(phase)
        return out
    return run

config = RunConfig.model_validate_json(Path(sys.argv[1]).read_text())
method = config.method_class
plain = method.collect
def collect(self, policy, *rest):
    step, calls = policy.step, 0
    def stepping(*arguments):
        nonlocal calls
        calls += 1
        if calls == 7:  # in the middle of the denoising loop
            here("rollout")
        return step(*arguments)
    policy.step = stepping
    try:
        yield from plain(self, policy, *rest)
    finally:
        policy.step = step
method.collect = collect
from benchbench.train import pair_batches
pair_batches.Reader.encode = inside("reading", pair_batches.Reader.encode)  # before there is a Batch
torch.optim.AdamW.step = inside("optimizer", torch.optim.AdamW.step)
checkpoint.save_file = inside("checkpoint", checkpoint.save_file)
loop.train(config, Path(sys.argv[2]), resume=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", [pytest.param("ddpo", marks=pytest.mark.long), "tailorpo"])
def test_kills_in_every_phase_leave_a_run_that_ends_in_the_same_bits(method: str, configure, tmp_path: Path) -> None:
    config = configure(method, "train.eval_every=0", "sampler.steps=10", "method.steps=3", samples=128)
    settings, out = tmp_path / "config.json", tmp_path / "killed"
    settings.write_text(config.model_dump_json())
    draw, outputs = random.Random(f"7 {method}"), []
    for phase, bounds in PHASES.items():
        log, times = tmp_path / f"{phase}.log", draw.randint(*bounds)
        words = ["-c", CHILD, str(settings), str(out), phase, str(times), str(log)]
        status, output = run(words, tmp_path / f"{phase}.out")
        assert status == -signal.SIGKILL, output
        assert log.read_text() == phase  # the log proves the phase
        outputs.append(output)
    assert all("resuming after" in output for output in outputs[1:])
    assert list((out / "checkpoints").glob(".*.tmp"))  # the last kill was within a write
    train(config, out, resume=True, log=lambda line: None)
    assert not list((out / "checkpoints").glob(".*.tmp"))  # the next write removed what the killed one left
    uninterrupted = train(config, tmp_path / "whole", log=lambda line: None)
    a, b = load_file(out / ADAPTER), load_file(uninterrupted / ADAPTER)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    timed = {"seconds", "images_per_second"}
    rows = [
        [{k: v for k, v in row.items() if k not in timed} for row in read_metrics(folder)]
        for folder in (out, uninterrupted)
    ]
    assert rows[0] == rows[1]  # no row lost, none twice, the counters right


@pytest.mark.slow
def test_kills_of_an_offline_method(configure, tmp_path: Path) -> None:
    """Diffusion-DPO on pairs of a base model is killed while it reads, in an optimizer step and in a write."""
    overrides = ["train.eval_every=0", "train.batch=8", "train.save_every=8", "train.lr=1e-3", "train.lora_rank=2"]
    made = "made:shapes-simple:shapes-colour:2"
    config = load("diffusion-dpo", "shapes", "shapes-colour", "shapes-simple", 128, 0, None, overrides, made)
    settings, out = tmp_path / "config.json", tmp_path / "killed"
    settings.write_text(config.model_dump_json())
    draw, outputs = random.Random("7 diffusion-dpo"), []
    for phase, bounds in {"reading": (4, 9), "optimizer": (2, 4), "checkpoint": (3, 6)}.items():
        log, times = tmp_path / f"{phase}.log", draw.randint(*bounds)
        words = ["-c", CHILD, str(settings), str(out), phase, str(times), str(log)]
        status, output = run(words, tmp_path / f"{phase}.out")
        assert status == -signal.SIGKILL, output
        assert log.read_text() == phase
        outputs.append(output)
    assert all("resuming after" in output for output in outputs[1:])
    train(config, out, resume=True, log=lambda line: None)
    uninterrupted = train(config, tmp_path / "whole", log=lambda line: None)
    a, b = load_file(out / ADAPTER), load_file(uninterrupted / ADAPTER)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    rows = [
        [{k: v for k, v in row.items() if "second" not in k} for row in read_metrics(folder)]
        for folder in (out, uninterrupted)
    ]
    assert rows[0] == rows[1]
