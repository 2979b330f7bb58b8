"""Out of memory where rewards are asked inside a walk: guidance along their gradient, and scores of predictions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchbench.api import Reward
from benchbench.diffusion.cost import Cost
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward, guide, look_ahead
from benchbench.diffusion.policy import Policy
from benchbench.errors import NoMemoryError, RunError
from benchbench.methods.tailorpo_g import TailorPOG
from benchbench.noise import Noise, Sample
from tests.methods.rewards import Brightness, StepBrightness
from tests.runtime.full import no_room, room_for

SAMPLES = [Sample("cat", i, i) for i in range(5)]
PROMPTS = [sample.prompt for sample in SAMPLES]


def judged(policy: Policy, reward: Reward) -> StepReward:
    policy.cost = Cost()
    return StepReward(Decoder(policy.backbone), reward, policy)


def guided(policy: Policy, judge: StepReward) -> torch.Tensor:
    x = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    return guide(policy, judge, x, 10, policy.encode(PROMPTS), PROMPTS, 50.0, 0.5)


def backward_room(most: int, vae: Any, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The backward pass through the decoder runs out of memory for more than ``most`` rows."""
    plain, tried = vae.decode, list[int]()

    def failing(gradient: torch.Tensor) -> None:
        tried.append(len(gradient))
        if len(gradient) > most:
            raise no_room()

    def decode(latents: torch.Tensor) -> Any:
        found = plain(latents)
        found.sample.register_hook(failing)
        return found

    monkeypatch.setattr(vae, "decode", decode)
    return tried


def fill_up(where: str, policy: Policy, judge: StepReward, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Leaves room for two images in one place."""
    if where == "network":
        return room_for(4, policy.backbone.network, "forward", monkeypatch)  # each image takes two rows
    if where == "decoder":
        return room_for(2, policy.backbone.vae, "decode", monkeypatch)
    if where == "reward":
        return room_for(2, judge.reward, "score_differentiable", monkeypatch)
    return backward_room(2, policy.backbone.vae, monkeypatch)


@pytest.mark.parametrize("where", ["network", "decoder", "reward", "backward"])
def test_guidance_is_cut_and_moves_each_row_as_before(
    where: str, tuned: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """5 rows fail, then 2, 2 and 1 fit. Each row is moved, counted and looked at once; rollouts are not made slower."""
    whole = guided(tuned, judged(tuned, Brightness()))
    judge = judged(tuned, Brightness())
    tried = fill_up(where, tuned, judge, monkeypatch)
    parts = guided(tuned, judge)
    assert tried == ([10, 4, 4, 2] if where == "network" else [5, 2, 2, 1])
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-4)
    assert tuned.cost == Cost(unet_grads=5, reward_calls=5, latent_forwards=10)
    assert [len(r) for _, _, r in judge._unchecked] == [2, 2, 1] and judge.check(PROMPTS) == 0
    assert judge.guiding.size == 2
    assert tuned.denoising.size is None and judge.scoring.size is None and judge.decoder.splitter.size == 32


def test_a_reward_that_is_not_finite_is_named_by_its_sample_in_parts_too(
    tuned: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 3 is the second row of the second part."""
    judge = judged(tuned, Brightness())
    judge.guiding.size = 2
    plain, seen = judge.reward.score_differentiable, list[int]()

    def score(images: torch.Tensor, prompts: Any) -> torch.Tensor:
        seen.extend(range(len(seen), len(seen) + len(images)))
        return torch.where(torch.tensor(seen[-len(images) :]) == 3, float("nan"), plain(images, prompts))

    monkeypatch.setattr(judge.reward, "score_differentiable", score)
    guided(tuned, judge)
    with pytest.raises(RunError, match="gave nan at step 10 for sample 3"):
        judge.check([f"sample {i}" for i in range(5)])


def test_one_row_too_many_keeps_no_activations(tuned: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network and decoder recompute activations; where that is not enough either, it is one clear error."""
    whole, judge, said = guided(tuned, judged(tuned, Brightness())), judged(tuned, Brightness()), list[str]()
    unet, vae, score = tuned.backbone.network, tuned.backbone.vae, judge.reward.score_differentiable
    judge.guiding.log = said.append

    def tight(images: torch.Tensor, prompts: Any) -> torch.Tensor:
        if not (unet.is_gradient_checkpointing and vae.is_gradient_checkpointing):
            raise no_room()
        return score(images, prompts)

    monkeypatch.setattr(judge.reward, "score_differentiable", tight)
    torch.testing.assert_close(guided(tuned, judge), whole, atol=1e-4, rtol=1e-4)
    assert said == [
        "out of memory following the reward's gradient: going on with one image at a time, "
        "without keeping activations (gradient checkpointing)"
    ]
    cost = Cost(unet_grads=5, reward_calls=5, latent_forwards=10, checkpointed_forwards=10)
    assert tuned.cost == cost
    room_for(0, judge.reward, "score_differentiable", monkeypatch)
    with pytest.raises(NoMemoryError, match="out of memory following the reward's gradient, one image at a time"):
        guided(tuned, judge)
    assert tuned.cost == cost and len(judge._unchecked) == 5


def test_a_guided_rollout_goes_on(tuned: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """TailorPO-G where the network has room for two images: the same pairs, and what it cost is what it cost whole."""
    cfg = TailorPOG.Config(steps=(20, 12), eta=50.0)

    def rolled() -> Any:
        judge = judged(tuned, Brightness())
        with torch.no_grad():
            [(pairs, _)] = TailorPOG().collect(tuned, SAMPLES, judge, cfg, Noise(0, "train"))
        return pairs, tuned.cost

    whole, cost = rolled()
    room_for(4, tuned.backbone.network, "forward", monkeypatch)
    parts, again = rolled()
    for name in ("x_w", "next_w", "next_l"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), atol=1e-3, rtol=1e-3)
    assert again == cost and cost.unet_grads == 10


class Eye(Brightness):
    """Not differentiable: it looks at finished pictures."""

    name, differentiable = "eye", False


@pytest.mark.parametrize(
    ("reward", "method"),
    [(Brightness, "score_differentiable"), (Eye, "score"), (StepBrightness, "score_at")],
)
def test_scores_in_a_rollout_are_taken_in_parts(
    reward: type[Reward], method: str, tuned: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    found = []
    for most in (5, 2):
        judge = judged(tuned, reward())
        tried = room_for(most, judge.reward, method, monkeypatch)
        with torch.no_grad():
            found.append(look_ahead(tuned, judge, x, 10, tuned.encode(PROMPTS), PROMPTS)[0])
        assert tuned.cost == Cost(unet_evals=5, reward_calls=5)
    assert tried == [5, 2, 2, 1]
    torch.testing.assert_close(found[1], found[0], atol=1e-5, rtol=1e-4)
    room_for(0, judge.reward, method, monkeypatch)
    with torch.no_grad(), pytest.raises(NoMemoryError, match=f"in the reward {judge.reward.name}, one image at a time"):
        look_ahead(tuned, judge, x, 10, tuned.encode(PROMPTS), PROMPTS)
