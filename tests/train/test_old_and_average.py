"""Trainings that keep further sets of their weights: a running average, and the old policy of DiffusionNFT."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchbench.api import Method
from benchbench.config import RunConfig, load
from benchbench.errors import RunError
from benchbench.methods.diffusion_nft import Noised
from benchbench.store import runs
from benchbench.store.metrics import read_metrics
from benchbench.train import checkpoint, method_calls, setup
from benchbench.train.at_checkpoint import weights_at
from benchbench.train.evaluation import FixedEvaluation
from benchbench.train.inputs import look_up
from benchbench.train.invariants import check_start
from benchbench.train.loop import train
from benchbench.train.memory_estimate import Estimate
from benchbench.train.resolved import resolve
from benchbench.train.setup import Parts
from benchbench.train.trainer import Trainer
from tests.forked import run as forked
from tests.tiny_sd3 import write_tiny_sd3
from tests.train.test_kill import CHILD
from tests.train.test_ranks import ROUNDING, gap, together

ADAPTER = "pytorch_lora_weights.safetensors"
NFT = ["method.group=4", "method.timestep_fraction=0.5", "sampler.steps=4", "method.old_rate=0.2"]
CPU = torch.device("cpu")


def quiet(_: str) -> None:
    pass


def nft(configure: Any, *words: str, samples: int = 24) -> RunConfig:
    """Returns a run of three rollouts of eight images, one optimizer step each."""
    return configure("diffusion-nft", *NFT, *words, samples=samples)


def built(config: RunConfig, store: Path) -> Parts:
    return setup.build(config, look_up(config), resolve(config, CPU, quiet), CPU, quiet, store)


def tensors(run: Path, samples: int, stem: str) -> list[Tensor]:
    read = dict(checkpoint.read_tensors(run / "checkpoints" / f"{samples:08d}", stem))
    return [read[str(i)] for i in range(len(read))]


def same(a: Path, b: Path) -> bool:
    """Returns whether two folders have the same safetensors files, byte by byte."""
    files = [{p.relative_to(f): p.read_bytes() for p in f.rglob("*.safetensors")} for f in (a, b)]
    return files[0] == files[1] != {}


def rows(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if "second" not in k} for row in read_metrics(run)]


@pytest.fixture
def every_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "KEEP", 10)


@pytest.mark.parametrize("finetune", ["lora", "full"])
def test_the_average_by_hand(finetune: str, configure, tmp_path: Path, every_checkpoint: None) -> None:
    """a_n = d_n a_(n-1) + (1 - d_n) w_n with d = 2/11, then .2 and not 3/12, from the weights of a run without one.

    The run with an average trains the same weights, and writes, keeps and evaluates the average.
    """
    words = [f"train.finetune={finetune}", "train.keep_every=16", "train.eval_every=16", "train.eval_images=2"]
    words += ["sampler.steps=2", "method.steps=2"]
    plain = train(configure("tailorpo", *words, samples=16), tmp_path / "plain", log=quiet)
    config = configure("tailorpo", *words, "train.ema=0.2", samples=16)
    averaged = train(config, tmp_path / "runs" / "mine", log=quiet)
    parts = built(config, tmp_path)
    a = [p.detach().clone() for p in parts.parameters]  # the start, which is that of every run of this seed
    for n, d in ((1, 2 / 11), (2, 0.2)):
        raw = tensors(plain, 8 * n, "adapter")
        assert all(map(torch.equal, raw, tensors(averaged, 8 * n, "adapter")))
        a = [d * old + (1 - d) * new for old, new in zip(a, raw, strict=True)]
        for mine, by_hand in zip(tensors(averaged, 8 * n, "average"), a, strict=True):
            torch.testing.assert_close(mine, by_hand, atol=1e-6, rtol=1e-5)
    with torch.no_grad():
        for parameter, value in zip(parts.parameters, tensors(averaged, 16, "average"), strict=True):
            parameter.copy_(value)
    evaluation = FixedEvaluation(parts.policy, parts.prompts, parts.step_reward.reward, 2, averaged)
    ends = [[row for row in read_metrics(run) if "eval.reward" in row][-1]["eval.reward"] for run in (averaged, plain)]
    assert evaluation(untrained=False)["eval.reward"] == ends[0] != ends[1]
    (averaged / "done.json").rename(tmp_path / "done.json")
    [end] = runs.kept_weights(runs.read(averaged))[16].rglob("*.safetensors")
    kept = end.read_bytes()
    assert kept == next(p for p in averaged.rglob(end.name) if "kept" not in p.parts).read_bytes()
    end.unlink()
    [written] = Path(weights_at("mine@16", tmp_path, quiet)).rglob("*.safetensors")
    assert written.read_bytes() == kept


def test_a_run_without_an_average_is_the_run_it_was(configure, tmp_path: Path) -> None:
    """Its settings have no word of it, its id is the same, and no file more; the contrary with an average."""
    plain, none, some = (
        configure("tailorpo"),
        configure("tailorpo", "train.ema=0"),
        configure("tailorpo", "train.ema=.9"),
    )
    assert "ema" not in plain.model_dump()["train"] and plain.model_dump_json() == none.model_dump_json()
    assert plain.digest == none.digest != some.digest and some.identity["train"]["ema"] == 0.9
    assert RunConfig.model_validate_json(plain.model_dump_json()) == plain and plain.train.ema == 0
    assert RunConfig.model_validate_json(some.model_dump_json()) == some
    run = train(configure("tailorpo", "train.eval_every=0", samples=8), tmp_path / "run", log=quiet)
    names = {path.name for path in (run / "checkpoints" / "00000008").iterdir()}
    assert names == {"adapter-000.safetensors", "optimizer-000.safetensors", "state.json"}


@pytest.mark.parametrize("words", [[], ["train.finetune=full"]])
def test_the_old_policy_follows_after_each_rollout(
    words: list[str], configure, tmp_path: Path, every_checkpoint: None
) -> None:
    """By hand: o_n = d_n o_(n-1) + (1 - d_n) w_n, with d = min(.2 n, .5) after n rollouts of one step each."""
    config = nft(configure, "train.eval_every=0", *words)
    run = train(config, tmp_path / "run", log=quiet)
    old = [p.detach().clone() for p in built(config, tmp_path).parameters]
    for n, d in ((1, 0.2), (2, 0.4), (3, 0.5)):
        new = tensors(run, 8 * n, "adapter")
        old = [d * o + (1 - d) * w for o, w in zip(old, new, strict=True)]
        for mine, by_hand in zip(tensors(run, 8 * n, "old"), old, strict=True):
            torch.testing.assert_close(mine, by_hand, atol=1e-6, rtol=1e-5)
    first, second, third = (row for row in read_metrics(run) if "loss" in row)
    assert first["off_policy"] == first["kl"] == 0 < min(second["off_policy"], second["kl"], third["kl"])
    assert first["grad_norm"] > 0


def test_an_interrupted_run_goes_on_in_the_same_bits(
    configure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every weight, the optimizer, the average and the old policy are those of a run that was not interrupted."""
    words = ["train.finetune=full", "train.ema=0.5", "train.save_every=1000"]
    config = nft(configure, "train.eval_every=16", "train.eval_images=2", *words)
    plain = Trainer._rollout

    def rollout(self: Trainer) -> dict[str, Any]:
        if self.state.samples == 8:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self)

    monkeypatch.setattr(Trainer, "_rollout", rollout)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "run", log=quiet)
    monkeypatch.setattr(Trainer, "_rollout", plain)
    train(config, tmp_path / "run", resume=True, log=quiet)
    train(config, tmp_path / "whole", log=quiet)
    last = "checkpoints/00000024"
    assert same(tmp_path / "run" / last, tmp_path / "whole" / last) and rows(tmp_path / "run") == rows(
        tmp_path / "whole"
    )
    assert len(list((tmp_path / "run" / last).glob("*.safetensors"))) == 4


@pytest.mark.slow
def test_a_killed_run_goes_on_in_the_same_bits(configure, tmp_path: Path) -> None:
    """SIGKILL within a rollout of the old policy, within an optimizer step, and within the write of a checkpoint."""
    config = nft(configure, "train.eval_every=0", "train.ema=0.9", "sampler.steps=8", samples=48)
    settings, out = tmp_path / "config.json", tmp_path / "killed"
    settings.write_text(config.model_dump_json())
    for phase, times in (("rollout", 2), ("optimizer", 2), ("checkpoint", 7)):
        log = tmp_path / f"{phase}.log"
        status, output = forked(
            ["-c", CHILD, str(settings), str(out), phase, str(times), str(log)], tmp_path / f"{phase}.out"
        )
        assert status == -signal.SIGKILL and log.read_text() == phase, output
    train(config, out, resume=True, log=quiet)
    whole = train(config, tmp_path / "whole", log=quiet)
    assert same(out / "checkpoints" / "00000048", whole / "checkpoints" / "00000048")
    assert (out / ADAPTER).read_bytes() == (whole / ADAPTER).read_bytes() and rows(out) == rows(whole)


DRIFT = """
from benchbench.diffusion.weight_copy import WeightCopy
plain = WeightCopy.follow
def follow(self, decay):
    plain(self, decay)
    if rank == 1:
        self.values[-1].add_(1e-6)
WeightCopy.follow = follow
"""


@pytest.mark.slow
def test_two_processes_keep_what_one_keeps(configure, tmp_path: Path) -> None:
    config = nft(configure, "train.ema=0.5", "train.eval_images=3")
    single = train(config, tmp_path / "one", log=quiet)
    results = together(2, tmp_path / "ranks", config, tmp_path / "two")
    assert all("value" in result for result in results), results
    assert gap(single, tmp_path / "two") < ROUNDING
    for stem in ("adapter", "average", "old"):
        for a, b in zip(tensors(single, 24, stem), tensors(tmp_path / "two", 24, stem), strict=True):
            assert float((a - b).norm()) <= ROUNDING * float(a.norm()) + 1e-6


@pytest.mark.slow
def test_copies_that_differ_between_processes_are_found(configure, tmp_path: Path) -> None:
    results = together(2, tmp_path / "ranks", nft(configure, "train.eval_every=0"), tmp_path / "run", patch=DRIFT)
    assert all("different weights" in result["error"][1] for result in results), results


def test_on_flow_matching_without_noise(tmp_path: Path) -> None:
    """Rollouts are steps of ode, as in the released code; a method that needs log-probs refuses them."""
    folder = write_tiny_sd3(tmp_path / "sd3", t5=False)
    words = ["train.batch=4", "train.eval_every=0", "train.lora_rank=2", "method.group=2", "sampler.steps=4"]
    config = load("diffusion-nft", str(folder), "shapes-colour", "animals", 8, 0, "shapes-flow", words)
    assert config.sampler.model_dump()["dynamics"] == "ode"
    first, second = read_metrics(train(config, tmp_path / "run", device="cpu", log=quiet))
    assert first["off_policy"] == first["kl"] == 0 < first["grad_norm"] and second["kl"] > 0
    assert "start.log_ratio" not in first


def test_step_zero_finds_an_old_policy_of_other_weights(configure, tmp_path: Path) -> None:
    parts = built(nft(configure), tmp_path)
    cond, numbers = parts.policy.encode(["cat", "dog"]), torch.tensor([1, 2])
    batch = Noised(torch.ones(2, 4, 8, 8), cond, numbers, torch.ones(2), numbers)
    noise: Any = None
    check_start(parts.policy, batch, parts.method, parts.cfg, noise)
    assert parts.policy.old_weights
    for value in parts.policy.old_weights.values:
        value += 0.1
    with pytest.raises(RunError, match="old policy is not the new one"):
        check_start(parts.policy, batch, parts.method, parts.cfg, noise)


@pytest.mark.parametrize("decay", [-0.1, 1.5, float("nan")])
def test_a_decay_outside_of_its_range_is_an_error_of_the_method(decay: float) -> None:
    class Wrong(Method):  # type: ignore[type-arg]
        name = "wrong"

        @classmethod
        def old_decay(cls, cfg: Any, updates: int) -> float:
            return decay

        collect = loss = None  # type: ignore[assignment]

    with pytest.raises(RunError, match="old_decay"):
        method_calls.old_decay(Wrong(), None, 3)


def test_copies_are_counted_in_the_memory(tiny_sd: Path) -> None:
    """The average is one more set of the adapter, of four bytes a weight in blocks of 512; so is the old policy."""

    def opened(*words: str) -> tuple[int, int, int]:
        small = ["train.batch=2", "method.group=2", "method.timestep_fraction=0.1", *words]
        config = load("diffusion-nft", str(tiny_sd), "jpeg_compressibility", "animals", 48, 0, "shapes", small)
        with Estimate(config, "fp32") as estimate:
            fake = estimate._open()
            old = fake.policy.old_weights
            assert old and [v.shape for v in old.values] == [p.shape for p in fake.parameters]
            return fake.base, sum(p.numel() * 4 for p in fake.parameters), len(fake.parameters)

    (plain, size, count), (averaged, _, _) = opened(), opened("train.ema=0.9")
    assert size <= averaged - plain < size + 512 * count
