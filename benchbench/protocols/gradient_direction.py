"""Gradient direction: does a method's update move the denoising mean towards the preferred sample?

TailorPO, arXiv:2502.01667, section 3.2-3.3, argues from the gradient of the loss, with J the Jacobian of mu in theta,

    D3PO (two inputs)       -grad L ~ J(x_t^w)^T (x_{t-1}^w - mu(x_t^w)) - J(x_t^l)^T (x_{t-1}^l - mu(x_t^l))
    TailorPO (one input)    -grad L ~ J(x_t)^T (x_{t-1}^w - x_{t-1}^l)

that the second points to the preferred sample and the first need not, but measures neither. We measure what the update
does: for one real pair of the method (its own ``collect``, at its own labels) and its own loss, theta is moved by a
small gradient step g = -grad L, and the change of mu is taken by a central difference,

    d(x) = (mu(x; theta + h g) - mu(x; theta - h g)) / 2h  ->  J(x) g   as h -> 0,

which at TailorPO's shared input is J J^T (x^w - x^l) up to a positive factor. Over the latent dimensions:

    cosine       cos( d(x_t^w), x_{t-1}^w - x_{t-1}^l )          towards the preferred sample, away from the other
    cosine_l     the same change at the loser's input, d(x_t^l)   (TailorPO: the same number)
    cosine_noise cos( d(x_t^w), (x^w - mu(x_t^w)) - (x^l - mu(x_t^l)) )   without the difference of the inputs
    winner_up    1 if the log-probability of x_{t-1}^w rises to first order: d(x_t^w) . (x_{t-1}^w - mu(x_t^w)) > 0
    loser_down   1 if that of x_{t-1}^l falls
    distance     |x_t^w - x_t^l| / |x_{t-1}^w - x_{t-1}^l|        how different the inputs are

* Since x̂0 and mu are both affine in the predicted noise with coefficients of one sign, the change of x̂0 has the same
  cosines. The loss's factor, its beta and the mean or sum of log-probabilities change the length of g and no cosine.
* For one shared input J J^T is positive semi-definite, so ``cosine`` is never negative there: what is measured is how
  far from 0 the network lets it be. The margin log p(w) - log p(l) rises for every method, by construction; winner_up
  and loser_down say how it does.
* A random direction has a cosine of 0 +- 1/sqrt(D), D the latent dimensions (256 on shapes, 16384 for SD 1.x).
* theta is a LoRA as methods train it (a fresh one moves by its B alone, since A gets no gradient while B = 0), or all
  weights of the UNet: ``parameters``. Measured in float32: rounding in half precision is as large as the step.
* Adam's first step is the sign of the gradient and not the gradient; the paper speaks of the gradient, and so do we.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
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
from benchbench.protocols.measurement import Price, Published, Target
from benchbench.protocols.states import Probe, StateMeasurement, StateSettings, identity
from benchbench.protocols.step_table import Shown, said, step_table
from benchbench.report.table import Table
from benchbench.runtime.memory import Splitter, recompute_activations
from benchbench.stats.intervals import LEVEL
from benchbench.types import StepPairs

STEP = 1e-3  # |h g| / |theta|: central differences err by its square, float32 rounding is 1e4 times smaller than it
RANK, ALPHA = 4, 4.0  # of a fresh adapter, as in training


class DirectionSettings(StateSettings):
    """``states`` counts walks, each with a pair a step and method."""

    states: int = Field(100, ge=1, description="walks of each method [ours]")
    method: str = Field("tailorpo", description="whose pairs and loss: a method that trains on step pairs")
    parameters: Literal["lora", "all"] = Field("lora", description="a LoRA, or all weights of the UNet")


class GradientDirection(StateMeasurement[DirectionSettings]):
    """Cosine of an update's change of the denoising mean with the direction to the preferred sample."""

    name = "gradient-direction"
    title = "Gradient direction"
    paper = "arXiv:2502.01667, sections 3.2 and 3.3"
    dtype = "fp32"
    compared = ("method", ("d3po", "tailorpo"))
    Settings = DirectionSettings
    quick = DirectionSettings(states=6, steps=(20, 12, 4))

    def refuse(self, aim: Target, settings: DirectionSettings) -> None:
        method = registry.get("methods", settings.method)
        if "steps" not in method.Config.model_fields or "beta" not in method.Config.model_fields:
            raise UsageError(
                f"{settings.method} has no pairs of denoising steps",
                "the protocol looks at the loss of one pair at one step",
                "use d3po, tailorpo or another method that trains on step pairs",
            )
        cfg = self._config(method, settings)
        if "reward_gradient" in method.needs(cfg) and not aim.reward.differentiable:
            raise UsageError(
                f"{settings.method} needs a differentiable reward, and {aim.reward.name} is not",
                "it follows the gradient of the reward",
                "choose another: bench list rewards",
            )

    def _config(self, method: type[Method[Any]], settings: DirectionSettings) -> Any:
        return method.Config.model_validate({"steps": settings.steps})

    def look(self, probe: Probe, samples: Sequence[Sample], settings: DirectionSettings) -> pd.DataFrame:
        """One walk at a time, so that a pair is known to be of its prompt; a tie gives no row."""
        method: Method[Any] = registry.get("methods", settings.method)()
        cfg = self._config(type(method), settings)
        policy, unet = probe.policy, probe.policy.backbone.network
        if settings.parameters == "all":
            unet.requires_grad_(True)
        elif not getattr(unet, "peft_config", None):
            add_lora(unet, RANK, ALPHA, settings.seed)
        else:
            for name, parameter in unet.named_parameters():
                parameter.requires_grad_("lora_" in name)
        rows = []
        fits = Splitter(
            "in the gradient of a pair", row="pair", graph=True, further=lambda: recompute_activations(unet)
        )

        def measured(pair: StepPairs) -> dict[str, float]:
            with policy.attempt():
                loss, _ = method.loss(policy, pair, cfg, probe.noise)
                return direction(policy, pair, loss)

        for sample in samples:
            with torch.no_grad():
                batches = [batch for batch, _ in method.collect(policy, [sample], probe.judge, cfg, probe.noise)]
            for batch in batches:
                assert isinstance(batch, StepPairs)
                for i in range(len(batch)):
                    pair = batch[i : i + 1]
                    if float(pair.weight):
                        values = fits.again(lambda pair=pair: measured(pair), 1)  # type: ignore[misc]
                        rows.append(identity([sample], int(pair.k)).assign(**values))
        columns = ["prompt_index", "prompt", "sample", "k", *VALUES]
        return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=columns)

    def cost(self, settings: DirectionSettings, steps: int) -> Price:
        """An upper bound (no ties), with the look-aheads of TailorPO: two candidates a step, one of which goes on."""
        pairs, n = len(settings.steps), settings.states
        two = settings.method != "tailorpo" and settings.method != "tailorpo-g"
        inputs = 2 if two else 1  # of a pair, in the loss
        walked = 2 * steps if two else steps + sum(k > 1 for k in settings.steps)
        calls = 2 if two else 2 * pairs
        evals = walked + pairs * (inputs + 6)  # the reference, then mu at both inputs: at theta and on either side
        gradient = "full" if settings.parameters == "all" else "lora"
        return Price(n * evals, n * pairs * inputs, n * calls, n * calls, gradient)

    def table(
        self,
        frames: Mapping[str, pd.DataFrame],
        settings: DirectionSettings,
        about: str = "",
        *,
        name: str | None = None,
        published: Published | None = None,
        quick: bool = False,
        level: float = LEVEL,
    ) -> Table:
        """Rows ``d3po`` (the cosine), ``d3po: share positive`` and the other values of the module's table."""
        shown = [
            Shown("cosine"),
            Shown("positive", "share positive", share=True),
            Shown("cosine_l", "at the loser's input"),
            Shown("cosine_noise", "to the noises' difference"),
            Shown("winner_up", "winner up", share=True),
            Shown("loser_down", "loser down", share=True),
            Shown("distance", "distance of inputs"),
        ]
        caption = (
            f"{said(about)}Mean cosine between what a gradient step on one pair's loss does to the denoising mean at "
            f"the preferred sample's input and the direction from the dispreferred to the preferred sample, up to "
            f"{settings.states} pairs a step, {'LoRA' if settings.parameters == 'lora' else 'all'} parameters; share "
            f"above 0; the same at the loser's input; against the difference of the two noises; shares of pairs whose "
            f"winner's probability rises and whose loser's falls; distance of the inputs over that of the outputs."
        )
        return step_table(
            {row: frame.assign(positive=(frame.cosine > 0).astype(float)) for row, frame in frames.items()},
            shown,
            name=name or self.name,
            title=self.title,
            caption=caption,
            published=published,
            quick=quick,
            level=level,
        )


VALUES = ("cosine", "cosine_l", "cosine_noise", "winner_up", "loser_down", "distance")


def direction(policy: Policy, pair: StepPairs, loss: Tensor) -> dict[str, float]:
    """The values of the module's table for one pair, a Batch of one row; the parameters are left as they were.

    Errors: UsageError where the loss has no gradient.
    """
    parameters = policy.parameters()
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    g = [-part if part is not None else torch.zeros_like(p) for part, p in zip(found, parameters, strict=True)]
    length = torch.stack([part.double().norm() for part in g]).norm()
    if not float(length):
        raise UsageError(
            "the loss of a pair has no gradient",
            "both of its ratios are clamped, as they may be for a trained adapter",
            "measure the base model, or a run nearer to it",
        )
    size = torch.stack([p.detach().double().norm() for p in parameters]).norm()
    h = float(STEP * size / length)

    @torch.no_grad()
    def mu() -> Tensor:
        step = policy.step(torch.cat([pair.x_w, pair.x_l]), pair.k.repeat(2), pair.cond.repeat(2))
        return step.mean

    with torch.no_grad():
        here = mu()
        with moved(parameters, g, h):
            ahead = mu()
        with moved(parameters, g, -h):
            behind = mu()
    d_w, d_l = ((ahead - behind) / (2 * h)).double().flatten(1)
    noise_w, noise_l = (torch.cat([pair.next_w, pair.next_l]) - here).double().flatten(1)
    to_w = (pair.next_w - pair.next_l).double().flatten()
    apart = (pair.x_w - pair.x_l).double().norm() / to_w.norm()
    values = {
        "cosine": cosine_similarity(d_w, to_w, dim=0),
        "cosine_l": cosine_similarity(d_l, to_w, dim=0),
        "cosine_noise": cosine_similarity(d_w, noise_w - noise_l, dim=0),
        "winner_up": (d_w @ noise_w > 0).double(),
        "loser_down": (d_l @ noise_l < 0).double(),
        "distance": apart,
    }
    return {name: float(value) for name, value in values.items()}


@contextmanager
def moved(parameters: Sequence[torch.nn.Parameter], g: Sequence[Tensor], h: float) -> Iterator[None]:
    """The parameters at theta + h g within the block, and bit for bit as before after it."""
    before = [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for p, part in zip(parameters, g, strict=True):
            p.add_(part, alpha=h)
        try:
            yield
        finally:
            for p, old in zip(parameters, before, strict=True):
                p.copy_(old)
