"""Names the path of a report's page. Commands print it, so that this file imports nothing that is slow to load."""

from __future__ import annotations

from pathlib import Path


def page_file(folder: Path, quick: bool) -> Path:
    """Returns the path of the HTML page in a report's folder."""
    return folder / ("report-QUICK.html" if quick else "report.html")
