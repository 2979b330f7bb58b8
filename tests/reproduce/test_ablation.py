"""No two rows of a table are one training, and rows of an ablation differ as the table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from benchbench.config import load
from benchbench.errors import UsageError
from benchbench.reproduce import spec
from benchbench.reproduce.ablation import check_rows, differences
from benchbench.reproduce.plan import make_plan
from benchbench.reproduce.spec import Ablation, Row, Spec

ABLATIONS = {*(f"dspo:{n}" for n in (5, 6)), *(f"spo:{n}" for n in (3, 4, 5, 6, 7, 8)), "tailorpo:8"}
ABLATIONS |= {"tailorpo:9", "tailorpo:10"}


def planned(table: Spec, track: str, store: Path) -> dict:
    plan = make_plan(table, track, spec.track_of(table, track), store)
    return {training.row: training.config for training in plan.trainings}


def test_the_tables_that_are_ablations_say_what_they_vary() -> None:
    assert {name for name in spec.names() if spec.load(name).ablation} == ABLATIONS


@pytest.mark.parametrize("name", sorted(ABLATIONS))
def test_every_ablation_holds_on_every_track(name: str, tmp_path: Path) -> None:
    """Making the plan checks it; each row varies something of what it names."""
    table = spec.load(name)
    assert table.ablation is not None
    for track in table.tracks:
        configs = planned(table, track, tmp_path)
        reference = configs[table.ablation.of]
        for row, named in table.ablation.varies.items():
            if row in configs:
                assert differences(configs[row], reference) & set(named)


@pytest.mark.parametrize("track", ["shapes", "sd15"])
def test_only_the_row_with_the_adapter_trains_one(track: str, tmp_path: Path) -> None:
    """dspo:6 as in the paper: all weights in every row but dspo-lora, on whichever base model."""
    trained = {row: config.train.finetune for row, config in planned(spec.load("dspo:6"), track, tmp_path).items()}
    assert trained == {"dspo-ref": "full", "dspo-nodup": "full", "dspo-lora": "lora", "dspo": "full"}


def test_one_training_in_two_rows_is_refused(tmp_path: Path) -> None:
    """The row is named LoRA, and its preset trains all weights, beside the row that does so by its name."""
    table = spec.load("dspo:6")
    same = table.model_copy(update={"rows": {**table.rows, "dspo-lora": Row(method="dspo")}})
    with pytest.raises(UsageError, match="compares what it does not say") as error:
        planned(same, "sd15", tmp_path)
    assert "dspo-lora and dspo are one and the same training" in error.value.cause


def test_a_row_that_differs_in_more_than_it_names_is_refused(tmp_path: Path) -> None:
    """On shapes, where the preset trains an adapter, the row without duplicates once differed in two things."""
    table = spec.load("dspo:6")
    row = Row(method="dspo", set=["method.nodup=true"])
    wrong = table.model_copy(update={"rows": {**table.rows, "dspo-nodup": row}})
    with pytest.raises(UsageError) as error:
        planned(wrong, "shapes", tmp_path)
    assert "dspo-nodup differs from dspo in train.finetune" in error.value.cause


@pytest.mark.parametrize("table", [name for name in spec.names() if "shapes" in spec.load(name).tracks])
def test_every_table_is_made_from_two_images_a_training(table: str, tmp_path: Path) -> None:
    """Whole rollouts of one row are more images than another's; a row of four times as many keeps its factor."""
    found = spec.load(table)
    plan = make_plan(found, "shapes", spec.track_of(found, "shapes"), tmp_path, samples=2)
    rows = {training.row: training.config.samples for training in plan.trainings}
    if table == "tailorpo:6":
        assert rows == {"after-10k": 2, "after-40k": 8}
    if table == "spo:3":
        assert rows["resample-none"] == 4 and rows["resample-random"] == 2
    assert plan.quick or not plan.trainings


def test_differences_by_name() -> None:
    one = load("tailorpo", "shapes", "shapes-colour", "animals", 8, 0, "shapes")
    other = load("tailorpo", "shapes", "shapes-pref", "animals", 8, 0, "shapes", ["method.beta=0.2", "train.lr=1e-4"])
    assert differences(one, other) == {"reward", "method.beta", "train.lr"} and not differences(one, one)
    memory = load("tailorpo", "shapes", "shapes-colour", "animals", 8, 0, "shapes", ["train.micro_batch=3"])
    assert not differences(one, memory)  # changes no result
    with pytest.raises(UsageError, match="compares"):
        check_rows(spec.load("dspo:5"), {"a": one, "b": memory})


def test_an_ablation_names_every_row() -> None:
    table = spec.load("dspo:5")
    with pytest.raises(ValidationError, match="each row but the base"):
        Spec.model_validate({**table.model_dump(), "ablation": Ablation(of="dspo", varies={"x": ["method.form"]})})
