"""The counted price of a setting, against the counts that methods.md derives."""

from __future__ import annotations

import pytest

from benchbench.config import load
from benchbench.train.dry import Price, price


@pytest.mark.parametrize(
    ("method", "preset", "words", "expected"),
    [
        # 20 images, one optimiser step each with its 20 steps; 20 evaluations and 20 with gradient an image
        ("ddpo", "released", [], Price(20, 20, 20, 20, 20, 1)),
        # 20 pairs; an image's 20 steps are evaluated in the rollout and by the reference, and once with gradient
        ("d3po", "released", ["train.batch=40"], Price(40, 20, 20, 40, 20, 1)),
        # 20 steps + 2 x 5 look-aheads - 5 reused + 5 of the reference = 30, 5 with gradient, 10 rewards
        ("tailorpo", "released", [], Price(2, 1, 10, 30, 5, 10)),
        # inside the rollout nothing is reused: 35 evaluations, 5 optimiser steps of 2 pairs
        ("tailorpo", "paper", [], Price(2, 5, 2, 35, 5, 10)),
        # guided: the 5 look-aheads are not reused either, 5 gradients and 5 rewards more
        ("tailorpo-g", "released", [], Price(2, 1, 10, 35, 10, 15)),
        # 65 evaluations + 16 of the reference, 16 with gradient, 64 decodes; 40 x 16 pairs in minibatches of 40
        ("spo", "released", [], Price(40, 16, 40, 81, 16, 64)),
        # 2048 pairs in one step; an image is seen once by policy and reference, without guidance: a half each
        ("diffusion-dpo", "released", [], Price(4096, 1, 2048, 0.5, 0.5, 0)),
        ("dspo", "released-sdxl", [], Price(4096, 1, 2048, 0.5, 0.5, 0)),
        ("sft", "released", [], Price(2048, 1, 2048, 0, 0.5, 0)),
        # KTO looks at the batch beforehand, with policy and reference, for its reference point
        ("diffusion-kto", "released", [], Price(8, 1, 8, 1, 0.5, 0)),
        ("mapo", "released", [], Price(32, 1, 16, 0, 0.5, 0)),
    ],
)
def test_price(method: str, preset: str, words: list[str], expected: Price) -> None:
    config = load(method, "shapes", "shapes-colour", "shapes-simple", 400, 0, preset, words)
    assert price(config) == expected
