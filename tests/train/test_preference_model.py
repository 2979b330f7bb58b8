"""Training of a step-aware preference model: its loss, schedule and noise, and that it learns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from benchbench.diffusion import backbones
from benchbench.train.preference_model import (
    Noiser,
    PicturePairs,
    SPMConfig,
    batches_from_disk,
    preference_loss,
    rate,
    train_spm,
    trained_parameters,
)
from tests.pairs.pair_folders import opened, write_pickapic


def test_loss_by_hand() -> None:
    """Scores (2, 0) with the first preferred give log(1 + e^-2) = .126928.

    A tie of scores (1, 1) gives log 2 - log 2 = 0, and of (2, 0) (log(1+e^-2) + log(1+e^2))/2 - log 2 =
    (.126928 + 2.126928)/2 - .693147 = .433781. With weights 1, 1, 2 the mean is .248623.
    """
    first, second = torch.tensor([2.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 0.0])
    label, one = torch.tensor([1.0, 0.5, 0.5]), torch.ones(1)
    losses = [float(preference_loss(first[i : i + 1], second[i : i + 1], label[i : i + 1], one)) for i in range(3)]
    assert losses == pytest.approx([0.126928, 0.0, 0.433781], abs=1e-5)
    assert float(preference_loss(first, second, label, torch.tensor([1.0, 1.0, 2.0]))) == pytest.approx(
        0.248623, abs=1e-5
    )


def test_rate_rises_and_falls() -> None:
    """A warm-up of 10 in 110 steps gives 1/10 at first, 1 at its end, (110-60)/100 = .5 at step 60, 1/100 at last."""
    config = SPMConfig(steps=110, warm_up=10)
    assert [rate(step, config) for step in (0, 9, 60, 109)] == pytest.approx([0.1, 1.0, 0.5, 0.01])


def test_both_pictures_get_the_same_noise_and_the_timestep_is_meant(tiny_sd: Path) -> None:
    """A picture given twice has the same prediction twice at any t, and other noise gives another one.

    The schedule's index is the timestep: abar(0) = .99915 and abar(999) = .00466.
    """
    noiser = Noiser(backbones.load(str(tiny_sd), "cpu"), 5.0)
    pictures = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    posterior = noiser.vae.encode(2 * pictures - 1).latent_dist
    assert float(posterior.std.max()) > 0
    noiser._latents = lambda pictures, generator: posterior.mean  # type: ignore[method-assign,assignment]
    first, second = noiser([pictures, pictures], torch.tensor([300, 950]), ["cat", "dog"], torch.Generator())
    # equal within rounding, since the two sides are different rows of one batch
    torch.testing.assert_close(first, second, atol=1e-4, rtol=0)
    other_noise, _ = noiser(
        [pictures, pictures], torch.tensor([300, 950]), ["cat", "dog"], torch.Generator().manual_seed(1)
    )
    assert first.shape == pictures.shape and float((first - other_noise).abs().max()) > 1e-2
    schedule = noiser.policy.schedule
    assert schedule.tau.tolist() == list(range(1000))
    assert float(schedule.alpha_bar[0]) == pytest.approx(0.99915) and float(schedule.alpha_bar[999]) == pytest.approx(
        0.00466, abs=1e-5
    )


class RednessScorer(nn.Module):
    """Scores redness times a factor, the only parameter, which starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(()))

    def added_parameters(self) -> dict[str, nn.Parameter]:
        return {"factor": self.factor}

    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        assert len(images) == len(prompts) == len(tau)
        return self.factor * 100 * images[:, 0].flatten(1).mean(1)


def test_it_learns_what_the_labels_say(tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first picture of each pair is redder: the factor on redness rises where it is preferred, and falls where not.

    The pictures themselves stand for predictions, since the tiny model has learned nothing.
    """
    monkeypatch.setattr(Noiser, "__call__", lambda self, pictures, *_: list(pictures))
    backbone = backbones.load(str(tiny_sd), "cpu")
    dark, red = torch.zeros(6, 3, 16, 16), torch.zeros(6, 3, 16, 16)
    red[:, 0] = 0.5
    config = SPMConfig(steps=10, batch=4, lr=1e-2, warm_up=2, parts="added")
    for label, sign in ((1.0, 1), (0.0, -1)):
        scorer = RednessScorer()
        pairs = PicturePairs(["cat"] * 6, red, dark, torch.full((6,), label))
        loss = train_spm(scorer, scorer, backbone, pairs, config, 0, lambda line: None)
        assert sign * float(scorer.factor.detach()) > 0 and loss < math.log(2)
        assert not scorer.factor.requires_grad


def test_what_is_trained() -> None:
    """Either the added layers are trained or the image tower with them, and the text tower never is."""
    from benchbench.reward_models._adaln import StepAwareCLIP
    from tests.reward_models.test_step_aware import clip

    network = StepAwareCLIP(clip())
    assert len(trained_parameters(network, "added")) == len(network.added_parameters())
    trained = {id(p) for p in trained_parameters(network, "vision")}
    names = {name for name, p in network.named_parameters() if id(p) in trained}
    assert names == {name for name, p in network.named_parameters() if p.requires_grad}
    assert not any(".text" in name or "logit_scale" in name for name in names)
    assert all(name in names for name in network.added_parameters()) and "model.visual_projection.weight" in names


def test_pairs_on_disk_come_as_they_are(tmp_path: Path) -> None:
    """Row i has greys 2i and 2i+1 of 255; an epoch has every row once.

    A prompt with two rows has the weight 1/2 in each. The tie has the label 1/2.
    """
    labels = [(1.0, 0.0), (0.0, 1.0), (0.5, 0.5)]
    path = write_pickapic(tmp_path / "a.parquet", labels, caption=["cat", "cat", "dog"])
    batches = batches_from_disk(opened(path, ties=True), 4, 3, 0, pytest.fail)
    for _ in range(2):
        prompts, first, second, label, weight = next(batches)
        columns = ((255 * first[:, 0, 0, 0]).round().tolist(), prompts, label.tolist(), weight.tolist())
        greys = sorted(zip(*columns, strict=True))
        assert greys == [(0, "cat", 1, 0.5), (3, "cat", 1, 0.5), (4, "dog", 0.5, 1)]
        assert first.shape == second.shape == (3, 3, 4, 4) and float((first - second).abs().max()) < 1.01 / 255
