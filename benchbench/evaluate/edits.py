"""Evaluations of edits: sources and strength come together, every source can be read, and pages show the sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL.Image import Image

from benchbench.diffusion.source import open_source
from benchbench.errors import UsageError
from benchbench.evaluate.generate import Generation
from benchbench.noise import Sample
from benchbench.prompt_set import PromptSet, sources
from benchbench.runtime.changed_pictures import ChangedPictures
from benchbench.runtime.files import Log
from benchbench.runtime.pictures import read_picture
from benchbench.runtime.progress import progress
from benchbench.samplers import steps_taken


def check_edit(prompts: PromptSet, sampler: Mapping[str, Any]) -> None:
    """Raises UsageError for sources without a strength, a strength without sources, and one that leaves no step."""
    strength, pictures = sampler.get("strength"), sources(prompts.prompts)
    if strength is None and any(pictures):
        raise UsageError(
            f"the prompts of {prompts.name} edit pictures, and no strength is given",
            "the strength is the share of the denoising steps that an edit takes, from the noised picture on",
            "edit them with bench eval --strength 0.75, or choose a set without pictures: bench list prompts",
        )
    if strength is None:
        return
    if not all(pictures):
        raise UsageError(
            f"{prompts.name} has no pictures to edit, and strength {strength:g} is given",
            "a strength says how far a source picture is changed",
            "leave --strength out, or give a set of edits: shapes-edits, or a file with the columns image and prompt",
        )
    if steps_taken(sampler) < 1:
        raise UsageError(
            f"strength {strength:g} of {sampler['steps']} steps leaves no step",
            "an edit takes int(steps x strength) steps",
            f"use --strength {1 / sampler['steps']:.2g} or more, or more --steps",
        )


def check_pictures(prompts: PromptSet, log: Log) -> None:
    """Reads every source once and logs what is done to some on reading, as ``ChangedPictures`` does.

    A damaged picture is found before hours of denoising. Raises CorruptError, which names the picture.
    """
    pictures, changed = [source for source in sources(prompts.prompts) if source], ChangedPictures()
    if not pictures:
        return
    with progress(len(pictures), "checking source pictures", "pictures") as bar:
        for number, source in enumerate(pictures):
            changed.add(read_picture(source.read(), source.name).changes, number, source.name)
            bar.advance()
    for line in changed.lines():
        log(line)


def source_picture(generation: Generation) -> Callable[[Sample], Image] | None:
    """Returns the function from a sample to its source, in the size of the images; None where nothing was edited."""
    first = next(iter(generation.entries), None)
    if first is None or not any(sources([first.prompt])):
        return None
    size = generation.images.read(first).width

    def picture(sample: Sample) -> Image:
        (source,) = sources([sample.prompt])
        assert source is not None
        return open_source(source, size)

    return picture
