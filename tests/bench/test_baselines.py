"""The baselines compute what ours does, and evaluate networks as often as their structure says."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchbench.diffusion import backbones
from benchbench.diffusion.policy import make_policy
from tests.bench import random_models
from tests.bench.baselines import generate_and_score, sampler
from tests.tiny import write_tiny_sd

PROMPTS = ("cat", "dog")


@pytest.fixture(scope="module")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")


def test_a_step_is_ours(tiny_sd: Path) -> None:
    """Log-probability and clean latents from diffusers' tables equal those of our Schedule at every step."""
    model, policy = (
        sampler.load(tiny_sd, "cpu", torch.float32, False),
        make_policy(backbones.load(str(tiny_sd)), 20, 1.0, 5.0),
    )
    x, e, after = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for k, t in zip(range(20, 0, -1), model.scheduler.timesteps, strict=True):
        assert int(t) == int(policy.schedule.tau[k])
        _, log_prob, x0 = sampler.ddim(model, e, t.repeat(2), x, after)
        step = policy.schedule.step(x, e, k)
        torch.testing.assert_close(x0, step.x0, rtol=1e-4, atol=1e-4)
        # the last steps' deviations are small, and diffusers' float32 tables lose digits there
        torch.testing.assert_close(log_prob, step.log_prob(after), rtol=1e-3, atol=1e-3)


# Guided evaluations of two prompts: (rollout and reference, with gradient). Five trained steps of 20.
COUNTS = {
    "ddpo": (2 * 20, 2 * 5),
    "d3po": (2 * (2 * 20 + 2 * 5), 2 * 2 * 5),
    "tailorpo": (2 * (20 + 2 * 5 + 2 * 5), 2 * 2 * 5),  # 40 + 2.2 x 10 = 62 a sample, where ours takes 41
    "tailorpo-g": (2 * (20 + 2 * 5 + 2 * 5), 2 * (2 * 5 + 5)),
    "spo": (2 * (5 + 4 * 15) + 2 * 32, 2 * 32),  # every one of 16 pairs a prompt is valid
}


@pytest.mark.parametrize("method", COUNTS)
def test_an_iteration_computes_what_its_structure_says_and_learns(method: str, tiny_sd: Path) -> None:
    model = sampler.load(tiny_sd, "cpu", torch.float32, reference=method != "ddpo", lr=1e-2)
    rows = {True: 0, False: 0}

    def count(module: torch.nn.Module, args: tuple[Tensor, ...], output: object) -> None:
        rows[torch.is_grad_enabled()] += len(args[0])

    for unet in (model.unet, model.ref):
        if unet is not None:
            unet.register_forward_hook(count)

    def reward(images: Tensor, prompts: Sequence[str], tau: Tensor | None = None) -> Tensor:
        assert len(images) == len(prompts)
        return 1e6 * images.flatten(1).mean(1)  # so far apart that every pair counts

    before = [p.detach().clone() for p in model.unet.parameters() if p.requires_grad]
    options = {"guidance": True} if method == "tailorpo-g" else {}
    import_module(f"tests.bench.baselines.{method.removesuffix('-g')}").iteration(model, PROMPTS, reward, **options)
    assert (rows[False] // 2, rows[True] // 2) == COUNTS[method]
    after = [p for p in model.unet.parameters() if p.requires_grad]
    assert any(not torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert model.ref is None or not any(p.requires_grad for p in model.ref.parameters())


def test_the_plain_loop_makes_a_picture_a_prompt_and_a_score_a_picture(tiny_sd: Path, tmp_path: Path) -> None:
    from benchbench.reward_models.shapes_colour import ShapesColour

    pipe = generate_and_score.load_pipeline(tiny_sd, "cpu", torch.float32)
    texts = ["cat", "dog", "ant"]
    paths = generate_and_score.generate(pipe, texts, tmp_path / "images", batch=2, steps=2)
    assert [path.name for path in paths] == ["00000.png", "00001.png", "00002.png"]
    scores = generate_and_score.score_keeping(paths, texts, ShapesColour)
    assert scores == generate_and_score.score_loading_each_time(paths, texts, ShapesColour) and len(scores) == 3


@pytest.mark.parametrize(
    ("settings", "parameters"),
    [(random_models.SD15_UNET, 859_520_964), (random_models.SDXL_UNET, 2_567_463_684)],
    ids=["sd15", "sdxl"],
)
def test_the_random_networks_have_the_true_sizes(settings: dict, parameters: int) -> None:
    """The parameter counts of the released networks."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**settings)
    assert sum(p.numel() for p in unet.parameters()) == parameters
