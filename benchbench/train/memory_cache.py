"""Keeps memory plans on disk, since an estimate takes from fifteen seconds to two minutes at each start of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from benchbench.config import RunConfig
from benchbench.diffusion.fake_models import part_configs
from benchbench.rewards import lookup
from benchbench.runtime.code import code_sha256
from benchbench.runtime.files import cache_folder
from benchbench.runtime.hashing import bytes_sha256, digest
from benchbench.runtime.provenance import packages
from benchbench.runtime.sealed import find_sealed, write_sealed
from benchbench.train.memory_plan import MemoryPlan

WITHOUT_EFFECT = {"seed", "samples"}  # settings of a run that no plan depends on


def plan_file(config: RunConfig, totals: Sequence[int], dtype: str | None) -> Path:
    """Returns the file of the plans for these devices. Its name is a hash of everything that decides a plan.

    That is the settings, the model's architecture, the code of benchbench and of the plug-ins, and the libraries'
    versions. Errors: MissingError for a model that is neither on this machine nor known by its name.
    """
    plugins = [code_sha256(kind) for kind in (config.method_class, lookup.get(config.reward))]
    values = {
        "settings": config.model_dump(mode="json", exclude=WITHOUT_EFFECT),
        "architecture": part_configs(config.model),
        "devices": list(totals),
        "dtype": dtype,
        "code": [_sources(), *plugins],
        "packages": packages(),
    }
    return cache_folder() / "memory-plans" / f"{digest(values)}.json"


def find(file: Path) -> list[MemoryPlan] | None:
    """Returns the plans in the file, or None where there is none or it is damaged."""
    found = find_sealed(file)
    try:
        return [MemoryPlan(**plan) for plan in found["plans"]] if found else None
    except (KeyError, TypeError):
        return None


def keep(file: Path, plans: Sequence[MemoryPlan]) -> None:
    """Writes the plans. Errors: RunError where the folder cannot be written."""
    write_sealed(file, {"plans": [asdict(plan) for plan in plans]})


def _sources() -> str:
    """Returns a hash of benchbench's own code, which every estimate runs."""
    root = Path(__file__).parents[1]
    return bytes_sha256(
        part
        for path in sorted(root.rglob("*.py"))
        for part in (str(path.relative_to(root)).encode(), path.read_bytes())
    )
