"""``bench grid``. Imports evaluate, which loads pandas, only inside the function."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from benchbench import choice, defaults
from benchbench import prompts as prompt_sets
from benchbench.cli.evaluation import GuidanceScale, OfAuthors, Steps
from benchbench.cli.options import BatchSize, Device, Dtype, EvalSeeds, ModelName, Store, integers
from benchbench.cli.ui import log, resumable
from benchbench.errors import UsageError
from benchbench.hub.models import LocalModel
from benchbench.prompts.words import check_vocabulary
from benchbench.python.at_checkpoints import at_checkpoints
from benchbench.report.page_file import page_file
from benchbench.rewards.mix_rule import is_mix
from benchbench.store import root
from benchbench.store.runs import find_adapter
from benchbench.types import PromptSet, Reward


class Rule(StrEnum):
    """The rule that chooses prompts from a set."""

    random = "random"
    difference = "difference"


def grid(
    runs: Annotated[
        list[str] | None, typer.Argument(metavar="[RUN]...", help="Run ids, folders or checkpoints; each is a row.")
    ] = None,
    prompts: Annotated[
        list[str] | None, typer.Option(help="A prompt set, a file, or a prompt; several prompts: once for each.")
    ] = None,
    seeds: EvalSeeds = "0",
    count: Annotated[int, typer.Option(min=1, help="Prompts to choose from a set.")] = 6,
    select: Annotated[
        Rule, typer.Option(help="Choose at random, or by the largest difference from the base under the first reward.")
    ] = Rule.random,
    rewards: Annotated[
        str | None, typer.Option(help="Names separated by commas, noted under each picture. Default: none.")
    ] = None,
    film: Annotated[
        bool, typer.Option("--film", help="One run over its training; under each picture its reward and the oracle.")
    ] = False,
    model: ModelName = None,
    steps: Steps = None,
    guidance_scale: GuidanceScale = None,
    authors_sampler: OfAuthors = False,
    batch_size: BatchSize = None,
    dtype: Dtype = "auto",
    store: Store = None,
    device: Device = None,
) -> None:
    """Show pictures of several models with the same prompts and noise. Writes PNG, PDF and a page."""
    seed_list = integers(seeds, "--seeds")
    if film and len(runs or []) != 1:
        raise UsageError("a film is of one run", f"{len(runs or [])} are named", "bench grid RUN --film")
    shown = list(map(str, at_checkpoints(runs or [], root(store), log)))
    asked = _look_up(shown, prompts, rewards, film, select, model, store, device)
    sampler = {"steps": steps, "guidance_scale": guidance_scale}
    options: dict[str, Any] = {
        "count": count,
        "seeds": seed_list,
        "store": root(store),
        "sampler": {name: value for name, value in sampler.items() if value is not None},
        "authors_sampler": authors_sampler,
        "device": device,
        "dtype": dtype,
        "batch_size": batch_size,
        "log": log,
    }
    with resumable():
        from benchbench.evaluate import grid as grids

        if film:
            report = grids.film(asked.model, shown[0], asked.prompts, asked.rewards, rule=asked.rule, **options)
        else:
            report = grids.compare_models(asked.model, shown, asked.prompts, asked.rewards, rule=asked.rule, **options)
    log(f"figure: {report / 'figure.png'}, {report / 'figure.pdf'}\npage: {page_file(report, False)}")


class Asked(NamedTuple):
    """The objects behind the command's words."""

    model: LocalModel
    prompts: PromptSet
    rule: Any
    rewards: list[type[Reward]]


def _look_up(
    runs: list[str],
    words: list[str] | None,
    rewards: str | None,
    film: bool,
    select: Rule,
    model: str | None,
    store: Path | None,
    device: str | None,
) -> Asked:
    """Looks up what the words name, and logs what will be shown. Model and prompts are by default the first run's."""
    settings = find_adapter(root(store), runs[0]).settings if runs else {}
    chosen_model, reason = choice.choose_model(model or settings.get("model"), device)
    reason = reason if model or "model" not in settings else "as trained"
    model_name = str(chosen_model)
    noted = rewards or _default_rewards(settings.get("reward"), model_name, film, select)
    if is_mix(noted):
        raise UsageError(
            f"the mix {noted} has no score for one picture",
            "its scale comes from all pictures",
            "name its members: --rewards a,b",
        )
    given = _given(words)
    resolved = choice.resolve(
        chosen_model,
        words[0] if words and not given else choice.choose_prompts(settings.get("prompts"), model_name),
        lambda: choice.choose_rewards(noted, model_name) if noted else choice.RewardNames([]),
        lambda _: check_vocabulary(given, model_name) if given else None,
    )
    shown = given or resolved.prompts
    log(
        f"showing {', '.join(runs if film else ['base', *runs])} on the model "
        f"{choice.with_reason(model_name, reason)}, "
        f"prompts {shown.name}; into {root(store)}"
    )
    for note in resolved.notes:
        log(note)
    rule = "all" if given else "random" if film else select.value
    return Asked(resolved.model, shown, rule, list(resolved.rewards.values()))


def _given(words: list[str] | None) -> PromptSet | None:
    """Returns the prompts that were typed as they are, or None where one word names a set or a file."""
    if not words or (
        len(words) == 1 and (prompt_sets.find(words[0]) or Path(words[0]).suffix or Path(words[0]).exists())
    ):
        return None
    return PromptSet("given prompts", tuple(words), origin="the command line", licence="unknown")


def _default_rewards(trained_on: str | None, model_name: str, film: bool, select: Rule) -> str:
    """Returns the names of the trained reward and, for a film, of the gold one; without need for rewards none."""
    names = [trained_on, defaults.of(model_name).gold_reward if film else None]
    return ",".join(name for name in names if name) if film or select is Rule.difference else ""
