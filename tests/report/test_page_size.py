"""The page of a large table stays small enough to send, whatever its pictures show."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchbench.noise import Sample
from benchbench.report import page
from benchbench.report.grids import PROMPTS, ROWS, sample_grid
from benchbench.report.sections import Page, RecordSection, TableSection
from benchbench.report.table import Cell, Column, Table

MOST = 5_000_000


def grey_noise(side: int) -> Image.Image:
    """Returns smoothed noise, which WebP needs the most bytes for once it is reduced."""
    rng = np.random.default_rng(0)
    squares = np.fft.fftfreq(side)[:, None] ** 2 + np.fft.fftfreq(side) ** 2
    squares[0, 0] = 1
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=(3, side, side))) / squares**0.25).real
    return Image.fromarray(np.clip(128 + 50 * field / field.std(), 0, 255).astype(np.uint8).transpose(1, 2, 0))


def test_500_prompts_by_20_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With pictures of 512 px, ten rewards, and the record of every run."""
    picture = grey_noise(512)
    encode = page.grids.data_uri(picture)
    monkeypatch.setattr("benchbench.report.grids.data_uri", lambda image: encode)  # one picture stands for all
    entries = {Sample(f"prompt number {i}, of a usual length", n, i): None for i in range(500) for n in range(2)}
    rows = [
        SimpleNamespace(label=f"row{i}", seed=0, entries=entries, images=SimpleNamespace(read=lambda sample: picture))
        for i in range(20)
    ]
    columns = tuple(Column(key=f"reward-{i}", unit="points", version="1") for i in range(10))
    values = dict.fromkeys(("value", "low", "high", "difference", "difference_low", "difference_high", "p"), 0.123456)
    cells = {row.label: {column.key: Cell(**values, images=1000, prompts=500) for column in columns} for row in rows}
    table = Table(
        name="rewards",
        title="Mean reward",
        caption="All.",
        rows=tuple(row.label for row in rows),
        columns=columns,
        cells=cells,
        protocol="0" * 16,
    )
    grid = sample_grid(rows)  # type: ignore[arg-type]
    record = RecordSection(records={row.label: {f"setting {i}": 0.001 * i for i in range(200)} for row in rows})
    html = page.html(
        Page(title="t", intro="i", sections=(TableSection(title="Rewards", tables=(table,)), grid, record))
    )
    assert html.count("<img") == html.count('loading="lazy"') == PROMPTS * ROWS == len(grid.rows) * PROMPTS
    assert 2_000_000 < len(html.encode()) < MOST
    assert "4 rows are left out" in grid.caption
