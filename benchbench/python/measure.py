"""``measure``. Imports the protocols' runner, which loads pandas, only inside a function: names are looked up first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench import choice, registry
from benchbench import prompts as prompt_sets
from benchbench.errors import all_at_once
from benchbench.hub import models
from benchbench.protocols import PROTOCOLS, WHERE, check_setting_names
from benchbench.python.at_checkpoints import at_checkpoints
from benchbench.python.calls import Prompts, References, call, prompts_of, references, store_folder
from benchbench.python.result import Result
from benchbench.runtime.files import Log
from benchbench.runtime.hashing import one_hash_cache
from benchbench.store.runs import find_adapter
from benchbench.types import PromptSet

if TYPE_CHECKING:
    from benchbench.protocols.run import ProtocolResult


def measure(
    protocol: str,
    runs: References = (),
    *,
    model: str | Path | None = None,
    prompts: Prompts | None = None,
    reward: str | None = None,
    quick: bool = False,
    settings: Mapping[str, Any] | None = None,
    dtype: str = "auto",
    store: str | Path | None = None,
    device: str | None = None,
    progress: bool = False,
) -> Result:
    """Measures a protocol of the papers on a base model and on trainings, as ``bench measure`` does.

    Args:
        protocol: ``win-rate``, ``jensen-gap``, ``guidance-ratio``, ``preference-order``, ``gradient-direction``,
            ``cost``, ``reward-hacking`` or ``editing``.
        runs: Trainings, a row each: Runs, runs' ids, folders or files of weights, or released checkpoints' names.
        model: The base model. Default: sd15 where CUDA and its weights are, else shapes.
        prompts: A prompt set, a file, or a list of texts. Default: the protocol's, else the model's.
        reward: The reward. Default: the protocol's, else the model's.
        quick: Measure few states: takes minutes, never a result.
        settings: What ``--set`` changes, as ``{"states": 24}``.
        dtype: Precision of the network, ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... Default: CUDA where there is one.
        progress: Show the lines and progress bars of ``bench measure``.

    Returns:
        The Result, whose scores are the rows that the protocol measured.

    Raises:
        UsageError: A name or a setting cannot be used.
        MissingError: Weights, prompts or a run are not here.
        RunError: A run is not finished, or the disk is full.

    Example:
        >>> bb.measure("jensen-gap", [run], model="shapes", quick=True).table
    """
    with call("measure", progress) as log:
        result = run_measurement(
            protocol,
            references(runs),
            None if model is None else str(model),
            None if prompts is None else prompts_of(prompts),
            reward,
            store=store_folder(store),
            quick=quick,
            settings=choice.words_of(settings or {}),
            device=device,
            dtype=dtype,
            log=log,
        )
        return Result(result.folder, [result.table], quick)


def run_measurement(
    protocol: str,
    runs: Sequence[str | Path],
    model: str | None,
    prompts: str | PromptSet | None,
    reward: str | None,
    *,
    store: Path,
    quick: bool,
    settings: Sequence[str],
    device: str | None,
    dtype: str,
    log: Log,
) -> ProtocolResult:
    """Looks the words up, logs what will be measured, and measures. Errors: one for all wrong names, the protocol's."""
    runs = at_checkpoints(runs, store, log)
    chosen_model, reason = choice.choose_model(model, device)
    model_name = str(chosen_model)
    _check_names(protocol, runs, prompts, reward, model_name, store, settings)

    from benchbench.protocols.run import parse_settings, run_protocol

    measured = PROTOCOLS[protocol]
    resolved = choice.resolve(
        chosen_model,
        prompts or choice.choose_prompts(measured.default_prompts, model_name),
        lambda: choice.choose_reward(reward or measured.only_reward, model_name),
        lambda _: parse_settings(measured, quick, settings),
        edits=measured.edits,
    )
    rows = ", ".join(map(str, runs)) or "the base model"
    log(
        f"measuring {protocol} of {rows} on the model {choice.with_reason(model_name, reason)}, "
        f"prompts {resolved.prompts.name}, "
        f"reward {', '.join(resolved.rewards)}; into {store}"
    )
    for note in resolved.notes:
        log(note)
    return run_protocol(
        protocol,
        list(runs),
        resolved.model,
        resolved.prompts,
        resolved.reward,
        store=store,
        quick=quick,
        overrides=settings,
        device=device,
        dtype=dtype,
        log=log,
    )


def _check_names(
    protocol: str,
    runs: Sequence[str | Path],
    prompts: str | PromptSet | None,
    reward: str | None,
    model: str,
    store: Path,
    settings: Sequence[str],
) -> None:
    """Raises the errors of all names that are wrong, before the protocol is loaded, which loads torch."""
    if protocol not in WHERE:
        raise registry.unknown("protocol", protocol, WHERE, "`bench measure --help` lists every name")
    checks: list[Callable[[], object]] = [partial(find_adapter, store, run) for run in runs]
    checks.append(partial(check_setting_names, protocol, settings))
    if reward:
        checks.append(partial(choice.choose_reward, reward, model))
    if isinstance(prompts, str) and not Path(prompts).expanduser().exists():
        checks.append(partial(prompt_sets.load, prompts))
    with one_hash_cache():
        all_at_once(*checks, partial(models.find, model))
