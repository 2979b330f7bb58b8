"""Runs one step in this process: ``python -m tests.gpu.child NAME DEVICE SIZE WORK FINDINGS``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.gpu.context import StepContext
from tests.gpu.plan import named


def environment(work: Path) -> dict[str, str]:
    """Returns the environment of every step's process: no network, caches in ``work``.

    All steps share the compiler's cache, so that no network is compiled twice.
    """
    variables = {
        "HF_HUB_OFFLINE": "1",
        "PYTHONDONTWRITEBYTECODE": "",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }
    variables |= {"BENCH_HOME": str(work / "store"), "BENCH_CACHE": str(work / "cache")}
    variables |= {"TORCHINDUCTOR_CACHE_DIR": str(work / "compiled"), "TRITON_CACHE_DIR": str(work / "triton")}
    return variables


def main() -> None:
    """Runs the step, which writes its results into the file of findings."""
    name, device, size, work, findings = sys.argv[1:]
    os.environ.update(environment(Path(work)))
    sys.dont_write_bytecode = False  # some images set it, and each of the many processes would compile every library
    named(name).module.run(StepContext(device, size, Path(work), Path(findings)))


if __name__ == "__main__":
    main()
