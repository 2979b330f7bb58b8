"""Copies reports of tables and protocols out of a store: ``python results/export_results.py STORE results/shapes``.

Of each table on the shapes track, and of each protocol on the shapes world's prompts, the newest report that is not a
quick one: its words, its CSV files and the records of its runs, without the pictures, into a folder of its name.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from benchbench.protocols import PROTOCOLS
from benchbench.report.folder import PAGE_DATA
from benchbench.reproduce import spec
from benchbench.runtime.files import write_atomic
from benchbench.runtime.json_files import read_object


def export_results(store: Path, results: Path) -> list[str]:
    """Returns what was copied; what the store has no report of stays as it is."""
    copied = []
    tables = {table: (table.replace(":", "-"), "shapes") for table in spec.names()}
    protocols = {name: (name, "shapes-*") for name in PROTOCOLS}
    for name, (stem, where) in (tables | protocols).items():
        pages = (store / "reports").glob(f"{stem}-{where}-[0-9a-f]*/{PAGE_DATA}")
        reports = [page.parent for page in pages if "-QUICK-" not in page.parent.name]
        if not reports:
            continue
        newest = max(reports, key=lambda folder: (folder / PAGE_DATA).stat().st_mtime)
        shutil.rmtree(results / stem, ignore_errors=True)
        (results / stem).mkdir(parents=True)
        page = read_object(newest / PAGE_DATA, "make the report again")
        records = {k: v for s in page["sections"] if s["kind"] == "records" for k, v in s["records"].items()}
        text = json.dumps(records, indent=1).replace(str(store.resolve()), "STORE")  # where it lay is nobody's business
        write_atomic(results / stem / "record.json", f"{text}\n".encode())
        for file in [newest / "report.md", *newest.glob("*.csv")]:
            if not file.stem.endswith("-published"):  # these are in results/published
                shutil.copy(file, results / stem / file.name)
        copied.append(name)
    return copied


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path)
    parser.add_argument("results", type=Path)
    folders = parser.parse_args()
    print("\n".join(export_results(folders.store, folders.results)))
