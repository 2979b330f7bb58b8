"""``bench pairs`` and ``bench fetch --pairs``, with a hub that is a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchbench.runtime.files import cache_folder
from tests.cli.conftest import Bench
from tests.cli.test_fetch import Hub, hub  # noqa: F401  # a fixture
from tests.pairs.pair_folders import picture, rows, write_parquet, write_pickapic

REPO = "liuhuohuo2/pick-a-pic-v2"


def write_shards(hub: Hub, count: int = 3) -> None:  # noqa: F811
    for n in range(count):
        write_pickapic(hub.write(REPO, f"data/train-0000{n}-of-00645-ab.parquet"), [(1.0, 0.0), (0.5, 0.5)])
    write_pickapic(hub.write(REPO, "data/validation-00000-of-00001-cd.parquet"), [(1.0, 0.0)])


def test_make_and_check(bench: Bench, tmp_path: Path) -> None:
    """Four images of a prompt make 4 pairs. The second command makes nothing, and the check reads what is there."""
    file = tmp_path / "one.txt"
    file.write_text("red circle\n")
    words = ("pairs", "make", "--model", "shapes", "--prompts", file, "--reward", "shapes-colour", "--images", 4)
    ran = bench(*words, "--device", "cpu")
    assert ran.code == 0, ran.err
    assert "4 images for each prompt" in ran.out.splitlines()[0] and "4 pairs (0 ties left out) are in" in ran.out
    folder = ran.out.split("--pairs ")[1].strip()
    again = bench(*words, "--device", "cpu")
    assert "making pairs" not in again.out and folder in again.out
    half = bench(*words, "--device", "cpu", "--dtype", "bf16")  # other pixels, so other pairs
    assert half.code == 0 and "making pairs" in half.out and folder not in half.out
    checked = bench("pairs", "check", folder)
    assert checked.code == 0, checked.err
    assert "4 pairs can be used, 0 cannot" in checked.out and "sides of 32 to 32 pixels" in checked.out
    assert bench("pairs", "make", "--prompts", file, "--reward", "shapes-color").code == 2
    assert bench("pairs", "make", "--model", "shapes", "--prompts", file, "--images", 1).code == 2


def test_check_names_every_bad_row(bench: Bench, tmp_path: Path) -> None:
    """Rows 1 and 3 of 5 are bad. Of the other captions one has 2 words and two have 3: a mean of 8/3."""
    made = rows(5)
    made[1]["loser"], made[3]["caption"] = b"no picture", ""
    made[2]["caption"], made[4]["caption"] = "three words here", "three more words"
    made[0]["winner"] = picture(0, (9, 7))
    path = write_parquet(tmp_path / "mine.parquet", made)
    ran = bench("pairs", "check", path)
    assert ran.code == 4 and len(ran.err.splitlines()) >= 3
    assert "bad: mine.parquet, row 1: the loser is not a readable picture" in ran.out
    assert "bad: mine.parquet, row 3: the caption is empty" in ran.out
    assert "3 pairs can be used, 2 cannot" in ran.out and "2 of 5 pairs cannot be used" in ran.err
    assert "3 different captions of 2 to 3 words (mean 2.7, median 3)" in ran.out
    assert "pictures with sides of 7 to 9 pixels" in ran.out
    assert bench("pairs", "check", path, "--bad-rows", "skip").code == 0
    nothing = bench("pairs", "check", tmp_path / "nothing")
    assert nothing.code == 2 and "no such file or folder" in nothing.err


def test_shards_are_fetched_hashed_and_opened_by_name(bench: Bench, hub: Hub) -> None:  # noqa: F811
    """Shards 0 and 2 of 3 are fetched, each with one pair. Reading a shard that was not fetched is an error."""
    write_shards(hub)
    missing = bench("pairs", "check", "pickapic_v2")
    assert missing.code == 3 and "bench fetch --pairs pickapic_v2" in missing.err
    ran = bench("fetch", "--pairs", "pickapic_v2", "--shards", "0,2")
    assert ran.code == 0, ran.err
    assert "shards 0, 2 of 0 to 2 are here" in ran.out
    got = sorted(path.name for path in (hub.root / "cache").rglob("*.parquet"))
    assert [name[:11] for name in got] == ["train-00000", "train-00002"]
    lock = json.loads((cache_folder() / "lock.json").read_text())
    assert sum(key.startswith(f"pairs {REPO} data/train-") for key in lock) == 2
    assert "2 pairs can be used" in bench("pairs", "check", "pickapic_v2").out
    assert "1 pairs can be used" in bench("pairs", "check", "pickapic_v2:2").out
    absent = bench("pairs", "check", "pickapic_v2:0-2")
    assert absent.code == 3 and "--shards 1" in absent.err


def test_fetching_refuses_what_is_wrong(bench: Bench, hub: Hub) -> None:  # noqa: F811
    """Refuses a command without shards, a shard that does not exist, a wrong name, and a shard that changed."""
    write_shards(hub)
    asked = bench("fetch", "--pairs", "pickapic_v2")
    assert asked.code == 2 and "335 GB" in asked.err
    assert "it has 0 to 2" in bench("fetch", "--pairs", "pickapic_v2", "--shards", "0-3").err
    assert bench("fetch", "--pairs", "pickapic_v2", "--shards", "2-1").code == 2
    assert "pickapic_v2" in bench("fetch", "--pairs", "pickapik_v2", "--shards", "0").err
    assert bench("fetch", "--pairs", "pickapic_v2", "--shards", "all").code == 0
    for path in (hub.root / "cache").rglob("train-00001*"):
        path.unlink()
    write_pickapic(hub.write(REPO, "data/train-00001-of-00645-ab.parquet"), [(0.0, 1.0)])
    changed = bench("fetch", "--pairs", "pickapic_v2", "--shards", "1")
    assert changed.code == 4 and "has changed since it was first fetched" in changed.err


def test_offline_says_so(bench: Bench) -> None:
    ran = bench("fetch", "--pairs", "pickapic_v1", "--shards", "0")
    assert ran.code == 3 and len(ran.err.splitlines()) == 3


@pytest.mark.parametrize("words", [("pairs", "--help"), ("fetch", "--help")])
def test_help_needs_no_torch(words: tuple[str, ...]) -> None:
    import subprocess
    import sys

    code = f"import sys; from benchbench.cli.main import main; main({list(words)}); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_file_where_a_folder_is_needed_and_names_that_are_too_long(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    rewards = ("--rewards", "shapes-colour")
    for words in (
        ("pairs", "make", "--model", "shapes", "--out", file),
        ("train", "--method", "ddpo", "--model", "shapes", "--out", file, "--samples", 8),
        ("pairs", "check", "x" * 5000),
        ("pairs", "check", tmp_path / ("x" * 300)),
        ("train", "--method", "sft", "--model", "shapes", "--pairs", "x" * 300 + ".parquet"),
        ("eval", "--model", "shapes+vae=../x", "--prompts", "shapes-simple", *rewards),
        ("train", "--method", "ddpo", "--model", "shapes+vae=../x"),
        ("fetch", "--models", "shapes+vae=../x"),
        ("eval", "--model", "x" * 300, "--prompts", "shapes-simple", *rewards),
        ("eval", "--prompts", "x" * 300, "--model", "shapes", *rewards),
        ("eval", "--model", "shapes", "--prompts", "shapes-simple", *rewards, "--checkpoint", "x" * 300),
        ("show", "model", "shapes+vae=../x"),
        ("measure", "jensen-gap", "--model", "shapes+vae=../x"),
        ("score", "--images", tmp_path / ("x" * 300), "--prompts", "shapes-simple", *rewards),
    ):
        ran = bench(*words)
        assert ran.code == 2 and len(ran.err.splitlines()) == 3, ran.err
        assert "internal error" not in ran.err


def test_all_rows_bad_is_an_error_whatever_is_said_of_bad_rows(bench: Bench, tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "mine.parquet", [{**row, "caption": ""} for row in rows(3)])
    for words in ((), ("--bad-rows", "skip")):
        ran = bench("pairs", "check", path, *words)
        assert ran.code == 4 and "3 of 3 pairs cannot be used" in ran.err and "--bad-rows skip" not in ran.err
        assert "3 of these have an empty caption" in ran.out
