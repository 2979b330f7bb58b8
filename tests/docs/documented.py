"""Finds every command that README, docs and the READMEs of folders show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import NamedTuple

from docs_build import methods
from docs_build.links import ROOT

PATTERNS = (
    "*.md",
    "docs/**/*.md",
    "*/README.md",
    "examples/*/README.md",
    "results/*/README.md",
    "benchbench/*/README.md",
)
BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```")
PROGRAMS = (
    r"(?:\$ )?(?:[A-Z_]+=\S+ )?(?:\S*/)?(bench|make|pip|python[\d.]*|accelerate|torchrun|git|ray|vllm|source|module) "
)


class Shown(NamedTuple):
    """A command as a page shows it, and the page."""

    page: str
    line: str

    @property
    def words(self) -> list[str]:
        """The words of the command without comments."""
        return shlex.split(self.line, comments=True)


def texts() -> dict[str, str]:
    """Returns the Markdown of each page by its file, with the pages of methods, which are made from code."""
    files = {path for pattern in PATTERNS for path in ROOT.glob(pattern) if path.name != "CHANGELOG.md"}
    read = {file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8") for file in sorted(files)}
    return read | methods.pages()


def in_blocks() -> Iterator[Shown]:
    """Yields the commands in blocks of code: each line of ``bash``, and in ``console`` what follows a ``$``."""
    for page, text in texts().items():
        for language, body in BLOCK.findall(text):
            for line in body.replace("\\\n", " ").splitlines():
                if language == "bash" and line.strip() and not line.startswith("#"):
                    yield Shown(page, " ".join(line.split()))
                elif language == "console" and line.startswith("$ "):
                    yield Shown(page, " ".join(line[2:].split()))


def in_sentences() -> Iterator[Shown]:
    """Yields code in sentences and tables that begins with ``bench``; it may be a part of a command."""
    for page, text in texts().items():
        for code in re.findall(r"`(bench [^`]+)`", BLOCK.sub("", text)):
            yield Shown(page, " ".join(code.replace("\\|", "|").split()))


def misplaced() -> list[Shown]:
    """Returns lines that look like commands and stand where ``in_blocks`` does not look."""
    found = []
    for page, text in texts().items():
        others = [body for language, body in BLOCK.findall(text) if language not in ("bash", "console", "python")]
        lines = [line for body in others for line in body.splitlines()]
        lines += re.findall(r"(?m)^ {4}(\S.*)$", BLOCK.sub("", text))
        found += [Shown(page, line) for line in lines if re.match(PROGRAMS, line)]
    return found
