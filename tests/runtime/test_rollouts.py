"""Out of memory halves the batch and goes on: the same results, and what failed is not counted."""

from __future__ import annotations

import pytest
import torch

from benchbench.api import predict_in_chunks
from benchbench.diffusion import text
from benchbench.diffusion.cost import Cost
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import generate
from benchbench.diffusion.sample import sample
from benchbench.errors import NoMemoryError
from benchbench.noise import Noise, Sample
from tests.runtime.full import room_for

SAMPLES = [Sample("cat", i) for i in range(5)] + [Sample("dog", i, 1) for i in range(6)]


def test_a_walk_in_parts_gives_the_same_images_and_the_same_count(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A guided evaluation of n samples is 2n rows: 11 are 22 and fail, 5 are 10 and fail, 2 are 4 and fit."""
    whole = generate(policy, SAMPLES, Noise(0, "t"))
    policy.cost, tried = Cost(), room_for(5, policy.backbone.network, "forward", monkeypatch)
    parts = generate(policy, SAMPLES, Noise(0, "t"))
    torch.testing.assert_close(parts, whole, atol=1e-4, rtol=1e-4)
    assert tried == [22, 10, 4, 4, 4, 4, 4, 2, *([4, 4, 4, 4, 4, 2] * 19)]
    assert policy.cost.unet_evals == 11 * 20


def test_decoding_in_parts_gives_the_same_images(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    decoder, x = Decoder(policy.backbone), torch.randn(7, 4, 8, 8)
    with torch.no_grad():
        whole = decoder(x)
        tried = room_for(3, policy.backbone.vae, "decode", monkeypatch)
        torch.testing.assert_close(decoder(x), whole, atol=1 / 255, rtol=0)
    assert tried == [7, 3, 3, 1]


def test_many_images_are_decoded_a_few_at_a_time_to_the_same(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """70 latents as 32, 32 and 6, against the autoencoder asked for all of them at once."""
    vae, x = policy.backbone.vae, torch.randn(70, 4, 8, 8)
    with torch.no_grad():
        whole = (vae.decode(x / vae.config.scaling_factor).sample / 2 + 0.5).clamp(0, 1)
        tried = room_for(100, vae, "decode", monkeypatch)
        torch.testing.assert_close(Decoder(policy.backbone)(x), whole, atol=1e-5, rtol=1e-4)
    assert tried == [32, 32, 6]


def test_prompts_are_read_in_parts(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten prompts and the empty one, where there is room to read three: 11 and 5 fail, then two at a time.

    On some CPUs the two are then read one by one.
    """
    prompts = [f"{a} cat" for a in "abcdefghij"]
    whole = policy.encode(prompts)
    policy._embeddings.clear()
    tried = room_for(3, text, "encode", monkeypatch, lambda _, chunk: len(chunk))
    parts = policy.encode(prompts)
    assert [count for count in tried if count > 1] == [11, 5, 2, 2, 2, 2, 2]
    for name in ("text", "null"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), atol=1e-5, rtol=1e-5)
    policy._embeddings.clear()
    room_for(0, text, "encode", monkeypatch, lambda _, chunk: len(chunk))
    with pytest.raises(NoMemoryError, match="out of memory reading prompts, one prompt at a time"):
        policy.encode(prompts)


def test_predictions_without_guidance_are_made_in_parts(tuned: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline methods ask policy and reference for predictions before the loss sees the batch."""
    x = torch.randn(7, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    tau, cond = torch.arange(7) * 100, tuned.encode(["cat"] * 7)
    with torch.no_grad():
        expected = predict_in_chunks(tuned, x, tau, cond)
        tuned.cost, tried = Cost(), room_for(3, tuned.backbone.network, "forward", monkeypatch)
        found = predict_in_chunks(tuned, x, tau, cond)
    assert tried == [7, 3, 3, 1, 3, 3, 1] and tuned.cost == Cost(plain_evals=14)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("part", "method", "what"), [("network", "forward", "denoising"), ("vae", "decode", "decoding")]
)
def test_one_image_that_does_not_fit_is_one_clear_error(
    part: str, method: str, what: str, policy: Policy, monkeypatch: pytest.MonkeyPatch
) -> None:
    room_for(0, getattr(policy.backbone, part), method, monkeypatch)
    with pytest.raises(NoMemoryError, match=f"out of memory {what}, one image at a time"):
        sample(policy, SAMPLES[:2], Noise(0, "t"))
    assert policy.cost.unet_evals == (0 if part == "network" else 40)
