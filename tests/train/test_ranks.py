"""Training on two and three processes gives the parameters of one within rounding; an error of one ends all."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchbench.store.metrics import read_metrics
from benchbench.train.loop import train
from tests.ranks import run_ranks

ADAPTER = "pytorch_lora_weights.safetensors"
ROUNDING = 1e-3
"""The largest gap between adapters whose gradients were summed in different orders. DDPO's rows cancel each other and
Adam divides by the rest, which makes rounding as large as 1e-4 on some processors; a lost row would make 0.9."""
CODE = """
from pathlib import Path
from benchbench.config import RunConfig
from benchbench.train.loop import train
from benchbench.train.trainer import Trainer

def main(arguments):
    said, rank = [], int(os.environ["RANK"])
    exec(arguments.get("patch", ""), globals() | {"rank": rank})
    config = RunConfig.model_validate_json(arguments["config"])
    try:
        train(config, Path(arguments["out"]), resume=arguments.get("resume", False), device="cpu", log=said.append)
    except KeyboardInterrupt:
        said.append("stopped")
    return said
"""


def gap(a: Path, b: Path) -> float:
    """Returns the distance of adapter b from a, relative to the length of a.

    Only the matrices that start as zeros count, since they hold all that was learned.
    """
    left, right = load_file(a / ADAPTER), load_file(b / ADAPTER)
    assert left.keys() == right.keys()
    learned = [name for name in left if "lora_B" in name or "lora.up" in name]
    difference = torch.cat([(left[name] - right[name]).flatten() for name in learned])
    return float(difference.norm() / torch.cat([left[name].flatten() for name in learned]).norm())


def costs(run: Path) -> dict[str, int]:
    done = json.loads((run / "done.json").read_text())
    return {name: done[name] for name in ("unet_evals", "unet_grads", "reward_calls", "pairs", "nfe", "samples")}


def together(size: int, folder: Path, config, out: Path, **more) -> list[dict]:
    arguments = {"config": config.model_dump_json(), "out": str(out), **more}
    return run_ranks(size, folder, CODE, arguments)


def test_uneven_rollouts_give_the_parameters_of_one_process(configure, tmp_path: Path) -> None:
    """Three processes share rollouts of 5, 5 and 1 samples as 2, 2, 1 and 1, 0, 0 rows, and 4 images as 2, 1, 1.

    The method is guided, so that the gradient through the reward is shared, too.
    """
    words = ["train.batch=5", "train.eval_every=5", "train.save_every=5"]
    config = configure("tailorpo-g", *words, samples=11)
    single = train(config, tmp_path / "one", log=lambda line: None)
    results = together(3, tmp_path / "ranks", config, tmp_path / "three")
    assert all("value" in result for result in results), results
    assert not any(result["value"] for result in results[1:])  # only the main process logs
    assert gap(single, tmp_path / "three") < ROUNDING
    assert costs(single) == costs(tmp_path / "three")
    rows, expected = read_metrics(tmp_path / "three"), read_metrics(single)
    assert len(rows) == len(expected)
    for row, expected_row in zip(rows, expected, strict=True):
        assert row.keys() == expected_row.keys()
        for name in row.keys() - {"seconds", "images_per_second"}:
            assert row[name] == pytest.approx(expected_row[name], rel=1e-3, abs=1e-5), name
    assert json.loads((tmp_path / "three" / "record.json").read_text())[0]["processes"] == 3


NAN = """
from benchbench.reward_models.shapes_colour import ShapesColour
def score(self, images, prompts):
    r = images.flatten(1).mean(1)
    return torch.where(torch.arange(len(r)) == 1, float("nan"), r) if rank == 1 else r
ShapesColour.score_differentiable = score
"""
FULL = """
import errno
from benchbench.train import checkpoint
def full(*_):
    raise OSError(errno.ENOSPC, "No space left on device")
checkpoint.save_file = full
"""
NO_ROOM = """
plain = Trainer._step
def step(self, batch):
    if rank == 1 and self.micro_batch > {limit}:
        raise torch.OutOfMemoryError("no room")
    return plain(self, batch)
Trainer._step = step
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patch", "error"),
    [
        # two candidates of 8 samples are 8 + 8 rows: row 1 of process 1 is row 9, the second candidate of sample 1
        (NAN, ["RunError", r"shapes-colour gave nan at step 19 for prompt '\w+', sample 1, seed 0"]),
        (FULL, ["RunError", "disk is full"]),
        (NO_ROOM.format(limit=0), ["NoMemoryError", "out of memory in training, one row at a time"]),
    ],
)
def test_an_error_of_one_process_ends_all(patch: str, error: list[str], configure, tmp_path: Path) -> None:
    config = configure(
        "tailorpo", "train.eval_every=0"
    )  # whose evaluation would find the score that is not finite first
    results = together(2, tmp_path / "ranks", config, tmp_path / "run", patch=patch)
    for result in results:
        error_class, problem, _ = result["error"]
        assert error_class == error[0] and re.search(error[1], problem), problem
    assert not (tmp_path / "run" / ADAPTER).exists()


@pytest.mark.slow
def test_out_of_memory_on_one_process_changes_rounding_only(configure, tmp_path: Path) -> None:
    config = configure("tailorpo", "train.eval_every=0", samples=8)
    single = train(config, tmp_path / "one", log=lambda line: None)
    together(2, tmp_path / "ranks", config, tmp_path / "two", patch=NO_ROOM.format(limit=3))
    assert gap(single, tmp_path / "two") < ROUNDING


STOP = """
plain = Trainer._rollout
def rollout(self):
    if self.state.samples == 16 and rank == 1:  # a signal reaches only one of them
        os.kill(os.getpid(), 15)
    return plain(self)
Trainer._rollout = rollout
"""


@pytest.mark.slow
def test_resuming_with_as_many_processes_and_with_fewer(configure, tmp_path: Path) -> None:
    """A signal to one process stops both after the rollout.

    Resumed with two processes, the run ends in the same bits; with one, in the same weights within rounding.
    """
    config, uninterrupted, out = configure("ddpo", "train.eval_every=0"), tmp_path / "whole", tmp_path / "out"
    together(2, tmp_path / "a", config, uninterrupted)
    results = together(2, tmp_path / "b", config, out, patch=STOP)
    assert [result["value"][-1] for result in results] == ["stopped", "stopped"], results
    shutil.copytree(out, tmp_path / "other")
    assert "resuming after 24 of 32 samples" in together(2, tmp_path / "c", config, out, resume=True)[0]["value"]
    left, right = load_file(uninterrupted / ADAPTER), load_file(out / ADAPTER)
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert costs(uninterrupted) == costs(out)

    def rows(run: Path) -> list[dict]:
        return [{k: v for k, v in row.items() if "second" not in k} for row in read_metrics(run)]

    assert rows(uninterrupted) == rows(out)  # none lost, none twice
    train(config, tmp_path / "other", resume=True, log=lambda line: None)
    assert gap(uninterrupted, tmp_path / "other") < ROUNDING and costs(uninterrupted) == costs(tmp_path / "other")


OVERFLOW = """
plain = Trainer._step
def step(self, batch):
    sums = plain(self, batch)
    if rank == 1 and self.state.samples == 8:
        self.parts.parameters[-1].grad.fill_(float("inf"))
    return sums
Trainer._step = step
"""


@pytest.mark.slow
def test_an_overflow_of_one_process_skips_the_step_of_all(configure, tmp_path: Path) -> None:
    """In fp16 the summed gradient decides, so weights stay equal on both processes, which every checkpoint checks."""
    config = configure("tailorpo", "train.dtype=fp16", "train.eval_every=0", samples=24)
    together(2, tmp_path / "ranks", config, tmp_path / "run", patch=OVERFLOW)
    rows = read_metrics(tmp_path / "run")
    assert [row["skipped_steps"] for row in rows] == [0, 1, 0]
    assert [row["loss_scale"] for row in rows] == [2.0**16, 2.0**15, 2.0**15]
