"""Out of memory in what surrounds a training: calibration, the fixed evaluation, encoding pictures, and its steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from benchbench.api import PromptSet
from benchbench.diffusion.cost import Cost
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.errors import NoMemoryError
from benchbench.reward_models.shapes_colour import ShapesColour
from benchbench.rewards import lookup
from benchbench.train import calibration, evaluation
from benchbench.train.calibration import calibrate
from benchbench.train.evaluation import FixedEvaluation
from benchbench.train.loop import train
from benchbench.train.preference_model import PairBatch, backward
from tests.runtime.full import room_for
from tests.train.test_loop import adapter
from tests.train.test_offline import offline, pairs
from tests.train.test_preference_model import RednessScorer

__all__ = ["offline", "pairs"]
PROMPTS = PromptSet("two", ("a cat", "a dog"), "made here", "none")
MIX = "shapes-aesthetic=1,shapes-colour=1"


def calibrated(policy: Policy, out: Path) -> list[float]:
    reward = lookup.get(MIX)()
    calibrate(reward, policy, PROMPTS, out, lambda line: None)
    return [value for s in reward.statistics.values() for value in s]


def evaluated(policy: Policy, out: Path) -> list[float]:
    out.mkdir()
    reward = lookup.get("shapes-colour")()
    return list(FixedEvaluation(policy, PROMPTS, reward, 12, out)(untrained=True).values())


PLACES = {
    "network": ("network", "forward", 4),
    "decoder": ("vae", "decode", 3),
    "reward": (ShapesColour, "score", 3),
    "walk": (None, "generate", 3),
}


def fill_up(where: str, policy: Policy, module: Any, most: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    owner, name, _ = PLACES[where]
    if where == "walk":
        return room_for(most, module, name, monkeypatch, lambda policy, samples, noise: len(samples))
    if where == "reward":
        return room_for(most, owner, name, monkeypatch, lambda self, images, prompts: len(images))
    return room_for(most, getattr(policy.backbone, str(owner)), name, monkeypatch)


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize(("look", "module"), [(calibrated, calibration), (evaluated, evaluation)])
def test_looking_goes_on_in_parts(
    look: Any, module: Any, where: str, policy: Policy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers and cost stay the same; where one image is too many, one clear error."""
    monkeypatch.setattr(calibration, "IMAGES", 12)
    policy = make_policy(policy.backbone, 4, 1.0, 5.0)
    expected, cost = look(policy, tmp_path / "whole"), policy.cost
    policy.cost = Cost()
    tried = fill_up(where, policy, module, PLACES[where][2], monkeypatch)
    assert look(policy, tmp_path / "parts") == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert max(tried) > PLACES[where][2] >= tried[-1] and policy.cost == cost == Cost(eval_forwards=12 * 4 * 2)
    fill_up(where, policy, module, 0, monkeypatch)
    with pytest.raises(NoMemoryError, match=r"out of memory .*, one image at a time"):
        look(policy, tmp_path / "none")


def test_a_whole_evaluation_is_taken_in_the_batches_that_it_was(policy: Policy, tmp_path: Path) -> None:
    assert FixedEvaluation(policy, PROMPTS, lookup.get("shapes-colour")(), 4, tmp_path).splitter.size == (
        policy.backbone.batch_size
    )


@pytest.mark.parametrize("method", ["diffusion-dpo", "diffusion-kto"])
def test_pictures_are_encoded_in_parts(
    method: str, offline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter stays the same within rounding where the autoencoder has room for three pictures."""
    config = offline(method, "train.eval_every=0", samples=16)
    plain = train(config, tmp_path / "plain", device="cpu", log=lambda line: None)
    tried = room_for(3, AutoencoderKL, "encode", monkeypatch, lambda self, pictures: len(pictures))
    small = train(config, tmp_path / "small", device="cpu", log=lambda line: None)
    assert max(tried) > 3 and sum(n for n in tried if n <= 3) == 16
    for name, value in adapter(small).items():
        torch.testing.assert_close(value, adapter(plain)[name], atol=1e-4, rtol=1e-3)
    room_for(0, AutoencoderKL, "encode", monkeypatch, lambda self, pictures: len(pictures))
    with pytest.raises(NoMemoryError, match="out of memory encoding pictures, one picture at a time"):
        train(config, tmp_path / "none", device="cpu", log=lambda line: None)


def test_rollouts_and_steps_find_their_own_sizes(
    configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The network has room for 20 rows, two an image: rollouts of 16 candidates go in eights, the batch of 40 in tens.

    The reference's evaluations in a step keep to the eights of the rollout (10 are 8 and 2), but leave their errors to
    the step, so that they make no rollout slower.
    """
    config = configure("tailorpo", samples=8)
    plain = train(config, tmp_path / "plain", log=lambda line: None)
    said = list[str]()
    tried = room_for(20, UNet2DConditionModel, "forward", monkeypatch, lambda self, x, *_: len(x))
    small = train(config, tmp_path / "small", log=said.append)
    assert [line for line in said if "memory" in line] == ["out of memory in training: going on with 10 rows at a time"]
    assert {n for n in tried if n <= 20} == {4, 8, 16, 20}
    for name, value in adapter(small).items():
        torch.testing.assert_close(value, adapter(plain)[name], atol=1e-4, rtol=1e-3)
    done = [json.loads((run / "done.json").read_text()) for run in (plain, small)]
    assert done[0]["unet_grads"] == 8 * 5
    for name in ("unet_evals", "unet_grads", "reward_calls", "eval_forwards", "nfe"):
        assert done[0][name] == done[1][name]


def test_a_step_of_one_row_that_does_not_fit_is_one_clear_error(
    configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchbench.methods.tailorpo import TailorPO

    room_for(0, TailorPO, "loss", monkeypatch, lambda self, policy, batch, *_: len(batch))
    with pytest.raises(NoMemoryError) as raised:
        train(configure("tailorpo", samples=8), tmp_path / "run", log=lambda line: None)
    assert str(raised.value).count("\n") == 2
    assert raised.value.problem == "out of memory in training, one row at a time"


def test_gradients_of_pairs_add_up_to_those_of_the_batch() -> None:
    """A step-aware model, by hand: d/df of mean -log sigmoid(f d) at f = 0 is -d/2, so the gradient is the weighted
    mean -(1*10/2 + 1*20/2 + 2*40/2)/4 = -13.75 with redness differences d of 10, 20, 40 and weights 1, 1, 2.
    """
    second = torch.zeros(3, 3, 2, 2)
    first = torch.tensor([0.1, 0.2, 0.4]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    batch = PairBatch(["cat"] * 3, first, second, torch.ones(3), torch.tensor([1.0, 1.0, 2.0]))
    for size in (3, 2, 1):
        judge = RednessScorer()
        assert backward(judge, batch, torch.zeros(3, dtype=torch.int64), size) == pytest.approx(0.693147, abs=1e-5)
        assert float(judge.factor.grad) == pytest.approx(-13.75, rel=1e-5)
