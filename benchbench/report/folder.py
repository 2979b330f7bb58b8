"""A report on disk: ``reports/<name>-<digest>/`` with page, tables, picture, and the data to render it again.

The digest is of what the report shows, so another result never lands on an existing report, and the same one is
rendered in place.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

from pydantic import ValidationError

from benchbench.errors import CorruptError, MissingError
from benchbench.report import grids, page
from benchbench.report.latex import latex
from benchbench.report.sections import Grid, Page, Records, Tables, Text
from benchbench.runtime.files import write_atomic
from benchbench.runtime.hashing import digest

DATA = "page.json"


def write(store: Path, name: str, content: Page) -> Path:
    """Writes a report into the store and returns its folder."""
    shown = [s.model_dump(mode="json") for s in content.sections if not isinstance(s, Records)]
    stem = re.sub(r"[^\w.-]+", "-", f"{name}-QUICK" if content.quick else name, flags=re.ASCII)
    folder = store / "reports" / f"{stem}-{digest([content.full_title, shown])}"
    write_atomic(folder / DATA, content.model_dump_json(indent=1).encode())
    return render(folder)


def render(path: Path) -> Path:
    """Renders what a report folder (or its page.json) holds again, and returns the folder. Needs no model and no store.

    Errors: MissingError (no report there), CorruptError (its data cannot be read).
    """
    folder = path if path.is_dir() else path.parent
    try:
        content = Page.model_validate_json((folder / DATA).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MissingError(
            f"{path} is not a report", f"there is no {DATA} in it", "name a folder under reports/ of the store"
        ) from error
    except (OSError, ValueError, ValidationError) as error:
        raise CorruptError(
            f"the report {folder / DATA} cannot be read", str(error).splitlines()[0], "make the report again"
        ) from error
    write_atomic(page_file(folder, content.quick), page.html(content).encode())
    write_atomic(page_file(folder, content.quick).with_suffix(".md"), words(content).encode())
    for section in content.sections:
        if isinstance(section, Tables):
            for table in section.tables:
                write_atomic(folder / f"{table.stem}.csv", table.csv().encode())
                write_atomic(folder / f"{table.stem}.md", table.markdown().encode())
                write_atomic(folder / f"{table.stem}.tex", latex(table).encode())
        elif isinstance(section, Grid):
            data = io.BytesIO()
            grids.sheet(section).save(data, "PNG", optimize=True)
            write_atomic(folder / ("samples-QUICK.png" if content.quick else "samples.png"), data.getvalue())
    return folder


def words(content: Page) -> str:
    """What the page says in text and tables, as Markdown."""
    parts = [f"# {content.full_title}", content.intro]
    for section in content.sections:
        if isinstance(section, Text):
            parts += [f"## {section.title}", *section.paragraphs]
        elif isinstance(section, Tables):
            parts += [f"## {section.title}", *(table.markdown().rstrip() for table in section.tables)]
    return "\n\n".join(parts) + "\n"


def page_file(folder: Path, quick: bool) -> Path:
    """Where the page of a report lies."""
    return folder / ("report-QUICK.html" if quick else "report.html")
