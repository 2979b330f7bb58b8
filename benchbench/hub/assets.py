"""Files that others made and we do not ship: which, where they may lie, and whether they are the right ones.

Looked for in this order, for each hub id in its order: a local copy under ``$BENCH_WEIGHTS``, if that is set (in a
folder ``OWNER/NAME`` or ``NAME``; a single file also directly), then the Hugging Face cache, then, for what is fetched
from elsewhere, our own cache. Nothing here uses the network, and nothing imports torch.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchbench.errors import CorruptError, MissingError
from benchbench.hub.hf_cache import cached_file
from benchbench.hub.lock import agree
from benchbench.runtime.files import cache_folder
from benchbench.runtime.hashing import cached_sha256

LOCAL = "BENCH_WEIGHTS"


@dataclass(frozen=True)
class Asset:
    """Files of one repository. ``files`` has, for each file that is needed, the names it may have, best first."""

    what: str
    repos: tuple[str, ...]
    """Hub ids that hold the same files, tried in order."""
    files: tuple[tuple[str, ...], ...]
    size: str = ""
    licence: str = ""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """Known hashes by file name, whole or as ``first...last`` digits; others are recorded when they are first used."""
    url: str = ""
    """Where the one file can be had besides the hub."""

    def find(self) -> tuple[Path, ...] | None:
        """The files, in the order of ``files`` and all from one place, or None."""
        return next((paths for _, paths in self._places() if paths), None)

    def missing(self) -> str | None:
        """What is missing and where it was looked for, or None."""
        if self.find():
            return None
        names = ", ".join(names[0] for names in self.files)
        local = os.environ.get(LOCAL)
        where = f"${LOCAL} ({local})" if local else f"${LOCAL} (not set)"
        size = f", {self.size}" if self.size else ""
        return f"{self.what} ({names} of {' or '.join(self.repos)}{size}) is neither in {where} nor in {_cache()}"

    def paths(self) -> tuple[Path, ...]:
        """The files, checked against the known hashes and the lock. Errors: MissingError, CorruptError."""
        for repo, found in self._places():
            if found:
                for path in found:
                    self.check(repo, path, cached_sha256(path))
                return found
        raise MissingError(f"{self.what} is not on this machine", str(self.missing()), "bench fetch --rewards")

    def check(self, repo: str, path: Path, found: str) -> None:
        """Errors: CorruptError for a file with another hash than the known one, or than at its first use."""
        first, _, last = self.sha256.get(path.name, "").partition("...")
        if not (found.startswith(first) and found.endswith(last)):
            raise CorruptError(
                f"{path} is not the file that {self.what} means",
                f"its sha256 is {found}, expected {self.sha256[path.name]}",
                "delete it, and fetch again what needed it: bench fetch --rewards",
            )
        agree(f"file {repo} {path.name}", found)

    def _places(self) -> list[tuple[str, tuple[Path, ...] | None]]:
        local = os.environ.get(LOCAL)
        places: list[tuple[str, tuple[Path, ...] | None]] = []
        for repo in self.repos:
            if local:
                root = Path(local).expanduser()
                folders = [root / repo, root / repo.split("/")[-1], *([root] if len(self.files) == 1 else [])]
                places += [(repo, self._in(folder)) for folder in folders]
            places.append((repo, self._cached(repo)))
        if self.url:
            places.append((self.url, self._in(own_folder())))
        return places

    def _in(self, folder: Path) -> tuple[Path, ...] | None:
        found = [next((folder / n for n in names if (folder / n).is_file()), None) for names in self.files]
        return tuple(path for path in found if path) if all(found) else None

    def _cached(self, repo: str) -> tuple[Path, ...] | None:
        found = [next((path for name in names if (path := cached_file(repo, name))), None) for names in self.files]
        return tuple(path for path in found if path) if all(found) else None


def own_folder() -> Path:
    """Where a file that does not come from the hub is kept."""
    return cache_folder() / "weights"


def _cache() -> str:
    from huggingface_hub import constants

    return f"the Hugging Face cache ({constants.HF_HUB_CACHE})"
