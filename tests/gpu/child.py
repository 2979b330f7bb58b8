"""The process of one step: ``python -m tests.gpu.child NAME DEVICE SIZE WORK FINDINGS``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.gpu.here import Here
from tests.gpu.plan import named


def environment(work: Path) -> dict[str, str]:
    """Returns the environment of every step's process: no network, caches in ``work``.

    The compiler's cache is shared by all steps, so that what one has compiled the next one finds.
    """
    own = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONUNBUFFERED": "1"}
    own |= {"BENCH_HOME": str(work / "store"), "BENCH_CACHE": str(work / "cache")}
    own |= {"TORCHINDUCTOR_CACHE_DIR": str(work / "compiled"), "TRITON_CACHE_DIR": str(work / "triton")}
    return own


def main() -> None:
    """Runs the step; what it finds is in the file of findings."""
    name, device, size, work, findings = sys.argv[1:]
    os.environ.update(environment(Path(work)))
    named(name).module.run(Here(device, size, Path(work), Path(findings)))


if __name__ == "__main__":
    main()
