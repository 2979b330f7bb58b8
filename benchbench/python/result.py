"""The result of a call that writes a report: its tables, the scores behind them, and the report's folder.

Imports pandas, and the reader of scores, only inside functions: the commands load this file before names are checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.errors import MissingError
from benchbench.python.table import Table
from benchbench.report.page_file import page_file
from benchbench.report.table import Table as Cells

if TYPE_CHECKING:
    import pandas as pd

FIRST = ("row", "train_seed", "prompt", "sample", "reward", "score")


class Result:
    """The tables of a report, the scores behind them, and the folder of the report.

    Example:
        >>> result.table.save("table.tex")
        >>> result.scores.groupby(["row", "reward"]).score.mean()
        >>> result.page                 # the HTML page, with pictures and training curves
    """

    def __init__(self, folder: Path, tables: Sequence[Cells], quick: bool = False) -> None:
        self.folder: Path = folder.absolute()
        """The absolute path of the report's folder in the store."""
        self.tables: tuple[Table, ...] = tuple(map(Table, tables))
        """Every table of the report."""
        self.page: Path = page_file(self.folder, quick)
        """The absolute path of the report's HTML page."""

    @property
    def table(self) -> Table:
        """The first table.

        Raises:
            MissingError: The report has none, as that of a study without votes.
        """
        if not self.tables:
            raise MissingError("the report has no table", f"{self.page} shows other things", "look at its page")
        return self.tables[0]

    @cached_property
    def scores(self) -> pd.DataFrame:
        """The scores behind the tables: a row for each image and reward.

        The first columns are ``row``, ``train_seed``, ``prompt``, ``sample``, ``reward`` and ``score``. ``table`` names
        the table, ``eval_seed`` is the seed of the image, and ``unit`` and ``version`` are those of the reward. The
        rows behind a protocol of ``measure`` have the columns of that protocol.

        Raises:
            MissingError: The report has no scores, as that of training costs.
        """
        from benchbench.report.scores_file import read_scores

        frame = read_scores(self.folder)
        if frame is None:
            raise MissingError("the report has no scores", f"there are none in {self.folder}", "look at its tables")
        first = [name for name in FIRST if name in frame.columns]
        return frame[[*first, *(name for name in frame.columns if name not in first)]]

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self.tables)

    def __repr__(self) -> str:
        return "\n".join([*map(repr, self.tables), f"report: {self.page}"])


class Comparison(Result):
    """The result of ``compare``: the difference between two models under each reward."""

    @property
    def differences(self) -> pd.DataFrame:
        """The first model less the second, a row for each reward.

        ``value``, from ``low`` to ``high``, is the difference in the unit of the reward, and ``gain`` in standard
        deviations. ``p`` is its p-value, ``p_holm`` the one corrected for all rewards, and ``significant`` the verdict,
        which needs five trainings a side and is empty below that.
        """
        frame = self.table.to_frame()
        frame = frame[frame["column"] == "difference"].rename(columns={"row": "reward"})
        names = ["reward", "value", "low", "high", "gain", "p", "p_holm", "significant"]
        return frame[names].reset_index(drop=True)
