"""A page for each command of ``bench``, from the parser of the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from benchbench.cli.commands import COMMANDS, load
from docs_build import text


def titles() -> dict[str, str]:
    """Returns the title of each command's page by its path in the site."""
    return {f"cli/{name}.md": f"bench {name}" for name in COMMANDS}


def index() -> str:
    """Returns the page that lists the commands."""
    rows = [[f"[`bench {name}`]({name}.md)", text.escape(command.summary)] for name, command in COMMANDS.items()]
    return (
        "# Command line\n\nThese pages are made from the commands themselves; `bench COMMAND --help` prints the same. "
        "An option that takes several values may be given several times. Every command exits with 0 when it has done "
        "its work, and with 130 after Ctrl-C. It exits with 2 for a wrong word or setting, 3 for weights or data that "
        "are missing, 4 for a damaged file, and 5 for work that failed; three lines then say what went wrong, why, and "
        "what to do.\n\n" + text.table(["command", "does"], rows)
    )


def pages() -> dict[str, str]:
    """Returns the Markdown of each command's page by its path in the site."""
    return {f"cli/{name}.md": _page(name, load(name)) for name in COMMANDS}


def _page(name: str, command: Any) -> str:
    parts = [f"# bench {name}"]
    if not hasattr(command, "commands"):
        return "\n\n".join([*parts, *_command(f"bench {name}", command, 2)]) + "\n"
    parts.append(_help(command))
    for child, subcommand in command.commands.items():
        parts += [f"## bench {name} {child}", *_command(f"bench {name} {child}", subcommand, 3)]
    return "\n\n".join(parts) + "\n"


def _command(words: str, command: Any, level: int) -> list[str]:
    """Returns the usage, the help text and the tables of one command."""
    context = command.context_class(command, info_name=words)
    usage = " ".join(command.collect_usage_pieces(context))
    parts = [f"```text\n{words} {usage}\n```", _help(command)]
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not getattr(p, "hidden", False)]
    for title, parameters in (("Argument", arguments), ("Option", options)):
        rows = [[f"`{name}`", text.escape(meaning)] for name, meaning in _records(parameters, context)]
        if rows:
            parts += [f"{'#' * level} {title}s", text.table([title.lower(), "meaning"], rows)]
    return parts


def _records(parameters: Sequence[Any], context: Any) -> list[tuple[str, str]]:
    """Returns the name and the help of each parameter as the parser prints them."""
    return [record for parameter in parameters if (record := parameter.get_help_record(context))]


def _help(command: Any) -> str:
    return text.from_google(inspect.cleandoc((command.help or "").replace("\b", "")))
