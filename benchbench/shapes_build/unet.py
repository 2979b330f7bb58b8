"""Stage: trains the denoiser on latents; the text tower is frozen."""

import copy

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from benchbench.shapes.drawing import Scene
from benchbench.shapes_build import text, tokenizer
from benchbench.shapes_build.data import batches, captions_of, pool, schedule
from benchbench.shapes_build.stage import Facts, Stage, facts

BATCH = 48
EMPTY = 0.1
"""The share of captions that are left empty, for classifier-free guidance."""
STEPS = 1000
"""Few on purpose. After 2600 steps samples follow prompts perfectly, which leaves alignment nothing to improve."""
AVERAGE = 0.998
"""The decay of the running average of the weights; the average is what is saved."""


def make() -> UNet2DConditionModel:
    """Returns an untrained denoiser of 2.4 million parameters; `attention_head_dim` 4 means 4 heads, as in SD 1.5."""
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
    """Returns the noise schedule of Stable Diffusion 1.5."""
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


def tokens_of(stage: Stage, scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Returns the token ids of three captions a scene, [3, N, 20], and those of the empty caption, [20]."""
    clip_tokenizer = tokenizer.make()
    captions = [tokenizer.encode(clip_tokenizer, captions_of(scenes, stage.seed + i)) for i in range(3)]
    return torch.stack(captions), tokenizer.encode(clip_tokenizer, [""])[0]


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """Moves the average of the weights towards the network's by the share 1 - `decay`, in place."""
    for mean, parameter in zip(average.parameters(), net.parameters(), strict=True):
        mean.lerp_(parameter, 1 - decay)


def run(stage: Stage) -> Facts:
    """Trains on the mean squared error of the predicted noise; saves the average of the weights."""
    stored = load_file(stage.of("latents") / "latents.safetensors")
    scenes = pool(len(stored["mean"]), facts(stage.work, "latents")["pool_seed"]).scenes
    tokens, empty = tokens_of(stage, scenes)
    tower = text.load(stage)
    scheduler = make_scheduler()
    net = make()
    average = copy.deepcopy(net).requires_grad_(False)
    steps = stage.scale(STEPS, 10)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1.5e-3, weight_decay=0.01)
    rate_schedule = schedule(optimizer, steps)
    recent = 1.0
    for step, index in enumerate(batches(len(scenes), BATCH, steps), 1):
        latents = stored["mean"][index] + stored["deviation"][index] * torch.randn(len(index), 4, 8, 8)
        ids = tokens[torch.randint(3, (len(index),)), index]
        ids = torch.where(torch.rand(len(index), 1) < EMPTY, empty, ids)
        with torch.no_grad():
            context = tower(ids).last_hidden_state
        noise = torch.randn_like(latents)
        times = torch.randint(1000, (len(index),))
        predicted = net(scheduler.add_noise(latents, noise, times), times, context).sample
        loss = F.mse_loss(predicted, noise)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        rate_schedule.step()
        # At first the average is over few steps, since the weights change quickly.
        update_average(average, net, min(AVERAGE, step / (step + 10)))
        recent += (loss.item() - recent) / min(step, 100)
        stage.report_step(step, steps, loss=recent)
    average.save_pretrained(stage.folder / "unet")
    return {"steps": steps, "batch": BATCH, "loss_mean_of_last_100": recent, "pictures": len(scenes)}
