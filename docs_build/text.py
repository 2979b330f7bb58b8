"""Markdown made from Python: tables, sections and docstrings."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Iterable, Sequence

SECTIONS = ("Args", "Returns", "Yields", "Raises", "Attributes", "Example", "Examples", "Note")


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a Markdown table; a line break or a bar in a cell does not break it."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(value: object) -> str:
    line = re.sub(r"`([^`]*\|[^`]*)`", _code_with_bars, " ".join(str(value).split()))
    return line.replace("|", "\\|")


def _code_with_bars(found: re.Match[str]) -> str:
    """Returns code as HTML, since Markdown shows the backslash before a bar in it."""
    return f"<code>{html.escape(found[1]).replace('|', '&#124;')}</code>"


def escape(text: str) -> str:
    """Returns text that Markdown shows as it is: angle brackets are no tags, and stars and underscores no emphasis."""
    return re.sub(r"([*_\[])", r"\\\1", text).replace("<", "&lt;")


def sections(markdown: str, level: int = 2) -> list[tuple[str, str]]:
    """Returns the text before the first heading of a level, under the name "", and then each heading with its text."""
    parts = re.split(rf"(?m)^{'#' * level} (.*)$", markdown)
    return [("", parts[0]), *zip(parts[1::2], parts[2::2], strict=True)]


def docstring(thing: object) -> str:
    """Returns a docstring in Google's style as Markdown."""
    text = inspect.getdoc(thing) or ""
    return from_google(text)


def from_google(text: str) -> str:
    """Returns a docstring as Markdown: sections get a bold name, their items a line each, examples a block of code."""
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    lines: list[str] = []
    inside = ""
    for line in text.splitlines():
        name = line.rstrip().removesuffix("::").removesuffix(":")
        if name in SECTIONS and line.rstrip().endswith(":"):
            inside = name
            lines += ["", f"**{'Arguments' if name == 'Args' else name}**", ""]
        elif inside and line and not line.startswith(" "):
            inside = ""
            lines += ["", _ends_in_code(line)]
        elif inside and not inside.startswith("Example"):
            lines.append(_item(line))
        else:
            lines.append(_ends_in_code(line))
    return "\n".join(lines).strip() + "\n"


def _ends_in_code(line: str) -> str:
    return line.removesuffix(":") + "\n" if line.endswith("::") else line


def _item(line: str) -> str:
    """Returns one line of a section: an item begins where a name and a colon stand at the first indentation."""
    found = re.match(r" {4}([*\w, ./`]+?)( \([^)]*\))?: (.*)", line)
    if found:
        return f"- `{found[1].strip('`')}`{found[2] or ''}: {found[3]}"
    return line[4:] if line.startswith(" " * 4) and not line.startswith(" " * 8) else line.strip().rjust(len(line) - 6)
