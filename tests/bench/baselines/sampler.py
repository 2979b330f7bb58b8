"""The sampling that the straightforward trainers share: guidance, and a DDIM step with its log-probability.

It has the structure of the released trainers: they encode prompts for every batch, evaluate both halves of guidance
together, and use diffusers' scheduler.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


@dataclass
class Model:
    """A pipeline's parts, with a LoRA to train and, where a method has a reference, a frozen copy of the network."""

    unet: Any
    ref: Any
    vae: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any
    optimizer: torch.optim.Optimizer
    device: str
    steps: int = 20
    guidance_scale: float = 5.0

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """The shape (C, h, w) of an image's latents."""
        return (self.unet.config.in_channels, self.unet.config.sample_size, self.unet.config.sample_size)

    def learn(self) -> None:
        """Clips the gradients, takes an optimizer step and clears the gradients."""
        parameters = [p for p in self.unet.parameters() if p.requires_grad]
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()


def load(folder: Path, device: str, dtype: torch.dtype, reference: bool, lr: float = 3e-5) -> Model:
    """Loads a Stable Diffusion folder and returns a Model ready to be trained."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(folder, dtype=dtype, local_files_only=True, safety_checker=None)
    pipe.to(device)
    for part in (pipe.unet, pipe.vae, pipe.text_encoder):
        part.requires_grad_(False).eval()
    return make_model(
        pipe.unet, pipe.vae, pipe.text_encoder, pipe.tokenizer, pipe.scheduler.config, device, reference, lr
    )


def make_model(
    unet: Any,
    vae: Any,
    text_encoder: Any,
    tokenizer: Any,
    scheduler_config: Any,
    device: str,
    reference: bool,
    lr: float = 3e-5,
) -> Model:
    """Returns a Model of frozen networks on the device; the reference is a deep copy from before the adapter."""
    from diffusers import DDIMScheduler
    from peft import LoraConfig

    ref = copy.deepcopy(unet) if reference else None
    unet.add_adapter(LoraConfig(r=4, lora_alpha=4, init_lora_weights="gaussian", target_modules=TARGETS))
    trained = [p for p in unet.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()
    scheduler = DDIMScheduler.from_config(scheduler_config)
    scheduler.set_timesteps(20, device=device)
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(device)
    optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=1e-4)
    return Model(unet, ref, vae, text_encoder, tokenizer, scheduler, optimizer, device)


@torch.no_grad()
def encode(model: Model, prompts: Sequence[str]) -> Tensor:
    """Returns embeddings of the empty prompt and of the prompts, [2N, L, D]."""
    length = model.tokenizer.model_max_length
    tokens = model.tokenizer(
        [""] * len(prompts) + list(prompts),
        padding="max_length",
        truncation=True,
        max_length=length,
        return_tensors="pt",
    )
    return model.text_encoder(tokens.input_ids.to(model.device))[0]


def predict(model: Model, unet: Any, x: Tensor, t: Tensor, text: Tensor) -> Tensor:
    """Returns the guided noise prediction [N, C, h, w], float32."""
    noise = unet(torch.cat([x, x]).to(unet.dtype), torch.cat([t, t]), text).sample.float()
    unconditional, conditional = noise.chunk(2)
    return unconditional + model.guidance_scale * (conditional - unconditional)


def ddim(
    model: Model, e: Tensor, t: Tensor, x: Tensor, following: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the next latents, drawn or given, their mean log-probability [N], and the predicted clean latents."""
    abar = model.scheduler.alphas_cumprod
    before = (t - model.scheduler.config.num_train_timesteps // model.steps).clamp(min=0)
    a, p = abar[t].view(-1, 1, 1, 1), abar[before].view(-1, 1, 1, 1)
    x0 = (x - (1 - a).sqrt() * e) / a.sqrt()
    std = ((1 - p) / (1 - a) * (1 - a / p)).sqrt()
    mean = p.sqrt() * x0 + (1 - p - std**2).clamp(min=0).sqrt() * e
    if following is None:
        following = mean + std * torch.randn_like(mean)
    log_prob = (
        -((following.detach() - mean) ** 2) / (2 * std**2) - std.log() - 0.5 * torch.log(torch.tensor(2 * torch.pi))
    )
    return following, log_prob.mean((1, 2, 3)), x0


def decode(model: Model, latents: Tensor) -> Tensor:
    """Returns images [N, 3, H, W] in [0, 1]."""
    images = model.vae.decode(latents.to(model.vae.dtype) / model.vae.config.scaling_factor).sample
    return (images.float() / 2 + 0.5).clamp(0, 1)


@torch.no_grad()
def trajectory(model: Model, text: Tensor, x: Tensor) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """Returns the latents x_T ... x_0, the log-probabilities and the timesteps of a trajectory."""
    latents, log_probs, times = [x], [], []
    for t in model.scheduler.timesteps:
        at = t.repeat(len(x))
        x, log_prob, _ = ddim(model, predict(model, model.unet, x, at, text), at, x)
        latents.append(x)
        log_probs.append(log_prob)
        times.append(at)
    return latents, log_probs, times


def pair_loss(theta: Sequence[Tensor], ref: Sequence[Tensor], beta: float, clip: float = 0.1) -> Tensor:
    """Returns -log sigmoid(beta (log rho_w - log rho_l)) with clamped ratios; arguments are (winner's, loser's) [N]."""
    ratio_w, ratio_l = (torch.clamp(torch.exp(a - b), 1 - clip, 1 + clip) for a, b in zip(theta, ref, strict=True))
    return -torch.log(torch.sigmoid(beta * (torch.log(ratio_w) - torch.log(ratio_l)))).mean()
