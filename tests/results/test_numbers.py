"""The numbers in README.md and on other pages are those of the files that they describe."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import t as student

from benchbench.reproduce.leaderboard import table
from benchbench.reproduce.ranked import read_report

ROOT = Path(__file__).parents[2]
SHAPES = ROOT / "results" / "shapes"
PUBLISHED = ROOT / "results" / "published"
TEXT = (SHAPES / "README.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"(?<![\w.:-])([+-]?)(\d*\.\d+)(?!\w|\.\d)")
TABLE = re.compile(r"`((?:tailorpo|spo|dspo):\w+)`")
OTHER_RUNS = re.compile(r" Tried at 1e-3 .*?(?=\. That D3PO)")
"""Runs of another rate, for which no table was made."""
Cells = dict[tuple[str, str], dict[str, str]]


def read(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def cells(file: Path) -> Cells:
    return {(row["row"], row["column"]): row for row in read(file)}


def numbers(rows: list[dict[str, str]], *columns: str) -> list[float]:
    """Returns the numbers in these columns, or in all."""
    found = []
    for row in rows:
        for name in columns or row:
            try:
                found.append(float(row.get(name) or "nan"))
            except ValueError:
                continue
    return [number for number in found if not math.isnan(number)]


def compared_tables() -> Iterator[tuple[str, list[str], str]]:
    """Yields each line of the table beside the papers: its first cell, its tables, and what it says of shapes."""
    for line in TEXT.splitlines():
        parts = line.strip("|").split(" | ")
        if line.startswith("| `") and len(parts) == 3 and (names := TABLE.findall(parts[0])):
            yield parts[0].strip(), names, parts[2]


LINES = list(compared_tables())


@pytest.mark.parametrize(("names", "said"), [line[1:] for line in LINES], ids=[line[0] for line in LINES])
def test_a_number_beside_a_table_is_in_its_files(names: list[str], said: str) -> None:
    """A signed number is a gain or a difference of the table, another one any number of it, rounded as shown."""
    referred = {name.replace(":", "-") for name in (*names, *TABLE.findall(said))}
    rows = [row for name in referred for file in (SHAPES / name).glob("*.csv") for row in read(file)]
    papers = [
        row for number in re.findall(r"its Table (\d+)", said) for row in read(PUBLISHED / f"tailorpo-{number}.csv")
    ]
    gains = numbers(rows, "gain", "gain_low", "gain_high", "difference", "difference_low", "difference_high")
    every = numbers(rows) + numbers(papers)
    missing = []
    for sign, digits in NUMBER.findall(OTHER_RUNS.sub("", said)):
        places, shown = len(digits.split(".")[1]), float(sign + digits)
        near = 0.5 * 10**-places + 1e-9
        candidates = gains if sign else [abs(value) for value in every]
        if not any(abs(value - shown) <= near for value in candidates):
            missing.append(sign + digits)
    assert rows and missing == []


def test_most_lines_have_numbers() -> None:
    """Otherwise the test above would compare nothing."""
    assert len(LINES) >= 26 and sum(len(NUMBER.findall(said)) for _, _, said in LINES) > 120


def shown(cell: dict[str, str], places: int = 2) -> str:
    return f"{float(cell['value']):.{places}f} [{float(cell['low']):.{places}f}, {float(cell['high']):.{places}f}]"


def paired_edits(row: str, column: str) -> str:
    """Returns a row less the base at strength 0.75, over scenes, with Student's interval."""
    scores = pd.read_parquet(SHAPES / "editing" / "scores.parquet")
    means = scores[scores.edit == "strength 0.75"].pivot_table(index="prompt_index", columns="row", values=column)
    found = means[row] - means["base"]
    half = student.ppf(0.975, len(found) - 1) * found.std(ddof=1) / math.sqrt(len(found))
    mean = found.mean()
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def test_edits() -> None:
    found = cells(SHAPES / "editing" / "editing-shapes-edits.csv")
    labels = {
        "perfect edit, only encoded and decoded": "perfect edit, only encoded and decoded",
        "base, strength 0.25": "strength 0.25",
        "base, strength 0.5": "strength 0.5",
        "base, strength 0.75": "strength 0.75, the paper's",
        "base, without a source": "the prompt without a source",
    }
    for row, label in labels.items():
        values = " | ".join(shown(found[row, column]) for column in ("changed", "kept", "both"))
        assert f"| {label} | {values} |" in TEXT
    words = " ".join(TEXT.split())
    rows = {"diffusion-kto": "Diffusion-KTO", "sft": "SFT", "dspo": "DSPO", "diffusion-dpo": "Diffusion-DPO"}
    for row, label in rows.items():
        assert f"{label} ({paired_edits(row, 'both')})" in words, paired_edits(row, "both")
    kept = [paired_edits(row, "kept").split()[0] for row in ("diffusion-kto", "dspo")]
    assert f"kept less ({kept[0]} to {kept[1]})" in words


def test_what_the_step_wise_order_costs() -> None:
    folder = SHAPES / "tailorpo-fig2"
    labels = {"step-wise": "the step-wise reward", "final": "the final image", "completions": "four completions"}
    for reward in ("shapes-aesthetic", "shapes-clip"):
        found = cells(folder / f"tailorpo-fig2-{reward}.csv")
        for row, label in labels.items():
            gains = (shown(found[f"base: gain by {row}", f"t={t}"]) for t in (20, 16, 12, 8, 4))
            line = f"| `{reward}`, by {label} | {' | '.join(gains).replace('-0.00', '0.00')} |"
            assert line in TEXT, line
    scores = pd.read_parquet(folder / "scores.parquet")
    for reward, better, k in (
        ("shapes-aesthetic", "gain_completions", 16),
        ("shapes-aesthetic", "gain_completions", 12),
        ("shapes-clip", "gain_final", 16),
        ("shapes-clip", "gain_final", 12),
    ):
        part = scores[(scores.table == f"tailorpo-fig2-{reward}") & (scores.k == k)]
        more = part[better] - part.gain_step
        by_prompt = (more - more.mean()).groupby(part.prompt_index).sum()
        error = math.sqrt((by_prompt**2).sum() * len(by_prompt) / (len(by_prompt) - 1)) / len(more)
        half = student.ppf(0.975, len(by_prompt) - 1) * error
        said = f"{more.mean():.3f} [{more.mean() - half:+.3f}, {more.mean() + half:+.3f}]"
        assert said in " ".join(TEXT.split()), said


def test_where_an_update_points() -> None:
    found = cells(SHAPES / "gradient-direction" / "gradient-direction-shapes-simple.csv")
    for row, label in {"d3po": "D3PO", "tailorpo": "TailorPO"}.items():
        values = " | ".join(shown(found[row, f"t={t}"]) for t in (20, 16, 12, 8, 4))
        assert f"| {label} | {values} |" in TEXT


def test_reward_hacking() -> None:
    """The line of each method: its highest reward before the oracle has lost .1, and where it ends."""
    found = cells(SHAPES / "reward-hacking" / "reward-hacking-shapes-simple.csv")
    for method, label in {"ddpo": "DDPO", "d3po": "D3PO", "tailorpo": "TailorPO", "tailorpo-g": "TailorPO-G"}.items():
        points: dict[str, dict[int, dict[str, str]]] = {}
        for (row, images), cell in found.items():
            if row.startswith(f"{method}-shapes-"):
                points.setdefault(row.split(": ")[1], {})[int(images)] = cell
        oracle = {images: float(cell["value"]) for images, cell in points["shapes-oracle"].items()}
        start = oracle.pop(0)
        first = min((images for images, value in oracle.items() if value < start - 0.1), default=10**9)
        colour = {images: float(points["shapes-colour"][images]["gain"]) for images in oracle if images < first}
        best = max(colour, key=lambda images: colour[images])
        pref = f"{float(points['shapes-pref'][best]['gain']):+.2f}".replace("-0.00", "0.00").replace("+0.00", "0.00")
        end = f"{float(points['shapes-colour'][768]['gain']):+.2f}, {oracle[768]:.2f}"
        line = f"| {label} | {best} | {colour[best]:+.2f} SD | {pref} SD | {oracle[best]:.2f} | {end} |"
        assert line in TEXT, line


LABELS = {
    "diffusion-nft": "DiffusionNFT",
    "awm": "AWM",
    "draft": "DRaFT-1",
    "best-of-4": "best of 4 base images",
    "tailorpo": "TailorPO",
    "tailorpo-g": "TailorPO-G",
    "grpo": "GRPO",
    "ddpo": "DDPO",
    "d3po": "D3PO",
    "spo": "SPO",
    "sft": "SFT on the better ones",
}


def untrained(folder: Path) -> set[tuple[str, int]]:
    """Returns the trainings that are the base model, image by image, where the oracle may fall by .05."""
    scores = pd.read_parquet(folder / "scores.parquet")
    once = scores[scores.table.str.endswith("stopped-once") & (scores.reward == "shapes-colour")]
    of = {key: part.sort_values("prompt_index").score.to_numpy() for key, part in once.groupby(["row", "train_seed"])}
    return {(row, seed) for (row, seed), found in of.items() if row != "base" and (found == of["base", 0]).all()}


def test_methods_side_by_side() -> None:
    """The table, and in the text the difference to the best of four images, of the leaderboard's own computation."""
    folder = SHAPES / "methods-colour"
    frontier = cells(folder / "methods-colour-held-out.csv")
    once = cells(folder / "methods-colour-held-out-stopped-once.csv")
    rows = dict.fromkeys(row for row, _ in frontier if row != "base")
    assert len(rows) >= 9
    for row in rows:
        gains = " | ".join(signed(found[row, "shapes-colour"]).replace("−", "-") for found in (frontier, once))
        line = f"| {LABELS[row]} | {gains} | {shown(frontier[row, 'shapes-oracle'])} |"
        assert line in TEXT, line
    assert f"oracle at F(.2) (base {shown(frontier['base', 'shapes-oracle'])})" in TEXT
    ranked = table(read_report(folder))
    for row, label in {"draft": "DRaFT-1", "grpo": "GRPO", "spo": "SPO", "ddpo": "DDPO", "sft": "SFT"}.items():
        minus = ranked.get(row, "minus best-of-4")
        assert minus is not None and minus.low is not None and minus.high is not None
        ends = sorted((abs(minus.low), abs(minus.high))) if minus.value < 0 else (minus.low, minus.high)
        said = f"by {abs(minus.value):.2f} SD [{ends[0]:.2f}, {ends[1]:.2f}]"
        assert re.search(rf"{label}'s [^;]*{re.escape(said)}", " ".join(TEXT.split())), said
    methods = ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g")
    assert untrained(folder) == {*((row, 0) for row in methods), ("tailorpo-g", 1), ("spo", 2)}


def test_the_leaderboard_is_that_of_the_sweeps() -> None:
    files = sorted((ROOT / "results" / "leaderboard").glob("*.csv"))
    reports = [read_report(folder) for folder in sorted(SHAPES.glob("methods-*"))]
    assert [file.name for file in files] == sorted(f"{table(ranked).stem}.csv" for ranked in reports)
    for ranked in reports:
        made = table(ranked)
        assert (ROOT / "results" / "leaderboard" / f"{made.stem}.csv").read_text(encoding="utf-8") == made.csv()


def test_the_table_of_the_readme() -> None:
    found = cells(SHAPES / "tailorpo-2-five-trainings" / "tailorpo-2-training.csv")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for row, label in {
        "base": "base",
        "ddpo": "DDPO",
        "d3po": "D3PO",
        "tailorpo": "TailorPO",
        "tailorpo-g": "TailorPO-G",
    }.items():
        cell = found[row, "shapes-colour"]
        assert f"| {label} | {shown(cell)} |" in readme
        oracle = shown(found[row, "shapes-oracle (shapes-colour)"])
        assert f"| {oracle if row == 'base' else oracle.replace(' ', '* ', 1)} |" in readme
        if row != "base":
            gain = f"{float(cell['gain']):+.2f}* [{float(cell['gain_low']):+.2f}, {float(cell['gain_high']):+.2f}]"
            assert f"| {gain} |" in readme
    costs = cells(SHAPES / "tailorpo-2-five-trainings" / "equal-cost-shapes-colour.csv")
    orders = {"384 reward calls": ("D3PO", "DDPO", "TailorPO", "TailorPO-G")}
    orders |= {"16.4k UNet evaluations": ("TailorPO-G", "TailorPO", "D3PO", "DDPO")}
    words = " ".join(readme.split())
    for column, order in orders.items():
        means = ", ".join(f"{label} {float(costs[label.lower(), column]['value']):.2f}" for label in order)
        assert means in words, means


def signed(cell: dict[str, str]) -> str:
    numbers = [f"{float(cell[key]):+.2f}" for key in ("gain", "gain_low", "gain_high")]
    value, low, high = ("0.00" if number in ("+0.00", "-0.00") else number.replace("-", "−") for number in numbers)
    return f"{value} [{low}, {high}]"


def test_the_tables_beside_the_methods() -> None:
    """DDPO to TailorPO-G over five trainings, offline methods over three, MaPO and DSPO's SDXL form with one."""
    text = (ROOT / "benchbench" / "methods" / "README.md").read_text(encoding="utf-8")
    five = cells(SHAPES / "tailorpo-2-five-trainings" / "tailorpo-2-training.csv")
    for row, label in {"ddpo": "DDPO", "d3po": "D3PO", "tailorpo": "TailorPO", "tailorpo-g": "TailorPO-G"}.items():
        gain, oracle = five[row, "shapes-colour"], five[row, "shapes-oracle (shapes-colour)"]
        assert f"| {label} | {signed(gain)} | {shown(oracle)} |" in text
    three = {"sft": "SFT", "diffusion-dpo": "Diffusion-DPO", "diffusion-kto": "Diffusion-KTO", "dspo": "DSPO"}
    one = {"mapo": "MaPO", "dspo": "DSPO, `form=sdxl beta=5000`"}
    for name, rows in {"dspo-1": three, "dspo-2": one}.items():
        found = cells(SHAPES / name / f"{name}-training.csv")
        wins = cells(SHAPES / name / f"{name}-training-win-rate.csv")
        for row, label in rows.items():
            columns = ("shapes-pref", "shapes-colour", "shapes-clip", "shapes-oracle")
            gains = " | ".join(signed(found[row, column]) for column in columns)
            line = f"| {label} | {shown(wins[row, 'shapes-pref: win'])} | {gains} |"
            assert line in text, line


def test_the_page_on_speed() -> None:
    """Each ratio of docs/speed.md is the median of its record, with its smallest and largest round."""
    record = json.loads((ROOT / "results" / "speed" / "shapes-cpu-2-of-2-threads.json").read_text(encoding="utf-8"))
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    rows = {row["what"]: row for part in record["parts"].values() for row in part["rows"]}
    of_method = {f"{m}, straightforward / ours": m for m in ("ddpo", "d3po", "spo", "tailorpo", "tailorpo-g")}
    ratios = [
        "1 a call / ours",
        "8 a call / ours",
        "64 a call / ours",
        "batches of 8, reward loaded for every image / ours",
        "batches of 8, reward kept / ours",
        "first / again",
        *of_method,
    ]
    for what in ratios:
        row = rows[what]
        assert f"| {row['median']:.3g} ({min(row['values']):.3g} to {max(row['values']):.3g}) |" in text, what
    assert text.count(" to ") == len(ratios) + 1  # ten to fifteen minutes
    shares = [rows[f"{work}: UNet"]["median"] for work in ("generating 64 images", "a TailorPO iteration")]
    assert f"takes {shares[0]:.3g} % of the time of generation and {shares[1]:.3g} % of" in text
    assert f"Memory grows by {rows['10,000 prompts against 100: more by']['median']:.3g} %" in text
