"""The frame of every call from Python, and the forms in which it takes runs, prompts, rewards, and folders.

A call prints nothing unless ``progress`` is True, keeps nothing that depends on the working directory, and leaves a
record that names the call.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from benchbench import prompts as prompt_sets
from benchbench.errors import UsageError
from benchbench.python.run import Run
from benchbench.runtime import progress as displays
from benchbench.runtime.files import Log
from benchbench.runtime.output import silent, write_line
from benchbench.runtime.provenance import called
from benchbench.store import root
from benchbench.types import PromptSet

Reference = Run | str | Path
"""A training: a Run, a run's id, a folder or file of weights, or the name of a released checkpoint."""
References = Reference | Sequence[Reference]
"""One training, or several of one row that differ in their seeds."""
Prompts = PromptSet | str | Path | Sequence[str]
"""A prompt set's name, a file, or the prompts themselves."""
T = TypeVar("T")


@contextmanager
def call(name: str, progress: bool) -> Iterator[Log]:
    """Yields where a call logs its lines. Without ``progress`` they go nowhere, and no bar is shown."""
    with called("python", f"benchbench.{name}"):
        if progress:
            yield write_line
        else:
            with displays.hidden():
                yield silent


def store_folder(store: str | Path | None) -> Path:
    """Returns the store's folder as an absolute path: a later change of the working directory does not move it."""
    return root(store).absolute()


def reference(run: Reference) -> str | Path:
    """Returns a training as the store looks it up. Raises UsageError for anything that names none."""
    if isinstance(run, Run):
        return run.folder
    if isinstance(run, str | Path):
        return run
    raise UsageError(
        f"{run!r:.80} names no training",
        f"it is of the type {type(run).__name__}",
        "give a Run, a run's id, a folder or file of weights, or a released checkpoint's name",
    )


def references(runs: References) -> list[str | Path]:
    """Returns one training or several as the store looks them up. Errors: those of ``reference``."""
    return [reference(run) for run in ([runs] if isinstance(runs, Run | str | Path) else runs)]


def rows(
    given: Mapping[str, References] | References | None,
) -> tuple[list[str | Path], dict[str, list[str | Path]]]:
    """Returns trainings that are a row each, named by their run, and the trainings of each row that has a label."""
    if given is None:
        return [], {}
    if isinstance(given, Mapping):
        return [], {label: references(runs) for label, runs in given.items()}
    return references(given), {}


def prompts_of(given: Prompts) -> str | PromptSet:
    """Returns prompts as a name or a set: texts become the set ``given prompts``, as those of ``bench grid`` do."""
    if isinstance(given, str | Path):
        return str(given)
    if isinstance(given, PromptSet):
        return given
    return given_prompts(list(given))


def prompt_set(given: Prompts) -> PromptSet:
    """Returns prompts as a set. Errors: those of ``prompts.load``."""
    found = prompts_of(given)
    return prompt_sets.load(found) if isinstance(found, str) else found


def given_prompts(texts: Sequence[str]) -> PromptSet:
    """Returns a set of prompts that were typed as they are. Raises UsageError for none, and for what is no text."""
    wrong = [text for text in texts if not isinstance(text, str) or not text.strip()]
    if wrong or not texts:
        raise UsageError(
            f"{wrong[0]!r:.80} is no prompt" if wrong else "there are no prompts",
            "a prompt is a text that is not empty",
            'give a list of texts, as ["a red circle"], or the name of a prompt set',
        )
    return PromptSet("given prompts", tuple(texts), origin="the command line", licence="unknown")


def several(given: T | Sequence[T], one: type[T]) -> list[T]:
    """Returns one value or several as a list."""
    return [given] if isinstance(given, one) else list(given)  # type: ignore[arg-type]
