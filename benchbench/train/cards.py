"""GPUs by name, and how long they take: counted operations of the network by a measured share of a card's speed.

Imports torch only inside functions, since `bench --help` must not load it.
"""

from __future__ import annotations

from typing import NamedTuple

from benchbench import defaults
from benchbench.config import RunConfig
from benchbench.errors import UsageError
from benchbench.hub import models

GIB = 2**30
REPORTED = 0.985
"""The share of a card's nominal memory that its driver reports."""


class Card(NamedTuple):
    """A device to plan for."""

    name: str
    total_bytes: int
    half_tflops: float = 0.0
    """Its nominal matrix products in half precision with float32 sums, without sparsity; 0: not known."""
    fp32_tflops: float = 0.0


def _card(name: str, gigabytes: float, half: float, fp32: float) -> tuple[str, Card]:
    return name, Card(name, int(gigabytes * REPORTED * GIB), half, fp32)


CARDS = dict(
    (
        _card("t4", 16, 65, 8.1),
        _card("v100-16", 16, 125, 15.7),
        _card("v100-32", 32, 125, 15.7),
        _card("rtx3090", 24, 71, 35.6),
        _card("rtx4090", 24, 165, 82.6),
        _card("a10", 24, 125, 31.2),
        _card("l4", 24, 121, 30.3),
        _card("l40s", 48, 362, 91.6),
        _card("a100-40", 40, 312, 19.5),
        _card("a100-80", 80, 312, 19.5),
        _card("h100", 80, 989, 66.9),
        _card("h200", 141, 989, 66.9),
    )
)
"""The speeds are those of the makers' data sheets."""
TRAINING_SHARE = {"half": 0.12, "fp32": 0.18}
"""The share of the nominal speed that trainings of SD 1.5 reached on an H200, with decoder and reward
(results/gpu/nvidia-h200-2026-11-27: rollouts of two and four images; TailorPO .126, D3PO .139, TailorPO-G .104, DDPO in
fp32 .18). A slower card waits less for its next kernel and reaches more."""
GENERATING_SHARE = 0.26
"""The share that the H200 reached when it generated images in batches, without compiling."""


def find(name: str) -> Card:
    """Returns a card by its name here. Raises UsageError for another one."""
    if name not in CARDS:
        raise UsageError(
            f"the card {name!r} is not known", f"known are {', '.join(CARDS)}", "name the most similar one"
        )
    return CARDS[name]


def needs_dry_run(card: str | None, dry_run: bool) -> None:
    """Raises UsageError for a card that is named where something is to be made, and for an unknown one."""
    if card:
        find(card)
    if card and not dry_run:
        raise UsageError(
            f"--card {card} is for estimates",
            "it says on which GPU to estimate, and nothing runs there",
            "add --dry-run, or leave --card out",
        )


def here(device: str | None = None) -> Card | None:
    """Returns the CUDA device that a run would use; None where there is none or ``device`` is a CPU."""
    import torch

    if not torch.cuda.is_available() or (device or "cuda").partition(":")[0] != "cuda":
        return None
    properties = torch.cuda.get_device_properties(torch.device(device or "cuda"))
    words = properties.name.lower().replace(" ", "")
    known = [card for name, card in CARDS.items() if name.partition("-")[0] in words]
    speeds = known[-1][2:] if known else (0.0, 0.0)
    return Card(properties.name, properties.total_memory, *speeds)


def known(model: str) -> bool:
    """Returns whether the size of a model is known from its name; a folder may hold a network of any size."""
    return defaults.split_model(model)[0] in models.aliases()


def training_hours(config: RunConfig, evaluations: float, card: Card) -> float:
    """Returns the hours of a training of so many guided network evaluations; 0 where a speed is not known."""
    dtype = config.train.dtype
    if dtype == "auto":
        dtype = config.method_class.precision(config.method_config).name  # type: ignore[assignment]
    single = dtype in ("fp32", "tf32")
    speed = TRAINING_SHARE["fp32"] * card.fp32_tflops if single else TRAINING_SHARE["half"] * card.half_tflops
    return _hours(config.model, evaluations, speed)


def generating_hours(model: str, evaluations: float, card: Card) -> float:
    """Returns the hours of generating images by so many guided network evaluations; 0 where a speed is not known."""
    return _hours(model, evaluations, GENERATING_SHARE * card.half_tflops)


def _hours(model: str, evaluations: float, tflops: float) -> float:
    operations = evaluations * (defaults.of(model).tflop_per_evaluation or 0.0) * known(model)
    return operations / tflops / 3600 if tflops else 0.0
