"""What training costs: the table by hand, and a real process."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from benchbench.api import PromptSet
from benchbench.config import load
from benchbench.errors import MissingError, UsageError
from benchbench.protocols import cost
from benchbench.protocols.cost import CostSettings, TrainingCost
from benchbench.runtime.backends import local
from tests.tiny import write_tiny_sd

ANIMALS = PromptSet("animals", ("a cat",), "made here", "none")
SETTINGS = CostSettings(method="d3po", iterations=2, preset="released", overrides=("train.batch=2", "sampler.steps=3"))


def test_the_table_by_hand() -> None:
    """Two iterations of 4 images and 2 steps in 8 s and 12 s: 2 and 3 s an image, mean 2.5; 4 and 6 s a step: 5."""
    rows = {"images": 4, "steps": 2.0, "unet_evals": 40, "unet_grads": 8, "reward_calls": 4, "peak_gib": 1.5}
    frame = pd.DataFrame([{"iteration": i, "seconds": s, "device": "here", **rows} for i, s in ((1, 8.0), (2, 12.0))])
    cells = TrainingCost().table({"d3po": frame}, SETTINGS, published={("d3po", "s / step"): 7.0}).cells["d3po"]
    assert (cells["s / image"].value, cells["s / step"].value, cells["peak GiB"].value) == (2.5, 5, 1.5)
    assert (cells["network / image"].value, cells["network with gradient / step"].value) == (10, 4)
    assert cells["s / step"].published == 7


def test_a_run_has_no_cost_to_measure(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        TrainingCost().measure("shapes", "x", ANIMALS, "shapes-colour", SETTINGS, store=tmp_path)


def test_the_price_is_that_of_the_iterations() -> None:
    """D3PO, 3 steps, pairs: an image takes 3 evaluations to roll out and 3 of the reference, 3 with gradient, a reward
    call. 2 images in each of 3 iterations.
    """
    price = TrainingCost().cost(SETTINGS, 3)
    assert (price.unet_evals, price.unet_grads, price.reward_calls) == (36, 18, 6)


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    """The process finds no model. Its exit code, its words and its log arrive here, and nothing else runs."""
    config = load("d3po", "shapes", "shapes-colour", "shapes-simple", 8, 0).model_copy(update={"model": "no/model"})
    with pytest.raises(MissingError, match="the training whose cost is measured failed") as error:
        cost._train_in_new_process(config, ANIMALS, "cpu", tmp_path)
    (log,) = tmp_path.glob("logs/cost-*.log")
    assert "no/model" in error.value.cause and str(log) in error.value.remedy and "no/model" in log.read_text()


@pytest.mark.slow
def test_a_training_in_a_process_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts agree with the price of an iteration; a second call starts no process. The prompts are those of a file."""
    model, mine = str(write_tiny_sd(tmp_path / "sd")), PromptSet("mine", ("a cat",), "file mine.txt", "unknown")
    rows = TrainingCost().measure(model, None, mine, "shapes-colour", SETTINGS, store=tmp_path, device="cpu")
    assert rows.iteration.tolist() == [1, 2] and (rows.images == 2).all()
    assert (rows.unet_evals == 12).all() and (rows.unet_grads == 6).all() and (rows.reward_calls == 2).all()
    assert (rows.seconds > 0).all() and (rows.peak_gib > 0.05).all() and (rows.steps >= 1).all()
    monkeypatch.setattr(local.subprocess, "Popen", lambda *a, **k: pytest.fail("a process started"))
    again = TrainingCost().measure(model, None, mine, "shapes-colour", SETTINGS, store=tmp_path, device="cpu")
    pd.testing.assert_frame_equal(again, rows)
