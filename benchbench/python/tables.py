"""``reproduce`` and ``sweep``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchbench import choice
from benchbench.python.calls import Reference, call, reference, several, store_folder
from benchbench.python.result import Result
from benchbench.report.folder import read
from benchbench.report.sections import TableSection
from benchbench.reproduce import run
from benchbench.runtime.backends.choice import BackendChoice
from benchbench.runtime.backends.ray_cluster import AUTO


def reproduce(
    table: str,
    *,
    track: str = "shapes",
    quick: bool = False,
    train_seeds: int | Sequence[int] | None = None,
    rows: str | Sequence[str] | None = None,
    rewards: str | Sequence[str] | None = None,
    checkpoints: Mapping[str, Reference] | None = None,
    on: str = "local",
    jobs: int | None = None,
    slurm: Mapping[str, str] | None = None,
    ray_address: str | None = None,
    samples: int | None = None,
    settings: Mapping[str, Any] | None = None,
    dtype: str = "auto",
    store: str | Path | None = None,
    progress: bool = False,
) -> Result:
    """Reproduces a published table, as ``bench reproduce`` does: trains, evaluates, and reports beside the paper.

    Only what the store does not hold is made, each training and measurement in a process of its own. After Ctrl-C the
    same call goes on.

    Args:
        table: ``PAPER:TABLE``, as ``tailorpo:2`` (``bench list tables``), or a sweep's file.
        track: The base model: ``shapes``, ``sd15``, ``sd21`` or ``sdxl``.
        quick: One seed and few columns: minutes, never a result.
        train_seeds: Seeds of the trainings. Default: 0, 1 and 2, or those of a sweep's file.
        rows: Make only these rows.
        rewards: Make only these rewards' columns.
        checkpoints: Trainings or released checkpoints that are evaluated instead of a training, by method.
        on: Where the jobs run: ``local``, ``ray`` (docs/ray.md) or ``slurm`` (docs/slurm.md).
        jobs: Jobs at a time. Default: one for each GPU or, without GPUs, for each core.
        slurm: Options of sbatch, as ``{"partition": "gpu", "time": "8:00:00"}``.
        ray_address: A Ray cluster, as ``HOST:PORT``. Default: the one that is there, else one of this machine.
        samples: Images of each training instead of the table's: never a result.
        settings: Settings of every training, as ``{"train.lr": 1e-4}``: never the table's result.
        dtype: Precision of the network in measurements, ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.
        progress: Show the lines and the progress bar of ``bench reproduce``.

    Returns:
        The Result, with a table for each prompt set.

    Raises:
        UsageError: A name or a setting cannot be used.
        MissingError: Weights or prompts are not on this machine.
        RunError: A part of the table failed. The rest is in the report, which the error names.

    Example:
        >>> bb.reproduce("tailorpo:2", track="shapes", quick=True).table
    """
    with call("reproduce", progress) as log:
        folder = run.reproduce(
            table,
            store=store_folder(store),
            track=track,
            quick=quick,
            train_seeds=None if train_seeds is None else several(train_seeds, int),
            rows=None if rows is None else several(rows, str),
            rewards=None if rewards is None else several(rewards, str),
            checkpoints={name: str(reference(named)) for name, named in (checkpoints or {}).items()},
            where=_where(on, jobs, slurm, ray_address),
            dtype=dtype,
            samples=samples,
            overrides=choice.words_of(settings or {}),
            log=log,
        )
        return _result(folder)


def sweep(
    file: str | Path,
    *,
    quick: bool = False,
    on: str = "local",
    jobs: int | None = None,
    slurm: Mapping[str, str] | None = None,
    ray_address: str | None = None,
    dtype: str = "auto",
    store: str | Path | None = None,
    progress: bool = False,
) -> Result:
    """Compares methods, rewards, seeds and settings in one table, as ``bench sweep`` does.

    Only what the store does not hold is made, each training and measurement in a process of its own. After Ctrl-C the
    same call goes on.

    Args:
        file: The YAML file of the sweep (docs/sweeps.md).
        quick: One seed and few columns: never a result.
        on: Where the jobs run: ``local``, ``ray`` (docs/ray.md) or ``slurm`` (docs/slurm.md).
        jobs: Jobs at a time. Default: one for each GPU or, without GPUs, for each core.
        slurm: Options of sbatch, as ``{"partition": "gpu", "time": "8:00:00"}``.
        ray_address: A Ray cluster, as ``HOST:PORT``. Default: the one that is there, else one of this machine.
        dtype: Precision of the network in measurements, ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.
        progress: Show the lines and the progress bar of ``bench sweep``.

    Returns:
        The Result, with a table for each prompt set.

    Raises:
        UsageError: A line of the file is wrong.
        MissingError: Weights or prompts are not on this machine.
        RunError: A part of the table failed. The rest is in the report, which the error names.

    Example:
        >>> bb.sweep("examples/sweep.yaml").table
    """
    with call("sweep", progress) as log:
        where = _where(on, jobs, slurm, ray_address)
        path = Path(file).expanduser()
        return _result(run.sweep(path, store=store_folder(store), quick=quick, where=where, dtype=dtype, log=log))


def _where(on: str, jobs: int | None, slurm: Mapping[str, str] | None, ray_address: str | None) -> BackendChoice:
    options = tuple(f"{key}={value}" for key, value in (slurm or {}).items())
    return BackendChoice(on, jobs, options, ray_address or AUTO)


def _result(folder: Path | None) -> Result:
    assert folder is not None  # only a dry run has no report
    page = read(folder)
    sections = [section for section in page.sections if isinstance(section, TableSection)]
    return Result(folder, [table for section in sections for table in section.tables], page.quick)
