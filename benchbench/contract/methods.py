"""Checks of a method's contract. It collects and learns on the shapes model, with a built-in reward or random pairs."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchbench import config, defaults, presets, registry
from benchbench.api import Method, MethodConfig, OfflineMethod, PairsConfig
from benchbench.contract.base import Check, NotRun, expect
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

STEPS = 4  # of the sampler
NOISE = Noise(0, "check")
SAMPLES = [Sample("a red circle", 0), Sample("a blue square", 1, 1)]


def checks(name: str, cls: Any) -> Iterator[Check]:
    """Yields the checks of the method ``name``, to be run in this order: collect gives the others their batches."""
    yield "class attributes", lambda: _check_attributes(name, cls)
    yield "settings", lambda: _check_settings(cls)
    yield "presets", lambda: _check_presets(name, cls)
    yield from _TrainingChecks(cls).checks()


def _check_attributes(name: str, cls: Any) -> None:
    expect(isinstance(cls, type) and issubclass(cls, Method), "it is not a subclass of Method")
    absent = registry.missing_attributes("methods", cls)
    expect(not absent, f"class attributes are missing: {', '.join(absent)}")
    expect(cls.name == name, f"its name is {cls.name!r}, not {name!r}")
    expect(cls.paper, "it names no paper")
    expect((cls.__doc__ or "").strip(), "it has no docstring")


def _check_settings(cls: Any) -> None:
    config_class: Any = getattr(cls, "Config", None)
    is_config = isinstance(config_class, type) and issubclass(config_class, MethodConfig)
    expect(is_config, "its Config is not a MethodConfig")
    undescribed = [key for key, field in config_class.model_fields.items() if not field.description]
    expect(not undescribed, f"settings without a description that names their origin: {', '.join(undescribed)}")
    cfg = config_class()
    expect(
        config_class.model_validate(json.loads(cfg.model_dump_json())) == cfg,
        "its default settings change when they are written to JSON and read back",
    )
    expect(isinstance(cls.needs(cfg), frozenset), "needs() does not return a frozenset")
    expect(cls.images(cfg) >= 1, "images() is not a positive number")
    decays = [cls.old_decay(cfg, updates) for updates in (0, 1, 1000)]
    expect(all(0 <= decay <= 1 for decay in decays), "old_decay() is not a number from 0 to 1")
    if getattr(cls, "data", "") == "offline":
        expect(issubclass(cls, OfflineMethod), "its data is 'offline', but it is not an OfflineMethod")
        expect(issubclass(config_class, PairsConfig), "its Config is not a PairsConfig")


def _check_presets(name: str, cls: Any) -> None:
    ours = cls.__module__.startswith("benchbench.methods.")
    found = presets.all_presets(name)
    if found is None and not ours:
        raise NotRun(f"it has no preset file {presets.preset_file(name).name}, which a plug-in may have in presets/")
    expect(found, f"it has no presets in methods/presets/{presets.preset_file(name).name}")
    for preset in found or {}:
        config.load(name, defaults.embedded_model(preset), "shapes-colour", "shapes-simple", 1, 0, preset)


class _TrainingChecks:
    """Collects from two samples, and checks the batches and the loss on the first one."""

    def __init__(self, cls: Any) -> None:
        self.cls = cls
        self.trial: _Trial
        self.random = False
        self.collected: list[tuple[Batch, dict[str, Any]]] = []

    def checks(self) -> Iterator[Check]:
        yield "collect yields batches and leaves no gradient", self.check_collect
        yield "the same noise collects the same batches", self.check_repeatable
        yield "a finite loss with a gradient on the adapter", self.check_gradient
        yield "the same noise gives the same loss", self.check_random
        yield "the loss is a mean over rows, however they are split", self.check_mean_over_rows
        yield "state survives JSON", self.check_state
        if _is_offline(self.cls):
            yield "the loss of the untrained policy is loss_at_start", self.check_loss_at_start

    def check_collect(self) -> None:
        if not (isinstance(self.cls, type) and issubclass(self.cls, Method)) or not hasattr(self.cls, "Config"):
            raise NotRun("it needs a subclass of Method with a Config")
        if self.cls.data == "offline" and not _is_offline(self.cls):
            raise NotRun("its data is 'offline', but it is not an OfflineMethod")
        self.trial = _Trial(self.cls)
        self.collected.extend(self.trial.collect(SAMPLES))
        expect(self.collected, "collect() yields nothing")
        for item in self.collected:
            expect(isinstance(item, tuple) and len(item) == 2, "collect() must yield (Batch, metrics)")
            expect(isinstance(item[0], Batch), f"collect() yields {type(item[0]).__name__}, not a Batch")
            expect(len(item[0]) > 0, "a Batch has no rows")
            _check_metrics(item[1])
        parameters = self.trial.policy.parameters()
        expect(all(p.grad is None for p in parameters), "collect() leaves gradients on the parameters")

    def check_repeatable(self) -> None:
        self.require_batches()
        again = self.trial.collect(SAMPLES)
        expect(len(again) == len(self.collected), "the same noise gives another number of batches")
        same = all(_same_tensors(a[0], b[0]) for a, b in zip(self.collected, again, strict=True))
        expect(same, "the same noise gives other batches: take every random number from `noise`")

    def check_gradient(self) -> None:
        loss, metrics = self.loss(self.batch)
        expect(loss.shape == () and bool(loss.isfinite()), f"the loss is {loss}, not a finite scalar")
        _check_metrics(metrics)
        gradients = torch.autograd.grad(loss, self.trial.policy.parameters(), allow_unused=True)
        total = sum(float(g.abs().sum()) for g in gradients if g is not None)
        expect(0 < total < float("inf"), f"the gradient on the adapter sums to {total} in absolute value")

    def check_random(self) -> None:
        """A loss that draws random numbers of its own differs from call to call, and no resumed run repeats it."""
        batch, before = self.batch, _random_states()
        with torch.no_grad():
            first, second = (float(self.loss(batch)[0]) for _ in range(2))
        drawn = [name for name, state in _random_states().items() if state != before[name]]
        source = f" from {' and '.join(drawn)}" if drawn else ""
        self.random = bool(drawn) or repr(first) != repr(second)  # as text, two NaN are equal
        expect(
            not self.random,
            f"the loss takes random numbers{source} and gives {first:.6g}, then {second:.6g} for the same rows: take "
            "every random number from `noise`",
        )

    def check_mean_over_rows(self) -> None:
        if self.random:
            raise NotRun("the loss of the same rows changes from call to call")
        batch = self.batch
        if len(batch) < 2:
            return
        half = len(batch) // 2
        with torch.no_grad():
            whole = float(self.loss(batch)[0])
            weighted = [len(rows) * float(self.loss(rows)[0]) for rows in (batch[:half], batch[half:])]
        mean = sum(weighted) / len(batch)
        expect(
            abs(whole - mean) <= 1e-4 * max(1.0, abs(whole)),
            f"the loss is {whole:.6g}, but its halves average to {mean:.6g}: it is not a mean over rows",
        )

    def check_state(self) -> None:
        self.require_batches()
        method = self.cls()
        state = json.loads(json.dumps(method.state()))
        method.load_state(state)
        expect(json.loads(json.dumps(method.state())) == state, "load_state(state()) changes the state")

    def check_loss_at_start(self) -> None:
        self.require_batches()
        expected = self.cls.loss_at_start(self.trial.cfg)
        if expected is None:
            return
        with torch.no_grad():
            loss = float(self.loss(self.batch)[0])
        expect(
            abs(loss - expected) <= 1e-3,
            f"the loss of the untrained policy is {loss:.6g}, but loss_at_start is {expected:.6g}",
        )

    def require_batches(self) -> None:
        if not self.collected:
            raise NotRun("collect yielded no batch")

    @property
    def batch(self) -> Any:
        self.require_batches()
        return self.collected[0][0]

    def loss(self, batch: Any) -> tuple[torch.Tensor, dict[str, Any]]:
        loss: tuple[torch.Tensor, dict[str, Any]] = self.cls().loss(self.trial.policy, batch, self.trial.cfg, NOISE)
        return loss


class _Trial:
    """The policy, reward and settings that all checks of one method share."""

    def __init__(self, cls: Any) -> None:
        self.cls, self.cfg = cls, _trial_settings(cls.Config())
        backbone = backbones.load("shapes", "cpu")
        self.policy: Policy = make_policy(backbone, STEPS, 1.0, 5.0)
        add_lora(backbone.network, 2, 2.0, seed=0)
        if "old" in cls.needs(self.cfg):
            self.policy.keep_old()
        reward = _StepBrightness() if "step_scorer" in cls.needs(self.cfg) else lookup.get("shapes-colour")()
        self.reward = StepReward(Decoder(backbone), reward, self.policy)

    def collect(self, samples: Sequence[Sample]) -> list[tuple[Batch, dict[str, Any]]]:
        """Collects with a new instance of the method; an offline method reads random pairs."""
        method = self.cls()
        reader = None
        if _is_offline(self.cls):
            reader = Reader(method, self.cfg, _RandomPairs(), 0, self.policy.backbone, lambda line: None)
        collect = reader.collect if reader else method.collect
        with torch.no_grad():
            collected = list(collect(self.policy, samples, self.reward, self.cfg, NOISE))
        self.reward.check([sample.prompt for sample in samples])
        if reader:
            reader.close()
        return collected


class _RandomPairs:
    """A PairSet of four pairs of coloured noise."""

    name, hash, skip_bad = "random", "0" * 64, False

    def __len__(self) -> int:
        return 4

    def __getitem__(self, i: int) -> RawPair:
        rng = np.random.default_rng(i)
        winner, loser = (Image.fromarray(rng.integers(0, 256, (32, 32, 3)).astype(np.uint8)) for _ in range(2))
        return RawPair(SAMPLES[i % 2].prompt, winner, loser)

    def captions(self) -> Iterator[str]:
        return (SAMPLES[i % 2].prompt for i in range(4))


class _StepBrightness(StepScorer):
    """A step scorer that needs no weights: 100 times the mean brightness, at any timestep."""

    name, version, unit, range = "step-brightness", "1", "grey", (0.0, 100.0)
    differentiable, weights = True, "none"

    def score(self, images: Any, prompts: Any) -> torch.Tensor:
        raise AssertionError("training must use score_at or score_differentiable, not score")

    def score_differentiable(self, images: torch.Tensor, prompts: Any) -> torch.Tensor:
        return 100 * images.flatten(1).mean(1)

    def score_at(self, images: torch.Tensor, prompts: Any, tau: torch.Tensor) -> torch.Tensor:
        return self.score_differentiable(images, prompts)


def _is_offline(cls: Any) -> bool:
    return isinstance(cls, type) and issubclass(cls, OfflineMethod)


def _trial_settings(cfg: Any) -> Any:
    """Returns the default settings, changed to train on steps that a 4-step sampler visits and to keep every pair."""
    changes: dict[str, Any] = {"steps": "all"} if isinstance(getattr(cfg, "steps", None), tuple) else {}
    if hasattr(cfg, "threshold"):
        changes["threshold"] = 0.0
    return type(cfg).model_validate({**cfg.model_dump(), **changes})


def _check_metrics(metrics: Any) -> None:
    bad = [name for name, value in metrics.items() if not torch.isfinite(torch.as_tensor(value)).all()]
    expect(not bad, f"these metrics are not finite numbers: {', '.join(bad)}")


def _random_states() -> dict[str, Any]:
    """Returns the state of each source of random numbers that belongs to the whole process, by its name."""
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": str(np.random.get_state()),
        "random": random.getstate(),
    }


def _same_tensors(a: Any, b: Any) -> bool:
    tensors = {name: value for name, value in vars(a).items() if isinstance(value, torch.Tensor)}
    return all(torch.equal(value, vars(b)[name]) for name, value in tensors.items())
