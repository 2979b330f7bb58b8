"""Copies reports of paper tables out of a store: ``python -m benchbench.papers.checkin STORE results/shapes``.

Of each table on the shapes track the newest report that is not a quick one: its words, its CSV files and the records of
its runs, without the pictures, into a folder named as the table.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from benchbench.papers import spec
from benchbench.report.folder import DATA
from benchbench.store.files import write_atomic


def checkin(store: Path, results: Path) -> list[str]:
    """Returns the names of the tables that were copied; what the store has no report of stays as it is."""
    copied = []
    for table in spec.names():
        stem = table.replace(":", "-")
        reports = [path.parent for path in (store / "reports").glob(f"{stem}-shapes-[0-9a-f]*/{DATA}")]
        if not reports:
            continue
        newest = max(reports, key=lambda folder: (folder / DATA).stat().st_mtime)
        shutil.rmtree(results / stem, ignore_errors=True)
        (results / stem).mkdir(parents=True)
        page = json.loads((newest / DATA).read_text(encoding="utf-8"))
        records = {k: v for s in page["sections"] if s["kind"] == "records" for k, v in s["records"].items()}
        text = json.dumps(records, indent=1).replace(str(store.resolve()), "STORE")  # where it lay is nobody's business
        write_atomic(results / stem / "record.json", f"{text}\n".encode())
        for file in [newest / "report.md", *newest.glob("*.csv")]:
            if not file.stem.endswith("-published"):  # these are in results/published
                shutil.copy(file, results / stem / file.name)
        copied.append(table)
    return copied


if __name__ == "__main__":
    print("\n".join(checkin(Path(sys.argv[1]), Path(sys.argv[2]))))
