"""Lists the stages with those they wait for; `python -m benchbench.shapes_build.plan STAGE WORK SEED` runs one."""

import importlib
import sys
from pathlib import Path

from benchbench.runtime.job_process import run_job
from benchbench.shapes_build.stage import run_stage

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
    "flow": ("ship",),
    "flow_measure": ("flow",),
    "flow_spm": ("flow",),
}
"""Each stage with the stages that it waits for. Where several could start, the first one listed starts first.

A stage's seed depends on its position, so that new stages come last.
"""
FLOW = ("flow", "flow_measure", "flow_spm")
"""The stages of shapes-flow, which start from what the others ship."""


def run(stage: str, work: Path, seed: int, quick: bool) -> None:
    """Runs one stage in this process, with a seed that no other stage has."""
    module = importlib.import_module(f".{stage}", __package__)
    run_stage(module.run, work, stage, 1_000_000 * (seed + 1) + 10_000 * list(STAGES).index(stage), quick)


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    sys.exit(run_job(lambda: run(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] == ["quick"])))
