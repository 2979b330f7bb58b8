"""The trackers that a run may be followed with, each through accelerate's class for it.

What each of them takes differs: how a run is resumed, and how pictures are sent. Nothing here is imported before a run
is tracked, since each tracker's package is optional.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench.errors import MissingError
from benchbench.registry import unknown
from benchbench.runtime.names import safe_name

if TYPE_CHECKING:
    from PIL.Image import Image

PROJECT = "benchbench"
"""The project or experiment in which all runs are, unless the tracker's own environment variables name another."""
PICTURES = "evaluation"


@dataclass(frozen=True)
class Kind:
    """A tracker: its Python package, how it is made, and how it takes pictures."""

    package: str
    install: str
    """The name that pip installs."""
    make: Callable[[Path, Mapping[str, Any]], Any]
    """Returns accelerate's tracker of a run's folder; what it must know to resume is in the mapping."""
    note: Callable[[Any], dict[str, Any]]
    """Returns what a later start needs to go on in the same tracked run."""
    show: Callable[[Any, Sequence[Image], int], None]
    """Sends pictures, drawn after so many images of training."""


def check(names: Sequence[str]) -> None:
    """Raises UsageError for an unknown tracker, and MissingError for one whose package is not installed."""
    for name in names:
        if name not in KINDS:
            raise unknown("tracker", name, KINDS, "--track-with takes one or several of them, separated by commas")
    absent = [name for name in names if find_spec(KINDS[name].package) is None]
    if absent:
        packages = " ".join(KINDS[name].install for name in absent)
        raise MissingError(
            f"{' and '.join(absent)} cannot be used",
            "this environment does not have the package",
            f"pip install {packages}; or leave --track-with out: the run's folder has all that is logged",
        )


def _wandb(out: Path, known: Mapping[str, Any]) -> Any:
    import wandb
    from accelerate.tracking import WandBTracker

    # without a network, wandb's own limit of 90 seconds would hold up the end of the command
    settings = wandb.Settings(silent=True, login_timeout=10, init_timeout=15)
    kept = {"id": known["id"], "resume": "allow"} if "id" in known else {}
    return WandBTracker(PROJECT, name=out.name, dir=str(_folder(out)), settings=settings, **kept)


def _wandb_pictures(tracker: Any, pictures: Sequence[Image], samples: int) -> None:
    tracker.log_images({PICTURES: list(pictures)}, step=samples)


def _trackio(out: Path, known: Mapping[str, Any]) -> Any:
    from accelerate.tracking import TrackioTracker

    return TrackioTracker(PROJECT, name=known.get("name", out.name), resume="allow" if known else "never")


def _trackio_pictures(tracker: Any, pictures: Sequence[Image], samples: int) -> None:
    import trackio

    tracker.log({PICTURES: trackio.Image(_sheet(pictures))}, step=samples)


def _mlflow(out: Path, known: Mapping[str, Any]) -> Any:
    from accelerate.tracking import MLflowTracker

    return MLflowTracker(PROJECT, run_id=known.get("id"), run_name=out.name)


def _mlflow_pictures(tracker: Any, pictures: Sequence[Image], samples: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{samples:08d}.png"
        _sheet(pictures).save(file)
        tracker.log_artifact(str(file), artifact_path=PICTURES)


def _tensorboard(out: Path, known: Mapping[str, Any]) -> Any:
    from accelerate.tracking import TensorBoardTracker

    again = {"purge_step": known["samples"] + 1} if known.get("samples") else {}  # rows after the checkpoint come again
    return TensorBoardTracker(safe_name(out.name), str(_folder(out)), **again)


def _tensorboard_pictures(tracker: Any, pictures: Sequence[Image], samples: int) -> None:
    import numpy as np

    stack = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    tracker.log_images({PICTURES: stack}, step=samples, dataformats="NHWC")


def _folder(out: Path) -> Path:
    """Returns the folder of trackers that write into the run's own; ``tensorboard/`` there is the local record."""
    folder = out / "trackers"
    folder.mkdir(exist_ok=True)
    return folder


def _sheet(pictures: Sequence[Image]) -> Image:
    """Returns the pictures side by side as one."""
    from PIL import Image as images

    width, height = pictures[0].size
    sheet = images.new("RGB", (width * len(pictures), height))
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i * width, 0))
    return sheet


KINDS = {
    "wandb": Kind("wandb", "wandb", _wandb, lambda tracker: {"id": tracker.tracker.id}, _wandb_pictures),
    "trackio": Kind("trackio", "trackio", _trackio, lambda tracker: {"name": tracker.tracker.name}, _trackio_pictures),
    "mlflow": Kind("mlflow", "mlflow", _mlflow, lambda tracker: {"id": tracker.tracker.info.run_id}, _mlflow_pictures),
    "tensorboard": Kind("tensorboard", "tensorboard", _tensorboard, lambda _: {}, _tensorboard_pictures),
}
