"""Mends links: those into the documentation lead to pages, those to other files of the repository become text."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
CODE = re.compile(r"(?ms)^(```.*?^```|    \S.*?$)|(`[^`\n]+`(?!\]))")


def rewrite(markdown: str, source: str, page: str, pages: Mapping[str, str], missing: Callable[[str], None]) -> str:
    """Returns the Markdown of a page with links that work in the site.

    Args:
        markdown: the text, whose links are relative to ``source``.
        source: the file of the repository that the text comes from.
        page: the page's own path in the site, as ``methods/ddpo.md``.
        pages: the page of each file of the repository that has one.
        missing: called with each link that leads to no file.
    """

    def one(found: re.Match[str]) -> str:
        bang, text, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, _, anchor = target.partition("#")
        file = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        to = pages.get(file) or pages.get(f"{file}/README.md")
        if to is None and file.startswith("docs/") and (ROOT / file).is_file():
            to = file.removeprefix("docs/")
        if to is not None:
            relative = posixpath.relpath(to, posixpath.dirname(page) or ".")
            return f"{bang}[{text}]({relative}{'#' + anchor if anchor else ''})"
        if not (ROOT / file).exists():
            missing(f"{source} links to {target}, which does not exist")
        return text if text.startswith("`") else f"`{' '.join(text.split())}`" if "/" in text else text

    return _outside_code(markdown, one)


def _outside_code(markdown: str, one: Callable[[re.Match[str]], str]) -> str:
    """Applies a replacement to links that stand in no code."""
    done, last = [], 0
    for code in CODE.finditer(markdown):
        done += [LINK.sub(one, markdown[last : code.start()]), code[0]]
        last = code.end()
    return "".join([*done, LINK.sub(one, markdown[last:])])
