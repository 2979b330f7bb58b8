"""Trains the step-aware preference model of the shapes world outside a build: ``bench train-spm``."""

from __future__ import annotations

from pathlib import Path

import torch

from benchbench.diffusion import backbones
from benchbench.evaluate.make_pairs import find_or_make
from benchbench.pairs.open import open_pairs, require_usable
from benchbench.runtime.files import Log
from benchbench.shapes import WEIGHTS
from benchbench.shapes_build import spm
from benchbench.train.preference_model import SPMConfig


def train_on_pairs(
    out: Path,
    pairs: int | str,
    store: Path,
    *,
    steps: int,
    batch: int,
    lr: float,
    held_out: int,
    seed: int,
    skip_bad: bool,
    log: Log,
) -> dict[str, float]:
    """Trains on so many fresh pairs or on a named set, and writes the weights and their record into ``out``.

    Returns the accuracies at t >= 500 on ``held_out`` pairs: step_aware, plain, gain and standard_error. Errors: those
    of opening the pairs; with ``skip_bad`` a pair that cannot be read is left out.
    """
    config = SPMConfig(steps=steps, batch=batch, lr=lr, weight_decay=0.01, warm_up=max(1, steps // 10), parts="added")
    pair_set, count = None, 0
    if isinstance(pairs, int):
        count = pairs
    else:
        pair_set = open_pairs(find_or_make(pairs, store, log=log), ties=True, skip_bad=skip_bad)
        require_usable(pair_set)
    torch.manual_seed(seed)
    backbone = backbones.load("shapes", "cpu")
    facts = spm.make(out, backbone, WEIGHTS / "pref", config, count, held_out, seed, False, log, pair_set)
    for line in pair_set.changed.lines() if pair_set else ():
        log(line)
    accuracy: dict[str, float] = facts["at_t_of_500_and_more"]
    return accuracy
