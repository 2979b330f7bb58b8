"""The sampler of the authors of a released checkpoint: what it is, whether a table uses it, and how it can."""

from __future__ import annotations

from collections.abc import Iterable

from benchbench.defaults import VAE_SEPARATOR, split_model
from benchbench.errors import UsageError
from benchbench.hub.models import LocalModel
from benchbench.hub.released import RELEASED, AuthorsSampler
from benchbench.samplers import Sampler
from benchbench.store.runs import Adapter

APART = "evaluate them apart, or say how to sample: --steps, --guidance-scale"
OURS = "benchbench samples with DDIM"


def samplers(adapters: Iterable[Adapter]) -> dict[str, AuthorsSampler]:
    """Returns the authors' sampler by label, of those checkpoints that were named by a released one's short name."""
    released = {adapter.label: RELEASED.get(adapter.label) for adapter in adapters if adapter.base}
    return {label: entry.sampler for label, entry in released.items() if entry}


def common_settings(adapters: Iterable[Adapter]) -> dict[str, float]:
    """Returns the settings that the authors of all released checkpoints state, for every row of a table.

    Raises UsageError where there is no such checkpoint, and where their authors differ.
    """
    known = samplers(adapters)
    if not known:
        raise UsageError(
            "there are no authors whose sampler could be used",
            "--authors-sampler is for the checkpoints that `bench list checkpoints` names, and none is in this table",
            "name one of them, or say how to sample: --steps, --guidance-scale",
        )
    first, *others = known
    for label in others:
        if known[label].settings != known[first].settings:
            raise UsageError(
                f"the authors of {first} and {label} do not sample alike",
                f"{known[first]}; {known[label]}: a table compares only what is sampled alike",
                APART,
            )
    return known[first].settings


def notes(adapters: Iterable[Adapter], used: Sampler, model: LocalModel) -> list[str]:
    """Returns a line for each released checkpoint whose authors sample otherwise, and for what they do not state."""
    lines = []
    for label, theirs in samplers(adapters).items():
        ours = f"{used.steps} steps, guidance {used.guidance_scale:g}"
        differs = any(getattr(used, name) != value for name, value in theirs.settings.items())
        if differs:
            told = f"{label}: its authors' sampler is {theirs}; this table uses {ours} ({OURS})"
            lines.append(f"{told}; --authors-sampler uses theirs for every row")
        elif theirs.steps is None:
            lines.append(f"{label}: its authors state no steps, only their guidance; this table uses {ours} ({OURS})")
        if theirs.vae and theirs.vae not in model.name:
            with_vae = f"{split_model(model.name)[0]}{VAE_SEPARATOR}{theirs.vae}"
            lines.append(f"{label}: its authors use another VAE: --model {with_vae}")
    return lines
