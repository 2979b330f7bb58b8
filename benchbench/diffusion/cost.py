"""Counts what a run computes: evaluations of the UNet and calls of the reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GRADIENT = {"lora": 2.2, "full": 3.07, "latents": 2.2}
"""Forward passes that an evaluation with gradient costs, its own forward pass included.

The gradient is of an adapter's weights, of every weight, or of the latents alone (the guidance of TailorPO-G). Each is
a ratio of counted FLOPs, matrix products, convolutions and fused attention, on SD 1.5's UNet at 64 x 64 latents
(tests/diffusion/test_cost.py counts them again): 2.21, 3.07 and 2.23. SDXL's are 2.14, 3.05 and 2.17, so that these
constants are at most 3 % too high there.
"""
CHECKPOINTING = 0.74
"""Forward passes that gradient checkpointing adds to a gradient: it works out most of the forward pass again.

Counted in the same way: 0.73 with an adapter, 0.74 with every weight and for the latents; on SDXL 0.76 to 0.77. It is
less than 1 because neither the last layer of a checkpointed block nor the layers between blocks are worked out again.
"""


@dataclass
class Cost:
    """Counters of computed work, per sample and not per call. One guided evaluation is two forwards of the UNet.

    Each of several processes counts what it computes itself; pairs are those of the whole rollout, on every process.
    """

    unet_evals: int = 0  # guided evaluations without gradient
    unet_grads: int = 0  # guided evaluations with gradient
    reward_calls: int = 0  # a gradient through the reward is a call
    pairs: int = 0
    plain_evals: int = 0  # evaluations without guidance and without gradient: one forward each
    plain_grads: int = 0  # evaluations without guidance, with gradient
    latent_forwards: int = 0  # forwards among those with gradient whose gradient is of the latents alone
    checkpointed_forwards: int = 0  # forwards among those with gradient that ran under gradient checkpointing
    eval_forwards: int = 0  # forwards of fixed evaluations and of an ensemble's calibration

    def add(self, rows: int, guided: bool, gradient: bool, of_latents: bool, checkpointed: bool) -> None:
        """Counts one evaluation of each of ``rows`` samples; the last two are about its gradient, if it has one."""
        name = ("unet" if guided else "plain") + ("_grads" if gradient else "_evals")
        setattr(self, name, getattr(self, name) + rows)
        forwards = rows * (2 if guided else 1)
        if gradient and of_latents:
            self.latent_forwards += forwards
        if gradient and checkpointed:
            self.checkpointed_forwards += forwards

    @property
    def forwards(self) -> int:
        """Forward passes of the UNet without gradient."""
        return 2 * self.unet_evals + self.plain_evals + self.eval_forwards

    def nfe(self, finetune: str) -> float:
        """All of it as guided evaluations of the UNet, to two decimals; ``finetune`` is lora or full.

        An evaluation without guidance is a half. The decoder and the reward are not in it.
        """
        of_weights = 2 * self.unet_grads + self.plain_grads - self.latent_forwards
        gradients = GRADIENT[finetune] * of_weights + GRADIENT["latents"] * self.latent_forwards
        return round((self.forwards + gradients + CHECKPOINTING * self.checkpointed_forwards) / 2, 2)


def summed(each: Sequence[dict[str, int]]) -> Cost:
    """Adds up the Cost of all processes of a run, each given as a dictionary of its fields."""
    total = {name: sum(one[name] for one in each) for name in each[0]}
    return Cost(**{**total, "pairs": each[0]["pairs"]})
