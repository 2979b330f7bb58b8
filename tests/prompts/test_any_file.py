"""Whatever a file of prompts holds, it gives its prompts or an error that names it: encodings, line ends, damage."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbench import prompts
from benchbench.errors import UsageError

SIGNS = st.sampled_from("abc ,;\"'é猫🐱\t\x0b\x85\u2028{}[]\\:&#%=-")
TEXTS = st.lists(st.text(SIGNS, max_size=12).map(str.strip).filter(bool), min_size=1, max_size=6)
ENCODINGS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252"])
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def lines(texts: list[str], end: str, _: str) -> str:
    return "".join(text + end for text in texts)


def jsonl(texts: list[str], end: str, _: str) -> str:
    return "".join(json.dumps({"prompt": text}, ensure_ascii=len(text) % 2 == 0) + end for text in texts)


def table(texts: list[str], end: str, separator: str) -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=separator, lineterminator=end)
    writer.writerows([["n", "prompt"], *([n, text] for n, text in enumerate(texts))])
    return out.getvalue()


WRITERS: dict[str, Callable[[list[str], str, str], str]] = {"txt": lines, "jsonl": jsonl, "csv": table}
FILES = st.tuples(
    st.sampled_from(sorted(WRITERS)), TEXTS, ENCODINGS, ENDS, st.sampled_from(",;\t"), st.none() | st.binary(max_size=3)
)


def check(
    folder: Path, kind: str, texts: list[str], encoding: str, end: str, separator: str, damage: bytes | None
) -> None:
    """A sound UTF-8 file gives its texts; any other one gives them or is refused; a damaged one gives some texts."""
    data = WRITERS[kind](texts, end, separator).encode(encoding, "replace")
    if damage is not None:
        place = len(data) // 2
        data = data[:place] + damage + data[place + 1 :]
    path = folder / f"p.{kind}"
    path.write_bytes(data)
    sound = encoding.startswith("utf-8") and damage is None and (kind != "csv" or separator == ",")
    found: tuple[str, ...] = ()
    problem = ""
    try:
        found = prompts.load(str(path)).prompts
        assert prompts.by_image(str(path)) is None
    except UsageError as error:
        problem = str(error)
    if problem:
        assert not sound, problem
        assert path.name in problem and len(problem.splitlines()) == 3
        return
    assert found and all(text == text.strip() != "" for text in found)
    "\n".join(found).encode()  # as hashing does
    if damage is None:
        replaced = [text.encode(encoding, "replace").decode(encoding) for text in texts]
        escaped = [kind == "jsonl" and len(text) % 2 == 0 for text in texts]
        assert list(found) == [text if e else other for text, other, e in zip(texts, replaced, escaped, strict=True)]


@settings(max_examples=200)
@given(FILES)
def test_any_file_of_prompts(tmp_path_factory: pytest.TempPathFactory, file: tuple) -> None:  # type: ignore[type-arg]
    check(tmp_path_factory.getbasetemp(), *file)


@pytest.mark.long
@settings(max_examples=2000)
@given(FILES)
def test_any_of_many_files_of_prompts(tmp_path_factory: pytest.TempPathFactory, file: tuple) -> None:  # type: ignore[type-arg]
    check(tmp_path_factory.getbasetemp(), *file)
