"""``bench compare`` on a tiny model and the base beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.cli.conftest import Bench
from tests.evaluate.test_evaluate import write_run


def test_a_run_beside_the_base(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "bench-store", str(tiny_sd))
    (tmp_path / "two.txt").write_text("a cat\na dog\n")
    words = ["compare", "ddpo-1", "base", "--prompts", tmp_path / "two.txt", "--images-per-prompt", 1]
    ran = bench(*words, "--device", "cpu", "--rewards", "jpeg_compressibility")
    assert ran.code == 0, ran.err
    first = ran.out.splitlines()[0]
    assert first.startswith(f"comparing ddpo with base on the model {tiny_sd} (as trained): 1 image a prompt of")
    p_value = r"(1\.00|0\.500)"  # two prompts have 4 patterns
    assert re.search(rf"(?m)^jpeg_compressibility  .*  {p_value}  {p_value}$", ran.out)
    [page] = (tmp_path / "bench-store" / "reports").rglob("report.html")
    answer = "ddpo and base on jpeg_compressibility, one training a side: these numbers describe these runs; "
    assert f"\n\n{answer}" in ran.out and f"\nreport: {page}\n" in ran.out
    page.unlink()
    assert bench("report", page.parent).code == 0 and page.is_file()


def test_the_precision_can_be_said(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "bench-store", str(tiny_sd))
    (tmp_path / "one.txt").write_text("a cat\n")
    words = ["compare", "ddpo-1", "base", "--prompts", tmp_path / "one.txt", "--images-per-prompt", 1]
    ran = bench(*words, "--device", "cpu", "--rewards", "jpeg_compressibility", "--dtype", "bf16")
    assert ran.code == 0, ran.err
    records = (tmp_path / "bench-store" / "images").rglob("record.json")
    keys = [json.loads(path.read_text())["key"] for path in records]
    assert len(keys) == 2 and {key["dtype"] for key in keys} == {"bf16"}


def test_without_names_the_trained_reward_is_judged(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    write_run(tmp_path / "bench-store", str(tiny_sd))
    (tmp_path / "two.txt").write_text("a cat\na dog\n")
    ran = bench("compare", "ddpo-1", "base", "--prompts", tmp_path / "two.txt", "--images-per-prompt", 1)
    assert ran.code == 0, ran.err
    found = re.search(r"rewards ([^;]*); into", ran.out)
    assert found, ran.out
    first, *others = found[1].split(", ")
    assert first == "jpeg_compressibility"
    assert not [name for name in others if name.startswith(("jpeg_", "shapes-"))], "they do not fit or say nothing"
    assert "left out, since their weights are not here (bench list rewards): " in ran.out


def test_what_is_wrong_is_said(bench: Bench) -> None:
    assert bench("compare", "base", "base").code == 2
    ran = bench("compare", "nothing", "base")
    assert ran.code == 3 and "no run 'nothing'" in ran.err
