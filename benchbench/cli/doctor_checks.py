"""Rows for ``bench doctor``: what this machine has and lacks. Changes nothing.

Imports torch only inside functions: a torch that does not load is one of the findings.
"""

from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from huggingface_hub import constants

from benchbench import config, prompts, registry
from benchbench.defaults import EMBEDDED
from benchbench.errors import BenchError
from benchbench.hub import models, weights
from benchbench.hub.released import RELEASED
from benchbench.reproduce.training_cost import training_evaluations
from benchbench.rewards import lookup
from benchbench.runtime.cores import cores
from benchbench.runtime.files import cache_folder
from benchbench.runtime.progress import progress
from benchbench.train import memory_table
from benchbench.version import __version__

Rows = list[list[object]]
MEMORY = ("method", *memory_table.COLUMNS)
"""The columns of ``memory``."""
TRAININGS = {"tailorpo": None, "diffusion-dpo": "pickapic_v2"}
"""Methods whose memory ``memory`` counts, with the pairs that they learn from."""
LIBRARIES = ("torch", "diffusers", "transformers", "peft", "accelerate", "huggingface_hub")


def machine(store: Path) -> Rows:
    """Returns rows for Python, libraries, device, cores, memory, disk and caches."""
    existing = next(folder for folder in (store.absolute(), *store.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    rows: Rows = [["benchbench", __version__], ["Python", platform.python_version()]]
    rows += [[name, _version(name)] for name in LIBRARIES]
    rows += [
        ["device", _device()],
        ["cores", str(cores())],
        ["memory", _memory()],
        ["store", f"{store}, {free / 1e9:.1f} GB free"],
        ["cache of prompts and locks", cache_folder()],
        ["cache of models", _hub_cache()],
    ]
    return rows


def assets() -> Rows:
    """Returns a row for every model, released checkpoint, reward and prompt set: "here", or how to get it."""
    _present, absent = lookup.present()
    rows: Rows = [[f"model {name}", models.missing(name) or "here"] for name in (*EMBEDDED, *models.aliases())]
    rows += [[f"checkpoint {name}", weights.missing(name) or "here"] for name in RELEASED]
    rows += [[f"reward {name}", _reward_state(name, absent.get(name))] for name in registry.names("rewards")]
    rows += [[f"prompts {name}", prompts.missing(name) or "here"] for name in prompts.names()]
    return rows


def card_names() -> str:
    """Returns the cards that ``memory`` is about. Needs a torch that loads."""
    return ", ".join(card.name for card in memory_table.cards())


def memory() -> Rows:
    """Returns the memory of each of TRAININGS on sd15 with default settings, in the columns of MEMORY."""
    rows: Rows = []
    with progress(len(TRAININGS), "memory", "methods") as bar:
        for method, pairs in TRAININGS.items():
            run = config.load(method, "sd15", "aesthetic", "animals", 10_000, 0, pairs=pairs)
            rows += [[method, *row] for row in memory_table.rows(run, memory_table.cards(), training_evaluations(run))]
            bar.advance()
    return rows


def plugins() -> list[tuple[str, str, str]]:
    """Returns (kind, name, error) of every method, reward and prompt set that cannot be used."""
    broken = [(registry.SINGULAR[kind], name, error) for kind, name, error in registry.broken()]
    named = {name for _, name, _ in broken}
    for name in registry.names("prompts"):
        if name not in named and name not in prompts.index():
            try:
                prompts.load(name)
            except BenchError as error:
                broken.append((registry.SINGULAR["prompts"], name, error.cause))
    return broken


def unused_plugins() -> list[tuple[str, str, str]]:
    """Returns (kind, name, plug-in) of every plug-in that is hidden by a built-in of the same name."""
    unused = [(registry.SINGULAR[kind], name, plugin) for kind, name, plugin in registry.shadowed()]
    taken = {alias for name, entry in prompts.index().items() for alias in (name, *entry.aliases)}
    return unused + [("prompt set", name, "a plug-in") for name in registry.names("prompts") if name in taken]


def _reward_state(name: str, missing: str | None) -> str:
    if missing is None:
        return "here"
    return f"not here: bench fetch --rewards {name}" if lookup.fetchable(name) else missing


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "not installed"


def broken_torch() -> str | None:
    """Returns the reason why torch does not load, or None."""
    try:
        import torch  # noqa: F401
    except Exception as error:  # whatever importing torch raises is a finding
        return f"torch does not load: {error}"
    return None


def _device() -> str:
    problem = broken_torch()
    if problem:
        return problem
    import torch

    if not torch.cuda.is_available():
        return "cpu (no CUDA device)"
    return ", ".join(torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count()))


def _memory() -> str:
    try:
        return f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9:.1f} GB"
    except (AttributeError, ValueError):
        return "unknown"


def _hub_cache() -> str:
    return f"{constants.HF_HUB_CACHE}{' (offline: HF_HUB_OFFLINE is set)' if constants.HF_HUB_OFFLINE else ''}"
