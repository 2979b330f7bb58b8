"""The papers' numbers: one schema, and numbers that are numbers."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
COLUMNS = ["paper", "table", "row", "column", "value", "unit", "statistic", "prompts", "samples", "model"]
COLUMNS += ["reward_version", "inferred", "caveat"]
MAY_BE_EMPTY = {"inferred", "caveat"}


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.csv")), ids=lambda path: path.stem)
def test_a_published_table_follows_the_schema(path: Path) -> None:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows and list(rows[0]) == COLUMNS
    for row in rows:
        float(row["value"])
        assert f"{row['paper']}-{row['table']}" == path.stem
        assert all(row[column] for column in COLUMNS if column not in MAY_BE_EMPTY), row
        assert not row["inferred"] or row["caveat"], f"{row} says that something is inferred, but not why"
    cells = [(row["row"], row["column"], row["prompts"], row["statistic"]) for row in rows]
    assert len(set(cells)) == len(cells)


# How many numbers each table prints, and some of them, typed again from the papers: (row, column, statistic) -> value.
PRINTED: dict[str, tuple[int, dict[tuple[str, str, str], float]]] = {
    "tailorpo-1": (10, {("base: x+", "t=20", "ratio"): 0.83, ("base: x-", "t=4", "ratio"): 1.0}),
    "tailorpo-2": (28, {("tailorpo", "jpeg_compressibility", "mean"): -6.71, ("base", "aesthetic", "mean"): 5.79}),
    "tailorpo-3": (28, {("spo", "pickscore", "mean"): 17.16, ("tailorpo-g", "hpsv2.0", "mean"): 26.25}),
    "tailorpo-4": (20, {("hpsv2.0", "aesthetic", "mean"): 5.45, ("pickscore", "pickscore", "mean"): 20.68}),
    "tailorpo-5": (8, {("spo", "imagereward", "mean"): 0.1712, ("tailorpo-g", "aesthetic", "mean"): 6.242}),
    "tailorpo-6": (24, {("after-40k", "t=12", "mean"): 0.133, ("base", "t=1", "std"): 0.0051}),
    "tailorpo-7": (24, {("after-10k", "t=8", "mean"): 0.144, ("after-40k", "t=12", "std"): 0.0925}),
    "tailorpo-8": (9, {("steps-5", "jpeg_compressibility", "mean"): -4.76, ("steps-3", "aesthetic", "mean"): 6.4}),
    "tailorpo-9": (12, {("eta-0.5", "imagereward", "mean"): 0.71, ("eta-cosine", "aesthetic", "mean"): 7.11}),
    "tailorpo-10": (8, {("ranking", "aesthetic", "mean"): 6.4, ("ranking+same-input", "imagereward", "mean"): 1.16}),
    "tailorpo-d3": (3, {("ddpo", "aesthetic", "mean"): 7.06, ("tailorpo", "aesthetic", "mean"): 7.6}),
    "spo-1": (12, {("diffusion-dpo", "imagereward", "mean"): 0.9436, ("spo", "hpsv2.1", "mean"): 31.8}),
    "spo-2": (20, {("base", "imagereward", "mean"): -0.1628, ("d3po", "pickscore", "mean"): 20.76}),
    "spo-3": (16, {("resample-win", "aesthetic", "mean"): 3.963, ("resample-none", "hpsv2.1", "mean"): 24.37}),
    "spo-4": (12, {("step-agnostic", "aesthetic", "mean"): 5.678, ("pickscore", "imagereward", "mean"): -0.2982}),
    "spo-5": (12, {("k-8", "imagereward", "mean"): 0.4199, ("k-2", "pickscore", "mean"): 21.37}),
    "spo-6": (24, {("inner-5", "aesthetic", "mean"): 6.423, ("inner-1", "imagereward", "mean"): 1.0071}),
    "spo-7": (16, {("kappa-1000", "imagereward", "mean"): -0.4529, ("kappa-250", "hpsv2.1", "mean"): 23.34}),
    "spo-8": (8, {("pair-random", "hpsv2.1", "mean"): 26.51, ("pair-extremes", "aesthetic", "mean"): 5.887}),
    "dspo-1": (60, {}),
    "dspo-2": (60, {}),
    "dspo-3": (4, {("dspo", "minutes_per_optimizer_step", "one measurement"): 4.18}),
    "dspo-4": (20, {("dspo", "pickscore", "win rate %"): 58.4, ("sft", "aesthetic", "win rate %"): 73.1}),
    "dspo-5": (30, {}),
    "dspo-6": (20, {("dspo-ref", "clip_h14", "win rate %"): 57.2, ("dspo-lora", "hpsv2.0", "win rate %"): 79.4}),
}


def lines(table: str) -> list[dict[str, str]]:
    with (PUBLISHED / f"{table}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("table", PRINTED)
def test_every_number_is_there(table: str) -> None:
    count, some = PRINTED[table]
    found = {(row["row"], row["column"], row["statistic"]): float(row["value"]) for row in lines(table)}
    assert len(lines(table)) == count
    assert {key: found[key] for key in some} == some


def test_no_table_is_without_a_test() -> None:
    assert {path.stem for path in PUBLISHED.glob("*.csv")} == set(PRINTED)


def test_dspo_s_win_rates_are_told_apart_by_prompts() -> None:
    """Typed again from DSPO's Tables 1, 2 and 5."""
    at = {
        ("dspo-1", "pickapic_v2.test_unique", "diffusion-kto", "clip_h14"): 60.02,
        ("dspo-1", "parti", "dspo", "hpsv2.0"): 87.5,
        ("dspo-1", "hpdv2.benchmark", "diffusion-dpo", "imagereward"): 64.22,
        ("dspo-2", "pickapic_v2.test_unique", "sft", "pickscore"): 20.8,
        ("dspo-2", "parti", "mapo", "aesthetic"): 68.23,
        ("dspo-2", "hpdv2.benchmark", "dspo", "hpsv2.0"): 83.47,
        ("dspo-5", "parti", "dspo-e", "pickscore"): 62.86,
        ("dspo-5", "hpdv2.benchmark", "dspo-e", "clip_h14"): 59.59,
    }
    for (table, *key), value in at.items():
        (row,) = [r for r in lines(table) if [r["prompts"], r["row"], r["column"]] == key]
        assert float(row["value"]) == value


def test_numbers_are_joined_as_their_captions_say() -> None:
    """The default rows of SPO's ablations are its row of Table 2, and TailorPO-G's of Table 4 that of Table 2."""
    spo = {(r["row"], r["column"]): r["value"] for r in lines("spo-2")}
    for table, row in (("spo-3", "resample-random"), ("spo-5", "k-4"), ("spo-7", "kappa-750")):
        ours = {r["column"]: r["value"] for r in lines(table) if r["row"] == row}
        assert ours == {column: value for (name, column), value in spo.items() if name == "spo"}
    two = {(r["row"], r["column"]): r["value"] for r in lines("tailorpo-2")}
    for line in lines("tailorpo-4"):
        if line["row"] == line["column"]:
            assert line["value"] == two["tailorpo-g", line["column"]]
