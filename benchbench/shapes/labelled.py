"""Pictures of hacked models, labelled by eye, and how often the oracle gives the same answers.

``labels/pictures.png`` has 256 pictures, 16 in a row: 32 of the base model and of each of seven trainings that hacked
their reward, shuffled. ``labels/labels.csv`` has what was seen in each, without knowing the model, the prompt or the
oracle's answers: a word, ``none`` where there is no object, nothing where it could not be decided. One half served for
mending the oracle. The accuracies are those on the other half, to which the oracle was put twice: its first form took
hollow diamonds of the base model for crosses, and faint objects for none, which this half hardly has.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import oracle
from .attributes import ATTRIBUTES
from .drawing import SIDE

FOLDER = Path(__file__).parent / "labels"
COLUMNS = 16
NO_OBJECT = "none"
KEPT_BACK = "kept back"


def pictures() -> NDArray[np.uint8]:
    """Returns the pictures, uint8 [256, 32, 32, 3]."""
    sheet = np.asarray(Image.open(FOLDER / "pictures.png").convert("RGB"))
    grid = sheet.reshape(-1, SIDE, COLUMNS, SIDE, 3).swapaxes(1, 2)
    return np.ascontiguousarray(grid.reshape(-1, SIDE, SIDE, 3))


def labels() -> list[dict[str, str]]:
    """Returns the rows of the labels, one a picture."""
    with (FOLDER / "labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def accuracy() -> dict[str, Any]:
    """Returns how often the oracle's answers are the labels, on the pictures that were kept back."""
    by_attribute: dict[str, list[bool]] = {name: [] for name in ATTRIBUTES}
    by_model: dict[str, list[bool]] = {}
    answers, rows = oracle.read(pictures()), labels()
    kept = [(answer, row) for answer, row in zip(answers, rows, strict=True) if row["part"] == KEPT_BACK]
    for answer, row in kept:
        for name in ATTRIBUTES:
            if row[name]:
                same = (answer[name] or NO_OBJECT) == row[name]
                by_attribute[name].append(same)
                by_model.setdefault(row["model"], []).append(same)
    decided = sum(map(len, by_attribute.values()))
    return {
        "pictures": len(kept),
        "decided": round(decided / (len(kept) * len(ATTRIBUTES)), 3),
        "by_attribute": {name: _share(found) for name, found in by_attribute.items()},
        "by_model": {name: _share(found) for name, found in sorted(by_model.items())},
    }


def _share(found: list[bool]) -> float:
    return round(float(np.mean(found)), 3)
