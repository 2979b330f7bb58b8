"""``bench train``: what it refuses before it loads anything, and a run from first line to adapter."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path

import pytest

from benchbench.hub import models
from benchbench.train import memory_table
from tests.cli.conftest import Bench
from tests.forked import Forked


def test_every_wrong_word_is_named_at_once(bench: Bench) -> None:
    words = ["--reward", "shapes-color", "--prompts", "shapes-simpel", "--set", "train.lrr=1", "methd.beta=2"]
    ran = bench("train", "--method", "tailorpo", "--model", "shapes", *words)
    assert ran.code == 2
    for said in ("'shapes-color'", "shapes-colour", "'shapes-simpel'", "shapes-simple", "train.lrr", "'lr'", "methd"):
        assert said in ran.err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--method", "tailropo"], "did you mean tailorpo"),
        (["--method", "ddpo", "--reward", "hpsv2"], "hpsv2.0 or hpsv2.1"),
        (["--method", "ddpo", "--samples", "0"], "--samples 0"),
        (["--method", "ddpo", "--preset", "fast"], "no preset 'fast'"),
        (["--method", "ddpo", "--prompts", "animals"], "does not know the prompt set 'animals'"),
        (["--method", "ddpo", "--reward", "shapes-oracle"], "never trained on"),
        (["--method", "tailorpo-g", "--reward", "jpeg_compressibility"], "needs a differentiable reward"),
    ],
)
def test_bad_names_and_pairings(bench: Bench, argv: list[str], said: str) -> None:
    ran = bench("train", "--model", "shapes", *argv)
    assert ran.code == 2
    assert said in ran.err


def test_a_model_that_is_not_here_names_the_command(bench: Bench) -> None:
    ran = bench("train", "--method", "ddpo", "--model", "sd15", "--reward", "jpeg_compressibility")
    assert ran.code == 3
    assert "bench fetch --models sd15" in ran.err


def test_a_run_says_what_it_does_and_is_then_listed(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    argv = ["train", "--method", "ddpo", "--model", tiny_sd, "--reward", "jpeg_compressibility", "--prompts", "animals"]
    argv += ["--samples", 2, "--set", "sampler.steps=3", "train.batch=2", "train.eval_images=2", "--device", "cpu"]
    ran = bench(*argv)
    assert ran.code == 0, ran.err
    first = ran.out.splitlines()[0]
    for said in (
        "training ddpo",
        str(tiny_sd),
        "2 images of animals",
        "preset released",
        "jpeg_compressibility",
        "bench-store/runs",
    ):
        assert said in first
    last = ran.out.splitlines()[-1]
    means = r"mean jpeg_compressibility of 2 fixed images: -\S+ before the training, -\S+ after it; "
    assert re.match(means + "evaluate it next: bench eval ", last)
    assert f"--model {tiny_sd} --checkpoint bench-store/runs/" in last.replace(f"{tmp_path}/", "")
    assert last.endswith(" --prompts animals --rewards jpeg_compressibility")
    name, state, samples, *_ = bench("list", "runs").out.splitlines()[1].split("\t")
    assert (state, samples) == ("complete", "2 of 2")
    assert '"method": "ddpo"' in bench("show", "run", name).out
    assert f"{name}\tcomplete\t2 of 2" in bench("status").out

    again = bench(*argv)
    assert again.code == 0
    assert "complete already" in again.out
    other = bench(*argv, "--seed", 1, "--out", tmp_path / "bench-store" / "runs" / name)
    assert other.code == 2
    assert "already holds another run" in other.err


def test_a_run_of_an_earlier_version_is_listed_and_not_gone_on_with(
    bench: Bench, tiny_sd: Path, tmp_path: Path
) -> None:
    """The run.json of an earlier version has no schema, and leaves out settings at their default."""
    out = tmp_path / "bench-store" / "runs" / "old"
    out.mkdir(parents=True)
    config = {"method": "ddpo", "model": str(tiny_sd), "reward": "jpeg_compressibility", "samples": 2, "seed": 0}
    (out / "run.json").write_text(json.dumps({"id": "old", "digest": "0123456789abcdef", "config": config}))
    argv = ["train", "--method", "ddpo", "--model", tiny_sd, "--reward", "jpeg_compressibility", "--prompts", "animals"]
    for more in ([], ["--resume"]):
        ran = bench(*argv, "--samples", 2, "--out", out, *more)
        assert ran.code == 2 and len(ran.err.splitlines()) == 3
        assert "made by an earlier version" in ran.err and "another --out" in ran.err
    assert "old\tresumable\t0 of 2\t" in bench("list", "runs").out
    assert '"method": "ddpo"' in bench("show", "run", "old").out
    assert bench("status").code == 0


def test_a_folder_whose_run_json_is_no_run_is_not_ours(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    argv = ["train", "--method", "ddpo", "--model", tiny_sd, "--reward", "jpeg_compressibility", "--prompts", "animals"]
    for text, code in (("{}", 2), ('{"config": 3}', 2), ("[]", 4), ("{", 4)):
        (tmp_path / "run.json").write_text(text)
        ran = bench(*argv, "--samples", 2, "--out", tmp_path)
        assert ran.code == code and "another --out" in ran.err
        assert ("already holds other files" if code == 2 else "run.json cannot be read") in ran.err


def test_where_no_model_is_named_it_says_which_and_why() -> None:
    from benchbench import choice

    assert choice.choose_model("sd21", None) == ("sd21", "")
    assert choice.choose_model(None, None) == ("shapes", "no --model, and sd15's weights are not here")


def test_sd15_is_taken_on_cuda_only(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from benchbench import choice

    monkeypatch.setattr(models, "find_complete", lambda name: models.LocalModel(name, Path(name)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert str(choice.choose_model(None, None)[0]) == "sd15"
    assert choice.choose_model(None, "cpu") == ("shapes", "no --model, and sd15 needs CUDA, not cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choice.choose_model(None, None)[0] == "shapes"


def test_ctrl_c_saves_and_says_how_to_go_on(tiny_sd: Path, tmp_path: Path) -> None:
    words = [
        "train",
        "--method",
        "ddpo",
        "--model",
        str(tiny_sd),
        "--reward",
        "jpeg_compressibility",
        "--samples",
        "4000",
    ]
    words += ["--prompts", "animals", "--set", "sampler.steps=3", "train.eval_every=0", "--out", str(tmp_path / "run")]
    process = Forked(["-m", "benchbench", *words], tmp_path / "said.log")
    metrics = tmp_path / "run" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.read_text().count("\n") > 2) and time.monotonic() < deadline:
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    code, said = process.wait(timeout=120), (tmp_path / "said.log").read_text()
    assert code == 130, said
    assert "go on with: bench train" in said
    assert said.rstrip().endswith("--resume")


def test_spo_s_own_judge_is_its_default_reward() -> None:
    from benchbench import choice

    assert choice.choose_reward(None, "shapes", "spo").names == ["shapes-spm"]
    assert choice.choose_reward(None, "sd15", "spo").names == ["spm"]
    assert choice.choose_reward("aesthetic", "shapes", "spo").names == ["shapes-aesthetic"]
    assert choice.choose_reward(None, "shapes", "ddpo").names == ["shapes-colour"]


def test_a_default_reward_that_is_not_here_is_one_message(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    """A Stable Diffusion model is trained on ``aesthetic``; without its weights: what, where, and the command."""
    ran = bench("train", "--model", tiny_sd, "--method", "ddpo", "--samples", 2, "--out", tmp_path / "run")
    assert ran.code == 3
    assert len(ran.err.splitlines()) == 3
    for said in (
        "the reward aesthetic has no weights",
        "openai/clip-vit-large-patch14",
        "bench fetch --rewards aesthetic",
    ):
        assert said in ran.err
    assert not (tmp_path / "run").exists()
    both = bench("train", "--model", "sd15", "--method", "ddpo", "--samples", 2)
    assert both.code == 3
    assert "bench fetch --models sd15" in both.err and "bench fetch --rewards aesthetic" in both.err


def test_a_dry_run_says_how_the_run_is_cut_and_makes_nothing(bench: Bench, tiny_sd: Path, tmp_path: Path) -> None:
    argv = ["--model", tiny_sd, "--reward", "shapes-colour", "--prompts", "animals", "--dry-run"]
    ran = bench("train", "--method", "tailorpo-g", "--set", "train.batch=4", *argv)
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert "an adapter of rank 4" in lines[0] and "tailorpo-g" in lines[0]
    assert lines[1].split("\t")[:2] == ["card", "rows at a time"]
    rows = [line.split("\t") for line in lines[2:5]]
    assert [row[0] for row in rows] == [f"a card of {size} GB" for size in (24, 40, 80)]
    assert all(row[1:4] == ["16", "off", "4"] and row[-2:] == ["yes", "-"] for row in rows)
    assert float(rows[0][4]) < 0.1 and float(rows[0][5]) == 23.6
    assert not (tmp_path / "bench-store").exists()


def test_a_dry_run_of_an_unknown_model_or_setting_says_so(bench: Bench) -> None:
    assert bench("train", "--method", "ddpo", "--model", "nobody/nothing", "--dry-run").code == 3
    ran = bench("train", "--method", "ddpo", "--model", "sd15", "--set", "train.lrr=1", "--dry-run")
    assert ran.code == 2 and "train.lrr" in ran.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--method", "d3po", "--samples", "3"], "--samples 3 cannot be made by d3po"),
        (["--method", "ddpo", "--reward", "shapes-oracle"], "gold reward"),
        (["--method", "tailorpo-g", "--reward", "jpeg_compressibility"], "needs a differentiable reward"),
        (["--method", "spo", "--reward", "shapes-colour"], "needs a step-aware reward"),
        (["--method", "ddpo", "--prompts", "no-such-set"], "there is no prompt set 'no-such-set'"),
        (["--method", "ddpo", "--prompts", "animals"], "the shapes model does not know the prompt set 'animals'"),
        (["--method", "dspo", "--pairs", "made:animals:shapes-pref:2"], "does not know the prompt set 'animals'"),
        (["--method", "dspo", "--pairs", "made:shapes-simple:shapes-pref:1"], "does not say which pairs to make"),
        (["--method", "ddpo", "--device", "abacus"], "device 'abacus' cannot be used"),
        (["--method", "ddpo", "--out", "full"], "full already holds other files"),
    ],
)
def test_a_dry_run_refuses_what_the_run_refuses(
    words: list[str], said: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    ran = bench("train", "--model", "shapes", *words)
    dry = bench("train", "--model", "shapes", *words, "--dry-run")
    assert (ran.code, dry.code) == (2, 2) and said in ran.err and said in dry.err


def test_a_dry_run_names_what_the_run_would_miss(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_table, "rows", lambda *_: [])
    ran = bench("train", "--method", "ddpo", "--model", "sd15", "--prompts", "parti", "--dry-run")
    assert ran.code == 0, ran.err
    assert "missing: the reward aesthetic has no weights on this machine: bench fetch --rewards aesthetic" in ran.out
    assert "missing: the prompt set 'parti' is not on this machine: bench fetch --prompts parti" in ran.out


def test_nothing_is_announced_that_is_then_refused(bench: Bench, tiny_sd: Path) -> None:
    ran = bench("train", "--method", "tailorpo-g", "--model", tiny_sd, "--reward", "jpeg_compressibility")
    assert ran.code == 2 and "needs a differentiable reward" in ran.err and ran.out == ""
