"""The stages, what each waits for, and the entry point that runs one of them: `python -m ...plan STAGE WORK SEED`."""

import importlib
import sys
from pathlib import Path

from benchbench.runtime.job_process import run_job

from .stage import run_stage

STAGES: dict[str, tuple[str, ...]] = {
    "features": (),
    "vae": ("features",),
    "text": ("features",),
    "latents": ("vae",),
    "unet": ("latents", "text"),
    "clip": ("vae",),
    "pref": ("clip",),
    "aesthetic": ("vae",),
    "ship": ("unet", "pref", "aesthetic"),
    "measure": ("ship",),
    "spm": ("ship",),
}
"""Each stage and those it waits for, the most urgent first where several could start."""


def run(stage: str, work: Path, seed: int, quick: bool) -> None:
    """Runs one stage in this process. Every stage has a seed of its own."""
    module = importlib.import_module(f".{stage}", __package__)
    run_stage(module.run, work, stage, 1_000_000 * (seed + 1) + 10_000 * list(STAGES).index(stage), quick)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(run_job(lambda: run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["quick"])))
