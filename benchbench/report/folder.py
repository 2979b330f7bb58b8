"""A report on disk: the folder ``reports/<name>-<digest>/`` of a store.

It has the page, the tables, the image grid, every figure as PDF and SVG, and page.json, from which all of them can be
rendered again. The digest is computed from what the report shows: another result never overwrites a report. The same
one leaves it as it is, with the records of the command that made it, unless the code that renders it has changed since.
"""

from __future__ import annotations

import io
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from benchbench.errors import CorruptError, MissingError, RunError
from benchbench.report import grids, page
from benchbench.report.latex import latex
from benchbench.report.page_file import page_file
from benchbench.report.paper_figures import paper_figures
from benchbench.report.sections import GridSection, Page, RecordSection, TableSection, TextSection
from benchbench.report.table import markdown_text
from benchbench.runtime.files import write_atomic
from benchbench.runtime.hashing import bytes_sha256, digest
from benchbench.runtime.names import safe_name
from benchbench.runtime.printable import printable

PAGE_DATA = "page.json"
FIGURES = "figures"  # a folder: each figure of the page as PDF and SVG
STAMP = ".rendered"  # written last


def write(store: Path, name: str, content: Page) -> Path:
    """Writes a report into the store and returns its folder. Errors: those of ``render``."""
    stem = safe_name(f"{name}-QUICK" if content.quick else name, "-")
    folder = store / "reports" / f"{stem}-{digest([content.full_title, _shown(content)])}"
    if _is_current(folder, content):
        with suppress(RunError):  # in a store that can only be read nothing says that this is the newest report
            write_atomic(folder / STAMP, _renderer().encode())
        return folder
    try:
        write_atomic(folder / PAGE_DATA, content.model_dump_json(indent=1).encode())
        return render(folder)
    except RunError:
        if page_file(folder, content.quick).is_file():
            return folder  # the same report, in a store that can only be read
        raise


def _shown(content: Page) -> list[dict[str, Any]]:
    """Returns what a page shows but its records, which tell of the command and differ each time."""
    return [section.model_dump(mode="json") for section in content.sections if not isinstance(section, RecordSection)]


def render(path: Path) -> Path:
    """Renders a report folder (or its page.json) again and returns the folder. It needs no model and no store.

    Errors: MissingError (no report there), CorruptError (its data cannot be read), RunError (a full disk).
    """
    folder = path if path.is_dir() else path.parent
    content = read(path)
    pictures = [section for section in content.sections if isinstance(section, GridSection)]
    write_atomic(page_file(folder, content.quick), page.html(content).encode())
    write_atomic(page_file(folder, content.quick).with_suffix(".md"), markdown(content).encode())
    for section in content.sections:
        if isinstance(section, TableSection):
            for table in section.tables:
                write_atomic(folder / f"{table.stem}.csv", table.csv().encode())
                write_atomic(folder / f"{table.stem}.md", table.markdown().encode())
                write_atomic(folder / f"{table.stem}.tex", latex(table).encode())
    for number, grid in enumerate(pictures, 1):
        name, data = "samples" if number == 1 else f"samples-{number}", io.BytesIO()
        grids.contact_sheet(grid).save(data, "PNG", optimize=True)
        write_atomic(folder / f"{name}{'-QUICK' if content.quick else ''}.png", data.getvalue())
    for name, figure in paper_figures(content):
        write_atomic(folder / FIGURES / name, figure)
    write_atomic(folder / STAMP, _renderer().encode())
    return folder


def read(path: Path) -> Page:
    """Returns the content of a report folder (or of its page.json). Errors: MissingError, CorruptError."""
    folder = path if path.is_dir() else path.parent
    try:
        return Page.model_validate_json((folder / PAGE_DATA).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingError(
            f"{path} is not a report", f"it has no {PAGE_DATA}", "name a folder under reports/ of the store"
        ) from error
    except (OSError, ValueError, ValidationError) as error:
        raise CorruptError(
            f"the report {folder / PAGE_DATA} cannot be read", str(error).splitlines()[0], "make the report again"
        ) from error


def _is_current(folder: Path, content: Page) -> bool:
    """Returns whether the folder holds this report, rendered by this version of the code: plots take seconds."""
    try:
        if (folder / STAMP).read_text(encoding="utf-8") != _renderer():
            return False
        there = Page.model_validate_json((folder / PAGE_DATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    whole = page_file(folder, content.quick).is_file()
    return whole and (there.intro, there.answer) == (content.intro, content.answer) and _shown(there) == _shown(content)


def made_at(folder: Path) -> float:
    """Returns when a command last made this report or found it made already, in seconds since 1970."""
    return max(path.stat().st_mtime for path in (folder / PAGE_DATA, folder / STAMP) if path.is_file())


def _renderer() -> str:
    """Returns a hash of the code and the templates that render reports."""
    files = sorted(path for path in Path(__file__).parent.rglob("*") if path.suffix in {".py", ".j2", ".css", ".js"})
    return bytes_sha256(path.read_bytes() for path in files)


def markdown(content: Page) -> str:
    """Returns the text and the tables of a page as Markdown."""
    parts = [f"# {content.full_title}", *([markdown_text(content.answer)] if content.answer else []), content.intro]
    for section in content.sections:
        if isinstance(section, TextSection):
            parts += [f"## {section.title}", *section.paragraphs]
        elif isinstance(section, TableSection):
            parts += [f"## {section.title}", *(table.markdown().rstrip() for table in section.tables)]
    return printable("\n\n".join(parts), keep="\n\t") + "\n"
