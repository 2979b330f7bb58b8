"""The commands of ``bench`` by name; a command's file is imported when the command runs or completes its words."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import typer
from typer.core import TyperGroup
from typer.main import get_group

from benchbench.cli.examples import epilog
from benchbench.errors import UsageError


class Command(NamedTuple):
    """A command: its file and function, as ``file:function``, and its line in ``bench --help``."""

    target: str
    summary: str
    """The first sentence of the command's own help."""


COMMANDS = {
    "train": Command("train:train", "Train a model with a method against a reward."),
    "train-spm": Command("train_spm:train_spm", "Train the step-aware preference model of the shapes world."),
    "eval": Command("evaluation:evaluate", "Generate and score images of a model and its checkpoints."),
    "compare": Command("compare:compare", "Compare two runs, or a run and the base model."),
    "grid": Command("grid:grid", "Show pictures of several models with the same prompts and noise."),
    "score": Command("score:score", "Score a folder of images and print a CSV."),
    "measure": Command("measure:measure", "Measure a protocol of the papers on a model and its runs."),
    "reproduce": Command("reproduce:reproduce", "Reproduce a published table."),
    "sweep": Command("sweep:sweep", "Compare methods, rewards, seeds and settings in one table."),
    "tune": Command("tune:tune", "Search a method's learning rate by one protocol for all methods."),
    "power": Command("power:power", "Tell what a comparison can find before it is run, from one that was made."),
    "leaderboard": Command(
        "leaderboard:leaderboard", "Rank methods on one page, from the reports of sweeps that stop trainings in time."
    ),
    "report": Command("report:report", "Render an existing report again."),
    "list": Command("listing:list_names", "List methods, rewards, prompts, models, checkpoints, tables or runs."),
    "show": Command("show:show", "Show one method, reward, prompt set, model, run or preset."),
    "status": Command("status:status", "Show what a store holds, or what a table still needs."),
    "store": Command("store:app", "Check that what a store holds is what was written."),
    "new": Command("new:new", "Write a package with a method, a reward or a prompt set to start from."),
    "check": Command("check:check", "Check that a method, reward or prompt set keeps its contract."),
    "parity": Command("parity:parity", "Compare our rewards with the authors' packages."),
    "doctor": Command("doctor:doctor", "Check this machine."),
    "fetch": Command("fetch:fetch", "Download models, prompts, rewards, checkpoints and pairs."),
    "study": Command("study:app", "Ask people which pictures they prefer: a blind study in the browser."),
    "pairs": Command("pairs:app", "Make and check preference pairs."),
    "shapes": Command("shapes:app", "Build the shapes world."),
}


class LazyGroup(TyperGroup):
    """A group whose registered commands are stand-ins: the real one is imported when a word names it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Returns the name, the real command and the words after the name."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, load(name) if name in COMMANDS else stand_in, rest


def register(app: typer.Typer) -> None:
    """Adds a stand-in for every command: its name and its summary."""
    for name, command in COMMANDS.items():
        app.command(name, help=command.summary)(_stand_in)


def _stand_in() -> None:
    raise AssertionError("LazyGroup runs the real command")


def _check_packages() -> None:
    """Raises UsageError where a folder beside benchbench/ is not a package of it, as in an unpacked zip."""
    for package in ("benchbench.methods", "benchbench.prompts", "benchbench.reward_models"):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise UsageError(
                f"{package} is not found",
                "this copy of the repository is not installed and has no symbolic links, as after unpacking a zip file",
                "run pip install -e . in its folder, then bench instead of python -m benchbench",
            )


def load(name: str | None) -> Any:
    """Imports a command's file and returns the command, or the group of commands, as the parser wants it."""
    assert name is not None
    _check_packages()
    file, _, attribute = COMMANDS[name].target.partition(":")
    command = getattr(import_module(f"benchbench.cli.{file}"), attribute)
    app = typer.Typer(rich_markup_mode=None, add_completion=False)
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=name, epilog=epilog(name))
    else:
        app.command(name, epilog=epilog(name))(command)
    return get_group(app).commands[name]
