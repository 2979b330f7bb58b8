"""Step 1: the device, how fast it multiplies matrices, and the tests that need a GPU."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import torch

from benchbench.runtime.precision import arithmetic
from tests.gpu.about import ROOT
from tests.gpu.here import Here

PYTEST_SECONDS = 30


def run(here: Here) -> None:
    """Three parts: what the device is, its peaks, ``pytest -m gpu``."""
    with here.part("device") as found:
        found["threads"], found["compiler"] = torch.get_num_threads(), shutil.which("gcc") or shutil.which("cc")
        if here.cuda:
            properties = torch.cuda.get_device_properties(0)
            found["capability"] = f"{properties.major}.{properties.minor}"
            found["gib"], found["free_gib"] = properties.total_memory / 2**30, torch.cuda.mem_get_info()[0] / 2**30
    with here.part("matmul") as found:
        for name, dtype, tf32 in PEAKS:
            found[f"{name}_tflops"] = peak(here, dtype, tf32)
    with here.part("pytest -m gpu") as found:
        found.update(gpu_tests(here))
        found.check("a test failed, or none ran", found["exit"] == 0)


PEAKS = (("bf16", torch.bfloat16, False), ("fp16", torch.float16, False), ("tf32", torch.float32, True))
PEAKS = (*PEAKS, ("fp32", torch.float32, False))


def peak(here: Here, dtype: torch.dtype, tf32: bool = False) -> float:
    """TFLOP/s of a square matrix product, of size 8192 at real size."""
    n, times = (256, 2) if here.tiny else (8192, 10)
    a = torch.randn(n, n, device=here.device, dtype=dtype)
    with arithmetic("tf32" if tf32 else "fp32", torch.device(here.device)):
        here.seconds(lambda: [a @ a for _ in range(3)])
        return times * 2 * n**3 / here.seconds(lambda: [a @ a for _ in range(times)]) / 1e12


def marked() -> list[str]:
    """The test files with the mark ``gpu``: the others need not be imported."""
    files = (p for p in (ROOT / "tests").rglob("test_*.py") if p.parent.name != "gpu")
    return sorted(str(p.relative_to(ROOT)) for p in files if "pytest.mark.gpu" in p.read_text(encoding="utf-8"))


def gpu_tests(here: Here) -> dict[str, object]:
    """Exit code and last line of ``pytest -m gpu``, which is ended after half a minute; collected only on a CPU."""
    files = marked()
    words = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "--tb=short", *files]
    words += [] if here.cuda else ["--collect-only"]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = process.communicate(timeout=PYTEST_SECONDS)[0]
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        said = process.communicate()[0] + f"\nended after {PYTEST_SECONDS} s"
    rows = [line for line in said.splitlines() if line.strip()]
    bad = [line[:300] for line in rows if re.match(r"(FAILED|ERROR|E  )", line)][:6]
    return {
        "exit": process.returncode,
        "last": rows[-1] if rows else "",
        "bad": bad,
        "files": [Path(name).name for name in files],
    }
