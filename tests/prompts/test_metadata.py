"""Further columns of a JSONL file are the metadata of its prompts: part of the set's hash, and tied to their rows."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbench import prompts
from benchbench.api import Prompt, PromptSet, metadata
from benchbench.noise import Noise, Sample
from benchbench.runtime.hashing import bytes_sha256, canonical, text_sha256

ROWS = [
    {"prompt": "a cat", "tag": "one", "count": 2, "include": [{"class": "cat", "count": 2}]},
    {"prompt": "a dog", "tag": "two", "count": None, "include": []},
    {"prompt": "a cat", "tag": "three", "count": 0.5, "include": {"a": True}},
]


def write(folder: Path, *rows: dict[str, Any], name: str = "set.jsonl") -> PromptSet:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return prompts.load(str(path))


def test_each_row_has_its_own_metadata_though_texts_repeat(tmp_path: Path) -> None:
    found = write(tmp_path, *ROWS)
    assert found.prompts == ("a cat", "a dog", "a cat")
    assert metadata(found.prompts) == [{k: v for k, v in row.items() if k != "prompt"} for row in ROWS]
    picked = [found.prompts[2], found.prompts[0]] * 2
    assert [row["tag"] for row in metadata(picked)] == ["three", "one"] * 2
    assert metadata(picked[:1], ["count", "absent"]) == [{"count": 0.5}]
    assert metadata(["plain"]) == [{}]


def test_a_set_without_metadata_keeps_its_hash(tmp_path: Path) -> None:
    """So does one whose only further columns name pictures, and every other kind of file."""
    plain = text_sha256("a cat\na dog")
    bare = write(tmp_path, {"prompt": "a cat"}, {"caption": "a dog"})
    assert bare.hash == bare.hash_for() == bare.hash_for(["tag"]) == plain
    named = write(tmp_path, {"prompt": "a cat", "image": "1.png"}, {"prompt": "a dog", "file_name": "2.png"})
    assert named.hash == plain and not any(type(prompt) is Prompt for prompt in named.prompts)
    (tmp_path / "set.csv").write_text("prompt,tag\na cat,one\na dog,two\n")
    assert prompts.load(str(tmp_path / "set.csv")).hash == plain


def test_the_hash_holds_what_is_read(tmp_path: Path) -> None:
    """Images read the texts alone, a reward the fields that it needs besides; worked out by hand for one field."""
    first, other = write(tmp_path, *ROWS), write(tmp_path, *ROWS[:2], {**ROWS[2], "tag": "3"})
    texts = text_sha256("a cat\na dog\na cat")
    assert first.hash_for() == other.hash_for() == texts
    assert first.hash_for(["count"]) == other.hash_for(["count"]) not in (texts, first.hash)
    assert first.hash != other.hash and first.hash_for(["tag"]) != other.hash_for(["tag"])
    pairs = [["a cat", {"tag": "one"}], ["a dog", {"tag": "two"}], ["a cat", {"tag": "three"}]]
    assert first.hash_for(["tag"]) == bytes_sha256([b"\xfe", canonical(pairs).encode()])


FIELDS = st.dictionaries(st.sampled_from("ab"), st.none() | st.integers(0, 1) | st.text("a", max_size=1), max_size=2)
SETS = st.lists(st.tuples(st.sampled_from(["x", "x\n", "\n"]), FIELDS), max_size=3)


@given(SETS, SETS)
def test_equal_hashes_mean_equal_sets(first: list[Any], second: list[Any]) -> None:
    hashes = [PromptSet("s", tuple(Prompt(*row) for row in rows), "", "").hash for rows in (first, second)]
    assert (hashes[0] == hashes[1]) == (first == second)


def test_values_that_no_json_holds_count_as_missing(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_text('{"prompt": "a", "x": NaN, "y": [1e999], "z": "\\ud800", "ok": 1}\n{"prompt": "b", "ok": 2}\n')
    assert metadata(prompts.load(str(path)).prompts) == [{"ok": 1}, {"ok": 2}]


def test_a_prompt_with_metadata_is_its_text_in_all_else() -> None:
    plain, full = "a cat", Prompt("a cat", {"tag": 1})
    assert full == plain and hash(full) == hash(plain) and json.dumps(full) == json.dumps(plain) and f"{full}" == plain
    noise = Noise(0, "eval")
    assert noise.normal([Sample(full, 1, 2)], shape=(3,)).equal(noise.normal([Sample(plain, 1, 2)], shape=(3,)))
    for twin in (copy.deepcopy(full), copy.copy(full)):
        assert twin == full and metadata([twin]) == [{"tag": 1}]


def test_show_names_the_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from benchbench.cli.main import main

    write(tmp_path, *ROWS)
    assert main(["show", "prompts", str(tmp_path / "set.jsonl")]) == 0
    assert "tag, count, include" in capsys.readouterr().out
