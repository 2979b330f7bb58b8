"""``train``. Imports the training loop, which loads torch and pandas, only inside a function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

from benchbench import choice, config, registry
from benchbench.choice import Resolved
from benchbench.config import RunConfig
from benchbench.errors import MissingError, UsageError, all_at_once
from benchbench.hub.models import LocalModel
from benchbench.pairs.look_up import check_pairs
from benchbench.python.calls import call, several, store_folder
from benchbench.python.run import Run
from benchbench.runtime.deterministic import use_deterministic_kernels
from benchbench.runtime.files import Log
from benchbench.store import runs
from benchbench.train import tracker_kinds
from benchbench.train.fit import check_fit
from benchbench.types import Reward


def train(
    method: str,
    *,
    model: str | Path | None = None,
    reward: str | None = None,
    prompts: str | Path | None = None,
    samples: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    pairs: str | None = None,
    bad_rows: Literal["skip", "refuse"] = "skip",
    deterministic: bool = False,
    track_with: str | Sequence[str] = (),
    store: str | Path | None = None,
    device: str | None = None,
    progress: bool = False,
) -> Run:
    """Trains a model with a method against a reward, as ``bench train`` does, and returns the run.

    A run that is complete is returned at once, and one that was interrupted goes on from its last checkpoint: call
    ``train`` with the same arguments again. Ctrl-C, or the notebook's stop button, writes a checkpoint after the
    current rollout and raises KeyboardInterrupt; a second one stops at once.

    Args:
        method: The method: ``bench list methods``.
        model: ``shapes``, ``sd15``, ``sd21``, ``sdxl``, a folder or a hub id. Default: sd15 where CUDA and its weights
            are, else shapes.
        reward: The reward: ``bench list rewards``, or a server's address. Default: the method's, else the model's.
        prompts: A prompt set (``bench list prompts``) or a file. Default: the model's.
        samples: The number of training images. Default: the preset's, else 384 on shapes and 10000 elsewhere.
        seed: The training seed.
        preset: ``released``, ``paper`` or ``shapes``; ``bench show preset METHOD``. Default: the model's.
        settings: What ``--set`` changes, as ``{"train.lr": 1e-4, "method.beta": 0.1}``; ``bench show method METHOD``
            lists every setting.
        out: The run's folder. Default: ``runs/ID`` in the store.
        pairs: The pairs that an offline method learns from: a file, a folder, ``pickapic_v2``, ...
        bad_rows: ``skip`` leaves out pairs that cannot be read, and ``refuse`` stops at the first one.
        deterministic: On a GPU, use slower kernels that give the same bits every time.
        track_with: Trackers of the run: ``wandb``, ``trackio``, ``mlflow``, ``tensorboard`` (docs/trackers.md).
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... Default: CUDA where there is one.
        progress: Show the lines and the progress bar of ``bench train``.

    Returns:
        The Run, complete.

    Raises:
        UsageError: A name or a setting cannot be used.
        MissingError: Weights or prompts are not on this machine.
        CorruptError: A file of the run is damaged.
        RunError: The reward, the loss or a gradient was not finite, or the disk is full.

    Example:
        >>> run = bb.train("tailorpo", model="shapes", reward="shapes-colour", prompts="shapes-simple", samples=384)
        >>> run.metrics.plot(x="samples", y="reward")
    """
    with call("train", progress) as log:
        folder, trackers = store_folder(store), several(track_with, str)
        tracker_kinds.check(trackers)
        words = Words(
            method=method,
            model=None if model is None else str(model),
            reward=reward,
            prompts=None if prompts is None else str(prompts),
            samples=samples,
            seed=seed,
            preset=preset,
            settings=choice.words_of(settings or {}),
            pairs=pairs,
            device=device,
        )
        found = words.look_up(None if out is None else Path(out).expanduser().absolute(), folder)
        return Run(
            run_training(
                found,
                store=folder,
                device=device,
                resume=True,
                skip_bad=bad_rows == "skip",
                deterministic=deterministic,
                trackers=trackers,
                log=log,
            )
        )


@dataclass(frozen=True)
class Words:
    """The words that name a training. What is None is chosen by the model, the method or the preset."""

    method: str
    model: str | None = None
    reward: str | None = None
    prompts: str | None = None
    samples: int | None = None
    seed: int = 0
    preset: str | None = None
    settings: Sequence[str] = ()
    """Words of ``--set``."""
    pairs: str | None = None
    device: str | None = None

    @cached_property
    def chosen_model(self) -> tuple[str | LocalModel, str]:
        """The model, and the reason for its choice."""
        return choice.choose_model(self.model, self.device)

    def name_reward(self) -> choice.RewardNames:
        """Returns the reward. Errors: those of ``choice.choose_reward``."""
        return choice.choose_reward(self.reward, str(self.chosen_model[0]), self.method)

    def check(self) -> None:
        """Raises the errors of the method, the preset, the settings and the pairs that are told without its code."""
        model = str(self.chosen_model[0])
        registry.require("methods", self.method)
        samples = choice.choose_samples(self.samples, model, self.method, self.preset)
        looked_up = [choice.choose_prompts(self.prompts, model), self.reward or ""]
        pairs = [partial(check_pairs, self.pairs, looked_up)] if self.pairs else []
        check_settings = partial(config.check, self.method, model, samples, self.seed, self.preset, self.settings)
        all_at_once(check_settings, *pairs)

    def configure(self, rewards: Sequence[str]) -> RunConfig:
        """Returns the settings of the training on the first of ``rewards``. Errors: those of ``config.load``."""
        model = str(self.chosen_model[0])
        return config.load(
            self.method,
            model,
            rewards[0] if rewards else self.reward or "",
            choice.choose_prompts(self.prompts, model),
            choice.choose_samples(self.samples, model, self.method, self.preset),
            self.seed,
            self.preset,
            self.settings,
            self.pairs,
        )

    def look_up(self, out: Path | None, store: Path) -> FoundTraining:
        """Looks every name up.

        Errors: one that names all that is wrong or missing, as far as it can be told without the method's code, which
        loads torch; then one for what the method says.
        """
        if out and out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is a file", "a run is a folder of files", "name a new folder")
        model, reason = self.chosen_model
        prompts = choice.choose_prompts(self.prompts, str(model))
        named_reward = self.name_reward if self.reward else lambda: choice.RewardNames([])

        def look_up_names() -> Resolved[None]:
            return choice.resolve(model, prompts, named_reward, lambda _: self.check())

        def look_up_default() -> tuple[dict[str, type[Reward]], Sequence[str]]:
            default = self.name_reward()
            return choice.look_up_rewards(default, model), default.notes

        try:
            named = look_up_names()
        except MissingError:  # no wrong word: what else is missing is told with it
            all_at_once(look_up_names, *([] if self.reward else [look_up_default]))
            raise
        rewards = (named.rewards, named.notes) if self.reward else look_up_default()
        resolved = Resolved(*rewards, named.prompts, named.model, self.configure(list(rewards[0])))
        check_fit(resolved.extra, resolved.reward)
        folder = out or folder_of(resolved.extra, store)
        return FoundTraining(resolved, folder, reason)


@dataclass(frozen=True)
class FoundTraining:
    """A training whose names were looked up: its objects, its folder, and the reason for its model."""

    resolved: Resolved[RunConfig]
    folder: Path
    reason: str

    @property
    def config(self) -> RunConfig:
        """The settings."""
        return self.resolved.extra


def folder_of(run: RunConfig, store: Path) -> Path:
    """Returns the folder of a run in a store."""
    return store / "runs" / runs.run_id(run.method, run.model, run.reward, run.seed, run.identity)


def run_training(
    found: FoundTraining,
    *,
    store: Path,
    device: str | None,
    resume: bool,
    skip_bad: bool,
    deterministic: bool,
    trackers: Sequence[str],
    log: Log,
) -> Path:
    """Trains, or does nothing where the run is complete; returns its folder. Errors: those of ``train.loop.train``."""
    from benchbench.train import inputs, loop

    if deterministic:
        use_deterministic_kernels()
    resolved = found.resolved
    looked_up = inputs.look_up(found.config, resolved.reward, resolved.prompts, resolved.model)
    with runs.hold_run_folder(found.folder, log):
        return loop.train(found.config, found.folder, resume, device, log, store, skip_bad, looked_up, trackers)
