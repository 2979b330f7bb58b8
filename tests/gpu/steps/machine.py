"""Step 1: describes the device, measures its matrix products, and runs the tests that need a GPU."""

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
from tests.gpu.context import StepContext

PYTEST_SECONDS = 75


def run(context: StepContext) -> None:
    """Runs three parts: the device's properties, its peaks, and ``pytest -m gpu``."""
    with context.part("device") as result:
        result["threads"], result["compiler"] = torch.get_num_threads(), shutil.which("gcc") or shutil.which("cc")
        if context.cuda:
            properties = torch.cuda.get_device_properties(0)
            result["capability"] = f"{properties.major}.{properties.minor}"
            result["gib"], result["free_gib"] = properties.total_memory / 2**30, torch.cuda.mem_get_info()[0] / 2**30
    with context.part("matmul") as result:
        for name, dtype, tf32 in PEAKS:
            result[f"{name}_tflops"] = peak(context, dtype, tf32)
    with context.part("pytest -m gpu") as result:
        result.update(gpu_tests(context))
        result.check("a test failed, or none ran", result["exit"] == 0)


PEAKS = (("bf16", torch.bfloat16, False), ("fp16", torch.float16, False), ("tf32", torch.float32, True))
PEAKS = (*PEAKS, ("fp32", torch.float32, False))


def peak(context: StepContext, dtype: torch.dtype, tf32: bool = False) -> float:
    """Returns the TFLOP/s of a square matrix product, of size 8192 at real size."""
    n, times = (256, 2) if context.tiny else (8192, 10)
    a = torch.randn(n, n, device=context.device, dtype=dtype)
    with arithmetic("tf32" if tf32 else "fp32", torch.device(context.device)):
        context.seconds(lambda: [a @ a for _ in range(3)])
        return times * 2 * n**3 / context.seconds(lambda: [a @ a for _ in range(times)]) / 1e12


def marked() -> list[str]:
    """Returns the test files that have tests marked ``gpu``, so that no other is imported."""
    files = (p for p in (ROOT / "tests").rglob("test_*.py") if p.parent.name != "gpu")
    return sorted(str(p.relative_to(ROOT)) for p in files if "pytest.mark.gpu" in p.read_text(encoding="utf-8"))


def gpu_tests(context: StepContext) -> dict[str, object]:
    """Runs ``pytest -m gpu`` and returns its exit code, last line, failures, files, and the slowest tests' seconds.

    On a CPU the tests are only collected.
    """
    files = marked()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-m",
        "gpu",
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "--durations=6",
    ]
    command += [*files, *([] if context.cuda else ["--collect-only"])]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        output = process.communicate(timeout=PYTEST_SECONDS)[0]
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        output = process.communicate()[0] + f"\nended after {PYTEST_SECONDS} s"
    rows = [line for line in output.splitlines() if line.strip()]
    failures = [line[:300] for line in rows if re.match(r"(FAILED|ERROR|E  )", line)][:6]
    return {
        "exit": process.returncode,
        "last": rows[-1] if rows else "",
        "said": rows[-4:-1],
        "bad": failures,
        "slowest": [
            line.split("::")[-1][:80] + " " + line.split()[0] for line in rows if re.match(r"\d+\.\d+s ", line)
        ],
        "files": [Path(name).name for name in files],
    }
