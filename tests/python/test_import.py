"""``import benchbench`` is fast, loads nothing, and has every name that it promises."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys

import pytest

import benchbench as bb
from benchbench.cli.commands import load

CALLS = [
    "compare",
    "evaluate",
    "generate",
    "load_reward",
    "load_run",
    "measure",
    "reproduce",
    "runs",
    "score",
    "sweep",
    "train",
]
LIMIT = 50_000  # microseconds


def test_importing_it_loads_no_other_module_of_ours_and_no_library() -> None:
    code = "import sys; before = set(sys.modules); import benchbench; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert {name for name in loaded if name.partition(".")[0] not in sys.stdlib_module_names} == {
        "benchbench",
        "benchbench.version",
    }


def test_importing_it_takes_less_than_50_ms() -> None:
    def microseconds() -> int:
        command = [sys.executable, "-X", "importtime", "-c", "import benchbench"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stderr.splitlines()
        return next(int(line.split("|")[1]) for line in lines if line.split("|")[-1] == " benchbench")

    assert min(microseconds() for _ in range(5)) < LIMIT  # the machine may be busy


def test_the_calls_stay_what_they_are_when_packages_of_their_names_are_imported() -> None:
    from benchbench.evaluate import measure
    from benchbench.reproduce import plan
    from benchbench.train import loop

    assert loop and plan and measure
    assert all(inspect.isfunction(getattr(bb, name)) for name in CALLS)


def test_every_name_is_there_and_documented() -> None:
    assert set(CALLS) < set(bb.__all__) <= set(dir(bb))
    for name in set(bb.__all__) - {"__version__"}:
        assert inspect.getdoc(getattr(bb, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        bb.nope  # type: ignore[attr-defined] # noqa: B018


@pytest.mark.parametrize("name", CALLS)
def test_every_argument_of_a_call_is_explained_and_the_call_has_an_example(name: str) -> None:
    function = getattr(bb, name)
    text = inspect.getdoc(function) or ""
    explained = re.findall(r"^    (\w+): ", text.partition("Args:")[2].partition("\n\n")[0], re.MULTILINE)
    assert explained == list(inspect.signature(function).parameters)
    assert "Example:\n    >>> " in text


@pytest.mark.parametrize(
    ("name", "command"),
    [(name, name) for name in ("train", "compare", "measure", "reproduce", "sweep")] + [("evaluate", "eval")],
)
def test_a_call_has_the_words_and_defaults_of_its_command(name: str, command: str) -> None:
    ours = inspect.signature(getattr(bb, name)).parameters
    theirs = {option.name: option.default for option in load(command).params}
    shared = set(ours) & set(theirs)
    assert "store" in shared
    differing = {word for word in shared if not _equal(ours[word].default, theirs[word])}
    assert differing == set()
    only_here = set(ours) - set(theirs)
    # rows are --checkpoint and --row of bench eval, and checkpoints those of --checkpoint
    assert only_here <= {"progress", "rows", "checkpoints"}


def _equal(ours: object, theirs: object) -> bool:
    """Compares defaults: a list of the command line is a text such as 0,1,2, and what is not given is None."""
    if ours in (inspect.Parameter.empty, None, ()) and theirs in (None, "", "auto"):
        return True
    if isinstance(ours, tuple):
        return ",".join(map(str, ours)) == theirs
    return str(ours) == str(getattr(theirs, "value", theirs))
