"""Finds files of the hub in the Hugging Face cache.

``cached_file`` returns what ``huggingface_hub.try_to_load_from_cache`` returns. Importing that function also imports an
HTTP client, which would slow down ``bench list``. The layout is the one that huggingface_hub documents:
``models--OWNER--NAME/refs/main`` holds a commit, and ``models--OWNER--NAME/snapshots/COMMIT`` its files.
"""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import constants

HUB_ID = re.compile(r"\w(?:[\w.-]*\w)?/\w(?:[\w.-]*\w)?", re.ASCII)


def repository(repo: str) -> Path | None:
    """Returns the folder of a model repository in the cache, or None where it was never fetched."""
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    return folder if folder.is_dir() else None


def cached_file(repo: str, file: str) -> Path | None:
    """Returns the path of a file of a model repository's main revision, or None where it was not fetched."""
    folder = repository(repo)
    if folder is None:
        return None
    main = folder / "refs" / "main"
    commit = main.read_text(encoding="utf-8") if main.is_file() else "main"
    path = folder / "snapshots" / commit / file
    return path if path.is_file() else None


def is_hub_id(text: str) -> bool:
    """Returns whether a text is of the form OWNER/NAME, by the hub's own rules: a path such as ../x is not."""
    return bool(HUB_ID.fullmatch(text)) and len(text) < 200 and ".." not in text and "--" not in text
