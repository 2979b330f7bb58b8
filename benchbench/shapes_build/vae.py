"""Stage: trains the autoencoder, from 32x32 pixels to 4x8x8 latents and back."""

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from benchbench.shapes import oracle
from benchbench.shapes.drawing import draw_many
from benchbench.shapes_build import features
from benchbench.shapes_build.data import batches, pool, schedule, to_tensor, to_uint8
from benchbench.shapes_build.stage import Facts, Stage

KL = 2e-3
"""The weight of the Kullback-Leibler term, per pixel and channel of the picture."""
PERCEPTUAL = 0.15
"""The weight of the perceptual distance."""


def make() -> AutoencoderKL:
    """Returns an untrained autoencoder: it halves the resolution twice and has about 0.7 million parameters."""
    return AutoencoderKL(
        block_out_channels=[16, 32, 64],
        down_block_types=["DownEncoderBlock2D"] * 3,
        up_block_types=["UpDecoderBlock2D"] * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=32,
    )


def load(stage: Stage) -> AutoencoderKL:
    """Returns the trained autoencoder, frozen."""
    return AutoencoderKL.from_pretrained(stage.of("vae")).requires_grad_(False).eval()


def _slopes(pixels: Tensor) -> tuple[Tensor, Tensor]:
    return pixels[..., 1:, :] - pixels[..., :-1, :], pixels[..., 1:] - pixels[..., :-1]


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, pixels: Tensor, noise: float = 0.0, size: int = 100) -> Tensor:
    """Encodes and decodes pictures [N, 3, 32, 32] in [0, 1], `size` at a time, and returns the reconstructions.

    Noise with a standard deviation between 0 and `noise` of the latents' own, drawn for each picture, is added to its
    latents.
    """
    parts = []
    for part in pixels.split(size):
        latents = vae.encode(2 * part - 1).latent_dist.mode()
        if noise:
            sd = noise * torch.rand(len(part), 1, 1, 1) / vae.config.scaling_factor
            latents = latents + sd * torch.randn_like(latents)
        parts.append((vae.decode(latents).sample / 2 + 0.5).clamp(0, 1))
    return torch.cat(parts)


def check(vae: AutoencoderKL, seed: int, count: int = 500) -> Facts:
    """Returns the oracle's hit rates on reconstructed drawings, and their peak signal-to-noise ratio in dB."""
    scenes, images = draw_many(count, seed)
    pixels = to_tensor(images).float() / 255
    reconstructed = reconstruct(vae, pixels)
    return oracle.hit_rates(to_uint8(reconstructed), scenes) | {
        "psnr_db": float(-10 * torch.log10((reconstructed - pixels).square().mean()))
    }


def run(stage: Stage) -> Facts:
    """Trains in small batches and many steps, since large batches and few steps give blurred pictures."""
    data = pool(stage.scale(24000, 1000), stage.seed)
    feature_net = features.load(stage)
    vae = make().to(memory_format=torch.channels_last)
    steps = stage.scale(11000, 30)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1.5e-3, betas=(0.9, 0.99), weight_decay=1e-4)
    rate_schedule = schedule(optimizer, steps, warm_up=200)
    for step, index in enumerate(batches(len(data.scenes), 16, steps), 1):
        pixels = data.pixels(index).contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(2 * pixels - 1).latent_dist
        decoded = vae.decode(posterior.sample()).sample / 2 + 0.5
        error = (decoded - pixels).abs().mean() + 2 * (decoded - pixels).square().mean()
        edges = sum((a - b).abs().mean() for a, b in zip(_slopes(decoded), _slopes(pixels), strict=True))
        perceptual = feature_net.distance(decoded, pixels)
        spread = posterior.kl().mean() / pixels[0].numel()
        loss = error + 0.5 * edges + PERCEPTUAL * perceptual + KL * spread
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        rate_schedule.step()
        stage.report_step(
            step, steps, loss=loss.item(), error=error.item(), perceptual=perceptual.item(), kl=spread.item() * 12
        )
        if step % 2000 == 0:
            stage.log(f"vae after {step}: {check(vae.eval(), stage.seed + 2, 200)}")
            vae.train()
    vae = vae.to(memory_format=torch.contiguous_format).requires_grad_(False).eval()
    with torch.no_grad():
        pixels = data.images[:2000].float() / 127.5 - 1
        latents = torch.cat([vae.encode(part).latent_dist.sample() for part in pixels.split(100)])
    vae.register_to_config(scaling_factor=round(1.0 / latents.std().item(), 5))
    vae.save_pretrained(stage.folder)
    return {
        "steps": steps,
        "loss": loss.item(),
        "kl_nats_per_latent": spread.item() * 12,
        "latent_sd": latents.std().item(),
        "held_out": check(vae, stage.seed + 2),
    }
