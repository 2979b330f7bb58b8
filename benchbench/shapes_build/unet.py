"""Stage: the denoiser, trained on latents with the text tower frozen."""

import copy

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from . import text, tokenizer
from .data import batches, captions_of, pool, schedule
from .stage import Facts, Stage, facts

BATCH = 48
EMPTY = 0.1
"""Share of captions left empty, for classifier-free guidance."""
STEPS = 1000
"""Few on purpose: with 2600, samples follow their prompts perfectly, and alignment would have nothing to improve."""
AVERAGE = 0.998
"""Decay of the weights' running average, which is what is kept."""


def make() -> UNet2DConditionModel:
    """An untrained denoiser of 2.4 million parameters; `attention_head_dim` 4 means 4 heads, as in SD-1.5's config."""
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        block_out_channels=[48, 96],
        layers_per_block=1,
        down_block_types=["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
        up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
        cross_attention_dim=96,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def make_scheduler() -> DDIMScheduler:
    """The noise schedule with Stable Diffusion 1.5's numbers."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def _conditions(stage: Stage, scenes: list) -> tuple[Tensor, Tensor]:  # type: ignore[type-arg]
    """Token ids of three captions a scene, [3, N, 20], and those of the empty caption, [20]."""
    words = tokenizer.make()
    several = [tokenizer.encode(words, captions_of(scenes, stage.seed + i)) for i in range(3)]
    return torch.stack(several), tokenizer.encode(words, [""])[0]


@torch.no_grad()
def _follow(average: UNet2DConditionModel, net: UNet2DConditionModel, decay: float) -> None:
    for kept, new in zip(average.parameters(), net.parameters(), strict=True):
        kept.lerp_(new, 1 - decay)


def run(stage: Stage) -> Facts:
    """Noise prediction with mean squared error."""
    stored = load_file(stage.of("latents") / "latents.safetensors")
    scenes = pool(len(stored["mean"]), facts(stage.work, "latents")["pool_seed"]).scenes
    tokens, empty = _conditions(stage, scenes)
    tower = text.load(stage)
    scheduler = make_scheduler()
    net = make()
    average = copy.deepcopy(net).requires_grad_(False)
    steps = stage.scale(STEPS, 10)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1.5e-3, weight_decay=0.01)
    rate = schedule(optimiser, steps)
    recent = 1.0
    for step, index in enumerate(batches(len(scenes), BATCH, steps), 1):
        latents = stored["mean"][index] + stored["deviation"][index] * torch.randn(len(index), 4, 8, 8)
        words = tokens[torch.randint(3, (len(index),)), index]
        words = torch.where(torch.rand(len(index), 1) < EMPTY, empty, words)
        with torch.no_grad():
            context = tower(words).last_hidden_state
        noise = torch.randn_like(latents)
        times = torch.randint(1000, (len(index),))
        guess = net(scheduler.add_noise(latents, noise, times), times, context).sample
        loss = F.mse_loss(guess, noise)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        rate.step()
        # A short average while everything still changes quickly.
        _follow(average, net, min(AVERAGE, step / (step + 10)))
        recent += (loss.item() - recent) / min(step, 100)
        stage.report_step(step, steps, loss=recent)
    average.save_pretrained(stage.folder / "unet")
    return {"steps": steps, "batch": BATCH, "loss_mean_of_last_100": recent, "pictures": len(scenes)}
