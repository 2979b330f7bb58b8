"""``bench store verify`` finds damage wherever it is, says what to do, and what it says helps."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchbench.cli.main import main
from benchbench.noise import Sample
from benchbench.runtime import hashing
from benchbench.runtime.hashing import digest, file_sha256
from benchbench.runtime.sealed import seal, write_sealed
from benchbench.store import runs
from benchbench.store.image_index import FILE
from benchbench.store.images import ImageStore
from benchbench.store.keys import GenerationKey
from benchbench.store.parts import ParquetParts
from benchbench.store.verify import verify
from tests.store.test_runs import make

KEY, CAT = GenerationKey("m", None, {"steps": 20}, "fp32", "set", "p", 3), Sample("a cat", 4, 1)
KEPT = f"runs/a/{runs.KEPT_FOLDER}/00000008"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a file of each kind."""
    images = ImageStore(tmp_path, KEY)
    images.begin({})
    images.write(CAT, np.random.default_rng(0).integers(0, 256, (32, 24, 3), dtype=np.uint8))
    images.scan([CAT], print)
    for folder in (f"scores/{KEY.id}", "measurements/p/m", "pairs/b", "reports/r"):
        ParquetParts(tmp_path / folder).write("pairs", pd.DataFrame({"x": np.arange(99)}))
    write_sealed(tmp_path / "pairs/b/record.json", {"sha256": file_sha256(tmp_path / "pairs/b/pairs.parquet")})
    key = {"protocol": "p"}
    (tmp_path / "measurements/p/m").rename(tmp_path / "measurements/p" / digest(key))
    (tmp_path / "measurements/p" / digest(key) / "record.json").write_text(json.dumps({"key": key}))
    run = make(tmp_path, "a")
    (run / "metrics.jsonl").write_text(json.dumps(seal({"samples": 8, "loss": 0.5})) + "\n{cut")
    for name in (run / "checkpoints/00000008/adapter-000.safetensors", tmp_path / KEPT / runs.ADAPTER):
        name.parent.mkdir(parents=True)
        name.write_bytes(b"weights of a checkpoint")
    state = {"files": {"adapter-000.safetensors": file_sha256(run / "checkpoints/00000008/adapter-000.safetensors")}}
    write_sealed(run / "checkpoints/00000008/state.json", state)
    write_sealed(tmp_path / KEPT / runs.KEPT_FILE, {"sha256": file_sha256(tmp_path / KEPT / runs.ADAPTER)})
    for name in ("studies/s/study.json", "unfinished/u.json", "runs/a/base_scores.json", "reports/r/page.json"):
        write_sealed(tmp_path / name, {"number": 12345})
    return tmp_path


def flip(path: Path) -> None:
    """Changes one bit and keeps size and times, as a disk does."""
    content = path.read_bytes()
    place = len(content) * 2 // 3
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def test_a_sound_store(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    count, damages = verify(store)
    assert damages == [] and count == 16
    assert main(["store", "verify", "--store", str(store)]) == 0
    assert "16 files" in capsys.readouterr().out


@pytest.mark.parametrize("damage", [flip, empty])
@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("images/*/00001-04.webp", "run the evaluation again"),
        ("images/*/record.json", "remove its folder"),
        ("scores/*/pairs.parquet", "scores these images again"),
        ("measurements/p/*/pairs.parquet", "run the measurement again"),
        ("measurements/p/*/record.json", "run the measurement again"),
        ("pairs/b/pairs.parquet", "bench pairs make"),
        ("pairs/b/record.json", "bench pairs make"),
        ("reports/r/pairs.parquet", "make the report again"),
        ("reports/r/page.json", "make the report again"),
        ("studies/s/study.json", "bench study new"),
        ("unfinished/u.json", "remove the file"),
        ("runs/a/run.json", "--resume"),
        ("runs/a/done.json", "--resume"),
        ("runs/a/base_scores.json", "--resume"),
        ("runs/a/metrics.jsonl", "--resume"),
        (f"runs/a/{runs.ADAPTER}", "--resume"),
        ("runs/a/checkpoints/00000008/adapter-000.safetensors", "--resume"),
        ("runs/a/checkpoints/00000008/state.json", "--resume"),
        (f"{KEPT}/{runs.ADAPTER}", "--resume"),
        (f"{KEPT}/{runs.KEPT_FILE}", "--resume"),
    ],
)
def test_each_file_is_hashed(store: Path, place: str, says: str, damage: Callable[[Path], None]) -> None:
    [path] = store.glob(place)
    if (damage, path.name) == (empty, "metrics.jsonl"):
        return  # no line is no damaged line
    if (damage, path.name) == (flip, "metrics.jsonl"):
        path.write_text(path.read_text().replace("0.5", "0.7"))
    elif (damage, path.name) == (flip, "run.json"):
        path.write_text("{")  # this one is of an earlier version, which has no checksum
    else:
        damage(path)
    damages = verify(store)[1]
    assert damages and all(says in damage.remedy for damage in damages)
    assert any(damage.path.parent == path.parent for damage in damages)


def test_the_exit_code_and_the_words(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [path] = store.glob("images/*/*.webp")
    flip(path)
    assert main(["store", "verify", "--store", str(store)]) == 4
    said = capsys.readouterr()
    assert str(path) in said.out and "1 of 16 files is damaged" in said.err and "run the evaluation again" in said.err
    assert main(["store", "verify", "--store", str(store / "nothing")]) == 3


def test_the_next_evaluation_finds_what_was_found(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index would be believed, since a rotten disk changes no time."""
    [path] = store.glob("images/*/*.webp")
    monkeypatch.setattr("benchbench.store.images.file_state", lambda file: (file.stat().st_size, 1, 1, 1))
    assert ImageStore(store, KEY).scan([CAT], print)
    (path.parent / FILE).unlink()
    ImageStore(store, KEY).scan([CAT], print)
    flip(path)
    assert ImageStore(store, KEY).scan([CAT], print)
    assert len(verify(store)[1]) == 1
    said: list[str] = []
    assert ImageStore(store, KEY).scan([CAT], said.append) == {} and len(said) == 1


def test_the_cache_of_hashes_is_corrected(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache says of rotten weights, whose times did not change, what they were."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(hashing, "SETTLED", -1)
    path = store / "runs/a" / runs.ADAPTER
    before = hashing.cached_sha256(path)
    flip(path)
    stat, cache = path.stat(), tmp_path / "cache" / "hashes.json"
    file, entry = f"{stat.st_dev}:{stat.st_ino}", [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, before]
    cache.write_text(json.dumps({file: [*entry, hashing._entry_checksum(file, entry)]}))
    assert runs.read(path.parent).state == "complete"
    assert [damage.path.name for damage in verify(store)[1]] == ["run.json"]
    assert runs.read(path.parent).state == "damaged"


def test_pictures_that_are_no_images_of_the_store(store: Path) -> None:
    [path] = store.glob("images/*/*.webp")
    path.with_name("cat.webp").write_bytes(path.read_bytes())
    path.with_name("00002-04.webp").write_bytes(path.read_bytes())
    assert {damage.path.name for damage in verify(store)[1]} == {"cat.webp", "00002-04.webp"}
