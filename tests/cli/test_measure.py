"""``bench measure``: a protocol by its name, with its report."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Bench


def test_a_table_with_curves_and_then_the_same_from_the_store(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    (tmp_path / "two.txt").write_text("a cat\na dog\n")
    argv = ["measure", "guidance-ratio", "--model", tiny_sd, "--prompts", tmp_path / "two.txt", "--device", "cpu",
            "--reward", "shapes-colour", "--quick", "--set", "states=2", "steps=[4,1]",
            "sampler={steps: 4}"]  # fmt: skip
    ran = bench(*argv)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0].startswith("measuring guidance-ratio of the base model on the model")
    assert "\nbase: x+  " in ran.out and "QUICK" in ran.out
    [page] = (tmp_path / "bench-store" / "reports").rglob("report-QUICK.html")
    assert "<svg" in page.read_text()
    again = bench(*argv)
    assert "to measure" in ran.out and "to measure" not in again.out
    assert again.out.splitlines()[-1] == ran.out.splitlines()[-1]


def test_the_precision_is_part_of_what_was_measured(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    """The resolved precision is in the key and in the report's record; a protocol with one precision refuses others."""
    (tmp_path / "one.txt").write_text("a cat\n")
    argv = ["--model", tiny_sd, "--prompts", tmp_path / "one.txt", "--device", "cpu", "--reward", "shapes-colour"]
    words = ["measure", "guidance-ratio", *argv, "--set", "states=1", "steps=[2]", "sampler={steps: 2}"]
    for dtype in ("auto", "bf16", "fp32"):
        assert bench(*words, "--dtype", dtype).code == 0
    store = tmp_path / "bench-store"
    keys = [json.loads(path.read_text())["key"] for path in store.glob("measurements/*/*/record.json")]
    assert sorted(key["dtype"] for key in keys) == ["bf16", "fp32"]
    pages = [page.read_text().replace(" ", "") for page in store.glob("reports/*/page.json")]
    assert sorted('"dtype":"bf16"' in page for page in pages) == [False, True]
    refused = bench("measure", "gradient-direction", *argv, "--dtype", "bf16")
    assert refused.code == 2 and "--dtype fp32" in refused.err


def test_wrong_settings_are_named_at_once(bench: Bench, tiny_sd: Path) -> None:
    argv = ["measure", "jensen-gap", "--model", tiny_sd, "--reward", "shapes-colour", "--prompts", "animals"]
    ran = bench(*argv, "--set", "states=0", "compltions=3", "kind")
    assert ran.code == 2
    for said in ("states", "compltions", "'kind'", "completions"):
        assert said in ran.err
