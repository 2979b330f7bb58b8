"""The table of commands: what ``bench --help`` says of each is the first sentence of its own help."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path

import pytest

from benchbench import cli
from benchbench.cli.commands import COMMANDS, load
from benchbench.cli.examples import EXAMPLES, PROTOCOLS
from benchbench.cli.main import spread
from benchbench.protocols import WHERE
from tests.cli.conftest import Bench


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_sentence_of_the_commands_help(bench: Bench, name: str) -> None:
    command = load(name)
    assert command.name == name
    assert command.help.split("\n")[0].startswith(COMMANDS[name].summary)
    assert COMMANDS[name].summary in bench("--help").out


def test_every_command_file_is_in_the_table() -> None:
    """A command's file has a function or an app of typer's, and its docstring begins with the command's name."""
    files = {command.target.partition(":")[0] for command in COMMANDS.values()}
    folder = Path(cli.__file__).parent
    trees = {path.stem: ast.parse(path.read_text(encoding="utf-8")) for path in folder.glob("*.py")}
    docstrings = {file: ast.get_docstring(tree) or "" for file, tree in trees.items()}
    assert files == {file for file, text in docstrings.items() if text.startswith("``bench ")}


def test_a_mistyped_command_gets_a_suggestion(bench: Bench) -> None:
    ran = bench("trian")
    assert ran.code == 2 and "'train'" in ran.err


EXAMPLE_LINES = [(name, line) for name, lines in EXAMPLES.items() for _, line in lines]


@pytest.mark.parametrize(("name", "line"), EXAMPLE_LINES)
def test_an_example_can_be_typed(bench: Bench, name: str, line: str) -> None:
    """The parser takes it: the command, its options and their values. Files and runs are named by words such as RUN."""
    program, *words = shlex.split(line)
    assert (program, words[0]) == ("bench", name)
    command, words = load(name), spread(words[1:])
    if subcommands := getattr(command, "commands", None):
        command, words = subcommands[words[0]], words[1:]
    command.make_context(name, words)
    assert line in bench(name, "--help").out


def test_every_command_has_an_example_and_every_protocol_a_line(bench: Bench) -> None:
    assert EXAMPLES.keys() == COMMANDS.keys() and PROTOCOLS.keys() == WHERE.keys()
    shown = bench("measure", "--help").out
    assert all(f"{name:20}{meaning}" in shown for name, meaning in PROTOCOLS.items())
