"""The material of a study: prompts that are drawn, copies of the pictures, the pairs, and the attention checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from benchbench.errors import UsageError
from benchbench.noise import Noise
from benchbench.runtime.progress import progress
from benchbench.study.design import Arm, Check, Comparison, Picture
from benchbench.study.pictures import add_picture, destroyed
from benchbench.types import PromptSet

if TYPE_CHECKING:
    from benchbench.evaluate.measure import Generations


def copy_pictures(folder: Path, arms: Sequence[Arm], generations: Generations) -> list[Picture]:
    """Copies the images of all arms and returns them in the order of arms, seeds, prompts and sample numbers."""
    pictures = []
    by_label = {label: by_seed for (label, _), by_seed in generations.items()}
    total = sum(len(generation.entries) for by_seed in by_label.values() for generation in by_seed)
    with progress(total, "copying pictures", "pictures") as bar:
        for number, arm in enumerate(arms):
            for generation in by_label[arm.label]:
                for sample, entry in generation.entries.items():
                    file = add_picture(folder, generation.images.read(sample))
                    fields = {"prompt": sample.index, "sample": sample.number, "seed": generation.seed}
                    pictures.append(Picture(file=file, arm=number, sha256=entry.sha256, **fields))
                    bar.advance()
    return pictures


def compared(pictures: Sequence[Picture], arms: Sequence[Arm], against: Sequence[str]) -> tuple[Comparison, ...]:
    """Returns the pairs: of two arms' images of one prompt, number and seed, or of one arm's images of one prompt."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, picture in enumerate(pictures):
        place = (picture.seed, picture.prompt) if len(arms) == 1 else (picture.seed, picture.prompt, picture.sample)
        groups.setdefault(place, []).append(number)
    pairs = [pair for numbers in groups.values() for pair in combinations(numbers, 2)]
    if against:
        wanted = {number for number, arm in enumerate(arms) if arm.label in against}
        pairs = [pair for pair in pairs if wanted & {pictures[number].arm for number in pair}]
    return tuple(Comparison(first=first, second=second) for first, second in pairs)


def attention_checks(
    folder: Path,
    pictures: Sequence[Picture],
    generations: Generations,
    arms: Sequence[Arm],
    count: int,
    noise: Noise,
) -> tuple[Check, ...]:
    """Destroys copies of pictures that the seed draws and returns the checks."""
    by_place = {
        (label, generation.seed, sample.index, sample.number): (generation, sample)
        for (label, _), by_seed in generations.items()
        for generation in by_seed
        for sample in generation.entries
    }
    checks = []
    for number in range(count):
        chosen = noise.integer(len(pictures), "check of", number)
        picture = pictures[chosen]
        generation, sample = by_place[arms[picture.arm].label, picture.seed, picture.prompt, picture.sample]
        broken = destroyed(generation.images.read(sample), noise.integer(2**31, "destroyed", number))
        checks.append(Check(picture=chosen, destroyed=add_picture(folder, broken)))
    return tuple(checks)


def drawn_prompts(prompts: PromptSet, count: int, seed: int) -> PromptSet:
    """Returns ``count`` prompts that the seed draws from a set, in the set's order. Raises UsageError for too many."""
    if count > len(prompts):
        raise UsageError(
            f"{count} prompts cannot be drawn", f"{prompts.name} has {len(prompts)}", "ask for fewer prompts"
        )
    noise, places = Noise(seed, "study"), range(len(prompts))
    chosen = sorted(sorted(places, key=lambda i: noise.integer(2**62, "prompt", i))[:count])
    texts = tuple(prompts.prompts[i] for i in chosen)
    return replace(prompts, name=f"{prompts.name}-{count}-of-{len(prompts)}-s{seed}", prompts=texts)
