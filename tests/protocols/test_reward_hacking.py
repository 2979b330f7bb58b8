"""The panel over a training that kept its adapters, and diversity."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchbench import config, defaults
from benchbench.api import PromptSet
from benchbench.errors import MissingError, UsageError
from benchbench.protocols.diversity import mean_cosine_distance
from benchbench.protocols.reward_hacking import HackingSettings, RewardHacking
from benchbench.store import runs
from benchbench.train import loop
from tests.tiny import write_tiny_sd

PROMPTS = PromptSet("two", ("a cat", "a dog"), "made here", "none")
SMALL = ["train.batch=4", "train.eval_every=0", "train.eval_images=1", "train.lr=1e-2", "sampler.steps=4",
         "method.steps=[4,2]"]  # fmt: skip


def trained(model: Path, store: Path, *more: str) -> str:
    made = config.load(
        "tailorpo", str(model), "shapes-colour", "animals", 8, 0, preset="shapes", overrides=[*SMALL, *more]
    )
    name = runs.run_id("tailorpo", str(model), "shapes-colour", 0, made.identity)
    loop.train(made, store / "runs" / name, device="cpu")
    return name


def test_a_panel_over_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kept at 4 and 8 samples, the last of which is the run's own end; keeping adapters changes no weight."""
    small = dataclasses.replace(defaults.STABLE_DIFFUSION, evaluation_clip="shapes-clip")
    monkeypatch.setattr(defaults, "STABLE_DIFFUSION", small)
    model = write_tiny_sd(tmp_path / "sd")
    run, plain = trained(model, tmp_path, "train.keep_every=4"), trained(model, tmp_path)
    root = tmp_path / "runs" / run
    assert list(runs.kept_weights(runs.find(tmp_path, run))) == [4, 8]
    files = [root / "kept" / "00000008", root, tmp_path / "runs" / plain]
    kept, ended, other = (load_file(folder / runs.ADAPTER) for folder in files)
    assert all(torch.equal(kept[name], ended[name]) and torch.equal(kept[name], other[name]) for name in kept)
    early = runs.find_adapter(tmp_path, f"{run}/kept/00000004")
    assert early.label.endswith(", 4 samples") and early.model_hash and early.settings["seed"] == 0

    settings = HackingSettings(rewards=("jpeg_compressibility",))
    frame = RewardHacking().measure(str(model), run, PROMPTS, "shapes-colour", settings, store=tmp_path, device="cpu")
    assert set(frame.reward) == {"shapes-colour", "jpeg_compressibility", "diversity"}
    assert set(frame.samples) == {0, 4, 8}
    assert (frame[frame.reward == "diversity"].groupby("samples").size() == 2).all()
    table = RewardHacking().table({"run": frame}, settings)
    assert [c.key for c in table.columns] == ["0", "4", "8"]
    cell = table.cells["run: shapes-colour"]["8"]
    means = frame[frame.reward == "shapes-colour"].groupby("samples").score.mean()
    assert cell.value == pytest.approx(means[8]) and cell.difference == pytest.approx(means[8] - means[0])

    monkeypatch.setattr("benchbench.diffusion.backbones.load", lambda *args: pytest.fail("weights were loaded"))
    again = RewardHacking().measure(str(model), run, PROMPTS, "shapes-colour", settings, store=tmp_path, device="cpu")
    assert again.score.tolist() == frame.score.tolist()
    with pytest.raises(MissingError, match="kept no adapter"):
        RewardHacking().measure(str(model), plain, PROMPTS, "shapes-colour", settings, store=tmp_path, device="cpu")
    with pytest.raises(UsageError):
        RewardHacking().measure(str(model), None, PROMPTS, "shapes-colour", settings, store=tmp_path, device="cpu")


def test_diversity_by_hand() -> None:
    """The same twice: 0. At right angles: 1. (1,0), (1,0), (0,1): cosines 1, 0, 0, so 1 - 1/3."""
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
    assert mean_cosine_distance(torch.stack([a, a])) == 0
    assert mean_cosine_distance(torch.stack([a, b])) == 1
    assert mean_cosine_distance(torch.stack([a, a, b])) == pytest.approx(2 / 3)
