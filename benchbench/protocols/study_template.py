"""The facts that a human evaluation should report, as far as a study's folder knows them.

Otani et al., "Toward Verifiable and Reproducible Human Evaluation for Text-to-Image Generation" (CVPR 2023,
arXiv:2304.01816), ask for these facts. What the folder does not hold is listed by name, for the author to fill in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchbench.report.sections import TextSection
from benchbench.runtime.words import counted
from benchbench.samplers import described
from benchbench.study.design import Study
from benchbench.study.progress import Row
from benchbench.study.vote_store import StoredVote

UNKNOWN = (
    "how raters were recruited",
    "their qualifications and languages",
    "what they were paid, and for how many minutes",
    "the ethics review or its waiver",
)
ANSWERED = {
    "win-lose": "the left or the right picture",
    "win-draw-lose": "the left picture, the right one, or a draw",
    "win-draw-bad-lose": "the left picture, the right one, a draw, or both bad",
}


def template(study: Study, rows: Sequence[Row], votes: Sequence[StoredVote]) -> TextSection:
    """Returns the section with one paragraph for each group of facts."""
    arms = ", ".join(f"{arm.label} ({arm.run or 'the base model'})" for arm in study.arms)
    start = " from one x_T" if study.shared_start else ""
    what = "images of one prompt and noise" if study.between_runs else "every two images of one prompt"
    times = [vote.milliseconds / 1000 for vote in votes if vote.milliseconds is not None]
    seconds = f"The median answer took {np.median(times):.1f} s. " if times else "Times of answers are not known. "
    taken_part = [row for row in rows if row.votes]
    finished = sum(row.votes == row.wanted for row in rows)
    excluded = [row for row in taken_part if row.excluded_by(study)]
    paragraphs = (
        f"Models: {arms}; base model {study.model} ({study.dtype}), sampler {described(study.sampler)}.",
        f"Prompts: {counted(len(study.prompts), 'prompt')} of {study.prompts_name} (sha256 {study.prompts_hash[:12]}), "
        f"{counted(study.images_per_prompt, 'image')} of each model for each prompt{start}, none selected; "
        f"evaluation seeds {', '.join(map(str, study.eval_seeds))}.",
        f"Task: {what} side by side; sources hidden; sides and order drawn for each rater (seed {study.seed}). "
        f"Questions: {' '.join(study.questions)} Answers: {ANSWERED[study.answers]}.",
        f"Design: {counted(len(study.comparisons), 'pair')}, each shown to {counted(study.votes_per_pair, 'rater')} of "
        f"{study.raters}.",
        f"Raters: {len(taken_part)} took part, {finished} finished. {seconds}",
        f"Quality: {counted(len(study.checks), 'attention check')} for each rater, and repeated pairs with sides "
        f"swapped. Rule, stated in the study file before the first vote: {study.exclusion.describe()} It excludes "
        f"{counted(len(excluded), 'rater')}; results are shown with and without them.",
        "Analysis: raters and prompts are both random; see the captions. All votes can be had: bench study export.",
        f"Consent text: {study.consent}",
        f"Not known here, to be added by the author: {'; '.join(UNKNOWN)}.",
    )
    return TextSection(title="What a human evaluation should report (Otani et al., 2023)", paragraphs=paragraphs)
