"""Simulates panels for ``bench study simulate``. Imports what loads pandas or torch only inside a function."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Annotated

import typer

from benchbench import choice, defaults
from benchbench.cli.options import Device, RewardName, Store
from benchbench.cli.ui import log, resumable, table
from benchbench.store import root
from benchbench.study.folder import find_study, read_study
from benchbench.study.panel import Panel

Size = Annotated[str, typer.Option(metavar="N,...", help="Several, separated by commas, are compared.")]


def simulate(
    name: Annotated[
        str | None, typer.Argument(help="A study that a panel answers, in a copy. Default: none, to plan one.")
    ] = None,
    raters: Size = "5,10,20",
    prompts: Size = "20,45,100",
    images_per_prompt: Annotated[int, typer.Option(min=1, help="Pairs of pictures for each prompt.")] = 5,
    difference: Annotated[
        float, typer.Option(min=-1, max=1, help="Win less lose, of which a plan says how often it is found.")
    ] = 0.2,
    panels: Annotated[int, typer.Option(min=1, help="Simulated panels for each size.")] = 20,
    reward: RewardName = None,
    out: Annotated[Path | None, typer.Option(help="The copy's new folder. Default: studies/NAME-simulated.")] = None,
    taste: Annotated[float, typer.Option(min=0, help="SD of a rater's leaning to a row.")] = 0.4,
    side: Annotated[float, typer.Option(min=0, help="SD of a rater's leaning to the left.")] = 0.1,
    noise: Annotated[float, typer.Option(min=0, help="SD of the noise of one judgement.")] = 1.0,
    indifference: Annotated[float, typer.Option(min=0, help="A smaller difference is a draw.")] = 0.5,
    lapses: Annotated[float, typer.Option(min=0, max=1, help="Share of questions answered at random.")] = 0.02,
    clickers: Annotated[int, typer.Option(min=0, help="Raters who answer all at random.")] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the panel.")] = 0,
    store: Store = None,
    device: Device = None,
) -> None:
    """Let simulated raters answer: how many raters and prompts does a difference need? A study is never changed."""
    panel = Panel(taste, side, noise, indifference, lapses, clickers, seed)
    with resumable():
        if name is None:
            _plan(raters, prompts, images_per_prompt, difference, panel, panels)
        else:
            _answer(name, reward, out, panel, root(store), device)


def _plan(raters: str, prompts: str, images: int, difference: float, panel: Panel, panels: int) -> None:
    """Prints what studies of several sizes would find."""
    sizes = [(r, p, images) for r in _numbers(raters, "--raters") for p in _numbers(prompts, "--prompts")]
    simulate, _ = _work()
    rows = [
        [row.raters, row.prompts, images, f"{row.half_width:.3f}", f"{row.power:.0%}", f"{row.coverage:.0%}"]
        for row in simulate.plan(sizes, difference, panel, panels)
    ]
    log(f"win less lose {difference:g}; {panels} simulated panels for each size; every rater sees every pair")
    table(["raters", "prompts", "pairs a prompt", "half width", "found", "interval holds it"], rows)


def _answer(name: str, reward: str | None, out: Path | None, panel: Panel, store: Path, device: str | None) -> None:
    """Has a panel answer a copy of a study; its utility is a reward's score, on shapes the oracle's."""
    folder = find_study(store, name)
    study = read_study(folder)
    model = defaults.of(study.model)
    named = choice.choose_reward(reward or model.gold_reward or model.preference_reward, study.model)
    classes = choice.reward_classes(named.names)
    for note in named.notes:
        log(note)
    simulate, scoring = _work()
    target = out or folder.with_name(f"{folder.name}-simulated")
    [scores] = scoring.score_pictures(folder, study, list(classes.values()), device, log).values()
    simulate.answered_copy(folder, target, scores, panel)
    log(f"a panel that prefers by {', '.join(classes)} has answered {target}: bench study results {target}")


def _work() -> tuple[ModuleType, ModuleType]:
    """Imports and returns the simulation and the scoring of pictures, once all names are looked up."""
    from benchbench.study import scores, simulate

    return simulate, scores


def _numbers(text: str, option: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise typer.BadParameter(f"{text!r} is not a list of numbers like 5,10,20", param_hint=option)
    return [int(word) for word in words]
