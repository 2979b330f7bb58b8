"""SFT: the denoising loss on the preferred images, the baseline of Diffusion-DPO's released code (``--sft``)."""

from __future__ import annotations

import torch

from benchbench.api import Images, Metrics, Noise, OfflineMethod, PairsConfig, Policy, mse, noised


class SFTConfig(PairsConfig):
    """Settings; the defaults are those of the released code, equal to Diffusion-DPO's."""


class SFT(OfflineMethod[SFTConfig]):
    """The denoising loss on the preferred images.

    1. Noise the winner of a pair; 2. predict its noise.
    """

    name = "sft"
    paper = "arXiv:2311.12908, its baseline"
    images_per_sample = 1
    Config = SFTConfig

    @classmethod
    def winners(cls, cfg: SFTConfig) -> float:
        """Returns 1: all images are winners."""
        return 1.0

    def loss(self, policy: Policy, batch: Images, cfg: SFTConfig, noise: Noise) -> tuple[torch.Tensor, Metrics]:
        """Returns the mean of m_w over images."""
        x, tau, target = noised(policy, batch.x, batch.draw, noise)
        m = mse(policy.predict(x, tau, batch.cond), target).mean()
        return m, {"mse_w": m.detach()}
