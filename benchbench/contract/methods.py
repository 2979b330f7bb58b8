"""The contract of a method, tried out on the shapes model: with a reward that needs no weights, or on drawn pairs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchbench.api import Method, MethodConfig, OfflineMethod, PairsConfig
from benchbench.contract.base import Check, need
from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.noise import Noise, Sample
from benchbench.pairs.open import RawPair
from benchbench.rewards import lookup
from benchbench.train.pair_batches import Reader
from benchbench.types import Batch, StepScorer

STEPS = 4
NOISE = Noise(0, "check")
SAMPLES = [Sample("a red circle", 0), Sample("a blue square", 1, 1)]


class _Trial:
    """Made once for all checks of one method."""

    def __init__(self, cls: Any) -> None:
        self.cls, self.cfg = cls, _fitting(cls.Config())
        backbone = backbones.load("shapes", "cpu")
        self.policy: Policy = make_policy(backbone, STEPS, 1.0, 5.0)
        add_lora(backbone.unet, 2, 2.0, seed=0)
        reward = _Judge() if "step_scorer" in cls.needs(self.cfg) else lookup.get("shapes-colour")()
        self.reward = StepReward(Decoder(backbone), reward, self.policy)

    def collect(self, samples: Sequence[Sample]) -> list[tuple[Batch, dict[str, Any]]]:
        method = self.cls()
        reader = Reader(method, self.cfg, _Drawn(), 0, self.policy.backbone) if _offline(self.cls) else None
        collect = reader.collect if reader else method.collect
        with torch.no_grad():
            found: Any = list(collect(self.policy, samples, self.reward, self.cfg, NOISE))
        self.reward.check([sample.prompt for sample in samples])
        if reader:
            reader.close()
        return found


class _Drawn:
    """Four pairs of noise in colour."""

    name, hash, skip_bad = "drawn", "0" * 64, False

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> RawPair:
        draw = np.random.default_rng(i)
        winner, loser = (Image.fromarray(draw.integers(0, 256, (32, 32, 3)).astype(np.uint8)) for _ in range(2))
        return RawPair(SAMPLES[i % 2].prompt, winner, loser)

    def captions(self) -> Iterator[str]:
        return (SAMPLES[i % 2].prompt for i in range(4))


def _offline(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, OfflineMethod)


class _Judge(StepScorer):
    """Steep brightness at any timestep."""

    name, version, unit, range, differentiable, weights = "judge", "1", "grey", (0.0, 100.0), True, "none"

    def score(self, images: Any, prompts: Any) -> torch.Tensor:
        raise AssertionError("training reads the differentiable path, and a method that comes here breaks that")

    def score_differentiable(self, images: torch.Tensor, prompts: Any) -> torch.Tensor:
        return 100 * images.flatten(1).mean(1)

    def score_at(self, images: torch.Tensor, prompts: Any, tau: torch.Tensor) -> torch.Tensor:
        return self.score_differentiable(images, prompts)


def _fitting(cfg: Any) -> Any:
    """The defaults, with trained steps that a sampler of four steps visits, and every pair valid."""
    changes: dict[str, Any] = {"steps": "all"} if isinstance(getattr(cfg, "steps", None), tuple) else {}
    if hasattr(cfg, "threshold"):
        changes["threshold"] = 0.0
    return type(cfg).model_validate({**cfg.model_dump(), **changes})


def checks(name: str, cls: Any) -> Iterator[Check]:
    """The checks in order."""

    def described() -> None:
        need(isinstance(cls, type) and issubclass(cls, Method), "it is not a subclass of Method")
        need(getattr(cls, "name", None) == name, f"its name is {getattr(cls, 'name', None)!r}, not {name!r}")
        need(getattr(cls, "paper", ""), "it names no paper")
        need((cls.__doc__ or "").strip(), "it has no docstring")

    def settings() -> None:
        kind: Any = getattr(cls, "Config", None)
        need(isinstance(kind, type) and issubclass(kind, MethodConfig), "its Config is not a MethodConfig")
        plain = [key for key, field in kind.model_fields.items() if not field.description]
        need(not plain, f"settings without a description that names their origin: {', '.join(plain)}")
        cfg = kind()
        again = kind.model_validate(json.loads(cfg.model_dump_json()))
        need(again == cfg, "its defaults are not the same after JSON")
        need(isinstance(cls.needs(cfg), frozenset), "needs() returns no frozenset")
        need(cls.images(cfg) >= 1, "images() is not a positive number")
        if getattr(cls, "data", "") == "offline":
            need(issubclass(cls, OfflineMethod), "it says offline, and is no OfflineMethod")
            need(issubclass(kind, PairsConfig), "its Config is not a PairsConfig")

    yield "class attributes", described
    yield "settings", settings
    if getattr(cls, "data", "") == "online" or _offline(cls):
        yield from _tried(cls)


def _tried(cls: Any) -> Iterator[Check]:
    """Collecting and learning, on two samples."""
    made: list[_Trial] = []
    first: list[tuple[Batch, dict[str, Any]]] = []

    def collects() -> None:
        made.append(_Trial(cls))
        first.extend(made[0].collect(SAMPLES))
        need(first, "collect() yields nothing")
        for item in first:
            need(isinstance(item, tuple) and len(item) == 2, "collect() must yield (Batch, metrics)")
            need(isinstance(item[0], Batch), f"{type(item[0]).__name__} is no Batch")
            need(len(item[0]) > 0, "a Batch has no rows")
            _numbers(item[1])
        parameters = made[0].policy.parameters()
        need(all(p.grad is None for p in parameters), "collect() leaves gradients on the parameters")

    def repeats() -> None:
        again = made[0].collect(SAMPLES)
        need(len(again) == len(first), "the same noise gives another number of batches")
        same = all(_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
        need(same, "the same noise gives another batch: take every random number from `noise`")

    def learns() -> None:
        batch, policy = first[0][0], made[0].policy
        loss, metrics = cls().loss(policy, batch, made[0].cfg, NOISE)
        need(loss.shape == () and bool(loss.isfinite()), f"the loss is {loss}, not a finite scalar")
        _numbers(metrics)
        gradients = torch.autograd.grad(loss, policy.parameters(), allow_unused=True)
        total = sum(float(g.abs().sum()) for g in gradients if g is not None)
        need(0 < total < float("inf"), f"the gradient on the adapter is {total}")

    def splits() -> None:
        batch, policy = first[0][0], made[0].policy
        if len(batch) < 2:
            return
        with torch.no_grad():
            whole = float(cls().loss(policy, batch, made[0].cfg, NOISE)[0])
            cut = len(batch) // 2
            parts = [(rows, cls().loss(policy, rows, made[0].cfg, NOISE)[0]) for rows in (batch[:cut], batch[cut:])]
        mean = sum(len(rows) * float(loss) for rows, loss in parts) / len(batch)
        need(
            abs(whole - mean) <= 1e-4 * max(1.0, abs(whole)),
            f"the loss is {whole:.6g}, of its halves {mean:.6g}: no mean",
        )

    def starts() -> None:
        batch, policy = first[0][0], made[0].policy
        wanted = cls.loss_at_start(made[0].cfg)
        if wanted is None:
            return
        with torch.no_grad():
            loss = float(cls().loss(policy, batch, made[0].cfg, NOISE)[0])
        need(abs(loss - wanted) <= 1e-3, f"at the reference the loss is {loss:.6g}, loss_at_start says {wanted:.6g}")

    def keeps() -> None:
        method = cls()
        state = json.loads(json.dumps(method.state()))
        method.load_state(state)
        need(json.loads(json.dumps(method.state())) == state, "load_state(state()) changes the state")

    yield "collect yields batches and leaves no gradient", collects
    if not first:
        return
    yield "the same noise collects the same batch", repeats
    yield "a finite loss with a gradient on the adapter", learns
    yield "the loss is a mean over rows, however they are split", splits
    yield "state survives JSON", keeps
    if _offline(cls):
        yield "the loss at the reference is the one that it names", starts


def _numbers(metrics: Any) -> None:
    bad = [name for name, value in metrics.items() if not torch.isfinite(torch.as_tensor(value)).all()]
    need(not bad, f"metrics that are not finite numbers: {', '.join(bad)}")


def _equal(a: Any, b: Any) -> bool:
    pairs = [(value, vars(b)[name]) for name, value in vars(a).items() if isinstance(value, torch.Tensor)]
    return all(torch.equal(one, other) for one, other in pairs)
