"""Draws the missing images of an evaluation in several processes: one for each GPU, or as many as ``--jobs`` says.

All batches of all rows stand in one line, which is cut into equal parts: a process each, which loads the base model
once. What is still missing afterwards, the evaluation draws itself.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchbench.errors import UsageError
from benchbench.evaluate.conditions import EvalConditions
from benchbench.evaluate.draw_missing import all_samples, drawing_order
from benchbench.evaluate.draw_spec import AdapterFiles, DrawSpec, Share, SourceFile
from benchbench.evaluate.eval_cost import EvalCost
from benchbench.hub.models import LocalModel
from benchbench.noise import Sample
from benchbench.prompt_set import sources
from benchbench.runtime.backends.local import LocalBackend
from benchbench.runtime.devices import gpus
from benchbench.runtime.files import Log, sweep, write_atomic
from benchbench.runtime.hashing import digest
from benchbench.runtime.jobs import Job, run
from benchbench.runtime.locks import locked
from benchbench.runtime.sealed import write_sealed
from benchbench.runtime.words import counted
from benchbench.samplers import steps_taken
from benchbench.store.images import ImageStore
from benchbench.store.keys import GenerationKey
from benchbench.store.runs import Adapter
from benchbench.types import PromptSet

MODULE = "benchbench.evaluate.draw_job"


@dataclass(frozen=True)
class _Batch:
    """A batch of a generation that lacks images: ``drawn`` images are drawn for the ``missing`` ones."""

    label: str
    key: GenerationKey
    adapter: Adapter | None
    missing: tuple[Sample, ...]
    drawn: int


def backend_for(jobs: int | None, device: str | None) -> LocalBackend | None:
    """Returns where processes draw; None for one process, as where there is one GPU or ``--device`` names one.

    Raises UsageError where several processes are asked for on one named GPU.
    """
    if device not in (None, "cpu", "cuda"):
        if jobs not in (None, 1):
            raise UsageError(
                f"--jobs {jobs} on the device {device}",
                "each of several processes sees one GPU, and the option names one for all",
                "leave out --device, or choose GPUs with CUDA_VISIBLE_DEVICES",
            )
        return None
    devices = () if device == "cpu" or jobs == 1 else gpus()
    slots = jobs or (len(devices) if device is None else 1)
    return LocalBackend(slots, devices) if slots > 1 else None


def draw_in_jobs(
    rows: Mapping[str, Sequence[Adapter | None]],
    model: LocalModel,
    prompts: PromptSet,
    conditions: EvalConditions,
    device: str,
    loading: Mapping[str, bool],
    *,
    check: Callable[[], None],
    backend: LocalBackend,
    store: Path,
    batch_size: int,
    made_on: Mapping[str, Any],
    cost: EvalCost,
    log: Log,
) -> None:
    """Draws what the rows lack; does nothing where that is at most one batch. Calls ``check`` before it begins.

    Raises the error of the first process that fails, once all have ended. What is drawn by then is kept.
    """
    samples = all_samples(prompts.prompts, conditions.images_per_prompt)
    with ExitStack() as locks:
        batches = [
            batch
            for key, label, adapter in _generations(rows, model, prompts, conditions, loading["shared_start"])
            for batch in _missing(key, label, adapter, samples, batch_size, store, locks, log)
        ]
        parts = _parts(batches, backend.slots)
        if len(parts) < 2:
            return
        check()
        for key in {batch.key.id: batch.key for batch in batches}.values():
            ImageStore(store, key).begin(made_on)
        images, started = sum(len(batch.missing) for batch in batches), time.monotonic()
        log(f"{counted(images, 'image')} are missing; {len(parts)} processes make them")
        plain = {"model": model.name, "root": model.root, "vae": model.vae, "device": device.partition(":")[0]}
        plain |= {"loading": loading, "batch_size": batch_size, "images_per_prompt": conditions.images_per_prompt}
        _run(parts, {**plain, "prompts": tuple(map(str, prompts.prompts))}, prompts, backend, store)
        cost.images += images
        cost.unet_evals += sum(batch.drawn for batch in batches) * steps_taken(conditions.sampler)
        cost.generating += time.monotonic() - started


def _run(
    parts: Sequence[Sequence[_Batch]], plain: dict[str, Any], prompts: PromptSet, backend: LocalBackend, store: Path
) -> None:
    """Runs a job for each part; the folder of their specifications is removed at the end."""
    name = digest([[(batch.key.id, batch.missing) for batch in part] for part in parts])
    folder = store / "logs" / f"draw-{name}"
    jobs = []
    try:
        for number, part in enumerate(parts, 1):
            indices = {sample.index for batch in part for sample in batch.missing}
            copies = _copied_sources(prompts, indices, folder)
            spec = DrawSpec.model_validate({**plain, "sources": copies, "shares": _shares(part)})
            file, log = folder / f"{number}.json", folder.with_name(f"{folder.name}-{number}.log")
            write_sealed(file, spec.model_dump(mode="json"), indent=None)
            weight = float(sum(batch.drawn for batch in part))
            jobs.append(Job(f"part {number}", (MODULE, str(store), str(file)), log, weight))
        run(jobs, backend, "generating", stop_at_first=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _generations(
    rows: Mapping[str, Sequence[Adapter | None]],
    model: LocalModel,
    prompts: PromptSet,
    conditions: EvalConditions,
    shared_start: bool,
) -> list[tuple[GenerationKey, str, Adapter | None]]:
    """Returns each generation once, by id, so that two commands that want the same take their locks in one order."""
    text_hash, sampler, found = prompts.hash_for(), conditions.sampler, {}
    for label, adapters in rows.items():
        for adapter in adapters:
            hashes = model.hash, adapter.hash if adapter else None
            for seed in conditions.eval_seeds:
                key = GenerationKey(
                    *hashes, sampler, conditions.dtype, prompts.name, text_hash, seed, shared_start=shared_start
                )
                found[key.id] = key, label, adapter
    return [found[name] for name in sorted(found)]


def _missing(
    key: GenerationKey,
    label: str,
    adapter: Adapter | None,
    samples: Sequence[Sample],
    batch_size: int,
    store: Path,
    locks: ExitStack,
    log: Log,
) -> Iterator[_Batch]:
    """Yields the batches of a generation that lack an image, and keeps its lock in ``locks`` if there are any."""
    images = ImageStore(store, key)
    with ExitStack() as lock:
        lock.enter_context(locked(images.lock, log))
        sweep(images.folder)
        there = images.scan(samples, log)
        if len(there) < len(samples):
            locks.push(lock.pop_all())
    order = drawing_order(samples)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        if missing := tuple(sample for sample in batch if sample not in there):
            yield _Batch(label, key, adapter, missing, len(batch))


def _parts(batches: Sequence[_Batch], count: int) -> list[Sequence[_Batch]]:
    """Returns the batches in at most ``count`` parts of equal length, none of them empty."""
    count = max(1, min(count, len(batches)))
    ends = [len(batches) * i // count for i in range(count + 1)]
    return [batches[start:stop] for start, stop in pairwise(ends)]


def _shares(part: Sequence[_Batch]) -> list[Share]:
    """Returns what a process draws: the missing images of each generation in its part."""
    by_id: dict[str, list[_Batch]] = {}
    for batch in part:
        by_id.setdefault(batch.key.id, []).append(batch)
    shares = []
    for batches in by_id.values():
        weights = batches[0].adapter.weights if batches[0].adapter else None
        files = AdapterFiles(kind=weights.kind, path=weights.path.absolute()) if weights else None
        places = tuple((sample.index, sample.number) for batch in batches for sample in batch.missing)
        shares.append(Share(label=batches[0].label, key=batches[0].key.fields(), adapter=files, missing=places))
    return shares


def _copied_sources(prompts: PromptSet, indices: set[int], folder: Path) -> dict[int, SourceFile]:
    """Returns copies of the pictures that these prompts edit. Raises CorruptError for a picture that has changed."""
    copies = {}
    for index, source in enumerate(sources(prompts.prompts)):
        if source and index in indices:
            path = folder / f"source-{index}"
            if not path.exists():
                write_atomic(path, source.read())
            copies[index] = SourceFile(name=source.name, sha256=source.sha256, path=path.absolute())
    return copies
