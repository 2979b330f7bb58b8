"""Memory does not grow with the number of pictures, neither the command's nor the server's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.rewards.servers import ROOT, process

SIDE = 256
ALLOWED = 64
"""MiB by which a peak may grow; kept pictures alone would be 0.19 MiB each."""
SCORE = """
import resource, sys
from benchbench.cli.main import main
code = main(sys.argv[1:])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
sys.exit(code)
"""


def write_pictures(folder: Path, count: int) -> Path:
    """Writes ``count`` names of twenty different pictures."""
    folder.mkdir()
    ramp = np.add.outer(np.arange(SIDE), np.arange(SIDE)) // 2
    for n in range(count):
        if n < 20:
            pixels = np.stack([ramp, ramp[::-1], np.full_like(ramp, 12 * n)], 2).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{n}.png")
        else:
            os.link(folder / f"{n % 20}.png", folder / f"{n}.png")
    return folder


def peak_of(server: subprocess.Popen[str]) -> int:
    """Returns the largest resident memory of a process so far, in MiB."""
    status = Path(f"/proc/{server.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) // 1024


def peaks(folder: Path, address: str, server: subprocess.Popen[str], count: int) -> tuple[int, int]:
    """Scores a folder in a process of its own; returns the peaks of it and of the server, in MiB."""
    words = ["score", "--images", str(folder), "--rewards", address, "--device", "cpu"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", SCORE, *words], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *lines, peak = done.stdout.splitlines()
    assert len(lines) == count + 1
    return int(peak), peak_of(server)


@pytest.mark.parametrize(
    ("few", "many"),
    [pytest.param(64, 800, marks=pytest.mark.slow), pytest.param(1000, 10_000, marks=pytest.mark.long)],
)
def test_memory_does_not_grow(tmp_path: Path, few: int, many: int) -> None:
    with process("shapes-colour", "--port", "0", "--device", "cpu") as (address, server):
        first = peaks(write_pictures(tmp_path / "few", few), address, server, few)
        second = peaks(write_pictures(tmp_path / "many", many), address, server, many)
    print(f"peaks in MiB, of the command and of the server: {first} with {few} pictures, {second} with {many}")
    assert all(after <= before + ALLOWED for before, after in zip(first, second, strict=True)), (first, second)
