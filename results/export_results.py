"""Copies reports of tables and protocols out of a store: ``python results/export_results.py STORE results/shapes``.

It takes the newest full (not quick) report of each table on the shapes track and of each protocol on the shapes world's
prompts. It copies the text, the CSV files, the scores behind them and the records of the runs, without pictures, into a
folder of that name.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from benchbench.protocols import PROTOCOLS
from benchbench.report.folder import PAGE_DATA, made_at
from benchbench.reproduce import spec
from benchbench.runtime.files import write_atomic
from benchbench.runtime.json_files import read_object


def export_results(store: Path, results: Path) -> list[str]:
    """Returns the names that were copied. Folders of which the store has no report stay as they are."""
    copied = []
    tables = {table: (table.replace(":", "-"), "shapes") for table in spec.names()}
    protocols = {name: (name, "shapes-*") for name in PROTOCOLS}
    for name, (stem, track) in (tables | protocols).items():
        pages = (store / "reports").glob(f"{stem}-{track}-[0-9a-f]*/{PAGE_DATA}")
        reports = [page.parent for page in pages if "-QUICK-" not in page.parent.name]
        if not reports:
            continue
        newest = max(reports, key=made_at)
        shutil.rmtree(results / stem, ignore_errors=True)
        (results / stem).mkdir(parents=True)
        page = read_object(newest / PAGE_DATA, "make the report again")
        sections = [section for section in page["sections"] if section["kind"] == "records"]
        records = {name: entry for section in sections for name, entry in section["records"].items()}
        text = json.dumps(records, indent=1).replace(str(store.resolve()), "STORE")  # no paths of this machine
        write_atomic(results / stem / "record.json", f"{text}\n".encode())
        for file in [newest / "report.md", *newest.glob("*.csv"), *newest.glob("scores.parquet")]:
            if not file.stem.endswith("-published"):  # results/published has these
                shutil.copy(file, results / stem / file.name)
        copied.append(name)
    return copied


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("store", type=Path)
    parser.add_argument("results", type=Path)
    folders = parser.parse_args()
    print("\n".join(export_results(folders.store, folders.results)))
