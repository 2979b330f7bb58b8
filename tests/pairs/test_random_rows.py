"""Random rows of pairs in parquet and JSONL: each is read as it was written, or named with its reason."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchbench.errors import CorruptError, UsageError
from benchbench.pairs.dataset import BadRow
from tests.pairs.pair_folders import grey, opened, picture, write_parquet

GREYS = {grey: picture(grey, (2, 2)) for grey in (0, 90, 255)}
FILES = {"a.png": 90, "b.png": 255}
"""Pictures beside the set, by name."""
OUTSIDE = ("../x.png", "/etc/hostname", "a\0b")

captions = st.one_of(
    st.text(max_size=8), st.none(), st.sampled_from(["", " \n", "ein Kreis", "half \ud800", "\U0001f408"])
)
odd_captions = st.one_of(captions, st.integers(), st.lists(st.text(max_size=2), max_size=2), st.booleans())
names = st.one_of(
    st.sampled_from([*FILES, "none.png", ".", "", "a.png/x", "x" * 300, "\ud800"]), st.sampled_from(OUTSIDE)
)
data = st.one_of(st.sampled_from(list(GREYS.values())), st.binary(max_size=20), st.none())
odd_pictures = st.one_of(
    names, st.none(), st.integers(), st.builds(lambda n: {"path": n}, names), st.just({"bytes": 3}), st.just(["a.png"])
)
labels = st.sampled_from([0, 1, 0.5, 0.3, None, "0", "1", "0.5", "left", "", True, float("nan"), -1, 10**400])


def grey_of(value: Any) -> int | None:
    """The grey of a written picture, by hand; None for a value that is no picture."""
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, str):
        return FILES.get(value)
    return next((grey for grey, png in GREYS.items() if png == value), None) if isinstance(value, bytes) else None


def is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and not any("\ud800" <= c <= "\udfff" for c in value)


def names_outside(value: Any) -> bool:
    return (value.get("path") if isinstance(value, dict) else value) in OUTSIDE


def check(path: Path, made: list[dict[str, Any]], sides: tuple[str, str]) -> None:
    """Every row of a file of our own format is the pair that was written, or a bad row with its place."""
    try:
        pairs = opened(path)
    except CorruptError:
        assert any(names_outside(row[side]) for row in made for side in sides)
        return
    except UsageError as error:
        column = next(name for name in ("caption", *sides) if f"column {name} " in error.problem)
        usable = is_text if column == "caption" else grey_of
        assert not any(usable(row[column]) for row in made)
        return
    assert not any(isinstance(row[side], str | dict) and names_outside(row[side]) for row in made for side in sides)
    assert len(pairs) == len(made)
    for i, row in enumerate(made):
        expected = (row["caption"], grey_of(row[sides[0]]), grey_of(row[sides[1]]))
        good = is_text(row["caption"]) and None not in expected
        if good:
            raw = pairs[i]
            assert (raw.caption, grey(raw.winner), grey(raw.loser)) == expected
        else:
            with pytest.raises(BadRow) as bad:
                pairs[i]
            assert bad.value.row == pairs.place(i) and bad.value.why


def folder_with_pictures(parent: str) -> Path:
    folder = Path(parent) / "set"
    folder.mkdir()
    for name, shade in FILES.items():
        (folder / name).write_bytes(GREYS[shade])
    return folder


def any_parquet(made: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        check(write_parquet(folder_with_pictures(parent) / "a.parquet", made), made, ("winner", "loser"))


def any_jsonl(made: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as parent:
        path = folder_with_pictures(parent) / "a.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in made))
        check(path, made, ("winner", "loser"))


def any_labels(made: list[tuple[Any, Any]]) -> None:
    """Shards as JSONL: a winner as the labels say, a row left out and counted, or a refusal that names the row."""
    with tempfile.TemporaryDirectory() as parent:
        path = folder_with_pictures(parent) / "a.jsonl"
        rows = [
            {"caption": "x", "jpg_0": {"path": "a.png"}, "jpg_1": {"path": "b.png"}, "label_0": a, "label_1": b}
            for a, b in made
        ]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        first_second = [tuple(None if label == "" else label for label in pair) for pair in made]
        unreadable = [p for p in first_second if "left" in p or 10**400 in p]
        wanted = [float(a) == 1 for a, b in first_second if not unreadable and is_choice(a, b)]
        if unreadable or not wanted:
            with pytest.raises(UsageError) as error:
                opened(path)
            assert "line" in error.value.cause or not unreadable
            return
        pairs = opened(path)
        assert [grey(pairs[i].winner) == 90 for i in range(len(pairs))] == wanted
        assert sum(pairs.counts.values()) - pairs.counts["rows"] == len(made) - len(wanted)


def is_choice(a: Any, b: Any) -> bool:
    return None not in (a, b) and (float(a), float(b)) in {(0.0, 1.0), (1.0, 0.0)}


whole_captions = captions.filter(lambda caption: not caption or "\ud800" not in caption)
whole_names = names.filter(lambda name: "\ud800" not in name)
parquet_rows = st.one_of(
    st.lists(
        st.fixed_dictionaries({"caption": whole_captions, "winner": winners, "loser": data}), min_size=1, max_size=4
    )
    for winners in (data, whole_names)
)
jsonl_rows = st.lists(
    st.fixed_dictionaries({"caption": odd_captions, "winner": odd_pictures, "loser": odd_pictures}),
    min_size=1,
    max_size=4,
)
label_rows = st.lists(st.tuples(labels, labels), min_size=1, max_size=4)
FEW = settings(max_examples=70, suppress_health_check=[HealthCheck.too_slow])
MANY = settings(max_examples=700, suppress_health_check=[HealthCheck.too_slow])

test_parquet = FEW(given(parquet_rows)(any_parquet))
test_jsonl = FEW(given(jsonl_rows)(any_jsonl))
test_labels = FEW(given(label_rows)(any_labels))
test_much_parquet = pytest.mark.long(MANY(given(parquet_rows)(any_parquet)))
test_much_jsonl = pytest.mark.long(MANY(given(jsonl_rows)(any_jsonl)))
test_many_labels = pytest.mark.long(MANY(given(label_rows)(any_labels)))
