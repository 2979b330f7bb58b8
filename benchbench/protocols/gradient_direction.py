"""Gradient direction: does a method's update move the denoising mean towards the preferred sample?

TailorPO, arXiv:2502.01667, section 3.2-3.3, argues from the gradient of the loss, with J the Jacobian of mu in theta,

    D3PO (two inputs)       -grad L ~ J(x_t^w)^T (x_{t-1}^w - mu(x_t^w)) - J(x_t^l)^T (x_{t-1}^l - mu(x_t^l))
    TailorPO (one input)    -grad L ~ J(x_t)^T (x_{t-1}^w - x_{t-1}^l)

that the second points to the preferred sample and the first need not, but measures neither. We measure what an update
does. We take one pair as the method collects and labels it, and its loss, move theta by a small gradient step
g = -grad L, and take the change of mu by a central difference,

    d(x) = (mu(x; theta + h g) - mu(x; theta - h g)) / 2h  ->  J(x) g   as h -> 0,

which at TailorPO's shared input is J J^T (x^w - x^l) up to a positive factor. Cosines are over the latent dimensions:

    cosine       cos( d(x_t^w), x_{t-1}^w - x_{t-1}^l )          towards the winner, away from the loser
    cosine_l     the same change at the loser's input, d(x_t^l)   (for TailorPO the same number)
    cosine_noise cos( d(x_t^w), (x^w - mu(x_t^w)) - (x^l - mu(x_t^l)) )   without the difference of the inputs
    winner_up    1 if the log-probability of x_{t-1}^w rises to first order: d(x_t^w) . (x_{t-1}^w - mu(x_t^w)) > 0
    loser_down   1 if the log-probability of x_{t-1}^l falls
    distance     |x_t^w - x_t^l| / |x_{t-1}^w - x_{t-1}^l|        how different the inputs are

* Since x̂0 and mu are both affine in the predicted noise with coefficients of one sign, the change of x̂0 has the same
  cosines. The loss's factor, its beta and the mean or sum of log-probabilities change the length of g, and no cosine.
* For one shared input J J^T is positive semi-definite, so ``cosine`` is never negative: we measure how far it is
  above 0. The margin log p(w) - log p(l) rises for every method, by construction; winner_up and loser_down
  show in which way.
* A random direction has a cosine of 0 +- 1/sqrt(D), D the latent dimensions (256 on shapes, 16384 for SD 1.x).
* By the setting ``parameters``, theta is a LoRA as methods train it (in a fresh one only B moves, since A has no
  gradient while B = 0), or all weights of the network. We measure in float32: in half precision, rounding is as large
  as the step.
* Adam's first step is the sign of the gradient. The paper speaks of the gradient itself, and so we use that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Literal

import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity

from benchbench import registry
from benchbench.api import Method
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy
from benchbench.errors import UsageError
from benchbench.noise import Sample
from benchbench.protocols.base import ProtocolCost, Target
from benchbench.protocols.states import Probe, StateProtocol, StateSettings, identity
from benchbench.protocols.step_table import TableStyle, ValueRow, step_table
from benchbench.report.table import Table
from benchbench.runtime.code import code_sha256
from benchbench.runtime.memory import Splitter, recompute_activations
from benchbench.types import StepPairs

STEP = 1e-3  # |h g| / |theta|; central differences err by its square, and float32 rounds 1e4 times finer
RANK, ALPHA = 4, 4.0  # of a fresh adapter, as in training
VALUES = ("cosine", "cosine_l", "cosine_noise", "winner_up", "loser_down", "distance")


class DirectionSettings(StateSettings):
    """The settings of the protocol; ``states`` counts walks, each with one pair per step."""

    states: int = Field(100, ge=1, description="walks of each method [ours]")
    method: str = Field("tailorpo", description="whose pairs and loss: a method that trains on step pairs")
    parameters: Literal["lora", "all"] = Field("lora", description="a LoRA, or all weights of the network")


class GradientDirection(StateProtocol[DirectionSettings]):
    """Cosine of an update's change of the denoising mean with the direction to the preferred sample."""

    name = "gradient-direction"
    title = "Gradient direction"
    paper = "arXiv:2502.01667, sections 3.2 and 3.3"
    dtype = "fp32"
    compared = ("method", ("d3po", "tailorpo"))
    Settings = DirectionSettings
    quick = DirectionSettings(states=6, steps=(20, 12, 4))

    def check_target(self, target: Target, settings: DirectionSettings) -> None:
        """Raises UsageError for a method without step pairs, or whose needs the reward does not meet."""
        method = registry.get("methods", settings.method)
        if "steps" not in method.Config.model_fields or "beta" not in method.Config.model_fields:
            raise UsageError(
                f"{settings.method} has no pairs of denoising steps",
                "the protocol looks at the loss of one pair at one step",
                "use d3po, tailorpo or another method that trains on step pairs",
            )
        cfg = self._config(method, settings)
        if "reward_gradient" in method.needs(cfg) and not target.reward.differentiable:
            raise UsageError(
                f"{settings.method} needs a differentiable reward, and {target.reward.name} is not",
                "it follows the gradient of the reward",
                "choose another: bench list rewards",
            )

    def key_settings(self, settings: DirectionSettings) -> dict[str, Any]:
        """Returns the settings that decide the stored rows, and for a plug-in method the hash of its code."""
        key, code = super().key_settings(settings), code_sha256(registry.get("methods", settings.method))
        return {**key, "code": code} if code else key

    def _config(self, method: type[Method[Any]], settings: DirectionSettings) -> Any:
        return method.Config.model_validate({"steps": settings.steps})

    def measure_states(self, probe: Probe, samples: Sequence[Sample], settings: DirectionSettings) -> pd.DataFrame:
        """Returns a row per pair; a tie gives none. Collects one walk at a time, so that a pair's prompt is known."""
        method: Method[Any] = registry.get("methods", settings.method)()
        cfg = self._config(type(method), settings)
        policy, network = probe.policy, probe.policy.backbone.network
        _select_parameters(network, settings)
        rows = []
        splitter = Splitter(
            "in the gradient of a pair", row="pair", graph=True, last_resort=lambda: recompute_activations(network)
        )

        def measure_pair(pair: StepPairs) -> dict[str, float]:
            with policy.attempt():
                loss, _ = method.loss(policy, pair, cfg, probe.noise)
                return direction(policy, pair, loss)

        for sample in samples:
            with torch.no_grad():
                batches = [batch for batch, _ in method.collect(policy, [sample], probe.step_reward, cfg, probe.noise)]
            for batch in batches:
                assert isinstance(batch, StepPairs)
                for i in range(len(batch)):
                    pair = batch[i : i + 1]
                    if float(pair.weight):
                        values = splitter.with_restarts(partial(measure_pair, pair), 1)
                        rows.append(identity([sample], int(pair.k)).assign(**values))
        columns = ["prompt_index", "prompt", "sample", "k", *VALUES]
        return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)

    def cost(self, settings: DirectionSettings, steps: int) -> ProtocolCost:
        """Returns an upper bound (no ties). TailorPO looks ahead from two candidates per step and goes on from one."""
        pairs, n = len(settings.steps), settings.states
        two_walks = settings.method not in ("tailorpo", "tailorpo-g")
        inputs = 2 if two_walks else 1  # of a pair, in the loss
        walked = 2 * steps if two_walks else steps + sum(k > 1 for k in settings.steps)
        calls = 2 if two_walks else 2 * pairs
        evals = walked + pairs * (inputs + 6)  # reference; mu at both inputs, at theta and on either side
        gradient = "full" if settings.parameters == "all" else "lora"
        return ProtocolCost(n * evals, n * pairs * inputs, n * calls, n * calls, gradient)

    def make_table(self, frames: Mapping[str, pd.DataFrame], settings: DirectionSettings, style: TableStyle) -> Table:
        """Returns the table with rows ``d3po`` (the cosine), ``d3po: share positive`` and the module's other values."""
        value_rows = [
            ValueRow("cosine"),
            ValueRow("positive", "share positive", share=True),
            ValueRow("cosine_l", "at the loser's input"),
            ValueRow("cosine_noise", "to the noises' difference"),
            ValueRow("winner_up", "winner up", share=True),
            ValueRow("loser_down", "loser down", share=True),
            ValueRow("distance", "distance of inputs"),
        ]
        caption = (
            f"{style.about}"
            f"Mean cosine between what a gradient step on one pair's loss does to the denoising mean at "
            f"the preferred sample's input and the direction from the dispreferred to the preferred sample, up to "
            f"{settings.states} pairs a step, {'LoRA' if settings.parameters == 'lora' else 'all'} parameters; share "
            f"above 0; the same at the loser's input; against the difference of the two noises; shares of pairs whose "
            f"winner's probability rises and whose loser's falls; distance of the inputs over that of the outputs."
        )
        return step_table(
            {row: frame.assign(positive=(frame.cosine > 0).astype(float)) for row, frame in frames.items()},
            value_rows,
            title=self.title,
            caption=caption,
            style=style,
        )


def _select_parameters(network: Any, settings: DirectionSettings) -> None:
    """Lets theta require gradients: all weights, the LoRA that the network has, or a fresh one."""
    if settings.parameters == "all":
        network.requires_grad_(True)
    elif not getattr(network, "peft_config", None):
        add_lora(network, RANK, ALPHA, settings.seed)
    else:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_("lora_" in name)


def direction(policy: Policy, pair: StepPairs, loss: Tensor) -> dict[str, float]:
    """Returns the values that the module's docstring defines, for one pair; restores the parameters.

    Raises UsageError if the loss has no gradient.
    """
    parameters = policy.parameters()
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    g = [-part if part is not None else torch.zeros_like(p) for part, p in zip(gradients, parameters, strict=True)]
    g_norm = torch.stack([part.double().norm() for part in g]).norm()
    if not float(g_norm):
        raise UsageError(
            "the loss of a pair has no gradient",
            "both of its ratios are clamped, as they may be for a trained adapter",
            "measure the base model, or a run nearer to it",
        )
    theta_norm = torch.stack([p.detach().double().norm() for p in parameters]).norm()
    h = float(STEP * theta_norm / g_norm)

    @torch.no_grad()
    def mu() -> Tensor:
        step = policy.step(torch.cat([pair.x_w, pair.x_l]), pair.k.repeat(2), pair.cond.repeat(2))
        return step.mean

    with torch.no_grad():
        mean = mu()
        with moved(parameters, g, h):
            ahead = mu()
        with moved(parameters, g, -h):
            behind = mu()
    d_w, d_l = ((ahead - behind) / (2 * h)).double().flatten(1)
    noise_w, noise_l = (torch.cat([pair.next_w, pair.next_l]) - mean).double().flatten(1)
    to_w = (pair.next_w - pair.next_l).double().flatten()
    distance = (pair.x_w - pair.x_l).double().norm() / to_w.norm()
    values = {
        "cosine": cosine_similarity(d_w, to_w, dim=0),
        "cosine_l": cosine_similarity(d_l, to_w, dim=0),
        "cosine_noise": cosine_similarity(d_w, noise_w - noise_l, dim=0),
        "winner_up": (d_w @ noise_w > 0).double(),
        "loser_down": (d_l @ noise_l < 0).double(),
        "distance": distance,
    }
    return {name: float(value) for name, value in values.items()}


@contextmanager
def moved(parameters: Sequence[torch.nn.Parameter], g: Sequence[Tensor], h: float) -> Iterator[None]:
    """Sets the parameters to theta + h g inside the block, and restores every bit of them after it."""
    before = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for p, part in zip(parameters, g, strict=True):
            p.add_(part, alpha=h)
        try:
            yield
        finally:
            for p, old in zip(parameters, before, strict=True):
                p.copy_(old)
