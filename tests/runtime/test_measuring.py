"""Out of memory in measurements, in made pairs and in scoring a folder: the same rows in parts, or one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from PIL import Image

from benchbench.errors import NoMemoryError
from benchbench.evaluate.score_folder import score_folder
from benchbench.reward_models.shapes_colour import ShapesColour
from benchbench.rewards import lookup
from tests.evaluate.test_make_pairs import make
from tests.protocols.test_measuring import SETTINGS, measure
from tests.runtime.full import no_room, room_for

PLACES = {
    "network": (UNet2DConditionModel, "forward", 4),
    "decoder": (AutoencoderKL, "decode", 1),
    "reward": (ShapesColour, "score_differentiable", 1),
}


def fill_up(where: str, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    owner, name, _ = PLACES[where]
    return room_for(most, owner, name, monkeypatch, lambda self, x, *_: len(x))


def same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    # a picture that is decoded in other company may round a pixel to the next of 256 values, which moves a score of .1
    # to .5 by up to 2e-4; two rows differ by .1
    pd.testing.assert_frame_equal(found, expected, check_exact=False, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("name", SETTINGS)
def test_measuring_goes_on_in_parts(
    name: str, where: str, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and their order stay the same; where one image is too many, one clear error."""
    expected = measure(name, tiny_sd, tmp_path / "whole")
    most = PLACES[where][2]
    tried = fill_up(where, most, monkeypatch)
    same(measure(name, tiny_sd, tmp_path / "parts"), expected)
    assert 0 < min(tried) <= most < max(tried) or name == "gradient-direction"  # which looks at one walk at a time
    fill_up(where, 0, monkeypatch)
    with pytest.raises(NoMemoryError, match=r"out of memory .*, one .* at a time"):
        measure(name, tiny_sd, tmp_path / "none")


def test_the_gradient_of_a_pair_keeps_no_activations_where_it_must(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = measure("gradient-direction", tiny_sd, tmp_path / "whole")
    plain = UNet2DConditionModel.forward

    def tight(self: Any, *arguments: Any, **options: Any) -> Any:
        if torch.is_grad_enabled() and not self.is_gradient_checkpointing:
            raise no_room()
        return plain(self, *arguments, **options)

    monkeypatch.setattr(UNet2DConditionModel, "forward", tight)
    same(measure("gradient-direction", tiny_sd, tmp_path / "small"), expected)


@pytest.mark.parametrize("where", PLACES)
def test_pairs_are_made_in_parts(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Six images of two prompts: the same pairs and scores within rounding."""
    expected = pq.read_table(make(tmp_path / "whole") / "pairs.parquet").to_pandas()
    tried = fill_up(where, PLACES[where][2], monkeypatch)
    found = pq.read_table(make(tmp_path / "parts") / "pairs.parquet").to_pandas()
    assert max(tried) > PLACES[where][2]
    same(found.drop(columns=["winner", "loser"]), expected.drop(columns=["winner", "loser"]))
    fill_up(where, 0, monkeypatch)
    with pytest.raises(NoMemoryError, match=r"out of memory .*, one image at a time"):
        make(tmp_path / "none")


def test_a_folder_is_scored_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [tmp_path / f"{i}.png" for i in range(5)]
    for i, path in enumerate(paths):
        Image.new("RGB", (32, 32), (50 * i, 0, 0)).save(path)

    def scored(said: list[str]) -> pd.DataFrame:
        kinds = [lookup.get("shapes-colour")]
        return score_folder(paths, ["red circle"] * 5, kinds, store=tmp_path, device="cpu", log=said.append)

    said = list[str]()
    expected = scored(said)
    room_for(2, ShapesColour, "score", monkeypatch, lambda self, images, prompts: len(images))
    same(scored(said), expected)
    assert said == ["out of memory in the reward shapes-colour: going on with 2 images at a time"]
