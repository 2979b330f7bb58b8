"""``bench train-spm`` at the smallest size, and what it leaves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from benchbench.runtime.hashing import file_sha256
from tests.cli.conftest import Bench
from tests.pairs.pair_folders import rows, write_parquet
from tests.runtime.picture_files import saved


@pytest.mark.slow
def test_a_small_training_leaves_weights_and_an_honest_record(bench: Bench, tmp_path: Path) -> None:
    """After 2 steps the added layers have moved from 0 and 1, the record's hash holds, the comparison is printed."""
    out = tmp_path / "spm"
    ran = bench("train-spm", "--out", out, "--pairs", 40, "--steps", 2, "--batch", 4, "--held-out", 10, "--seed", 3)
    assert ran.code == 0, ran.err
    assert "of held-out pairs correctly at t >= 500, shapes-pref" in ran.out
    record, state = json.loads((out / "record.json").read_text()), load_file(out / "spm.safetensors")
    assert record["files"] == {"spm/spm.safetensors": file_sha256(out / "spm.safetensors")} and record["pairs"] == 40
    moved = [name for name, value in state.items() if "adaLN" in name and bool((value != value.round()).any())]
    assert moved and all(value.dtype == torch.float16 for value in state.values())
    again = bench("train-spm", "--out", out)
    assert again.code == 2 and "is there already" in again.err


@pytest.mark.slow
def test_any_set_of_pairs_can_be_learned_from(bench: Bench, tmp_path: Path) -> None:
    """One of 6 pairs is broken: it is refused, or skipped and said. One is transparent. The record names the set."""
    made = [{**row, "caption": "red circle"} for row in rows(6)]
    made[2]["winner"] = b"no picture"
    made[4]["loser"] = saved(Image.new("RGBA", (8, 8), (0, 0, 0, 99)))
    path, out = write_parquet(tmp_path / "mine.parquet", made), tmp_path / "spm"
    words = ("train-spm", "--pairs", path, "--steps", 2, "--batch", 6, "--held-out", 10, "--out", out)
    refused = bench(*words)
    assert refused.code == 4 and "mine.parquet, row 2" in refused.err and not out.exists()
    ran = bench(*words, "--bad-rows", "skip")
    assert ran.code == 0, ran.err
    assert "skipped: mine.parquet, row 2: the winner is not a readable picture" in ran.out
    assert "1 picture was laid on white because of transparency: mine.parquet, row 4 (loser)" in ran.out
    record = json.loads((out / "record.json").read_text())
    assert record["pairs"] == 6 and record["pairs_from"]["name"] == "mine"
    assert bench("train-spm", "--pairs", 1, "--out", tmp_path / "other").code == 2
