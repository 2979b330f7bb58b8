"""``bench measure``: a protocol by its name, with its report."""

from __future__ import annotations

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
    assert "| base: x+ |" in ran.out and "QUICK" in ran.out
    [page] = (tmp_path / "bench-store" / "reports").rglob("report-QUICK.html")
    assert "<svg" in page.read_text()
    again = bench(*argv)
    assert "to measure" in ran.out and "to measure" not in again.out
    assert again.out.splitlines()[-1] == ran.out.splitlines()[-1]


def test_wrong_settings_are_named_at_once(bench: Bench, tiny_sd: Path) -> None:
    argv = ["measure", "jensen-gap", "--model", tiny_sd, "--reward", "shapes-colour", "--prompts", "animals"]
    ran = bench(*argv, "--set", "states=0", "compltions=3", "kind")
    assert ran.code == 2
    for said in ("states", "compltions", "'kind'", "completions"):
        assert said in ran.err
