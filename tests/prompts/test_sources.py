"""Sets of edits: a picture beside each prompt, from a file, a folder or a drawing, and part of the set's hash."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench import prompts
from benchbench.api import Prompt, PromptSet, metadata
from benchbench.errors import CorruptError, UsageError
from benchbench.prompt_set import Source, sources
from benchbench.prompts.sources import refuse_sources
from benchbench.runtime.hashing import bytes_sha256, canonical, file_sha256, text_sha256
from benchbench.runtime.pictures import read_picture
from benchbench.shapes.drawing import draw
from benchbench.shapes.edits import scene_of

HASHES = ["1" * 64, "2" * 64]


def made(*hashes: str | None, rows: tuple[dict[str, str], ...] = ({}, {})) -> PromptSet:
    pictures = [Source("a picture", sha256, bytes) if sha256 else None for sha256 in hashes]
    texts = ("make it blue", "add a cat")
    return PromptSet("edits", tuple(Prompt(*row) for row in zip(texts, rows, pictures, strict=True)), "", "")


def write(folder: Path, lines: list[object], name: str = "edits.jsonl") -> Path:
    for i in range(2):
        Image.fromarray(np.full((4, 4, 3), 60 * i, np.uint8)).save(folder / f"{i}.png")
    path = folder / name
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


ROWS: list[object] = [
    {"image": "0.png", "prompt": "make it blue", "tag": "x"},
    {"image": "1.png", "prompt": "add a cat"},
]


def test_the_hash_holds_texts_and_pictures_in_order() -> None:
    """Worked out by hand; a set without pictures keeps the hash of its texts."""
    triples = [["make it blue", {}, HASHES[0]], ["add a cat", {}, HASHES[1]]]
    assert made(*HASHES).hash_for() == bytes_sha256([b"\xfd", canonical(triples).encode()])
    assert made(None, None).hash == text_sha256("make it blue\nadd a cat")
    different = {made(*h).hash_for() for h in ([*HASHES], [*HASHES[::-1]], [HASHES[0], None], [None, None])}
    assert len(different) == 4
    tagged = made(*HASHES, rows=({"tag": "x"}, {}))
    assert tagged.hash_for() == made(*HASHES).hash_for() and tagged.hash != made(*HASHES).hash
    assert tagged.hash_for(["tag"]) == tagged.hash


def test_a_file_names_a_picture_beside_each_prompt(tmp_path: Path) -> None:
    path = write(tmp_path, ROWS)
    found = prompts.load(str(path), edits=True)
    assert found.prompts == ("make it blue", "add a cat") and found.name == "edits"
    assert metadata(found.prompts) == [{"tag": "x"}, {}]
    for i, source in enumerate(sources(found.prompts)):
        assert source and source.sha256 == file_sha256(tmp_path / f"{i}.png")
        assert source.read() == (tmp_path / f"{i}.png").read_bytes()
        assert source.name == f"edits.jsonl, line {i + 1}: {i}.png"
    assert found.hash != prompts.load(str(path)).hash and not any(sources(prompts.load(str(path)).prompts))
    csv = write(tmp_path, ["image,prompt\n", "0.png,make it blue\n", "1.png,add a cat\n"], "edits.csv")
    assert prompts.load(str(csv), edits=True).hash_for() == found.hash_for()


def test_a_folder_stands_for_the_one_file_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "my edits"
    folder.mkdir()
    path = write(folder, ROWS, "metadata.jsonl")
    found = prompts.load(str(folder))
    assert found.hash == prompts.load(str(path), edits=True).hash and found.name == "my edits"
    (folder / "more.csv").write_text("prompt\na\n")
    with pytest.raises(UsageError, match=r"found: metadata\.jsonl, more\.csv"):
        prompts.load(str(folder))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"prompt": "p"}, "line 2 names None, which is no file in the folder"),
        ({"prompt": "p", "image": ""}, "line 2 names '', which is no file"),
        ({"prompt": "p", "image": 3}, "line 2 names 3, which is no file"),
        ({"prompt": "p", "image": "../out.png"}, "no file in the folder of edits.jsonl"),
        ({"prompt": "p", "image": "/etc/hosts"}, "no file in the folder of edits.jsonl"),
        ({"prompt": "p", "image": "link.png"}, "no file in the folder of edits.jsonl"),
        ({"prompt": "p", "image": "a\0b"}, "no file in the folder of edits.jsonl"),
        ({"prompt": "p", "image": "x" * 5000}, "line 2 names"),
        ({"prompt": "p", "image": "."}, "no regular file"),
        ({"prompt": "p", "image": "pipe.png"}, "no regular file"),
        ({"prompt": "p", "image": "gone.png"}, "line 2 names 'gone.png': No such file"),
    ],
)
def test_a_picture_that_cannot_be_used_is_named_with_its_line(
    tmp_path: Path, row: dict[str, object], said: str
) -> None:
    """A picture outside the folder of the file, also behind a link, and a pipe, whose reading would never end."""
    folder = tmp_path / "in"
    folder.mkdir()
    (tmp_path / "out.png").write_bytes(b"secret")
    (folder / "link.png").symlink_to(tmp_path / "out.png")
    os.mkfifo(folder / "pipe.png")
    path = write(folder, [ROWS[0], row])
    with pytest.raises(UsageError, match=said):
        prompts.load(str(path), edits=True)


def test_a_file_without_pictures_and_a_picture_that_changes_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, [{"prompt": "make it blue"}], "plain.jsonl")
    with pytest.raises(UsageError, match="no column 'image'"):
        prompts.load(str(path), edits=True)
    source = sources(prompts.load(str(write(tmp_path, ROWS)), edits=True).prompts)[0]
    assert source
    (tmp_path / "0.png").write_bytes(b"another")
    with pytest.raises(CorruptError, match=r"line 1: 0\.png has changed"):
        source.read()
    (tmp_path / "0.png").unlink()
    with pytest.raises(CorruptError, match=r"line 1: 0\.png cannot be read"):
        source.read()


def test_drawn_sources_are_the_scenes_of_their_rows() -> None:
    found = prompts.load("shapes-edits")
    rows = metadata(found.prompts)
    for row, source in list(zip(rows, sources(found.prompts), strict=True))[:3]:
        assert source
        picture = read_picture(source.read(), source.name)
        assert (np.asarray(picture.image) == draw(scene_of(row["scene"]))).all() and not picture.changes
    assert len({source.sha256 for source in sources(found.prompts) if source}) == 100


def test_where_pictures_have_no_use_they_are_refused() -> None:
    with pytest.raises(UsageError, match="the prompts of shapes-edits edit pictures"):
        refuse_sources(prompts.load("shapes-edits"))
    refuse_sources(prompts.load("shapes-simple"))
