"""Computes what a run is trained on: a hash or version of each input whose content decides the result.

run.json and every checkpoint hold these parts. A run is continued, and counts as complete, only for equal parts, so
that a changed file of prompts or pairs, or another version of a plug-in, is never taken for the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbench.api import PairsConfig
from benchbench.evaluate.make_pairs import made_from
from benchbench.pairs.look_up import PairsToMake
from benchbench.pairs.open import open_pairs
from benchbench.runtime.code import code_sha256
from benchbench.train.inputs import Inputs

PAIRS = "content of the pairs"
EARLIER = {"model_hash": "model", "pairs_hash": PAIRS}
"""The fields of run.json in which earlier versions kept such a part."""
SHOWN = 12  # digits of a hash


def identify(inputs: Inputs, pairs_hash: str | None = None) -> dict[str, str]:
    """Returns a hash or a version by part. ``pairs_hash`` is that of pairs that are open already.

    Where it is None, pairs in files are opened and hashed; of pairs that are to be made only the request is known.
    """
    prompts = inputs.prompts.hash_for(inputs.reward_class.needs)
    parts = {"model": inputs.model.hash, "prompts": prompts, **inputs.reward_class.identity()}
    version = getattr(inputs.method, "version", None)
    if version is not None:
        parts[f"version of the method {inputs.method.name}"] = str(version)
    if code := code_sha256(inputs.method):
        parts[f"code of the method {inputs.method.name}"] = code
    if isinstance(inputs.pairs, PairsToMake):
        parts["request of the pairs"] = made_from(inputs.pairs, inputs.model)
    elif inputs.pairs is not None and pairs_hash is None:
        nodup = inputs.cfg.nodup if isinstance(inputs.cfg, PairsConfig) else False
        pairs_hash = open_pairs(inputs.pairs, nodup=nodup).hash
    return parts if pairs_hash is None else {**parts, PAIRS: pairs_hash}


def recorded(run: Mapping[str, Any]) -> tuple[dict[str, str], bool]:
    """Returns the parts that a run.json holds, and whether it holds all: earlier versions recorded two at most."""
    parts = run.get("inputs")
    if isinstance(parts, dict):
        return {str(part): str(value) for part, value in parts.items()}, True
    return {part: str(run[field]) for field, part in EARLIER.items() if run.get(field)}, False


def differences(old: Mapping[str, str], new: Mapping[str, str], complete: bool = True) -> list[str]:
    """Returns a phrase for each part that differs, as ``prompts (0123456789ab then, ba9876543210 now)``.

    ``complete`` says that a part that only one side has differs, too. The content of pairs that are still to be made
    is not compared.
    """
    parts = list(dict.fromkeys([*old, *new])) if complete else [part for part in new if part in old]
    if PAIRS not in new and "request of the pairs" in new:
        parts = [part for part in parts if part != PAIRS]
    changed = [part for part in parts if old.get(part) != new.get(part)]
    return [f"{part} ({_short(old.get(part))} then, {_short(new.get(part))} now)" for part in changed]


def _short(value: str | None) -> str:
    if value is None:
        return "none"
    return value[:SHOWN] if len(value) == 64 else value
