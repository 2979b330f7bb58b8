"""Simulates panels: for planning a study of a given size, and as the raters of one study."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import optimize, stats

from benchbench.errors import UsageError
from benchbench.noise import hash64
from benchbench.runtime.files import replacing_folder
from benchbench.runtime.progress import progress
from benchbench.stats.two_way import TwoWayMean, two_way_mean
from benchbench.study.design import Study
from benchbench.study.folder import read_study, write_study
from benchbench.study.outcomes import outcomes
from benchbench.study.panel import Panel, vote
from benchbench.study.pictures import FOLDER
from benchbench.study.sketch import sketch
from benchbench.study.vote_store import FILE, VoteStore

PROMPT_SPREAD = 0.5
IMAGE_SPREAD = 0.5
"""Standard deviations of the utility's difference over prompts, and over images of a prompt, in units of the noise."""
LEVEL = 0.95


@dataclass(frozen=True)
class Planned:
    """Findings in studies of one size: the mean half width of win less lose, and how often it excludes 0."""

    raters: int
    prompts: int
    images_per_prompt: int
    half_width: float
    power: float
    coverage: float
    """The share of panels whose interval holds the true win less lose."""


def utility_gap(win_minus_lose: float, panel: Panel) -> float:
    """Returns the mean difference of utilities at which win less lose is so much over all raters and prompts.

    Raises UsageError for a share that no difference gives.
    """
    most = win_minus_lose_of(50.0, panel)
    if not abs(win_minus_lose) < most:
        raise UsageError(
            f"no panel would win by {win_minus_lose:g}", f"lapses leave less than {most:.3g}", "give a smaller number"
        )
    return float(optimize.brentq(lambda gap: win_minus_lose_of(gap, panel) - win_minus_lose, -50, 50))


def win_minus_lose_of(gap: float, panel: Panel) -> float:
    """Returns the expected win less lose over raters, prompts, images and noise, all normal, without clickers."""
    spread = float(np.hypot.reduce([PROMPT_SPREAD, IMAGE_SPREAD, panel.taste, panel.side, panel.noise]))
    win, lose = (stats.norm.cdf((sign * gap - panel.indifference) / spread) for sign in (1, -1))
    return float((1 - panel.lapses) * (win - lose))


def panel_result(study: Study, gap: float, panel: Panel) -> TwoWayMean:
    """Returns win less lose of one panel on new prompts and pictures, whose utilities differ by ``gap`` on average."""
    draw = np.random.default_rng(hash64(panel.seed, "utilities"))
    prompts, images = len(study.prompts), study.images_per_prompt
    gaps = gap + PROMPT_SPREAD * draw.normal(size=(prompts, 1)) + IMAGE_SPREAD * draw.normal(size=(prompts, images))
    votes = VoteStore(":memory:", study)
    vote(study, votes, [*gaps.reshape(-1).tolist(), *[0.0] * (prompts * images)], panel)
    found = outcomes(study, votes.votes()).of("pair", 0)
    votes.close()
    return two_way_mean(found.outcome.astype(float), found.rater, found.prompt)


def plan(sizes: Sequence[tuple[int, int, int]], win_minus_lose: float, panel: Panel, panels: int) -> Iterator[Planned]:
    """Yields what panels find in studies of some sizes (raters, prompts, images a prompt). Raises UsageError."""
    gap = utility_gap(win_minus_lose, panel)
    with progress(len(sizes) * panels, "simulating panels", "panels") as bar:
        for raters, prompts, images in sizes:
            study = sketch(raters, prompts, images)
            half_widths, found, covered = [], 0, 0
            for number in range(panels):
                mean = panel_result(study, gap, replace(panel, seed=panel.seed + number))
                half = mean.half_width(LEVEL) or np.inf
                half_widths.append(half)
                found += abs(mean.value) > half
                covered += abs(mean.value - win_minus_lose) <= half
                bar.advance()
            shares = found / panels, covered / panels
            yield Planned(raters, prompts, images, float(np.mean(half_widths)), *shares)


def answered_copy(folder: Path, out: Path, scores: Sequence[float], panel: Panel) -> Study:
    """Copies a study into a new folder, has a panel answer it, and returns the copy, which says so.

    ``scores`` of the pictures are the utilities, in units of the standard deviation of their differences over pairs.
    Raises UsageError for a folder that exists, and where all pictures of pairs have equal scores.
    """
    if out.exists():
        raise UsageError(f"{out} exists", "nothing is overwritten", "name another --out, or remove it")
    study = read_study(folder).model_copy(update={"simulated": True, "name": out.name})
    gaps = np.array([scores[pair.first] - scores[pair.second] for pair in study.comparisons])
    unit = float(np.sqrt(np.mean(gaps**2)))
    if not unit > 0:
        raise UsageError("a panel has nothing to prefer", "all pictures have the same score", "name another --reward")
    with replacing_folder(out) as temporary:
        shutil.copytree(folder / FOLDER, temporary / FOLDER)
        write_study(temporary, study)
        votes = VoteStore(temporary / FILE, study)
        vote(study, votes, [score / unit for score in scores], panel)
        votes.close()
    return study
