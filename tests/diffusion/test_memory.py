"""Out of memory halves the batch and goes on: the same results, and what failed is not counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.memory import Fitting
from benchbench.diffusion.policy import Cost, Policy
from benchbench.diffusion.rollout import generate
from benchbench.errors import RunError
from benchbench.noise import Noise, Sample

SAMPLES = [Sample("cat", i) for i in range(5)] + [Sample("dog", i, 1) for i in range(6)]


def small(module: Any, most: int, seen: list[int], monkeypatch: pytest.MonkeyPatch, method: str = "forward") -> None:
    """A module that has memory for ``most`` rows, and remembers how many it was given."""
    plain = getattr(module, method)

    def run(x: torch.Tensor, *args: Any, **options: Any) -> Any:
        if len(x) > most:
            raise torch.OutOfMemoryError("no room")
        seen.append(len(x))
        return plain(x, *args, **options)

    monkeypatch.setattr(module, method, run)


def test_parts_are_halved_and_stay_so() -> None:
    """10 rows where 3 fit: 10 and 5 fail, then 2 at a time; the next call begins with 2."""
    fitting, tried = Fitting("here"), list[int]()

    def run(rows: slice) -> torch.Tensor:
        tried.append(rows.stop - rows.start)
        if tried[-1] > 3:
            raise torch.OutOfMemoryError("no room")
        return torch.arange(10)[rows] ** 2

    for _ in range(2):
        assert fitting(run, 10).tolist() == [i * i for i in range(10)]
    assert tried == [10, 5, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]


def test_one_row_that_does_not_fit_is_an_error() -> None:
    def run(rows: slice) -> torch.Tensor:
        raise torch.OutOfMemoryError("tried to allocate 9 GiB")

    with pytest.raises(RunError, match="out of memory decoding, one image at a time"):
        Fitting("decoding")(run, 4)


def test_a_walk_in_parts_gives_the_same_images_and_the_same_count(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guided evaluation of n samples is 2n rows: 11 are 22 and fail, 5 are 10 and fail, 2 are 4 and fit."""
    whole = generate(policy, SAMPLES, Noise(0, "t"))
    policy.cost, seen = Cost(), list[int]()
    small(policy.backbone.unet, 5, seen, monkeypatch)
    parts = generate(policy, SAMPLES, Noise(0, "t"))
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-4)
    assert seen == [4, 4, 4, 4, 4, 2] * 20
    assert policy.cost.unet_evals == 11 * 20


def test_decoding_in_parts_gives_the_same_images(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, x, seen = Decoder(policy.backbone), torch.randn(7, 4, 8, 8), list[int]()
    with torch.no_grad():
        whole = decoder(x)
        small(policy.backbone.vae, 3, seen, monkeypatch, "decode")
        torch.testing.assert_close(decoder(x), whole, atol=1 / 255, rtol=0)
    assert seen == [3, 3, 1]


def test_many_images_are_decoded_a_few_at_a_time_to_the_same(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """70 latents as 32, 32 and 6, against the autoencoder asked for all of them at once."""
    vae, x, seen = policy.backbone.vae, torch.randn(70, 4, 8, 8), list[int]()
    with torch.no_grad():
        whole = (vae.decode(x / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
        small(vae, 100, seen, monkeypatch, "decode")
        torch.testing.assert_close(Decoder(policy.backbone)(x), whole, atol=1e-5, rtol=1e-4)
    assert seen == [32, 32, 6]
