"""Trains a run into a folder: what its names stand for, its folder, its precision and its parts, on every process."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from benchbench.config import RunConfig
from benchbench.diffusion.backbones import pick_device
from benchbench.runtime import launch
from benchbench.runtime.distributed import ProcessGroup
from benchbench.runtime.file_errors import writing
from benchbench.train.calibration import calibrate
from benchbench.train.inputs import Inputs, look_up
from benchbench.train.resolved import Resolved, agreed, read, resolve
from benchbench.train.run_folder import check_run_folder, run_key, write_run
from benchbench.train.setup import Log, Parts, build
from benchbench.train.trainer import Trainer


def train(
    config: RunConfig,
    out: Path,
    resume: bool = False,
    device: str | None = None,
    log: Log = print,
    store: Path | None = None,
    skip_bad: bool = True,
    inputs: Inputs | None = None,
) -> Path:
    """Trains into the folder ``out`` and returns it; a complete run is left as it is.

    ``inputs`` is what the run's names stand for, where that was looked up already. An offline method's pairs are
    looked up, or made, in ``store``; ``skip_bad`` goes on without a row that is broken.

    Errors: UsageError and MissingError before anything is loaded, CorruptError for checkpoints, RunError for a
    non-finite reward, loss or gradient and a full disk. KeyboardInterrupt leaves a checkpoint that ``resume`` takes up.
    """
    with launch.processes(device) as processes:
        log = log if processes.is_main else _silent
        with processes.raise_on_all():
            found = inputs or look_up(config)
            ours = check_run_folder(config, out, resume) if processes.is_main else True
        if not all(processes.gather(ours)):
            log(f"{out} is complete already; nothing to do")
            return out
        with processes.raise_on_all():
            where = pick_device(device if processes.size == 1 else str(processes.device))
            resolved = read(out) or resolve(config, where, log)
        resolved = agreed(processes.gather(asdict(resolved)))
        if resolved.words:
            log(resolved.words)
        with processes.raise_on_all():
            parts = build(config, found, resolved, where, log, store, skip_bad)
            parts.policy.processes = processes
        try:
            _train(config, resolved, parts, out, processes, log)
        finally:
            if parts.reader:
                parts.reader.close()
    return out


def _train(config: RunConfig, resolved: Resolved, parts: Parts, out: Path, processes: ProcessGroup, log: Log) -> None:
    """The run in its folder; what one process writes there is there for the others, who share it."""
    backbone, pairs = parts.policy.backbone, parts.reader.pairs.hash if parts.reader else None
    processes.check_same("settings, weights, pairs or precisions", run_key(config, resolved, backbone.hash, pairs))
    with processes.raise_on_all():
        if processes.is_main:
            with writing(out):
                out.mkdir(parents=True, exist_ok=True)
            write_run(config, resolved, out, backbone.hash, str(backbone.device), pairs, processes.size)
            calibrate(parts.reward.reward, parts.policy, parts.prompts, out, log)
    with processes.raise_on_all():
        if not processes.is_main:
            calibrate(parts.reward.reward, parts.policy, parts.prompts, out, log)
        trainer = Trainer(config, resolved, parts, out, log)
    processes.check_same("checkpoints", trainer.state.samples)
    processes.check_same_weights(parts.parameters)
    trainer.run()


def _silent(line: str) -> None:
    """What processes other than the first say."""
