"""Counts the work of a run: evaluations of the UNet or transformer, and calls of the reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GRADIENT = {"lora": 2.2, "full": 3.07, "latents": 2.2}
"""The cost of an evaluation with gradient in forward passes, its own forward pass included.

The gradient is with respect to an adapter, every weight, or the latents alone (the guidance of TailorPO-G). Each value
is a ratio of counted FLOPs (matrix products, convolutions and fused attention) of SD 1.5's UNet at 64 x 64 latents:
2.21, 3.07 and 2.23 (tests/diffusion/test_cost.py counts them). SDXL has 2.14, 3.05 and 2.17, so these constants are at
most 3 % too high there. SD 3.5 medium has 2.53, 3.19 and 2.57, since attention is a larger share of its work: the
constants are 13 % too low there for an adapter, and 4 % for every weight.
"""
CHECKPOINTING = 0.74
"""Forward passes that gradient checkpointing adds to a gradient: it computes most of the forward pass again.

The same count gives 0.73 for an adapter, 0.74 for every weight and for the latents, and 0.76 to 0.77 on SDXL. The value
is below 1 because the last layer of a checkpointed block and the layers between blocks are not computed again. On
SD 3.5 medium, whose work is nearly all in checkpointed blocks, it is 1.00.
"""


@dataclass
class Cost:
    """Counters of computed work, per sample and not per call. One guided evaluation is two forwards of the network.

    Each process counts its own work; ``pairs`` counts the pairs of the whole rollout in every process.
    """

    unet_evals: int = 0  # guided evaluations without gradient
    unet_grads: int = 0  # guided evaluations with gradient
    reward_calls: int = 0  # a gradient through the reward counts as one call
    pairs: int = 0
    plain_evals: int = 0  # evaluations without guidance and without gradient: one forward each
    plain_grads: int = 0  # evaluations without guidance, with gradient
    latent_forwards: int = 0  # forwards with gradient for the latents alone; included in the counters above
    checkpointed_forwards: int = 0  # forwards with gradient checkpointing; included in the counters above
    eval_forwards: int = 0  # forwards of evaluations during training and of an ensemble's calibration

    def add(self, rows: int, guided: bool, gradient: bool, of_latents: bool, checkpointed: bool) -> None:
        """Counts one evaluation of ``rows`` samples; ``of_latents`` and ``checkpointed`` are about its gradient."""
        name = ("unet" if guided else "plain") + ("_grads" if gradient else "_evals")
        setattr(self, name, getattr(self, name) + rows)
        forwards = rows * (2 if guided else 1)
        if gradient and of_latents:
            self.latent_forwards += forwards
        if gradient and checkpointed:
            self.checkpointed_forwards += forwards

    @property
    def forwards(self) -> int:
        """The forward passes of the network without gradient."""
        return 2 * self.unet_evals + self.plain_evals + self.eval_forwards

    def nfe(self, finetune: str) -> float:
        """Returns all network work in guided evaluations, to two decimals; ``finetune`` is lora or full.

        An evaluation without guidance counts one half. The decoder and the reward are not included.
        """
        of_weights = 2 * self.unet_grads + self.plain_grads - self.latent_forwards
        gradients = GRADIENT[finetune] * of_weights + GRADIENT["latents"] * self.latent_forwards
        return round((self.forwards + gradients + CHECKPOINTING * self.checkpointed_forwards) / 2, 2)


def sum_costs(costs: Sequence[dict[str, int]]) -> Cost:
    """Returns the total Cost of all processes of a run; each is given as a dictionary of its fields."""
    total = {name: sum(cost[name] for cost in costs) for name in costs[0]}
    return Cost(**{**total, "pairs": costs[0]["pairs"]})
