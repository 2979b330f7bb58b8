"""Training on given pairs with a tiny random checkpoint: every method, resuming, micro-batches, and refusals."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from benchbench.config import RunConfig, load
from benchbench.errors import CorruptError, RunError, UsageError
from benchbench.store.metrics import read_metrics
from benchbench.train.evaluation import win_rate
from benchbench.train.loop import train
from benchbench.train.optimizer import make_optimizer, rate
from benchbench.train.trainer import Trainer
from tests.train.conftest import SMALL

METHODS = ["diffusion-dpo", "dspo", "sft", "diffusion-kto", "mapo"]


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns a folder of ten pairs of light and dark noise; row 7's winner is not a picture."""
    folder, draw = tmp_path_factory.mktemp("pairs"), np.random.default_rng(0)
    rows = []
    for i in range(10):
        for side, low in (("w", 128), ("l", 0)):
            array = draw.integers(low, low + 128, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(array).save(folder / f"{side}{i}.png")
        rows.append({"caption": "cat dog ant"[4 * (i % 3) :][:3], "winner": f"w{i}.png", "loser": f"l{i}.png"})
    (folder / "w7.png").write_bytes(b"no picture")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def offline(tiny_sd: Path, pairs: Path):
    def make(method: str = "diffusion-dpo", *overrides: str, samples: int = 32) -> RunConfig:
        words = [*SMALL, "train.micro_batch=3", *overrides]
        reward, prompts = "shapes-colour", "animals"
        return load(method, str(tiny_sd), reward, prompts, samples, 0, "shapes", words, str(pairs))

    return make


def quiet(config: RunConfig, out: Path, **words: object) -> Path:
    return train(config, out, device="cpu", log=lambda line: None, **words)  # type: ignore[arg-type]


def equal(a: Path, b: Path) -> bool:
    left, right = (load_file(run / "pytorch_lora_weights.safetensors") for run in (a, b))
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def steps(run: Path) -> list[dict]:
    return [{k: v for k, v in row.items() if "second" not in k} for row in read_metrics(run)]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_trains_resumes_and_counts(method: str, offline, tmp_path: Path) -> None:
    """A run interrupted after its third checkpoint ends in the same bits as an uninterrupted one.

    32 images are 16 pairs, with 2 evaluations each of policy and reference. SFT evaluates only the policy; KTO also
    evaluates both beforehand; MaPO has no reference. A LoRA's gradient counts as 2.2, guidance as 2. The fixed
    evaluations at 0, 16 and 32 images have 4 images of 20 guided steps each, which makes 240, or 480 forwards.
    """
    whole = quiet(offline(method), tmp_path / "whole")
    done, rows = json.loads((whole / "done.json").read_text()), read_metrics(whole)
    assert [r["samples"] for r in rows if "loss" in r] == [8, 16, 24, 32]
    assert all(math.isfinite(v) for row in rows for v in row.values())
    evals = {"sft": 0, "mapo": 0, "diffusion-kto": 64}.get(method, 32)
    assert (done["plain_evals"], done["plain_grads"], done["unet_evals"]) == (evals, 32, 0)
    assert done["eval_forwards"] == 480
    assert done["nfe"] == pytest.approx((evals + 2.2 * 32) / 2 + 240)
    assert done["pairs"] == (0 if method in {"sft", "diffusion-kto"} else 16)
    win_rates = [row["eval.win_rate"] for row in rows if "eval.win_rate" in row]
    assert win_rates[0] == 0.5 and len(win_rates) == 3

    plain = Trainer._save

    def save(self: Trainer) -> None:
        plain(self)
        if self.state.samples == 24:
            raise KeyboardInterrupt

    out = tmp_path / "cut"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_save", save)
        with pytest.raises(KeyboardInterrupt):
            quiet(offline(method), out)
    quiet(offline(method), out, resume=True)
    assert equal(out, whole)
    resumed_rows, whole_rows = (
        [{k: v for k, v in row.items() if k != "bad_rows"} for row in steps(run)] for run in (out, whole)
    )
    assert resumed_rows == whole_rows
    bad = json.loads((whole / "bad_rows.json").read_text())
    assert {row["row"] for row in bad} == {7} and "not a readable picture" in bad[0]["why"]


def test_how_a_batch_is_cut_changes_rounding_only(offline, tmp_path: Path) -> None:
    """KTO, whose z0 depends on the whole batch, gives the same loss in micro-batches of 3 and of 8."""
    words = ["train.eval_every=0"]
    runs = [
        quiet(offline("diffusion-kto", f"train.micro_batch={n}", *words, samples=16), tmp_path / str(n)) for n in (3, 8)
    ]
    losses = [[row["loss"] for row in read_metrics(run) if "loss" in row] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_warm_up_and_adafactor_resume(offline, tmp_path: Path) -> None:
    words = ["train.warmup=5", "train.optimizer=adafactor", "train.eval_every=0", "train.save_every=16"]
    whole = quiet(offline("sft", *words), tmp_path / "whole")
    plain, out = Trainer._save, tmp_path / "cut"

    def save(self: Trainer) -> None:
        plain(self)
        if self.state.samples == 16:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_save", save)
        with pytest.raises(KeyboardInterrupt):
            quiet(offline("sft", *words), out)
    quiet(offline("sft", *words), out, resume=True)
    assert equal(out, whole)


def test_rate() -> None:
    """A warm-up of 4 at lr .4 gives .1, .2, .3, .4 and then .4; without warm-up it is .4 from the start."""
    train_config = load("sft", "shapes", "shapes-colour", "shapes-simple", 8, 0).train
    warm = train_config.model_copy(update={"lr": 0.4, "warmup": 4})
    assert [rate(warm, n) for n in range(6)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert rate(warm.model_copy(update={"warmup": 0}), 0) == 0.4
    assert {"warmup", "optimizer"} <= train_config.model_dump().keys()


def test_adafactor_moves_by_the_rate_given() -> None:
    """The first step on a constant gradient has the size lr, as there is no first moment and no step size of its own.

    beta2 = 1 - 1^-.8 = 0 at first, so v = g² and g/sqrt(v) = 1; weight decay adds lr x wd x p: 2 - .1 (1 + .02).
    """
    config = load("sft", "shapes", "shapes-colour", "shapes-simple", 8, 0).train
    config = config.model_copy(update={"optimizer": "adafactor", "lr": 0.1, "weight_decay": 0.01})
    p = torch.nn.Parameter(torch.full((3, 2), 2.0))
    p.grad = torch.full((3, 2), 7.0)
    make_optimizer(config, [p]).step()
    assert p.detach().flatten().tolist() == pytest.approx([2 - 0.1 * 1.02] * 6, rel=1e-5)


def test_win_rate() -> None:
    """Scores above, equal, below and above the base give (1 + 1/2 + 0 + 1)/4 = .625."""
    assert win_rate(torch.tensor([2.0, 1.0, 0.0, 5.0]), torch.tensor([1.0, 1.0, 1.0, 1.0])) == 0.625


def test_a_bad_row_stops_a_run_that_was_told_so(offline, tmp_path: Path) -> None:
    from benchbench.errors import CorruptError

    with pytest.raises(CorruptError, match="cannot be used"):
        quiet(offline("sft", "train.eval_every=0"), tmp_path / "run", skip_bad=False)


def test_step_zero_invariants_of_given_images(offline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss other than log 2 is refused while the policy equals the reference."""
    from benchbench.methods import diffusion_dpo

    monkeypatch.setattr(diffusion_dpo, "pair_logit", lambda *errors: 0.3 + 0 * errors[0])
    with pytest.raises(RunError, match="before the first update"):
        quiet(offline(), tmp_path / "run")


def test_pairs_and_methods_that_do_not_go_together(tiny_sd: Path) -> None:
    with pytest.raises(UsageError) as error:
        load("dspo", str(tiny_sd), "shapes-colour", "animals", 8, 0, "shapes")
    assert "--pairs is missing" in str(error.value)
    with pytest.raises(UsageError) as error:
        load("ddpo", "shapes", "shapes-colour", "shapes-simple", 8, 0, pairs="pickapic_v2")
    assert "leave --pairs out" in str(error.value)
    with pytest.raises(UsageError, match="wrong") as error:
        load("dspo", "shapes", "shapes-colour", "shapes-simple", 8, 0, overrides=["method.beta=5000"])
    assert "needs beta < 1" in str(error.value)
    config = load("sft", "shapes", "shapes-colour", "shapes-simple", 8, 0)
    assert config.pairs and config.pairs.startswith("made:")
    assert load("ddpo", "shapes", "shapes-colour", "shapes-simple", 8, 0).model_dump()["pairs"] is None


def test_a_model_that_predicts_images_is_refused(pairs: Path, tmp_path: Path) -> None:
    from tests.tiny import write_tiny_sd

    model = write_tiny_sd(tmp_path / "sample", prediction_type="sample")
    config = load("sft", str(model), "shapes-colour", "animals", 8, 0, "shapes", SMALL, str(pairs))
    with pytest.raises(UsageError, match="prediction_type='sample'"):
        quiet(config, tmp_path / "run")


def test_skipped_rows_are_said_during_the_run_and_counted_at_its_end(offline, pairs: Path, tmp_path: Path) -> None:
    """One of ten rows cannot be read: a warning with the row once the share is known, and the count at the end."""
    said: list[str] = []
    train(offline("sft", "train.eval_every=0"), tmp_path / "run", device="cpu", log=said.append)
    warnings = [line for line in said if "warning" in line and "cannot be used" in line]
    assert len(warnings) == 1 and "pairs.jsonl, line 8" in warnings[0] and "bench pairs check" in warnings[0]
    assert said[-1].startswith("1 of 10 pairs could not be used and were skipped") and "bad_rows.json" in said[-1]


def test_pairs_of_which_none_can_be_used_end_before_anything_is_loaded(offline, tmp_path: Path) -> None:
    from tests.pairs.pair_folders import rows, write_parquet

    path = write_parquet(tmp_path / "a.parquet", [{**row, "loser": b"broken"} for row in rows(5)])
    config = offline("sft").model_copy(update={"pairs": str(path)})
    for skip in (True, False):
        with pytest.raises(CorruptError, match="cannot be used") as error:
            quiet(config, tmp_path / "run", skip_bad=skip)
        assert "skip" not in error.value.remedy and not (tmp_path / "run").exists()


def test_what_was_done_to_pictures_is_said_once(tiny_sd: Path, pairs: Path, tmp_path: Path) -> None:
    """All ten winners have an EXIF orientation; SFT draws some of them, and the line at the end counts those."""
    folder = tmp_path / "pairs"
    shutil.copytree(pairs, folder)
    exif = Image.Exif()
    exif[274] = 8
    for i in range(10):
        Image.fromarray(np.full((16, 16, 3), 20 * i, np.uint8)).save(folder / f"w{i}.png", exif=exif)
    words = [*SMALL, "train.eval_every=0"]
    config = load("sft", str(tiny_sd), "shapes-colour", "animals", 16, 0, "shapes", words, str(folder))
    said: list[str] = []
    train(config, tmp_path / "run", device="cpu", log=said.append)
    [line] = [line for line in said if "EXIF" in line]
    assert "pictures were turned by EXIF orientation: pairs.jsonl, line " in line and "(winner)" in line
