"""The images of a folder that others filled, and the prompt of each: by position, or by the name in its row."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchbench.errors import MissingError, UsageError
from benchbench.runtime.names import natural_order
from benchbench.runtime.pictures import SUFFIXES, is_picture
from benchbench.types import PromptSet

ENDINGS = tuple(ending for endings in SUFFIXES.values() for ending in endings)
UNREAD = (".heic", ".heif", ".jxl", ".svg", ".eps", ".psd", ".ico", ".tga", ".dng", ".cr2", ".nef", ".arw", ".exr")
"""Endings of pictures in formats that are not read."""
LISTED = 100  # names in a message; further ones are counted


class FolderImages(NamedTuple):
    """The image files of a folder in natural order, and lines that name what was left out."""

    paths: list[Path]
    notes: list[str]


def find_images(folder: Path) -> FolderImages:
    """Returns the images of a folder. Errors: MissingError if there are none.

    Hidden files never count, nor do the ``._`` files that macOS leaves beside pictures.
    """
    visible = [path for path in folder.glob("*") if not path.name.startswith(".")]
    visible.sort(key=lambda path: natural_order(path.name))
    images = [path for path in visible if path.suffix.lower() in ENDINGS and path.is_file()]
    read = set(images)
    others = [path for path in visible if not path.is_dir() and path not in read]  # broken links and pipes, too
    left_out = [path.name for path in others if path.suffix.lower() in (*UNREAD, *ENDINGS) or _hides_a_picture(path)]
    folders = [f"{path.name}/" for path in visible if path.is_dir() and any(_is_image(file) for file in path.glob("*"))]
    if not images:
        cause = "it holds none" if folder.is_dir() else "there is no such folder"
        unread = f"; not read: {_listed([*left_out, *folders])}" if left_out or folders else ""
        raise MissingError(
            f"no images in {folder}",
            f"{cause} ({', '.join(ENDINGS)}){unread}",
            "name a folder that holds image files; those in folders inside it are not read",
        )
    notes = [
        *(
            [f"left out, as they are no files that end in one of {', '.join(ENDINGS)}: {_listed(left_out)}"]
            if left_out
            else []
        ),
        *([f"left out, as they are folders inside {folder.name}: {_listed(folders)}"] if folders else []),
    ]
    return FolderImages(images, notes)


def match_prompts(images: Sequence[Path], prompts: PromptSet, by_image: Mapping[str, str] | None = None) -> list[str]:
    """Returns the prompt of each image: that of its name in ``by_image``, else the first for the first, and so on.

    Errors: UsageError if the numbers of images and prompts differ, or with every name that has no partner.
    """
    if by_image is not None:
        return _match_names(images, by_image, prompts.name)
    if len(images) != len(prompts):
        raise UsageError(
            f"{len(images)} images and {len(prompts)} prompts cannot be paired",
            f"{images[0].name} to {images[-1].name} take one prompt each, in the order of their names",
            "give as many prompts as images: one a line, repeated where several images show one; or a CSV or JSONL "
            "file with the columns image and prompt",
        )
    return list(prompts.prompts)


def _match_names(images: Sequence[Path], by_image: Mapping[str, str], title: str) -> list[str]:
    named = {_composed(name): prompt for name, prompt in by_image.items()}  # macOS decomposes accents in file names
    present = {_composed(path.name) for path in images}
    unnamed = [path.name for path in images if _composed(path.name) not in named]
    absent = [name for name in by_image if _composed(name) not in present]
    if unnamed or absent:
        raise UsageError(
            f"images and the prompts of {title} cannot be paired by name",
            "; ".join(
                f"{words}: {_listed(names)}"
                for words, names in (("images without a prompt", unnamed), ("prompts without an image", absent))
                if names
            ),
            "name every image of the folder once, with its ending, in the column image",
        )
    return [named[_composed(path.name)] for path in images]


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in ENDINGS and not path.name.startswith(".")


def _hides_a_picture(path: Path) -> bool:
    return path.is_file() and is_picture(path)  # opening a pipe would wait for its writer


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more
