"""The environment of the authors' packages: made once in our cache folder, and whole only with its marker.

A virtual environment cannot be moved, so that it is made where it stays. ``done.json`` is written last; a folder
without it is one that was interrupted, and is made anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from benchbench.errors import RunError
from benchbench.parity import pins
from benchbench.parity.interpreter import unfit
from benchbench.runtime.file_errors import writing
from benchbench.runtime.files import Log, cache_folder
from benchbench.runtime.json_files import find_object, write_json
from benchbench.runtime.locks import locked
from benchbench.runtime.progress import progress

MARKER = "done.json"
FOREIGN = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
"""Variables that would bring other packages into the environment."""


def folder() -> Path:
    """Returns where the environment of the present pins lies, whether it exists or not."""
    return cache_folder() / "parity" / pins.key()


def find() -> Path | None:
    """Returns the interpreter of a whole environment whose Python still runs, or None."""
    python = folder() / "bin" / "python"
    whole = find_object(folder() / MARKER) is not None
    return python if whole and unfit(python) is None else None


def make(base: Path, log: Log) -> Path:
    """Returns the interpreter of the environment, which is made with ``base`` unless another process just did.

    Raises RunError with pip's own reason.
    """
    place = folder().absolute()
    with locked(place.with_suffix(".lock"), log):
        ready = find()
        if ready is not None:
            return ready
        with writing(place):
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
        python, record = place / "bin" / "python", place.with_suffix(".log")
        record.unlink(missing_ok=True)
        with progress(len(pins.STEPS) + 1, "making the environment of the authors' packages", "steps") as bar:
            _run([str(base), "-I", "-m", "venv", str(place)], record)
            bar.advance()
            for step in pins.STEPS:
                _run([str(python), "-I", "-m", "pip", "install", "--no-input", *step.options, *step.packages], record)
                bar.advance(note=f"installed {step.title}")
        _copy_vocabulary(place)
        write_json(place / MARKER, {**pins.about(), "base": str(base)})
    return python


def clean_variables() -> dict[str, str]:
    """Returns this process's variables without those that lead an interpreter to packages of another."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


def _run(command: list[str], record: Path) -> None:
    """Runs a command in the user's own folder, where a shim of pyenv finds its version; appends what it prints."""
    with writing(record), record.open("ab") as log:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=clean_variables(),
            check=False,
        )
    if done.returncode:
        raise RunError(
            "the environment of the authors' packages could not be made",
            _reason(record),
            f"see {record}; free disk space, or mend the network or pip's settings, and run the same command again",
        )


def _reason(record: Path) -> str:
    """Returns the first line of the log that pip calls an error, else its last line."""
    lines = [line.strip() for line in record.read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines[-1:] or ["it printed nothing"])[0][:500]


def _copy_vocabulary(place: Path) -> None:
    source, target, name = pins.VOCABULARY
    packages = place / "lib" / f"python{pins.PYTHON}" / "site-packages"
    with writing(packages / target / name):
        shutil.copyfile(packages / source / name, packages / target / name)
