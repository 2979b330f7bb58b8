"""kill -9 for real, again and again at times drawn from a seed, until every phase of a run has been hit.

The child writes the phase it is in into a file, so that after a kill the file tells where it happened.
"""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchbench.train.loop import train
from benchbench.train.metrics import read_metrics

ADAPTER = "pytorch_lora_weights.safetensors"
PHASES = {"rollout", "optimiser", "checkpoint"}
KILLS = 60
CHILD = """
import os, sys, time
from pathlib import Path
from benchbench.config import RunConfig
from benchbench.train import checkpoint, loop

where = os.open(sys.argv[3], os.O_RDWR | os.O_CREAT)
def mark(phase):
    os.pwrite(where, phase.ljust(10).encode(), 0)

def phased(phase, plain, pause=0.0):
    def run(*arguments, **options):
        mark(phase)
        out = plain(*arguments, **options)
        time.sleep(pause)  # a phase of a millisecond would hardly ever be hit
        return out
    return run

config = RunConfig.model_validate_json(Path(sys.argv[1]).read_text())
method = config.method_class
plain = method.collect
def collect(*arguments):
    batches = plain(*arguments)
    while True:
        mark("rollout")
        item = next(batches, None)
        if item is None:
            return
        yield item
method.collect = collect
loop.Trainer._step = phased("optimiser", loop.Trainer._step)
checkpoint.save = phased("checkpoint", checkpoint.save, pause=0.04)
loop.train(config, Path(sys.argv[2]), resume=True, say=print)
"""


@pytest.mark.slow
@pytest.mark.parametrize("method", ["ddpo", "tailorpo"])
def test_kills_in_every_phase_leave_a_run_that_ends_in_the_same_bits(method: str, configure, tmp_path: Path) -> None:
    config = configure(method, "train.eval_every=0", samples=480)
    settings, out, where = tmp_path / "config.json", tmp_path / "killed", tmp_path / "phase"
    settings.write_text(config.model_dump_json())
    times, hit, said = random.Random(7), Counter[str](), []
    resumed = False
    while not (set(hit) >= PHASES and resumed) and sum(hit.values()) < KILLS:
        where.write_text("")
        log = (tmp_path / "log").open("w")
        words = [sys.executable, "-u", "-c", CHILD, str(settings), str(out), str(where)]
        with subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT) as process:
            deadline = time.monotonic() + 120
            while not where.read_text() and process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.01)
            # longer from try to try, so that a slow machine gets to a checkpoint too
            time.sleep(times.uniform(0.0, 1.0 + sum(hit.values()) / 5))
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL, (tmp_path / "log").read_text()
        hit[where.read_text().strip()] += 1
        said += (tmp_path / "log").read_text().splitlines()
        resumed = any("resuming after" in line for line in said)
    print(f"{method}: kills in {dict(hit)}; {sum('resuming after' in line for line in said)} resumptions")
    assert set(hit) >= PHASES, f"{KILLS} kills hit {dict(hit)}"
    assert resumed
    train(config, out, resume=True, say=lambda line: None)
    assert not list((out / "checkpoints").glob(".tmp-*"))  # a killed writer's, removed by the next one
    whole = train(config, tmp_path / "whole", say=lambda line: None)
    a, b = load_file(out / ADAPTER), load_file(whole / ADAPTER)
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    rows = [[{k: v for k, v in row.items() if k != "seconds"} for row in read_metrics(run)] for run in (out, whole)]
    assert rows[0] == rows[1]  # no row lost, none twice, the counters right
