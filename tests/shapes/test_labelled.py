"""Labelled pictures of hacked models: what is kept of them, and how well the oracle reads them."""

import json
from collections import Counter

import numpy as np
import pytest

from benchbench.shapes import WEIGHTS, labelled, oracle
from benchbench.shapes.attributes import VALUES
from benchbench.shapes.captions import stated_attributes


def test_pictures_and_labels() -> None:
    """256 different pictures, 32 of each of eight models; half of the hacked ones, 112, are kept back."""
    pictures, rows = labelled.pictures(), labelled.labels()
    assert pictures.shape == (256, 32, 32, 3) and len({picture.tobytes() for picture in pictures}) == 256
    assert [int(row["number"]) for row in rows] == list(range(256))
    assert set(Counter(row["model"] for row in rows).values()) == {32}
    hacked = [row for row in rows if row["model"] != "base"]
    assert sum(row["part"] == labelled.KEPT_BACK for row in hacked) >= 100
    for row in rows:
        assert len(stated_attributes(row["prompt"])) >= 4
        for name, values in VALUES.items():
            allowed = {*values, ""} | ({labelled.NO_OBJECT} if name != "background" else set())
            assert row[name] in allowed


def test_the_record_has_the_accuracy() -> None:
    """The shipped oracle reads at least 90 % of each attribute, and 80 % of each model, as the labels say."""
    found = labelled.accuracy()
    record = json.loads((WEIGHTS / "record.json").read_text())
    assert record["measured"]["oracle_on_hacked_pictures"] == found
    assert min(found["by_attribute"].values()) > 0.9 and min(found["by_model"].values()) > 0.8


def test_a_wrong_oracle_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers in another order lower every share: the accuracy is computed, picture by picture."""
    read = oracle.read
    monkeypatch.setattr(oracle, "read", lambda images: read(images)[::-1])
    assert max(labelled.accuracy()["by_attribute"].values()) < 0.7


def test_blank_pictures_of_hacked_models_have_no_object() -> None:
    """The oracle finds no object in three of four pictures in which none was seen."""
    rows = labelled.labels()
    blank = [n for n, row in enumerate(rows) if row["shape"] == labelled.NO_OBJECT]
    answers = oracle.read(labelled.pictures()[blank])
    assert len(blank) > 30 and np.mean([answer["shape"] is None for answer in answers]) > 0.75
