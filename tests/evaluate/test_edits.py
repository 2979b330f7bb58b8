"""Strength and sources come together; what has none keeps every key that it had."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from benchbench import prompts
from benchbench.api import Prompt, PromptSet
from benchbench.config import load
from benchbench.errors import CorruptError, UsageError
from benchbench.evaluate.conditions import EvalConditions
from benchbench.evaluate.edits import check_edit, check_pictures
from benchbench.evaluate.generate import generate
from benchbench.evaluate.rows import common_sampler
from benchbench.prompt_set import Source
from benchbench.samplers import SamplerConfig, sampler_of, steps_taken
from benchbench.store.keys import GenerationKey
from tests.evaluate.fakes import Generator
from tests.runtime.picture_files import saved

PLAIN = SamplerConfig().model_dump(mode="json")
EDIT = PLAIN | {"strength": 0.75}


def test_keys_without_a_strength_are_those_of_before() -> None:
    """Recorded with the version before edits."""
    assert sampler_of(PLAIN).model_dump(mode="json") == PLAIN == common_sampler([]).model_dump(mode="json")
    shapes = prompts.load("shapes-simple")
    assert GenerationKey("m", None, PLAIN, "fp32", shapes.name, shapes.hash_for(), 0).id == "846b90b2b4ecd10a"
    assert load("dspo", "shapes", "shapes-pref", "shapes-simple", 384, 0).digest == "ce4fa06ecae1f63a"
    asked: dict[str, Any] = {"name": "reward-table", "model": "m", "model_hash": "h", "dtype": "fp32", "prompts": "p"}
    asked |= {"prompts_hash": "q", "prompt_count": 1, "images_per_prompt": 1, "eval_seeds": (0,), "rewards": {}}
    assert EvalConditions(sampler=PLAIN, **asked).digest == "61318104d04f5429"
    assert EvalConditions(sampler=EDIT, **asked).describe().count("strength 0.75 (15 steps);") == 1


def test_the_strength_reaches_the_sampler_and_no_training() -> None:
    assert common_sampler([], {"strength": 0.75}).model_dump(mode="json") == EDIT
    assert list(EDIT) == ["steps", "eta", "guidance_scale", "strength"]
    for wrong in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(ValidationError):
            sampler_of(PLAIN | {"strength": wrong})
    with pytest.raises(UsageError, match="setting is wrong") as error:
        load("dspo", "shapes", "shapes-pref", "shapes-simple", 384, 0, overrides=["sampler.strength=0.5"])
    assert "sampler.strength: no such setting" in error.value.cause


@pytest.mark.parametrize(
    ("steps", "strength", "taken"), [(50, 0.75, 37), (20, 0.75, 15), (20, 1, 20), (100, 0.29, 28), (20, 0.04, 0)]
)
def test_steps_are_counted_as_in_the_pipeline(steps: int, strength: float, taken: int) -> None:
    """100 x 0.29 is 28.999... as a float, and diffusers cuts it off."""
    assert steps_taken({"steps": steps, "strength": strength}) == taken
    assert steps_taken({"steps": steps}) == steps and steps_taken({"strength": 0.0}) == 0


def edits(*pictures: bytes) -> PromptSet:
    made = [
        Prompt("make it blue", None, Source(f"{i}.png", str(i) * 64, lambda d=d: d)) for i, d in enumerate(pictures)
    ]
    return PromptSet("mine", tuple(made), "", "")


def test_each_wrong_combination_has_its_words() -> None:
    with_pictures, without = edits(b""), prompts.load("shapes-simple")
    check_edit(with_pictures, EDIT)
    check_edit(without, PLAIN)
    wrong: list[tuple[PromptSet, dict[str, Any], str, str]] = [
        (with_pictures, PLAIN, "no strength is given", "bench eval --strength 0.75"),
        (without, EDIT, "has no pictures to edit", "leave --strength out"),
        (with_pictures, PLAIN | {"strength": 0.04}, "leaves no step", "use --strength 0.05 or more"),
    ]
    for prompt_set, sampler, problem, remedy in wrong:
        with pytest.raises(UsageError, match=problem) as error:
            check_edit(prompt_set, sampler)
        assert len(str(error.value).splitlines()) == 3 and remedy in error.value.remedy


def test_every_picture_is_read_before_the_first_step() -> None:
    said: list[str] = []
    grey = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 900)
    upright = Image.fromarray(np.zeros((8, 8, 3), np.uint8))
    check_pictures(edits(saved(upright), saved(upright, orientation=6), saved(grey)), said.append)
    assert said == [
        "1 picture was turned by EXIF orientation: 1.png",
        "1 picture was brought from 16 or more bits, or from fractions, to 8 bits: 2.png",
    ]
    with pytest.raises(CorruptError, match=r"1\.png cannot be read as a picture"):
        check_pictures(edits(saved(upright), saved(upright)[:45]), said.append)
    check_pictures(prompts.load("shapes-simple"), said.append)
    assert len(said) == 2


def test_other_pictures_are_other_images(tmp_path: Path) -> None:
    """Two sets with the same texts; the sampler's strength is part of the key as well."""
    made = Generator()
    options: dict[str, Any] = {"dtype": "fp32", "images_per_prompt": 1, "eval_seeds": [0], "store": tmp_path}
    options |= {"batch_size": 4, "made_on": {}, "log": lambda _: None}
    keys = set()
    other = PromptSet("mine", (Prompt("make it blue", None, Source("0.png", "9" * 64, bytes)),), "", "")
    for prompt_set, sampler in ((edits(b""), EDIT), (other, EDIT), (edits(b""), EDIT | {"strength": 0.5})):
        keys.add(generate(made.evaluated_model(), prompt_set, sampler=sampler, **options)[0].images.id)
    assert len(keys) == 3
