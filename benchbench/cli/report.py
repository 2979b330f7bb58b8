"""``bench report``. Imports report, which loads pandas, only inside the function."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchbench.cli.ui import log


def report(path: Annotated[Path, typer.Argument(help="A report's folder.", show_default=False)]) -> None:
    """Render an existing report again. Needs only the data in its folder."""
    from benchbench.report import folder

    log(f"rendering {path} again")
    log(f"rendered {', '.join(str(page) for page in sorted(folder.render(path).glob('*.html')))}")
