"""Files from other authors that a reward needs: their names, locations and hashes.

For each hub id in order, a file is looked for in ``$BENCH_WEIGHTS`` if that is set (in a folder ``OWNER/NAME`` or
``NAME``; a single file also directly), then in the Hugging Face cache. A file with an address outside the hub is looked
for in our own cache at last. Nothing here uses the network, and nothing imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchbench.errors import CorruptError, MissingError
from benchbench.hub.hf_cache import cached_file
from benchbench.hub.lock import pin, pinned
from benchbench.runtime.files import cache_folder
from benchbench.runtime.hashing import cached_sha256

LOCAL_FOLDER = "BENCH_WEIGHTS"
"""The environment variable that names a folder of local copies."""
OWN_WEIGHTS = "weights of your own are a reward with its own name and version (reward_models/README.md)"


@dataclass(frozen=True)
class Asset:
    """The files that a reward needs of one repository."""

    title: str
    """A name for messages, such as ``CLIP's tokenizer``."""
    repos: tuple[str, ...]
    """Hub ids that hold the same files, tried in order."""
    files: tuple[tuple[str, ...], ...]
    """The possible names of each file, best first."""
    size: str = ""
    licence: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Known hashes by file name, complete or as ``first...last`` digits. Others are recorded at first use."""
    url: str = ""
    """An address outside the hub; only for an asset of one file."""

    def find(self) -> tuple[Path, ...] | None:
        """Returns the paths in the order of ``files``, all from one location, or None if no location has them all."""
        return next((paths for _, paths in self._locations() if paths), None)

    def missing(self) -> str | None:
        """Returns a description of the missing files and the locations searched, or None where none is missing."""
        if self.find():
            return None
        names = ", ".join(names[0] for names in self.files)
        local = os.environ.get(LOCAL_FOLDER)
        where = f"${LOCAL_FOLDER} ({local})" if local else f"${LOCAL_FOLDER} (not set)"
        size = f", {self.size}" if self.size else ""
        return f"{self.title} ({names} of {' or '.join(self.repos)}{size}) is neither in {where} nor in {_cache()}"

    def paths(self) -> tuple[Path, ...]:
        """Returns the paths, checked against the known hashes and the lock. Raises MissingError or CorruptError."""
        for location, paths in self._locations():
            if paths:
                for path in paths:
                    self.check(location, path, cached_sha256(path))
                return paths
        raise MissingError(f"{self.title} is not on this machine", str(self.missing()), "bench fetch --rewards NAME")

    def check(self, location: str, path: Path, sha256: str) -> None:
        """Raises CorruptError where ``sha256`` is not the known hash of the file, or not the one of its first use.

        The name of the file does not matter: other weights under another of the possible names are refused, too.
        """
        if self.sha256 and path.name not in self.sha256:
            raise CorruptError(
                f"{path} cannot be checked",
                f"of {self.title} the hash is known of {', '.join(self.sha256)} only",
                f"use that file; {OWN_WEIGHTS}",
            )
        first, _, last = self.sha256.get(path.name, "").partition("...")
        if not (sha256.startswith(first) and sha256.endswith(last)):
            raise CorruptError(
                f"{path} is not the expected file of {self.title}",
                f"its sha256 is {sha256}, expected {self.sha256[path.name]}",
                "delete it, and fetch the reward again: bench fetch --rewards NAME",
            )
        for other in next((names for names in self.files if path.name in names), ()):
            before = pinned(f"file {location} {other}")
            if other != path.name and before not in (None, sha256):
                raise CorruptError(
                    f"{path} is not the file of {self.title} that was first used, as {other}",
                    f"its sha256 is {sha256}, that of the other was {before}",
                    f"delete it, or, to accept it, the line of {other} in the cache's lock.json; {OWN_WEIGHTS}",
                )
        pin(f"file {location} {path.name}", sha256)

    def _locations(self) -> list[tuple[str, tuple[Path, ...] | None]]:
        """Returns each hub id or address with the paths of all files there, or None where one is missing."""
        local = os.environ.get(LOCAL_FOLDER)
        locations: list[tuple[str, tuple[Path, ...] | None]] = []
        for repo in self.repos:
            if local:
                root = Path(local).expanduser()
                folders = [root / repo, root / repo.split("/")[-1], *([root] if len(self.files) == 1 else [])]
                locations += [(repo, self._in_folder(folder)) for folder in folders]
            locations.append((repo, self._cached(repo)))
        if self.url:
            locations.append((self.url, self._in_folder(download_folder())))
        return locations

    def _in_folder(self, folder: Path) -> tuple[Path, ...] | None:
        paths = [next((folder / n for n in names if (folder / n).is_file()), None) for names in self.files]
        return tuple(path for path in paths if path) if all(paths) else None

    def _cached(self, repo: str) -> tuple[Path, ...] | None:
        paths = [next((path for name in names if (path := cached_file(repo, name))), None) for names in self.files]
        return tuple(path for path in paths if path) if all(paths) else None


def download_folder() -> Path:
    """Returns the folder of files that were downloaded from outside the hub."""
    return cache_folder() / "weights"


def _cache() -> str:
    from huggingface_hub import constants

    return f"the Hugging Face cache ({constants.HF_HUB_CACHE})"
