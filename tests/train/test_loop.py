"""Training on a tiny random checkpoint: every method, resuming, micro-batches, and refusals."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchbench.config import RunConfig
from benchbench.errors import RunError, UsageError
from benchbench.rewards import lookup
from benchbench.store.metrics import read_metrics
from benchbench.train.loop import train
from benchbench.train.trainer import Trainer
from tests.forked import Forked

ADAPTER = "pytorch_lora_weights.safetensors"


def adapter(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / ADAPTER)


def equal(a: Path, b: Path) -> bool:
    left, right = adapter(a), adapter(b)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("method", ["ddpo", "d3po", "tailorpo", "tailorpo-g"])
def test_every_method_trains(method: str, configure, tmp_path: Path) -> None:
    run = train(configure(method), tmp_path / "run", log=lambda _: None)
    done, rows = json.loads((run / "done.json").read_text()), read_metrics(run)
    assert done["samples"] == 32 and [r["samples"] for r in rows if "loss" in r] == [8, 16, 24, 32]
    assert [r["samples"] for r in rows if "eval.reward" in r] == [0, 16, 32]
    assert any(float(t.abs().sum()) > 0 for name, t in adapter(run).items() if "lora_B" in name or "lora.up" in name)
    per_sample = {"ddpo": (20, 5), "d3po": (25, 5), "tailorpo": (30, 5), "tailorpo-g": (35, 10)}[method]
    assert (done["unet_evals"], done["unet_grads"]) == (32 * per_sample[0], 32 * per_sample[1])
    assert done["latent_forwards"] == (32 * 5 * 2 if method == "tailorpo-g" else 0)
    # three fixed evaluations of 4 images and 20 steps; a gradient counts as 2.2, of weights and of latents
    assert done["nfe"] == pytest.approx(3 * 4 * 20 + 32 * (per_sample[0] + 2.2 * per_sample[1]))
    assert [r["nfe"] for r in rows if r["samples"] == 0] == [4 * 20]


def test_spo_trains_with_any_reward_where_told_so(configure, tmp_path: Path) -> None:
    """A rollout has 8 prompts with up to 16 pairs each; a threshold of 0 and a reward without ties keep all pairs."""
    words = ["method.step_aware=false", "method.threshold=0", "method.minibatch=64", "train.eval_every=0"]
    run = train(configure("spo", *words, samples=16), tmp_path / "run", log=lambda _: None)
    done, rows = json.loads((run / "done.json").read_text()), read_metrics(run)
    assert (done["unet_evals"], done["reward_calls"], done["pairs"]) == (16 * 65 + 256, 16 * 64, 256)
    row = next(r for r in rows if "loss" in r)
    assert {"reward", "valid", "score_gap", "implicit_accuracy", "margin", "clamped"} <= row.keys()


def test_d3po_trains_from_votes(configure, tmp_path: Path) -> None:
    """Training on three votes calls no reward, and the run generates as many samples as configured."""
    votes = tmp_path / "votes.csv"
    votes.write_text("prompt,index,seed,i,j,winner\ncat,0,0,0,1,1\ndog,1,0,0,1,0\nant,20,0,0,1,1\n")
    words = [f"method.votes={votes}", "train.eval_every=0"]
    run = train(configure("d3po", *words, samples=16), tmp_path / "run", log=lambda _: None)
    done, rows = json.loads((run / "done.json").read_text()), read_metrics(run)
    assert (done["reward_calls"], done["pairs"]) == (0, 8)
    assert all("reward" not in row and math.isfinite(row["loss"]) for row in rows if "loss" in row)


def test_the_adapter_loads_in_plain_diffusers_and_gives_our_images(configure, tiny_sd: Path, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    from benchbench.diffusion import backbones
    from benchbench.diffusion.lora import load_adapter
    from benchbench.diffusion.policy import make_policy

    run = train(configure("tailorpo", "train.lr=3e-2"), tmp_path / "run", log=lambda _: None)
    pipe = StableDiffusionPipeline.from_pretrained(tiny_sd, safety_checker=None)
    plain = make_policy(backbones.load(str(tiny_sd), "cpu"), 20, 1.0, 5.0)
    cond = plain.encode(["cat", "dog"])
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        base = pipe.unet(x, 500, cond.text).sample
        pipe.load_lora_weights(run)
        in_diffusers = pipe.unet(x, 500, cond.text).sample
        load_adapter(plain.backbone.network, run)
        in_benchbench = plain.backbone.network(x, 500, cond.text).sample
    assert not torch.allclose(base, in_diffusers, atol=1e-4)
    torch.testing.assert_close(in_benchbench, in_diffusers, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("method", ["ddpo", "tailorpo-g"])
def test_a_killed_run_resumes_to_the_same_bits(method: str, configure, tmp_path: Path) -> None:
    """The run gets SIGKILL after a checkpoint; the resumed adapter equals the uninterrupted one bitwise."""
    config = configure(method, samples=64)
    file, out = tmp_path / "config.json", tmp_path / "killed"
    file.write_text(config.model_dump_json())
    code = (
        "import sys; from pathlib import Path; from benchbench.config import RunConfig\n"
        "from benchbench.train.loop import train\n"
        "train(RunConfig.model_validate_json(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))"
    )
    process = Forked(["-c", code, str(file), str(out)], tmp_path / "killed.log")
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "00000016").exists() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (out / "done.json").exists(), "the run ended before it was killed"
    messages: list[str] = []
    train(config, out, resume=True, log=messages.append)
    assert any("resuming after" in line for line in messages)
    uninterrupted = train(config, tmp_path / "whole", log=messages.append)
    assert equal(out, uninterrupted)

    def steps(run: Path) -> list[dict]:
        timed = {"seconds", "images_per_second"}
        return [{k: v for k, v in row.items() if k not in timed} for row in read_metrics(run)]

    assert steps(out) == steps(uninterrupted)  # no row lost, none twice


def test_micro_batches_change_rounding_only(configure, tmp_path: Path) -> None:
    runs = [
        train(configure("tailorpo", f"train.micro_batch={n}", samples=8), tmp_path / str(n), log=lambda _: None)
        for n in (3, 40)
    ]
    losses = [[r["loss"] for r in read_metrics(run) if "loss" in r] for run in runs]
    norms = [[r["grad_norm"] for r in read_metrics(run) if "loss" in r] for run in runs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_out_of_memory_halves_the_micro_batch(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Trainer._step

    def step(self: Trainer, batch):
        if self.micro_batch > 5:
            raise torch.OutOfMemoryError("no room")
        return plain(self, batch)

    messages: list[str] = []
    monkeypatch.setattr(Trainer, "_step", step)
    train(configure("tailorpo", samples=8), tmp_path / "run", log=messages.append)
    assert [line for line in messages if "memory" in line] == [
        "out of memory in training: going on with 5 rows at a time"
    ]


def test_out_of_memory_at_one_row_stops_keeping_activations(
    configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter is the same within rounding. Failed attempts do not count: 30 evaluations, 5 gradients an image."""
    from benchbench.methods.tailorpo import TailorPO

    config = configure("tailorpo", "train.micro_batch=1", "train.eval_every=0", samples=8)
    plain = train(config, tmp_path / "plain", log=lambda _: None)
    loss = TailorPO.loss

    def full(self, policy, *arguments):
        value = loss(self, policy, *arguments)
        if not policy.backbone.network.is_gradient_checkpointing:
            raise torch.OutOfMemoryError("no room")
        return value

    messages: list[str] = []
    monkeypatch.setattr(TailorPO, "loss", full)
    small = train(config, tmp_path / "small", log=messages.append)
    (line,) = (line for line in messages if "memory" in line)
    assert line.endswith("going on with one row at a time, without keeping activations (gradient checkpointing)")
    for name, value in adapter(small).items():
        torch.testing.assert_close(value, adapter(plain)[name], atol=1e-5, rtol=1e-4)
    done = json.loads((small / "done.json").read_text())
    assert (done["unet_evals"], done["unet_grads"], done["checkpointed_forwards"]) == (8 * 30, 8 * 5, 8 * 5 * 2)
    assert done["nfe"] == pytest.approx(8 * (30 + 5 * (2.2 + 0.74)))


def test_without_fixed_evaluations_there_is_none_at_all(configure, tmp_path: Path) -> None:
    """There is none at the start or the end, no base scores are written, and no cost is counted for them."""
    run = train(configure("ddpo", "train.eval_every=0", samples=16), tmp_path / "run", log=lambda _: None)
    done, rows = json.loads((run / "done.json").read_text()), read_metrics(run)
    assert [row["samples"] for row in rows] == [8, 16] and not any("eval.reward" in row for row in rows)
    assert not (run / "base_scores.json").exists()
    assert done["eval_forwards"] == 0 and done["nfe"] == pytest.approx(16 * (20 + 2.2 * 5))


def test_a_row_says_how_fast_it_was(configure, tmp_path: Path) -> None:
    """Images a second refer to the rollout's time, the difference of two rows' seconds."""
    rows = read_metrics(
        train(configure("ddpo", "train.eval_every=0", samples=16), tmp_path / "run", log=lambda _: None)
    )
    first, second = [row for row in rows if "loss" in row]
    assert second["images_per_second"] == pytest.approx(8 / (second["seconds"] - first["seconds"]), rel=0.02)
    assert {"unet_evals", "unet_grads", "reward_calls", "nfe"} <= second.keys()


def test_a_reward_that_is_not_finite_stops_the_run(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench.reward_models.shapes_colour import ShapesColour

    def score(self, images, prompts):
        r = images.flatten(1).mean(1)
        return torch.where(torch.arange(len(r)) == 1, float("nan"), r)

    monkeypatch.setattr(ShapesColour, "score_differentiable", score)
    with pytest.raises(RunError, match=r"shapes-colour gave nan at step 19 for prompt '\w+', sample 1, seed 0"):
        train(configure("tailorpo", "train.eval_every=0"), tmp_path / "run", log=lambda _: None)
    assert not (tmp_path / "run" / ADAPTER).exists()
    with pytest.raises(RunError, match="reward shapes-colour gave nan") as error:
        train(configure("tailorpo"), tmp_path / "other", log=lambda _: None)
    assert re.match(r"for prompt '\w+', sample 0, in the evaluation on fixed noise, one of", error.value.cause)


@pytest.mark.parametrize("method", ["ddpo", "d3po"])
def test_the_score_is_named_where_the_method_stumbles_over_it(
    method: str, configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DDPO's statistics raise an AttributeError for NaN: the reward is at fault, and not the method."""
    from benchbench.reward_models.shapes_colour import ShapesColour

    monkeypatch.setattr(ShapesColour, "score_differentiable", lambda self, images, prompts: images.mean((1, 2, 3)) / 0)
    monkeypatch.setattr(ShapesColour, "score", lambda self, images, prompts: torch.full((len(images),), float("nan")))
    with pytest.raises(RunError, match=r"shapes-colour gave (nan|inf) at step 0 for prompt '\w+', sample 0") as error:
        train(configure(method, "train.eval_every=0"), tmp_path / "run", log=lambda _: None)
    assert "bench check shapes-colour" in error.value.remedy


def test_a_loss_that_is_not_finite_stops_the_run(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench.methods.tailorpo import TailorPO

    plain = TailorPO.loss

    def loss(self, *arguments):
        value, metrics = plain(self, *arguments)
        return value * float("inf"), metrics

    monkeypatch.setattr(TailorPO, "loss", loss)
    with pytest.raises(RunError, match="not finite"):
        train(configure("tailorpo"), tmp_path / "run", log=lambda _: None)


def test_step_zero_invariants_catch_an_adapter_that_is_not_neutral(
    configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchbench.train import setup

    def broken(unet, rank, alpha, seed):
        plain(unet, rank, alpha, seed)
        with torch.no_grad():
            for p in unet.parameters():
                if p.requires_grad:
                    p.add_(0.1)

    plain = setup.add_lora
    monkeypatch.setattr(setup, "add_lora", broken)
    with pytest.raises(RunError, match="new adapter changes the base model"):
        train(configure("tailorpo"), tmp_path / "run", log=lambda _: None)


def test_what_a_run_leaves_can_be_read_by_others(configure, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        train(configure("tailorpo", samples=8), tmp_path / "run", log=lambda _: None)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "run").rglob("*") if path.is_file()}
    assert ADAPTER in modes and "optimizer-000.safetensors" in modes and set(modes.values()) == {0o644}


def test_a_folder_that_holds_something_else_is_refused(configure, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(configure("tailorpo", samples=8), out, log=lambda _: None)
    messages: list[str] = []
    train(configure("tailorpo", samples=8), out, log=messages.append)
    assert "complete already" in messages[0]
    with pytest.raises(UsageError, match="another run") as error:
        train(configure("tailorpo", "train.lr=2e-3", samples=8), out, log=lambda _: None)
    assert "train" in error.value.cause
    (out / "done.json").unlink()
    with pytest.raises(UsageError, match="unfinished"):
        train(configure("tailorpo", samples=8), out, log=lambda _: None)
    other_folder = tmp_path / "other"
    other_folder.mkdir()
    (other_folder / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="other files"):
        train(configure("tailorpo"), other_folder, log=lambda _: None)


def test_interrupt_saves_and_resumes(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGINT ends the run with a checkpoint after the rollout; the resumed run ends like an uninterrupted one."""
    import os

    config: RunConfig = configure("tailorpo", "train.save_every=1000", samples=32)
    plain = Trainer._rollout

    def rollout(self: Trainer):
        if self.state.samples == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self)

    monkeypatch.setattr(Trainer, "_rollout", rollout)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", log=lambda _: None)
    monkeypatch.setattr(Trainer, "_rollout", plain)
    train(config, tmp_path / "run", resume=True, log=lambda _: None)
    train(config, tmp_path / "whole", log=lambda _: None)
    assert equal(tmp_path / "run", tmp_path / "whole")


def test_refusals_before_anything_is_loaded(configure, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a differentiable reward"):
        train(configure("tailorpo-g", reward="jpeg_compressibility"), tmp_path / "a", log=lambda _: None)
    with pytest.raises(UsageError, match="gold reward"):
        train(configure("tailorpo", reward="shapes-oracle"), tmp_path / "a", log=lambda _: None)
    with pytest.raises(UsageError, match="cannot be made by d3po"):
        train(configure("d3po", samples=33), tmp_path / "a", log=lambda _: None)
    with pytest.raises(UsageError, match="spo needs a step-aware reward"):
        train(configure("spo"), tmp_path / "a", log=lambda _: None)
    with pytest.raises(UsageError, match="cannot be made by tailorpo") as error:
        train(configure("tailorpo", "method.same_input=false", samples=33), tmp_path / "a", log=lambda _: None)
    assert "--samples 34" in error.value.remedy
    assert not (tmp_path / "a").exists()


def test_prompts_that_the_reward_cuts_are_said_once(configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup.get("shapes-colour"), "cut", lambda self, prompts: (len(prompts) - 1, 7))
    messages: list[str] = []
    train(configure("ddpo", "train.eval_every=0", samples=16), tmp_path / "run", log=messages.append)
    [line] = [line for line in messages if "tokens" in line]
    assert "44 of 45 different prompts are longer" in line
