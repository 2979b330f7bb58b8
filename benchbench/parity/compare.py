"""The difference of our scores from theirs, in standard deviations of the scores, and the verdict."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from benchbench.errors import RunError, UsageError
from benchbench.runtime.files import write_atomic
from benchbench.runtime.json_files import write_json

LIMIT = 1e-4
"""The largest difference, in standard deviations of the scores, that counts as rounding."""
COLUMNS = ("reward", "reference", "pictures", "mean", "SD", "largest difference", "in SDs", "verdict")


class Row(NamedTuple):
    """One reward's comparison: our scores and theirs of the same pictures, in our unit."""

    reward: str
    reference: str
    ours: Sequence[float]
    theirs: Sequence[float]

    @property
    def sd(self) -> float:
        """The standard deviation of our scores, with N - 1."""
        return stdev(self.ours)

    @property
    def difference(self) -> float:
        """The largest absolute difference of a picture's two scores."""
        return max(abs(a - b) for a, b in zip(self.ours, self.theirs, strict=True))

    @property
    def in_sds(self) -> float:
        """The largest difference over the standard deviation; infinite where the scores do not vary."""
        return self.difference / self.sd if self.sd else math.inf

    @property
    def equal(self) -> bool:
        """True where the difference is one of rounding. Scores that do not vary are never called equal."""
        return self.in_sds <= LIMIT

    @property
    def verdict(self) -> str:
        """The result in words."""
        if not self.sd:
            return "no verdict: the scores do not vary"
        return f"equal to {LIMIT:g} SD" if self.equal else "DIFFERENT"

    def cells(self) -> list[str]:
        """Returns the cells of ``COLUMNS`` for a table."""
        numbers = [f"{fmean(self.ours):.5g}", f"{self.sd:.3g}", f"{self.difference:.1e}", f"{self.in_sds:.1e}"]
        return [self.reward, self.reference, str(len(self.ours)), *numbers, self.verdict]

    def record(self) -> dict[str, Any]:
        """Returns the row for a file, with the scores of each picture."""
        in_sds = self.in_sds if math.isfinite(self.in_sds) else None
        values = (self.reward, self.reference, len(self.ours), fmean(self.ours), self.sd, self.difference, in_sds)
        return {**dict(zip(COLUMNS, (*values, self.verdict), strict=True)), "ours": self.ours, "theirs": self.theirs}


def check_target(out: Path | None) -> None:
    """Raises UsageError for a file that exists, or whose ending is neither .json nor .csv."""
    if out is None:
        return
    if out.suffix not in (".json", ".csv"):
        raise UsageError(
            f"--out {out} has an unknown ending", "a table is written as JSON or CSV", "end it in .json or .csv"
        )
    if out.exists():
        raise UsageError(f"{out} is there already", "nothing is overwritten", "choose another --out")


def write(out: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Writes the table: as CSV, or as JSON with every picture's scores and ``about``. Raises RunError."""
    records = [row.record() for row in rows]
    if out.suffix == ".json":
        write_json(out, {**about, "limit in SDs": LIMIT, "rewards": records})
        return
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    write_atomic(out, text.getvalue().encode())


def require_equal(rows: Sequence[Row]) -> None:
    """Raises RunError where a reward is not equal to its reference."""
    others = [row for row in rows if not row.equal]
    if others:
        raise RunError(
            f"{len(others)} of {len(rows)} rewards could not be shown equal to the authors' packages",
            "; ".join(f"{row.reward}: {row.difference:.1e}, {row.in_sds:.1e} SD ({row.verdict})" for row in others),
            "compare more or other pictures (--images); if they differ again, report it with the file of --out x.json",
        )
