"""A study of the shapes model: frozen, with pictures that say nothing, and nothing written over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchbench import prompts
from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.evaluate.measure import prepare
from benchbench.hub import models
from benchbench.samplers import SamplerConfig
from benchbench.store.images import pixel_hash
from benchbench.store.keys import GenerationKey
from benchbench.study.create import create
from benchbench.study.design import Study
from benchbench.study.folder import FILE, check_pictures, find_study, read_study
from benchbench.study.material import drawn_prompts
from benchbench.study.pictures import FOLDER, destroyed
from benchbench.study.request import Request

PROMPTS = replace(prompts.load("shapes-simple"), name="two", prompts=prompts.load("shapes-simple").prompts[:2])
FEW = SamplerConfig(steps=2)
REQUEST = Request({"base": "base"}, ["Which?"], raters=2, images_per_prompt=3, repeats=1, checks=2)


def make(folder: Path, store: Path, request: Request = REQUEST) -> Study:
    model = models.find("shapes")
    return create(folder, request, model, PROMPTS, store=store, sampler=FEW, device="cpu", log=lambda _: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    store = tmp_path_factory.mktemp("store")
    folder = store / "studies" / "s"
    return folder, make(folder, store)


def test_one_row_compares_every_two_images_of_a_prompt(made: tuple[Path, Study]) -> None:
    folder, study = made
    assert read_study(folder) == study and find_study(folder.parents[1], "s") == folder
    assert len(study.pictures) == 6 and len(study.comparisons) == 6
    for pair in study.comparisons:
        first, second = study.pictures[pair.first], study.pictures[pair.second]
        assert first.prompt == second.prompt and first.sample < second.sample
    assert [len(pages) for pages in study.assignment] == [6 + 1 + 2] * 2


def test_files_say_nothing_and_are_the_pictures(made: tuple[Path, Study]) -> None:
    folder, study = made
    for picture in study.pictures:
        with Image.open(folder / FOLDER / picture.file) as image:
            assert not image.getexif() and not image.info.get("exif")
            assert pixel_hash(np.asarray(image.convert("RGB"))) == picture.sha256
        assert len(picture.file) == 29 and set(picture.file[:24]) <= set("0123456789abcdef")


def test_a_picture_that_was_changed_is_refused(made: tuple[Path, Study], tmp_path: Path) -> None:
    folder, study = made
    check_pictures(folder, study)
    with pytest.raises(CorruptError, match="cannot be shown"):
        check_pictures(tmp_path, study)


def test_nothing_is_written_over_and_a_changed_file_is_refused(made: tuple[Path, Study], tmp_path: Path) -> None:
    folder, _ = made
    with pytest.raises(UsageError, match="is a study"):
        make(folder, folder.parents[1])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(UsageError, match="holds something else"):
        make(tmp_path / "mine", tmp_path)
    text = (folder / FILE).read_text()
    (tmp_path / FILE).write_text(text.replace('"raters": 2', '"raters": 3'))
    assert (tmp_path / FILE).read_text() != text
    with pytest.raises(CorruptError, match="damaged"):
        read_study(tmp_path)
    with pytest.raises(MissingError, match="no study 't'"):
        find_study(folder.parents[1], "t")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": {"a": "base", "b": "base"}}, "compared with itself"),
        ({"against": ["x"]}, "no row x"),
        ({"votes_per_pair": 3}, "3 raters cannot see each pair"),
        ({"images_per_prompt": 1}, "nothing to compare"),
    ],
)
def test_a_study_that_makes_no_sense_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        make(tmp_path / "s", tmp_path, replace(REQUEST, **change))
    assert not (tmp_path / "s").exists()


def test_a_shared_start_has_its_own_key_and_shares_sample_0(tmp_path: Path) -> None:
    """Sample 0 starts from its own x_T either way; the others are other images, and differ from each other."""
    model = models.find("shapes")
    options: dict[str, Any] = {"store": tmp_path, "images_per_prompt": 3, "eval_seeds": [0], "sampler": FEW}
    options |= {"device": "cpu", "log": lambda _: None}
    apart, together = (
        prepare(model, {"base": []}, PROMPTS, (), **options, shared_start=shared).make()["base", 0][0]
        for shared in (False, True)
    )
    assert apart.images.id != together.images.id
    for sample in apart.entries:
        same = apart.entries[sample].sha256 == together.entries[sample].sha256
        assert same == (sample.number == 0)
    assert len({entry.sha256 for entry in together.entries.values()}) == 6


def test_keys_without_a_shared_start_are_what_they_were() -> None:
    key = GenerationKey("m", None, {"steps": 20}, "fp32", "set", "p", 3)
    assert "shared_start" not in key.fields() and replace(key, shared_start=True).fields()["shared_start"] is True
    assert replace(key, shared_start=True).id != key.id


def test_drawn_prompts_keep_their_order_and_depend_on_the_seed() -> None:
    whole = prompts.load("shapes-simple")
    drawn = drawn_prompts(whole, 10, 0)
    assert len(set(drawn.prompts)) == 10 and [p for p in whole.prompts if p in drawn.prompts] == list(drawn.prompts)
    assert drawn_prompts(whole, 10, 1).prompts != drawn.prompts and drawn_prompts(whole, 45, 0).prompts == whole.prompts
    with pytest.raises(UsageError, match="46 prompts cannot be drawn"):
        drawn_prompts(whole, 46, 0)


def test_a_destroyed_picture_keeps_its_size_and_little_else() -> None:
    picture = Image.fromarray(np.indices((64, 50)).sum(0).astype(np.uint8)[..., None].repeat(3, 2))
    broken = destroyed(picture, 1)
    assert broken.size == picture.size
    assert np.abs(np.asarray(broken).astype(int) - np.asarray(picture)).mean() > 20
    assert np.array_equal(np.asarray(broken), np.asarray(destroyed(picture, 1)))
