"""``bench eval`` and ``bench report``: a table from a store that is filled once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchbench.rewards import lookup
from tests.cli.conftest import Bench


@pytest.fixture
def argv(tiny_sd: Path, tmp_path: Path) -> list[object]:
    (tmp_path / "two.txt").write_text("a cat\na dog\n")
    words = ["eval", "--model", tiny_sd, "--prompts", tmp_path / "two.txt", "--rewards", "jpeg_compressibility"]
    return [*words, "--images-per-prompt", 1, "--device", "cpu"]


def test_a_table_and_then_the_same_from_the_store(bench: Bench, argv: list[object], tmp_path: Path) -> None:
    ran = bench(*argv)
    assert ran.code == 0, ran.err
    assert ran.out.splitlines()[0].startswith("evaluating base on the model")
    said = ran.out.partition("\n\n")[2]
    assert re.match(
        r"base on jpeg_compressibility: one model, so nothing is compared\.\nreport: .+/report\.html\n", said
    )
    assert re.search(r"(?m)^base  +−\S+ \[−\S+, −?\S+\]$", said)
    images = {path: path.stat().st_mtime_ns for path in (tmp_path / "bench-store").rglob("*.webp")}
    assert len(images) == 2
    again = bench(*argv)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "bench-store").rglob("*.webp")} == images
    told = [[line for line in out.splitlines() if not line.startswith("made ")] for out in (ran.out, again.out)]
    assert told[0] == told[1] and "made 0 images" in again.out

    [page] = (tmp_path / "bench-store" / "reports").rglob("*.html")
    page.unlink()
    assert bench("report", page.parent).code == 0
    assert page.is_file()
    assert "images: 2, generations: 1" in bench("status").out


def test_the_sampler_can_be_said(bench: Bench, argv: list[object]) -> None:
    """The sampler is named in the caption, and its images are never mixed with those of another sampler."""
    plain = bench(*argv, "--steps", 2)
    assert plain.code == 0 and "sampler steps 2, eta 1, guidance scale 5" in plain.text
    ran = bench(*argv, "--steps", 2, "--guidance-scale", 1.5)
    assert ran.code == 0 and "sampler steps 2, eta 1, guidance scale 1.5" in ran.text
    assert "made 2 images" in ran.out
    assert bench(*argv, "--steps", 0).code == 2


def test_the_precision_can_be_said(bench: Bench, argv: list[object]) -> None:
    """The precision is named in the caption and part of the images' key, where ``auto`` is already resolved."""
    argv += ["--steps", 1]
    auto, said, half = bench(*argv), bench(*argv, "--dtype", "fp32"), bench(*argv, "--dtype", "bf16")
    assert "(fp32), sampler" in auto.text and "made 2 images" in auto.out
    assert "(fp32), sampler" in said.text and "made 0 images" in said.out
    assert "(bf16), sampler" in half.text and "made 2 images" in half.out
    wrong = bench(*argv, "--dtype", "half")
    assert wrong.code == 2 and all(word in wrong.err for word in ("auto", "fp32", "bf16", "fp16"))


def test_all_rewards_says_what_it_skips(bench: Bench, argv: list[object], monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names those that can be fetched; a reward that nothing can fetch has a line with its reason."""
    from benchbench import registry

    names = {"jpeg_compressibility", "shapes-clip", "pickscore", "imagereward"}
    listed = registry.names
    monkeypatch.setattr(registry, "names", lambda kind: [n for n in listed(kind) if kind != "rewards" or n in names])
    monkeypatch.setattr(lookup.get("shapes-clip"), "missing", classmethod(lambda cls: "no weights here"))
    argv[argv.index("jpeg_compressibility")] = "all"
    ran = bench(*argv)
    assert ran.code == 0, ran.err
    assert "skipped shapes-clip: no weights here" in ran.out
    assert "left out, since their weights are not here (bench list rewards): imagereward, pickscore" in ran.out


def test_what_is_wrong_is_named_at_once(bench: Bench) -> None:
    ran = bench("eval", "--model", "no-model", "--prompts", "animls", "--rewards", "jpg,hpsv2")
    assert ran.code == 2
    for said in ("'no-model'", "animals", "'jpg'", "hpsv2.0 or hpsv2.1"):
        assert said in ran.err


def test_a_run_and_a_report_that_are_not_there(bench: Bench, argv: list[object], tmp_path: Path) -> None:
    assert bench(*argv, "--checkpoint", "nothing").code == 3
    assert bench("report", tmp_path).code == 3


def test_the_old_name_of_the_option_works_and_is_not_in_the_help(bench: Bench, argv: list[object]) -> None:
    assert bench(*argv, "--adapter", "nothing").err == bench(*argv, "--checkpoint", "nothing").err
    told = bench("eval", "--help").out
    assert "--checkpoint" in told and "--adapter" not in told
