"""``evaluate``. Imports benchbench.evaluate, which loads pandas, only inside a function: names are looked up first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench import choice
from benchbench.errors import all_at_once
from benchbench.python.at_checkpoints import at_checkpoints
from benchbench.python.calls import Prompts, References, call, prompts_of, several, store_folder
from benchbench.python.calls import rows as rows_of
from benchbench.python.result import Result
from benchbench.runtime.files import Log
from benchbench.runtime.hashing import one_hash_cache
from benchbench.runtime.words import counted
from benchbench.store.runs import Adapter, find_adapter
from benchbench.types import PromptSet

if TYPE_CHECKING:
    from benchbench.evaluate.report import EvalResult


def evaluate(
    model: str | Path | None = None,
    *,
    rows: Mapping[str, References] | References | None = None,
    prompts: Prompts,
    rewards: str | Sequence[str],
    images_per_prompt: int = 5,
    eval_seeds: int | Sequence[int] = 0,
    steps: int | None = None,
    guidance_scale: float | None = None,
    authors_sampler: bool = False,
    strength: float | None = None,
    batch_size: int | None = None,
    compiled: bool = False,
    channels_last: bool = False,
    dtype: str = "auto",
    store: str | Path | None = None,
    device: str | None = None,
    jobs: int | None = None,
    progress: bool = False,
) -> Result:
    """Generates and scores images of a base model and of trainings, as ``bench eval`` does, and returns the table.

    Only what the store does not hold is made, so that the same call returns at once, and an interrupted one goes on.
    The first row is the base model.

    Args:
        model: The base model. Default: sd15 where CUDA and its weights are, else shapes.
        rows: The rows beside the base model. ``{"ours": [run, run, run]}`` is one row of three trainings that differ in
            their seeds; a list without labels is a row each. A training is a Run, a run's id, a folder or file of
            weights, or the name of a released checkpoint (``bench list checkpoints``).
        prompts: A prompt set (``bench list prompts``), a file, a folder of edits, or a list of texts.
        rewards: Names of rewards, as a list or ``"a,b"``; ``"all"`` for all on this machine that fit the model.
        images_per_prompt: Images for each prompt and seed.
        eval_seeds: The seeds of the images.
        steps: Denoising steps. Default: those of the trainings, or 20.
        guidance_scale: The scale of classifier-free guidance. Default: that of the trainings, or 5.
        authors_sampler: Sample every row with the steps and guidance of a released checkpoint's authors.
        strength: Edit the pictures that the prompts name: the share of the steps that are taken (docs/editing.md).
        batch_size: Images at a time; changes memory and not results.
        compiled: Compile the network's blocks: faster on GPUs, changes rounding.
        channels_last: Use the channels-last memory layout: faster on GPUs, changes rounding.
        dtype: Precision of the network, ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... Default: CUDA where there is one.
        jobs: Processes that make images. Default: one for each GPU, or one where ``device`` names it.
        progress: Show the lines and progress bars of ``bench eval``.

    Returns:
        The Result: its table has a row for each model and a column for each reward, and its scores a row for each image
        and reward.

    Raises:
        UsageError: A name cannot be used, two rows have one label, or trainings used different samplers.
        MissingError: Weights, prompts or a run are not here.
        CorruptError: Weights are damaged, or those of another model.
        RunError: A run is not finished, a score is not finite, or the disk is full.

    Example:
        >>> result = bb.evaluate("shapes", rows={"tailorpo": [run]}, prompts="shapes-complex",
        ...                      rewards=["shapes-clip", "shapes-oracle"])
        >>> result.table
        >>> result.scores.groupby(["row", "reward"]).score.mean()
    """
    with call("evaluate", progress) as log:
        checkpoints, labelled = rows_of(rows)
        result = run_evaluation(
            None if model is None else str(model),
            checkpoints,
            labelled,
            prompts_of(prompts),
            rewards,
            store=store_folder(store),
            images_per_prompt=images_per_prompt,
            eval_seeds=several(eval_seeds, int),
            sampler={"steps": steps, "guidance_scale": guidance_scale, "strength": strength},
            authors_sampler=authors_sampler,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            compiled=compiled,
            channels_last=channels_last,
            jobs=jobs,
            log=log,
        )
        return Result(result.folder, [result.table], result.table.quick)


def run_evaluation(
    model: str | None,
    checkpoints: Sequence[str | Path],
    rows: Mapping[str, Sequence[str | Path]],
    prompts: str | PromptSet,
    rewards: str | Sequence[str],
    *,
    store: Path,
    images_per_prompt: int,
    sampler: Mapping[str, float | None],
    device: str | None,
    log: Log,
    **options: Any,
) -> EvalResult:
    """Looks the words up, logs what will be made, and evaluates. ``sampler`` has None where nothing is asked for.

    ``options`` are more arguments of ``evaluate.measure.prepare``. Errors: one for all wrong names, then those of
    ``evaluate``.
    """
    checkpoints = at_checkpoints(checkpoints, store, log)
    rows = {label: at_checkpoints(trainings, store, log) for label, trainings in rows.items()}
    chosen_model, reason = choice.choose_model(model, device)
    name_rewards = partial(choice.choose_rewards, rewards, str(chosen_model))
    edits = sampler.get("strength") is not None
    with one_hash_cache():
        resolved = choice.resolve(
            chosen_model, prompts, name_rewards, lambda _: _find_rows(checkpoints, rows, store), edits=edits
        )
    adapters, adapters_by_row = resolved.extra
    name = prompts if isinstance(prompts, str) else prompts.name
    words = f"{counted(images_per_prompt, 'image')} a prompt of {name}, rewards {', '.join(resolved.rewards)}"
    shown = ", ".join(["base", *map(str, checkpoints), *rows])
    log(f"evaluating {shown} on the model {choice.with_reason(chosen_model, reason)}: {words}; into {store}")
    for note in resolved.notes:
        log(note)

    from benchbench.evaluate.report import evaluate

    return evaluate(
        resolved.model,
        adapters,
        resolved.prompts,
        list(resolved.rewards.values()),
        store=store,
        rows=adapters_by_row,
        images_per_prompt=images_per_prompt,
        sampler={name: value for name, value in sampler.items() if value is not None},
        device=device,
        log=log,
        **options,
    )


def _find_rows(
    checkpoints: Sequence[str | Path], rows: Mapping[str, Sequence[str | Path]], store: Path
) -> tuple[list[Adapter], dict[str, list[Adapter]]]:
    """Returns the weights of each row. Errors: one for all trainings that are not there."""
    named = dict.fromkeys([*checkpoints, *(run for runs in rows.values() for run in runs)])
    adapters = all_at_once(*(lambda run=run: find_adapter(store, run) for run in named))
    found = dict(zip(named, adapters, strict=True))
    return [found[run] for run in checkpoints], {label: [found[run] for run in runs] for label, runs in rows.items()}
