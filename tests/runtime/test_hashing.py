"""A name is a function of what decides the content."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbench.runtime import hashing
from benchbench.runtime.hashing import canonical, digest
from benchbench.store.keys import GenerationKey

KEY = GenerationKey("m", None, {"steps": 20, "eta": 1.0}, "fp32", "animals", "p", 0)


def test_canonical_json_by_hand() -> None:
    assert canonical({"b": [1, 2.5, None], "a": "é"}) == '{"a":"é","b":[1,2.5,null]}'
    with pytest.raises(ValueError, match="Out of range"):
        canonical(float("nan"))


def test_a_digest_never_changes_between_releases() -> None:
    """sha256 of the two characters {} begins with these digits."""
    assert digest({}) == "44136fa355b3678a"


@given(st.dictionaries(st.text(), st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    assert digest(value) == digest(dict(reversed(value.items())))


@pytest.mark.parametrize(
    "change",
    [
        {"model_hash": "n"},
        {"adapter_hash": "a"},
        {"sampler": {"steps": 21, "eta": 1.0}},
        {"dtype": "bf16"},
        {"prompts_name": "other"},
        {"prompts_hash": "q"},
        {"eval_seed": 1},
    ],
)
def test_everything_that_decides_the_pixels_decides_the_name(change: dict[str, object]) -> None:
    assert replace(KEY, **change).id != KEY.id
    assert replace(KEY).id == KEY.id


def test_a_remembered_hash_follows_the_file_and_not_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settled file is read once; one that was written to, or that a link now names, is read again."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    reads = []
    monkeypatch.setattr(hashing, "file_sha256", lambda path, real=hashing.file_sha256: reads.append(path) or real(path))
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"one")
    other.write_bytes(b"two")
    monkeypatch.setattr(hashing, "SETTLED", -1)
    link = tmp_path / ("0" * 64)
    link.symlink_to(file)
    first = hashing.cached_sha256(link)
    assert (hashing.cached_sha256(file), len(reads)) == (first, 1)
    link.unlink()
    link.symlink_to(other)
    assert hashing.cached_sha256(link) == hashlib.sha256(b"two").hexdigest() != first
    time = file.stat().st_mtime_ns
    file.write_bytes(b"six")
    os.utime(file, ns=(time, time))
    assert hashing.cached_sha256(file) == hashlib.sha256(b"six").hexdigest()


def test_a_file_that_changed_a_moment_ago_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "a").write_bytes(b"one")
    hashing.cached_sha256(tmp_path / "a")
    assert not (tmp_path / "cache" / "hashes.json").exists()
