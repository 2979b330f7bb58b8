"""Copies reports of tables and protocols out of a store: ``python results/export_results.py STORE results/shapes``.

It takes the newest full (not quick) report of each table on the shapes track, of each protocol on the shapes world's
prompts, and of each sweep that ``--sweeps`` names. It copies the text, the CSV files, the scores behind them and the
records of the runs, without pictures, into a folder of that name. A sweep keeps its page.json, with its pictures where
they are small, so that ``bench leaderboard`` and ``bench report`` read the copy. ``--leaderboard FOLDER`` makes the
leaderboard of these copies, and copies its page and tables there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchbench.errors import BenchError
from benchbench.protocols import PROTOCOLS
from benchbench.report.folder import PAGE_DATA, made_at
from benchbench.report.sections import GridSection, Page, SideBySideSection
from benchbench.reproduce import spec
from benchbench.reproduce.leaderboard import leaderboard
from benchbench.runtime.files import write_atomic
from benchbench.runtime.json_files import read_object

LARGEST_PAGE = 2**20
"""Bytes of a page that is copied with its pictures."""


def export_results(store: Path, results: Path, sweeps: Sequence[str] = ()) -> list[str]:
    """Returns the names that were copied. Folders of which the store has no report stay as they are."""
    copied = []
    stems = {table: (table.replace(":", "-"), "shapes-") for table in spec.names()}
    stems |= {name: (name, "shapes-*-") for name in PROTOCOLS} | {name: (name, "") for name in sweeps}
    for name, (stem, track) in stems.items():
        pages = (store / "reports").glob(f"{stem}-{track}[0-9a-f]*/{PAGE_DATA}")
        reports = [page.parent for page in pages if "-QUICK-" not in page.parent.name]
        if reports:
            _copy(max(reports, key=made_at), results / stem, str(store.resolve()), name in sweeps)
            copied.append(name)
    return copied


def export_leaderboard(reports: Sequence[Path], to: Path) -> None:
    """Replaces a folder by the page and the tables of the leaderboard of some reports. Errors: those of leaderboard."""
    with TemporaryDirectory() as store:
        made = leaderboard(reports, Path(store), lambda line: None)
        shutil.rmtree(to, ignore_errors=True)
        to.mkdir(parents=True)
        for file in [*made.glob("report.*"), *made.glob("*.csv")]:
            shutil.copy(file, to / file.name)


def _copy(report: Path, to: Path, store: str, with_page: bool) -> None:
    """Replaces a folder by the text, tables, scores and records of a report, in which no path of this machine is."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    page = Page.model_validate(read_object(report / PAGE_DATA, "make the report again"))
    records = {
        name: entry for section in page.sections if section.kind == "records" for name, entry in section.records.items()
    }
    _write(to / "record.json", json.dumps(records, indent=1), store)
    if with_page:
        if len(page.model_dump_json()) > LARGEST_PAGE:
            kept = [section for section in page.sections if not isinstance(section, GridSection | SideBySideSection)]
            page = page.model_copy(update={"sections": tuple(kept)})
        _write(to / PAGE_DATA, page.model_dump_json(indent=1), store)
    for file in [report / "report.md", *report.glob("*.csv"), *report.glob("scores.parquet")]:
        if not file.stem.endswith("-published"):  # results/published has these
            shutil.copy(file, to / file.name)


def _write(path: Path, text: str, store: str) -> None:
    write_atomic(path, f"{text.replace(store, 'STORE')}\n".encode())


def main() -> int:
    """Copies what the store has, and prints the names. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--sweeps", nargs="*", default=[], metavar="NAME", help="sweeps, by the names of their files")
    parser.add_argument("--leaderboard", type=Path, help="folder for the leaderboard of these sweeps")
    args = parser.parse_args()
    if args.leaderboard and not args.sweeps:
        parser.error("--leaderboard ranks the sweeps that --sweeps names, and it names none")
    try:
        print("\n".join(export_results(args.store, args.results, args.sweeps)) or f"no report in {args.store}")
        if args.leaderboard:
            export_leaderboard([args.results / name for name in args.sweeps], args.leaderboard)
    except BenchError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.code
    return 0


if __name__ == "__main__":
    sys.exit(main())
