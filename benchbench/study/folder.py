"""A study's folder, which can be moved as a whole.

    study.json          frozen before the first vote, with a checksum
    pictures/*.webp     named by the hash of their bytes
    votes.sqlite        raters' links and votes, readable by its owner only
    reports/            results

A copy needs the files beside votes.sqlite, too (-wal, -shm), where the server was killed.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from benchbench.errors import CorruptError, MissingError
from benchbench.runtime.hashing import bytes_sha256
from benchbench.runtime.names import safe_name
from benchbench.runtime.sealed import read_sealed, write_sealed
from benchbench.study.design import Study
from benchbench.study.pictures import FOLDER

FILE = "study.json"
AGAIN = "make the study again under another name: bench study new"


def study_folder(store: Path, name: str, out: Path | None = None) -> Path:
    """Returns where a study lies: ``out``, or its folder in the store."""
    return out or store / "studies" / safe_name(name, "-")


def find_study(store: Path, reference: str) -> Path:
    """Returns the folder of a study by its name in the store or by its path. Raises MissingError."""
    for folder in (Path(reference).expanduser(), study_folder(store, reference)):
        if (folder / FILE).is_file():
            return folder
    here = sorted(path.parent.name for path in (store / "studies").glob(f"*/{FILE}"))
    raise MissingError(
        f"no study {reference!r}",
        f"{store / 'studies'} holds {', '.join(here) or 'none'}, and no folder of that name has a {FILE}",
        "name one of these or a study's folder, or make it: bench study new",
    )


def write_study(folder: Path, study: Study) -> None:
    """Writes study.json, last of all of the study's files. Raises RunError (a full disk)."""
    write_sealed(folder / FILE, study.model_dump(mode="json"), indent=None)


def read_study(folder: Path) -> Study:
    """Returns the study in a folder. Raises CorruptError where its file is not what was written."""
    content = read_sealed(folder / FILE, AGAIN)
    try:
        return Study.model_validate(content)
    except ValidationError as error:
        raise CorruptError(f"{folder / FILE} is not a study", str(error).splitlines()[0], AGAIN) from error


def check_pictures(folder: Path, study: Study) -> None:
    """Raises CorruptError where a picture is missing or is not the one that was copied."""
    for name in sorted(picture_files(study)):
        path = folder / FOLDER / name
        try:
            sound = bytes_sha256([path.read_bytes()])[:24] == path.stem
        except OSError:
            sound = False
        if not sound:
            raise CorruptError(
                f"the study {study.name} cannot be shown", f"{path} is missing or is another picture", AGAIN
            )


def picture_files(study: Study) -> frozenset[str]:
    """Returns the names of all files in pictures/ that the study uses."""
    return frozenset([picture.file for picture in study.pictures] + [check.destroyed for check in study.checks])
