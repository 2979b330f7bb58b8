"""The shapes world through the whole engine: the shipped model, real rewards, real files."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench import config
from benchbench.api import PromptSet
from benchbench.evaluate.measure import measure
from benchbench.store.metrics import read_metrics
from benchbench.train.loop import train


def test_a_prompt_over_the_token_limit_is_named(tmp_path: Path) -> None:
    long = "a red circle " * 20
    said: list[str] = []
    prompts = PromptSet("mine", ("a red circle", long), "", "")
    found = measure(
        "shapes", {"base": []}, prompts, ["shapes-colour"], store=tmp_path, images_per_prompt=1, log=said.append
    )
    assert [line for line in said if "cut off" in line and repr(long) in line]
    assert len(found.frames["base"]) == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["tailorpo", pytest.param("tailorpo-g", marks=pytest.mark.long)])
def test_alignment_raises_the_reward_and_keeps_the_picture(method: str, tmp_path: Path) -> None:
    """192 samples at the shapes preset raise the fixed evaluation by more than one standard deviation of the base.

    The base's standard deviation over images is 4.4 (results/shapes); the tuning runs had +5.6 and +7.1.
    """
    run = config.load(method, "shapes", "shapes-colour", "shapes-simple", 192, 7, overrides=["train.eval_every=192"])
    out = train(run, tmp_path / "run", log=lambda _: None)
    looks = [row for row in read_metrics(out) if "eval.reward" in row]
    assert looks[-1]["eval.reward"] - looks[0]["eval.reward"] > 4.4
    assert looks[-1]["eval.oracle"] > 0.6
