"""Prompt sets by name and by file, and what is said of a bad file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbench import prompts
from benchbench.api import Prompt, metadata
from benchbench.errors import CorruptError, MissingError, UsageError
from benchbench.runtime.files import cache_folder

SHIPPED = [name for name, entry in prompts.index().items() if entry.file]
FETCHED = [name for name, entry in prompts.index().items() if entry.fetch]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_set_has_its_recorded_count_hash_and_licence(name: str) -> None:
    found, entry = prompts.load(name), prompts.index()[name]
    assert len(found) == entry.count
    texts = tuple(Prompt(prompt, *metadata([prompt])) for prompt in found.prompts)  # without pictures, if it has some
    assert replace(found, prompts=texts).hash == entry.sha256
    assert found.licence and found.origin


def test_training_and_evaluation_prompts_of_shapes_are_disjoint() -> None:
    assert not set(prompts.load("shapes-simple").prompts) & set(prompts.load("shapes-complex").prompts)


def test_the_two_splits_of_shapes_complex_are_all_of_it() -> None:
    """100 prompts to choose settings on, and 400 others that no choice has seen."""
    validation, test = (prompts.load(f"shapes-complex.{split}").prompts for split in ("validation", "test"))
    assert (len(validation), len(test)) == (100, 400)
    assert validation + test == prompts.load("shapes-complex").prompts and not {*validation} & {*test}


def test_activities_are_every_animal_with_each_of_three() -> None:
    """DDPO's nouns_activities has 45 x 3 of them, in its words: an article, the noun, the activity."""
    found = prompts.load("activities").prompts
    assert len(set(found)) == 135
    assert "a cat riding a bike" in found and "an ant playing chess" in found
    nouns = {prompt.split()[1] for prompt in found}
    assert nouns == set(prompts.load("animals").prompts)


@pytest.mark.parametrize("name", FETCHED)
def test_a_set_that_is_not_fetched_names_the_command(name: str) -> None:
    with pytest.raises(MissingError, match="bench fetch --prompts"):
        prompts.load(name)


def test_an_alias_is_the_full_name_and_its_error_names_the_alias() -> None:
    assert prompts.find("pickapic") == "pickapic_v1.validation_unique"
    with pytest.raises(MissingError, match="bench fetch --prompts pickapic"):
        prompts.load("pickapic")


@pytest.mark.parametrize(
    ("wrong", "meant"), [("animls", "animals"), ("shapes_simple", "shapes-simple"), ("part", "parti")]
)
def test_an_unknown_set_suggests_the_nearest_name(wrong: str, meant: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean .*{meant}"):
        prompts.load(wrong)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "a cat\na dog\n"),
        ("windows.txt", "a cat\r\na dog\r\n"),
        ("mark.txt", "\ufeffa cat\na dog"),
        ("p.jsonl", '{"prompt": "a cat"}\n{"caption": "a dog"}\n'),
        ("p.csv", "id,prompt\n1,a cat\n2,a dog\n"),
        ("mac.txt", "a cat\ra dog\r"),
        ("gap.txt", "\na cat\n\n \na dog\n"),
        ("gap.jsonl", '{"prompt": "a cat"}\n\n{"prompt": "a dog"}\n'),
        ("mac.csv", "prompt\ra cat\ra dog\r"),
        ("mac.jsonl", '{"prompt": "a cat"}\r{"prompt": "a dog"}\r'),
        ("image.csv", "image,prompt\n1.png,a cat\n1.png,a dog\n"),
        ("c.csv", 'caption,"x"\na cat,1\n"a dog",2\n'),
    ],
)
def test_files_of_every_kind(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode())
    found = prompts.load(str(path))
    assert found.prompts == ("a cat", "a dog")
    assert found.name == path.stem


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("empty.txt", b"", "holds no prompt"),
        ("blank.txt", b"\n \n", "holds no prompt"),
        ("latin.txt", "a cat\na caf\u00e9\n".encode("latin-1"), "not UTF-8: byte 11, in line 2"),
        ("bad.jsonl", b'{"prompt": "a cat"}\n{"prompt"\n', "line 2 is not JSON"),
        ("none.jsonl", b'{"text": "a cat"}\n', "line 1 has no text under 'prompt' or 'caption'"),
        ("number.jsonl", b'{"prompt": 3}\n', "line 1 has no text"),
        ("column.csv", b"text\na cat\n", "no column 'prompt' or 'caption'"),
        ("short.csv", b"id,prompt\n1,a cat\n2\n", "line 3 holds no prompt"),
        ("header.csv", b"prompt\n", "holds no prompt"),
        ("commas.csv", b"prompt\na cat\na dog, on a mat\n", "line 3 has more fields than the header"),
        ("quote.csv", b'prompt\n"a cat\na dog\n', "is not CSV"),
        ("semicolons.csv", b"id;prompt\n1;a cat\n", "no column 'prompt' or 'caption'"),
        ("twice.csv", b"prompt,prompt\na cat,a dog\n", "has two columns 'prompt'"),
        ("long.csv", b"prompt\n" + b"x" * 200_000, "is not CSV"),
        ("half.jsonl", b'{"prompt": "a \\ud83d cat"}\n', "line 1 holds half of a character"),
        ("utf16.txt", "a cat".encode("utf-16"), "not UTF-8"),
        ("utf16-unmarked.txt", "a cat".encode("utf-16-le"), "not UTF-8: it has zero bytes"),
    ],
)
def test_a_bad_file_is_refused_with_its_line(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UsageError, match=said) as caught:
        prompts.load(str(path))
    assert name in caught.value.problem


def test_a_folder_a_missing_file_and_a_strange_ending_are_refused(tmp_path: Path) -> None:
    (tmp_path / "p.docx").write_text("a cat")
    for path, said in [
        (tmp_path, "a folder"),
        (tmp_path / "no.txt", "no such file"),
        (tmp_path / "p.docx", "does not end"),
    ]:
        with pytest.raises(UsageError, match=said):
            prompts.load(str(path))


def test_a_fetched_file_with_other_prompts_is_refused() -> None:
    folder = cache_folder() / "prompts"
    folder.mkdir(parents=True)
    (folder / "parti.jsonl").write_text('{"prompt": "only one"}\n')
    with pytest.raises(CorruptError, match="1 prompts"):
        prompts.load("parti")


@given(st.lists(st.text().map(str.strip).filter(bool), min_size=1, max_size=5))
def test_any_text_survives_jsonl(tmp_path_factory: pytest.TempPathFactory, texts: list[str]) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "p.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    assert prompts.load(str(path)).prompts == tuple(texts)


def test_a_file_of_prompts_has_a_size(tmp_path: Path) -> None:
    """A sparse file of a gigabyte is not read."""
    with (tmp_path / "p.txt").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(UsageError, match="1073741824 bytes"):
        prompts.load(str(tmp_path / "p.txt"))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.csv", "prompt,image\nx,b/0.png\ny,1.png\n", {"0.png": "x", "1.png": "y"}),
        ("b.jsonl", '{"caption": "x", "file_name": "0.png"}\n', {"0.png": "x"}),
        ("c.csv", "prompt\nx\n", None),
        ("d.txt", "image,prompt\n", None),
    ],
)
def test_prompts_by_image(tmp_path: Path, name: str, text: str, expected: dict[str, str] | None) -> None:
    (tmp_path / name).write_text(text)
    assert prompts.by_image(str(tmp_path / name)) == expected
    assert prompts.by_image("animals") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"prompt": "x", "image": "0.png"}\n{"prompt": "y"}\n', "line 2 names no file"),
        ('{"prompt": "x", "image": {"bytes": ""}}\n', "line 1 names no file"),
        ('{"prompt": "x", "image": "a/"}\n', "line 1 names no file"),
        (
            '{"prompt": "x", "image": "a/0.png"}\n{"prompt": "x", "image": "b/0.png"}\n',
            "line 2 names '0.png', as a line",
        ),
    ],
)
def test_a_line_that_names_no_image_of_its_own_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "p.jsonl").write_text(text)
    with pytest.raises(UsageError) as caught:
        prompts.by_image(str(tmp_path / "p.jsonl"))
    assert said in caught.value.cause
