"""The hours, memory and disk that a plan takes on a GPU, as far as these can be told without one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchbench import defaults
from benchbench.config import RunConfig
from benchbench.protocols import WHERE
from benchbench.reproduce.estimate import unet_evaluations
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS
from benchbench.reproduce.plan import Plan
from benchbench.reproduce.training_cost import distinct_images, training_evaluations
from benchbench.runtime.words import counted
from benchbench.train import memory_table
from benchbench.train.cards import GIB, Card, generating_hours, known, training_hours
from benchbench.train.memory_child import plans_in_child

HOW = (
    "hours are counted operations of the network by the share of its nominal speed that one H200 reached, "
    "decoder and a light reward included; no other card was measured, and heavy rewards take longer"
)
PICTURE_BYTES = 1.7
"""Bytes a pixel of a photograph in lossless WebP, about."""
COPIES = 7
"""A finished training holds its weights, and two checkpoints with the weights and AdamW's two moments."""


def training_table(config: RunConfig, cards: Sequence[Card]) -> tuple[list[list[object]], list[str]]:
    """Returns a row for each card, in ``memory_table.COLUMNS``, and lines on how to read them.

    Errors: those of ``memory_table.rows``.
    """
    rows = memory_table.rows(config, cards, training_evaluations(config))
    lines = ["the peak counts all tensors that are alive at once; the rest of the card is left to CUDA and its kernels"]
    if known(config.model):
        lines.append(f"{HOW}; the run takes {training_disk(config)} of disk")
    return rows, lines


def training_disk(config: RunConfig) -> str:
    """Returns the disk that a training takes, in words."""
    parameters = (defaults.of(config.model).unet_parameters or 0) if known(config.model) else 0
    if config.train.finetune == "full" and parameters:
        return f"{COPIES * 4 * parameters / 1e9:.0f} GB"
    return "under 0.3 GB"


def card_lines(plan: Plan, card: Card) -> Iterator[str]:
    """Yields lines on hours, memory and disk of what is left of a plan. Estimates memory in child processes.

    Errors: those of ``memory_plan.plans``.
    """
    left = [training for training in plan.trainings if not training.done]
    training = sum(training_hours(t.config, training_evaluations(t.config), card) for t in left)
    generating = generating_hours(plan.track.model, unet_evaluations(plan)[1], card)
    if training or generating:
        protocol = "measuring" if plan.spec.protocol in WHERE else "generating"
        yield f"on one {card.name}: about {training:.1f} h of trainings and {generating:.1f} h of {protocol}; {HOW}"
    for row in dict.fromkeys(t.row for t in left):
        config = next(t.config for t in left if t.row == row)
        [memory] = plans_in_child(config, [card.total_bytes])
        assert memory.peak_bytes is not None
        fits = "" if memory.fits else ", which does not fit"
        yield f"memory of {row}: {memory.peak_bytes / GIB:.1f} of {card.total_bytes / GIB:.1f} GiB{fits}"
    side = defaults.of(plan.track.model).image_side if known(plan.track.model) else None
    if side and plan.spec.protocol in (*IMAGE_PROTOCOLS, "study"):
        images = sum(m.images for m in distinct_images(plan.measurements))
        size = images * side**2 * PICTURE_BYTES / 1e9
        yield f"disk: about {size:.1f} GB for {counted(images, 'picture')}"
    for disk in dict.fromkeys(training_disk(t.config) for t in left):
        number = sum(training_disk(t.config) == disk for t in left)
        yield f"disk: {disk} for each of {counted(number, 'training')}"
