"""Compares stores of one table that was made in several places: ``python -m tests.runtime.backends.stores A B C``."""

from __future__ import annotations

import hashlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.reproduce.test_kill import contents as stored

KINDS = {
    ".safetensors": "files of weights",
    ".webp": "images",
    ".parquet": "files of scores",
    ".jsonl": "files of metrics",
    ".csv": "tables",
}


def contents(store: Path) -> dict[str, Any]:
    """Returns weights and images by their bytes, scores and metrics by their rows, and tables by their lines.

    What trainings reached in equal seconds is left out, since no two runs take the same time.
    """
    tables = list(store.glob("reports/*/*.csv"))
    assert tables, f"{store} holds no table"
    lines = {path.name: path.read_text().splitlines() for path in tables}
    return stored(store) | {
        name: [line for line in table if "seconds of training" not in line] for name, table in lines.items()
    }


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Returns the names of what is not equal in both, or is in one alone."""
    return sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))


def kinds(found: dict[str, Any]) -> Counter[str]:
    """Returns how many weights, images, files of scores and of metrics, and tables there are."""
    return Counter(KINDS[Path(name).suffix] for name in found if Path(name).suffix in KINDS)


def main(stores: list[Path]) -> int:
    """Prints the sha256 of the first store's weights, and what differs in the others; returns 1 where anything does."""
    first, code = contents(stores[0]), 0
    for name in sorted(first):
        if name.endswith(".safetensors"):
            print(f"{hashlib.sha256(first[name]).hexdigest()}  {name}")
    for store in stores[1:]:
        other = contents(store)
        different = differences(first, other)
        print(f"{store}: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds(other).items()))}")
        print(f"not equal: {', '.join(different)}" if different else f"all equal to those of {stores[0]}")
        code |= bool(different)
    return code


if __name__ == "__main__":
    sys.exit(main([Path(word) for word in sys.argv[1:]]))
