"""Edits pictures: adds noise to a source, and denoises under the prompt (SDEdit, arXiv:2108.01073).

The steps are those of the image-to-image pipelines of diffusers: of T steps the last k are taken, and the noise is
that of step k; ``samplers.steps_taken`` gives k, int(T x strength) for a diffusion model. At strength 1 some of the
source is left there, since abar_T is not 0; of a flow-matching model nothing is left.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchbench.diffusion.decode import to_uint8
from benchbench.diffusion.encode import encode
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import NoiseSource, rollout
from benchbench.diffusion.source import open_source
from benchbench.noise import Noise, Sample
from benchbench.prompt_set import sources
from benchbench.runtime.memory import Splitter


@torch.no_grad()
def source_latents(policy: Policy, samples: Sequence[Sample], noise: Noise) -> Tensor:
    """Returns the latents [N, C, h, w] of the samples' sources, each a draw from the VAE's posterior.

    Errors: CorruptError for a picture that cannot be read, NoMemoryError.
    """
    backbone, size = policy.backbone, policy.backbone.image_size
    opened = [open_source(source, size) for source in sources([s.prompt for s in samples]) if source]
    pictures = torch.stack([torch.from_numpy(np.array(image)).permute(2, 0, 1) for image in opened])
    z = noise.normal(samples, "posterior", shape=backbone.latent_shape, device=backbone.device)
    encoding = Splitter("encoding pictures", backbone.batch_size, row="picture")
    return encoding(lambda rows: encode(backbone, pictures[rows].float() / 127.5 - 1, z[rows]), len(samples))


@torch.no_grad()
def edit(
    policy: Policy, first_k: int, samples: Sequence[Sample], noise: Noise, shared_start: bool = False
) -> np.ndarray:
    """Returns uint8 [N, H, W, 3]: the samples' sources, noised to step ``first_k`` and denoised from there.

    At ``first_k`` = 0 they are only encoded and decoded. The noise is what a sample without a source would start from;
    with ``shared_start`` that of sample 0 of the prompt. Errors: those of ``source_latents``.
    """
    x = source_latents(policy, samples, noise)
    if first_k:
        draws = NoiseSource(policy, noise, samples, shared_start)
        tau = policy.schedule.tau[first_k].expand(len(samples))
        x = policy.schedule.add_noise(x, draws.start(), tau)
        cond = policy.encode([s.prompt for s in samples])
        for visit in rollout(policy, cond, x, draws.z, first_k):
            x = visit.x
    return to_uint8(policy.decoder(x))
