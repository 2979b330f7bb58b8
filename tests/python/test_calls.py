"""The calls on the embedded model: what they return, what they print, where they work, and how they go on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import benchbench as bb
from benchbench.cli.main import main
from benchbench.train.trainer import Trainer

PROMPTS = ["a red circle", "a blue square"]
SMALL: dict[str, Any] = {
    "model": "shapes",
    "reward": "jpeg_compressibility",
    "prompts": "shapes-simple",
    "samples": 16,
    "settings": {"train.batch": 8, "train.eval_images": 2, "sampler.steps": 4, "method.steps": [4, 2]},
    "device": "cpu",
}
CHANCE = (1 / 8 + 1 / 6) / 2  # of a colour and a shape, which tables take off the oracle


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("api") / "store"


@pytest.fixture(scope="module")
def run(store: Path) -> bb.Run:
    return bb.train("ddpo", store=store, **SMALL)


@pytest.fixture(scope="module")
def result(store: Path, run: bb.Run) -> bb.Result:
    rewards = ["jpeg_compressibility", "shapes-oracle"]
    return bb.evaluate("shapes", rows={"ours": [run]}, prompts=PROMPTS, rewards=rewards, store=store)


def test_a_run_says_what_was_trained(run: bb.Run, store: Path) -> None:
    assert (run.state, run.method, run.model, run.reward) == ("complete", "ddpo", "shapes", "jpeg_compressibility")
    assert (run.seed, run.samples, run.prompts) == (0, 16, "shapes-simple")
    assert run.folder == store / "runs" / run.id and run.adapter.is_file()
    assert list(run.metrics["samples"])[-1] == 16 and "reward" in run.metrics
    assert bb.runs(store) == [run] and bb.load_run(run.id, store) == bb.load_run(run.folder) == run


def test_a_complete_run_is_returned_at_once(run: bb.Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Trainer, "run")
    assert bb.train("ddpo", store=store, **SMALL) == run


def test_the_calls_print_nothing_unless_asked(run: bb.Run, store: Path, capfd: pytest.CaptureFixture[str]) -> None:
    quiet = bb.train("ddpo", store=store, **{**SMALL, "seed": 1})
    images = bb.generate("shapes", quiet, ["a green square"], store=store)
    bb.evaluate("shapes", rows=[quiet], prompts=PROMPTS, rewards="jpeg_compressibility", store=store)
    bb.score(images, rewards=["jpeg_compressibility"], store=store)
    assert capfd.readouterr() == ("", "")
    bb.evaluate("shapes", rows=[run], prompts=PROMPTS, rewards="jpeg_compressibility", store=store, progress=True)
    assert "evaluating base, " in capfd.readouterr().out


def test_an_interrupted_training_goes_on(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rollout = Trainer._rollout

    def interrupted(trainer: Trainer) -> Any:
        os.kill(os.getpid(), signal.SIGINT)  # the notebook's stop button
        return rollout(trainer)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Trainer, "_rollout", interrupted)
        bb.train("ddpo", store=store, **{**SMALL, "seed": 2})
    (stopped,) = [run for run in bb.runs(store) if run.seed == 2]
    assert (stopped.state, stopped.samples) == ("resumable", 8)
    with pytest.raises(bb.RunError, match="no trained weights yet"):
        _ = stopped.adapter
    assert bb.train("ddpo", store=store, **{**SMALL, "seed": 2}) == stopped
    assert (stopped.state, stopped.samples) == ("complete", 16)


def test_the_scores_behind_a_table(result: bb.Result) -> None:
    scores = result.scores
    assert list(scores.columns[:6]) == ["row", "train_seed", "prompt", "sample", "reward", "score"]
    assert len(scores) == 2 * 2 * 5 * 2  # rows, prompts, samples, rewards
    cells = result.table.to_frame().set_index(["row", "column"])
    means = scores.groupby(["row", "reward"]).score.mean()
    means = means.where(means.index.get_level_values("reward") != "shapes-oracle", (means - CHANCE) / (1 - CHANCE))
    assert cells.value.to_dict() == pytest.approx(means.to_dict())
    assert result.table.rows == ("base", "ours") and result.page.is_file()


def test_nothing_depends_on_the_working_directory(
    run: bb.Run, result: bb.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(run.folder.parent.parent.parent)
    relative = bb.load_run(run.id, store="store")
    monkeypatch.chdir(tmp_path)
    assert relative == run and relative.samples == 16 and len(relative.metrics) == len(run.metrics)
    again = bb.Result(result.folder, [])
    assert len(again.scores) == len(result.scores)


def test_every_form_of_a_row_is_the_same_row(run: bb.Run, store: Path) -> None:
    forms: list[Any] = [[run], run, run.id, str(run.folder), run.folder, {run.id: run}]
    tables = [
        bb.evaluate("shapes", rows=form, prompts=PROMPTS, rewards="jpeg_compressibility", store=store).table
        for form in forms
    ]
    values = [table.to_frame().value.tolist() for table in tables]
    assert values == values[:1] * len(forms) and len(values[0]) == 2


def test_pictures_are_those_of_bench_eval(run: bb.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The call reads what the command made; elsewhere it makes the same, but for the rounding of another batch."""
    monkeypatch.chdir(tmp_path)
    Path("mine.txt").write_text("\n".join(PROMPTS))
    words = ["--model", "shapes", "--checkpoint", str(run.folder), "--rewards", "jpeg_compressibility"]
    assert main(["eval", *words, "--prompts", "mine.txt", "--eval-seeds", "3", "--store", "cli"]) == 0
    made = _pictures(tmp_path)
    theirs = bb.generate("shapes", run, "mine.txt", seed=3, images_per_prompt=5, store="cli")
    assert _pictures(tmp_path) == made and len(made) == 2 * 10  # of the base model and of the run
    ours = bb.generate("shapes", run, PROMPTS, seed=3, images_per_prompt=5, store="own")
    np.testing.assert_array_equal(ours, theirs)
    fewer = bb.generate("shapes", run, PROMPTS, seed=3, images_per_prompt=2, store="other")
    levels = np.asarray(fewer, dtype=int) - np.asarray(theirs, dtype=int)[[0, 1, 5, 6]]
    assert np.abs(levels).max() <= 1 and np.mean(levels != 0) < 0.01
    base = bb.generate("shapes", None, PROMPTS, seed=3, images_per_prompt=5, store="own")
    assert np.any(np.asarray(base) != np.asarray(ours))


def _pictures(folder: Path) -> dict[Path, int]:
    """The files of pictures, with the times at which they were written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*.webp")}


def test_pictures_of_ones_own_are_scored(store: Path, tmp_path: Path) -> None:
    images = bb.generate("shapes", None, PROMPTS, store=store)
    in_memory = bb.score(images, PROMPTS, rewards=["shapes-clip", "jpeg_compressibility"], store=store)
    for i, image in enumerate(images):
        image.save(tmp_path / f"{i}.png")
    from_files = bb.score(tmp_path, PROMPTS, rewards="shapes-clip,jpeg_compressibility", store=store)
    assert list(in_memory.image) == ["0", "1"] * 2 and list(from_files.image) == ["0.png", "1.png"] * 2
    assert in_memory.score.tolist() == from_files.score.tolist()
    reward = bb.load_reward("shapes-clip", device="cpu")
    assert reward.score(images, PROMPTS).tolist() == in_memory.score.tolist()[:2]
    listed = bb.score([tmp_path / "1.png"], PROMPTS[1:], rewards="shapes-clip", store=store)
    assert listed.score.tolist() == pytest.approx(in_memory.score.tolist()[1:2])


def test_a_comparison_has_a_row_for_each_reward(run: bb.Run, store: Path) -> None:
    found = bb.compare(run, "base", prompts=PROMPTS, rewards=["jpeg_compressibility", "shapes-oracle"], store=store)
    assert found.differences.reward.tolist() == ["jpeg_compressibility", "shapes-oracle"]
    scores = found.scores.groupby(["reward", "row"]).score.mean().unstack()
    by_file, by_oracle = (scores["ddpo"] - scores["base"]).tolist()
    assert found.differences.value.tolist() == pytest.approx([by_file, by_oracle / (1 - CHANCE)])


def test_a_table_is_saved_in_four_forms_and_never_over_another(
    result: bb.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for ending, start in ((".html", "<!doctype html"), (".md", "**"), (".tex", "%"), (".csv", "row,")):
        file = result.table.save(f"table{ending}")
        assert file == tmp_path / f"table{ending}" and file.read_text().lower().startswith(start)
        assert result.table.save(file) == file
    Path("table.md").write_text("mine")
    with pytest.raises(bb.UsageError, match="there already"):
        result.table.save("table.md")
    assert result.table.save("table.md", overwrite=True).read_text() == result.table.to_markdown()
    with pytest.raises(bb.UsageError, match="cannot be saved"):
        result.table.save("table.docx")
    assert "<table>" in result._repr_html_() and "ours" in result._repr_html_()


def test_errors_are_those_of_the_commands(store: Path) -> None:
    with pytest.raises(bb.UsageError, match=r"no method 'ddpoo'\n  why: did you mean ddpo.*\n  do:  "):
        bb.train("ddpoo", store=store)
    with pytest.raises(bb.MissingError, match="no run 'nope'"):
        bb.evaluate("shapes", rows=["nope"], prompts=PROMPTS, rewards="shapes-oracle", store=store)
    with pytest.raises(bb.UsageError, match="names no training"):
        bb.evaluate("shapes", rows=[3], prompts=PROMPTS, rewards="shapes-oracle", store=store)  # type: ignore[list-item]
    with pytest.raises(bb.UsageError, match="there are no prompts"):
        bb.generate("shapes", prompts=[], store=store)


def test_records_name_the_call_and_no_path(run: bb.Run) -> None:
    records = json.loads((run.folder / "record.json").read_text())
    assert [record["command"] for record in records] == [["python", "benchbench.train"]]
