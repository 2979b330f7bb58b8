"""One place renames files, one hashes with sha256, one reads JSON files."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("benchbench", "methods", "reward_models", "prompts")


def sources() -> Iterator[tuple[str, str]]:
    for folder in FOLDERS:
        for path in (ROOT / folder).rglob("*.py"):
            yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (r"os\.replace\(|os\.rename\(|shutil\.move\(|\.rename\((?!columns)\S*path|\.tmp\"", "runtime/files.py"),
        (r"hashlib\.(sha256|file_digest)", "runtime/hashing.py"),
        (r"json\.loads?\([^\n]*read_(text|bytes)\(|json\.load\((?!sys\.stdin)", "runtime/json_files.py"),
        (r"re\.sub\(r\"\[\^", "runtime/names.py"),
    ],
    ids=["renames", "hashes", "JSON files", "names"],
)
def test_one_place_does_it(words: str, place: str) -> None:
    others = [name for name, text in sources() if re.search(words, text) and not name.endswith(place)]
    assert others == []
