"""The policy: guidance, reference, noise and batches (methods.md, C2-C5)."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from benchbench.diffusion import backbones
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.rollout import NoiseSource, generate, rollout
from benchbench.diffusion.sample import sample
from benchbench.noise import Noise, Sample
from tests.tiny import write_tiny_sd

SAMPLES = [Sample("cat", i) for i in range(2)] + [Sample("dog", i, 1) for i in range(3)]
X = torch.randn(5, 4, 8, 8, generator=torch.Generator().manual_seed(0))


def test_guidance_one_is_the_text_branch_and_zero_the_empty_prompt(policy: Policy, tiny_sd: Path) -> None:
    """C4, against the UNet called by hand."""
    cond = policy.encode([s.prompt for s in SAMPLES])
    unet, tau = policy.backbone.network, policy.schedule.tau[12]
    with torch.no_grad():
        text = unet(X, tau, cond.text).sample
        null = unet(X, tau, cond.null.expand(5, -1, -1)).sample
        for w, expected in {1.0: text, 0.0: null, 5.0: null + 5 * (text - null)}.items():
            policy.guidance_scale = w
            torch.testing.assert_close(policy.prediction(X, 12, cond), expected, atol=1e-5, rtol=1e-4)


def test_text_conditioning_equals_the_pipeline(policy: Policy, tiny_sd: Path) -> None:
    """Embeddings are those of StableDiffusionPipeline.encode_prompt, and a cached prompt gives the same."""
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    text, null = pipe.encode_prompt(["cat", "dog"], "cpu", 1, True, negative_prompt=["", ""])
    for _ in range(2):
        cond = policy.encode(["cat", "dog"])
        torch.testing.assert_close(cond.text, text)
        torch.testing.assert_close(cond.null, null[:1])


def test_a_fresh_adapter_changes_nothing_and_a_moved_one_switches_off(policy: Policy, tuned: Policy) -> None:
    """C3: with B = 0 the policy is the base model exactly, and with the adapter off it always is."""
    cond = tuned.encode([s.prompt for s in SAMPLES])
    with torch.no_grad():
        moved = tuned.step(X, 12, cond)
        off = tuned.reference_step(X, 12, cond)
        for name, parameter in tuned.backbone.network.named_parameters():
            if ".lora_B." in name:
                parameter.zero_()
        fresh = tuned.step(X, 12, cond)
    assert torch.equal(fresh.mean, off.mean)
    assert not torch.allclose(moved.mean, off.mean)


def test_reference_leaves_the_adapter_trainable(tuned: Policy) -> None:
    before = len(tuned.parameters())
    cond = tuned.encode(["cat"] * 5)
    loss = tuned.step(X, 12, cond).mean.sum()
    tuned.reference_step(X, 12, cond)
    loss.backward()
    assert len(tuned.parameters()) == before > 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in tuned.parameters() if p.dim() > 1)


def test_stored_step_has_the_log_prob_that_it_was_drawn_with(tuned: Policy) -> None:
    """C2."""
    cond, draws = tuned.encode([s.prompt for s in SAMPLES]), NoiseSource(tuned, Noise(0, "t"), SAMPLES)
    visits = list(rollout(tuned, cond, draws.start(), draws.z))
    assert [v.k for v in visits] == list(range(20, -1, -1))
    for visit, after in itertools.pairwise(visits):
        with torch.no_grad():
            again = tuned.step(visit.x, visit.k, cond).log_prob(after.x)
        torch.testing.assert_close(again, visit.step.log_prob(after.x), atol=1e-5, rtol=1e-5)


def test_pair_log_ratio_is_linear_in_the_difference(tuned: Policy) -> None:
    """C5: for a shared x, the difference of log-ratios of x_w and x_l is mean[(mu_th - mu_ref)(x_w - x_l)] / sigma²."""
    cond = tuned.encode([s.prompt for s in SAMPLES])
    with torch.no_grad():
        theta, ref = tuned.step(X, 12, cond), tuned.reference_step(X, 12, cond)
    x_w, x_l = (theta.draw(torch.randn(X.shape, generator=torch.Generator().manual_seed(i))) for i in (1, 2))
    left = (theta.log_prob(x_w) - ref.log_prob(x_w)) - (theta.log_prob(x_l) - ref.log_prob(x_l))
    right = ((theta.mean - ref.mean) * (x_w - x_l)).flatten(1).mean(1) / theta.std.flatten() ** 2
    torch.testing.assert_close(left, right, atol=1e-5, rtol=1e-4)


def test_images_do_not_depend_on_the_batch(policy: Policy) -> None:
    """Batches of 1, 3 and 16 give the same images within 1/255."""
    samples = [Sample("cat" if i % 2 else "a red dog", i) for i in range(16)]
    noise = Noise(3, "eval")
    whole = sample(policy, samples, noise).astype(int)
    assert len({image.tobytes() for image in whole}) == 16
    for size in (1, 3):
        parts = [sample(policy, samples[i : i + size], noise) for i in range(0, 16, size)]
        assert np.abs(np.concatenate(parts) - whole).max() <= 1


def test_noise_is_a_function_of_what_it_is_for() -> None:
    """The same words give the same draw in any company; another seed, realm, sample or step gives another."""
    noise = Noise(0, "train")
    rows = noise.normal(SAMPLES, "z", 5, shape=(4, 8, 8))
    assert torch.equal(noise.normal(SAMPLES[3:4], "z", 5, shape=(4, 8, 8))[0], rows[3])
    assert torch.equal(torch.randn(4, 8, 8, generator=noise.generator(*SAMPLES[3], "z", 5)), rows[3])
    others = [
        Noise(1, "train").normal(SAMPLES[3:4], "z", 5, shape=(4, 8, 8)),
        Noise(0, "eval").normal(SAMPLES[3:4], "z", 5, shape=(4, 8, 8)),
        noise.normal(SAMPLES[3:4], "z", 6, shape=(4, 8, 8)),
        noise.normal(SAMPLES[2:3], "z", 5, shape=(4, 8, 8)),
    ]
    assert not any(torch.equal(other[0], rows[3]) for other in others)
    big = noise.normal([Sample("p", i) for i in range(400)], "z", shape=(4, 8, 8))
    assert float(big.mean()) == pytest.approx(0, abs=0.02) and float(big.std()) == pytest.approx(1, abs=0.02)


def test_rollout_takes_the_sample_and_the_step_that_it_is_sent(policy: Policy) -> None:
    cond, draws = policy.encode(["cat"] * 5), NoiseSource(policy, Noise(0, "t"), SAMPLES)
    walk = rollout(policy, cond, X, draws.z)
    visit = next(walk)
    with torch.no_grad():
        ahead = policy.step(X + 1, 19, cond)
    evaluations = policy.cost.unet_evals
    visit = walk.send((X + 1, ahead))
    assert visit.k == 19 and visit.step is ahead and torch.equal(visit.x, X + 1)
    assert policy.cost.unet_evals == evaluations  # nothing was computed again


def test_an_embedding_has_the_same_bits_in_any_company() -> None:
    """A run that is resumed reads prompts in other batches than one that was not, and ends in the same bits.

    With the text encoder of the shapes world, whose matrices are large enough for other kernels at other sizes.
    """
    backbone = backbones.load("shapes", "cpu")
    prompts = [f"a {colour} circle" for colour in ("red", "blue", "green", "white", "yellow")]

    def read(*batches: list[str]) -> torch.Tensor:
        fresh = make_policy(backbone, 20, 1.0, 5.0)
        return [fresh.encode(batch) for batch in batches][-1].text

    together = read(prompts)
    assert torch.equal(read(["a cyan ring"], prompts[:1]), together[:1])  # the only new prompt of its batch
    assert torch.equal(read(prompts[:2], prompts), together)
    assert torch.equal(read(prompts[1:3], prompts[3:], prompts), together)


def test_text_cache_is_bounded(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory stays flat in the number of prompts, and a prompt that was dropped is encoded again to the same."""
    import benchbench.diffusion.policy as module

    monkeypatch.setattr(module, "CACHED_PROMPTS", 10)
    first = policy.encode(["cat"]).text
    for i in range(30):
        policy.encode(["dog" + "a" * (i % 8) + "b" * (i // 8)])
    assert len(policy._embeddings) == 10
    assert torch.equal(policy.encode(["cat"]).text, first)


@pytest.mark.parametrize("predicted", ["epsilon", "v_prediction"])
def test_matches_the_diffusers_pipeline(predicted: str, tiny_sd: Path, tmp_path: Path) -> None:
    """Our walk from x_T with eta near 0 ends where StableDiffusionPipeline's DDIM with the same eta and noise ends."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline

    model = tiny_sd if predicted == "epsilon" else write_tiny_sd(tmp_path / "v", prediction_type=predicted)
    pipe = StableDiffusionPipeline.from_pretrained(model, safety_checker=None)
    assert pipe.scheduler.config.prediction_type == predicted
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    eta = 1e-6  # diffusers takes no noise from outside, so the stochastic part is made to vanish
    small = make_policy(backbones.load(str(model), "cpu"), 20, eta, 5.0)
    samples = SAMPLES[:2]
    start = NoiseSource(small, Noise(0, "eval"), samples).start()
    theirs = pipe(
        ["cat", "cat"], num_inference_steps=20, guidance_scale=5.0, eta=0.0, latents=start, output_type="latent"
    )
    torch.testing.assert_close(generate(small, samples, Noise(0, "eval")), theirs.images, atol=2e-3, rtol=1e-3)
