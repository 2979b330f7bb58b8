"""Trains a run into a folder: looks up its inputs, decides precision and memory use, loads its parts and trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchbench.config import RunConfig
from benchbench.diffusion.backbones import pick_device
from benchbench.runtime import launch
from benchbench.runtime.distributed import ProcessGroup
from benchbench.runtime.file_errors import writing
from benchbench.runtime.files import Log
from benchbench.store import root
from benchbench.train.calibration import calibrate
from benchbench.train.identity import identify
from benchbench.train.inputs import Inputs, look_up
from benchbench.train.resolved import Resolved, agree, read, resolve
from benchbench.train.run_folder import check_content, check_run_folder, run_key, write_run
from benchbench.train.setup import Parts, build
from benchbench.train.tracker_kinds import check as check_trackers
from benchbench.train.trackers import Trackers
from benchbench.train.trainer import Trainer
from benchbench.train.votes import check_votes


def train(
    config: RunConfig,
    out: Path,
    resume: bool = False,
    device: str | None = None,
    log: Log = print,
    store: Path | None = None,
    skip_bad: bool = True,
    inputs: Inputs | None = None,
    track_with: Sequence[str] = (),
) -> Path:
    """Trains into the folder ``out`` and returns it; does nothing where the folder holds the complete run.

    ``inputs`` are the objects behind the run's names, where the caller has looked them up already. Pairs that a base
    model makes for an offline method are found, or made, in ``store``; ``skip_bad`` skips rows that cannot be read.
    ``track_with`` names trackers that follow the run (train/tracker_kinds.py); they change nothing of it.

    Errors: UsageError and MissingError before anything is loaded, CorruptError for damaged files, RunError for a
    non-finite reward, loss or gradient and for a full disk. KeyboardInterrupt leaves a checkpoint to ``resume`` from.
    """
    with launch.connected_processes(device) as processes:
        log = log if processes.is_main else _silent
        with processes.raise_on_all():
            check_trackers(track_with)
            inputs = inputs or look_up(config)
            incomplete = True
            if processes.is_main:
                incomplete = check_run_folder(config, out, resume, partial(identify, inputs), log)
        if not all(processes.gather(incomplete)):
            log(f"{out} is complete already; nothing to do")
            return out
        with processes.raise_on_all():
            _check_votes(config, inputs, store or root(None), log)
            run_device = pick_device(device if processes.size == 1 else str(processes.device))
            resolved = read(out) or resolve(config, run_device, log)
        resolved = agree(processes.gather(asdict(resolved)))
        if resolved.summary:
            log(resolved.summary)
        with processes.raise_on_all():
            parts = build(config, inputs, resolved, run_device, log, store, skip_bad)
            parts.policy.processes = processes
            parts.identity = identify(inputs, parts.reader.pairs.hash if parts.reader else None)
        try:
            _train(config, resolved, parts, out, processes, log, track_with)
            for line in parts.reader.changed_pictures() if parts.reader else ():
                log(line)
        finally:
            if parts.reader:
                parts.reader.close()
    return out


def _check_votes(config: RunConfig, inputs: Inputs, store: Path, log: Log) -> None:
    """Compares the votes of a method that learns from people's votes with the run. Errors: UsageError."""
    votes = getattr(inputs.cfg, "votes", ())
    if votes:
        check_votes(votes, inputs.prompts, config.sampler, inputs.model.hash, store, log)


def _train(
    config: RunConfig,
    resolved: Resolved,
    parts: Parts,
    out: Path,
    processes: ProcessGroup,
    log: Log,
    track_with: Sequence[str],
) -> None:
    """Writes the run's files and trains. The main process writes first, since the others read the same folder."""
    backbone, pairs = parts.policy.backbone, parts.reader.pairs.hash if parts.reader else None
    key = run_key(config, resolved, backbone.hash, pairs)
    processes.check_same("settings, inputs or precisions", [key, parts.identity])
    with processes.raise_on_all():
        if processes.is_main:
            check_content(out, parts.identity, key)
            with writing(out):
                out.mkdir(parents=True, exist_ok=True)
            write_run(config, resolved, out, parts.identity, str(backbone.device), pairs, processes.size)
            calibrate(parts.step_reward.reward, parts.policy, parts.prompts, out, log)
    with processes.raise_on_all():
        if not processes.is_main:
            calibrate(parts.step_reward.reward, parts.policy, parts.prompts, out, log)
        trainer = Trainer(config, resolved, parts, out, log)
    processes.check_same("checkpoints", trainer.state.samples)
    processes.check_same_weights(parts.weights)
    with _tracked(trainer, track_with if processes.is_main else (), log):
        trainer.run()
    if parts.reader and processes.is_main:
        parts.reader.report()


@contextmanager
def _tracked(trainer: Trainer, names: Sequence[str], log: Log) -> Iterator[None]:
    """Lets trackers follow the trainer in this block."""
    if not names:
        yield
        return
    settings = trainer.config.model_dump(mode="json")
    trainer.trackers = Trackers(names, trainer.out, settings, trainer.state.samples, log)
    try:
        yield
    finally:
        trainer.trackers.close()


def _silent(line: str) -> None:
    """Logs nothing; the log of every process but the main one."""
