"""A study without pictures, for planning: only its numbers of raters, prompts and images are real."""

from __future__ import annotations

from benchbench.noise import Noise
from benchbench.study.assignment import assign, standard_count
from benchbench.study.design import CONSENT, STANDARD_RULE, Answers, Arm, Check, Picture, Study
from benchbench.study.material import compared


def sketch(
    raters: int,
    prompts: int,
    images_per_prompt: int,
    *,
    arms: int = 2,
    votes_per_pair: int | None = None,
    questions: tuple[str, ...] = ("Which picture do you prefer?",),
    answers: Answers = "win-draw-lose",
    seed: int = 0,
) -> Study:
    """Returns a study whose pictures have names and no files."""
    labels = [chr(ord("A") + number) for number in range(arms)]
    pictures = tuple(
        Picture(file=f"{arm}-{prompt}-{sample}.webp", arm=arm, prompt=prompt, sample=sample, seed=0, sha256="")
        for arm in range(arms)
        for prompt in range(prompts)
        for sample in range(images_per_prompt)
    )
    rows = tuple(Arm(label=label, run=label, adapter_hash=label) for label in labels)
    comparisons = compared(pictures, rows, ())
    noise, each = Noise(seed, "study"), votes_per_pair or raters
    count = standard_count(-(-len(comparisons) * each // raters))
    return Study(
        name="sketch",
        seed=seed,
        simulated=True,
        model="none",
        model_hash="",
        sampler={},
        dtype="fp32",
        shared_start=False,
        prompts_name="sketch",
        prompts_hash="",
        prompts=tuple(f"prompt {number}" for number in range(prompts)),
        arms=rows,
        images_per_prompt=images_per_prompt,
        eval_seeds=(0,),
        questions=questions,
        answers=answers,
        raters=raters,
        votes_per_pair=each,
        consent=CONSENT,
        exclusion=STANDARD_RULE,
        pictures=pictures,
        comparisons=comparisons,
        checks=tuple(Check(picture=n % len(pictures), destroyed=f"destroyed-{n}.webp") for n in range(count)),
        assignment=assign(len(comparisons), raters, each, count, count, noise),
        made_on={},
    )
