"""Every method on flow matching: its first optimizer step, its loss by hand, kills, and two processes."""

from __future__ import annotations

import math
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchbench.api import ImagePairs, Images, Transitions
from benchbench.config import RunConfig, load
from benchbench.diffusion import backbones, lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.errors import UsageError
from benchbench.methods.ddpo import DDPO, DDPOConfig
from benchbench.methods.diffusion_dpo import DiffusionDPO, DiffusionDPOConfig
from benchbench.methods.dspo import DSPO, DSPOConfig
from benchbench.methods.sft import SFT, SFTConfig
from benchbench.methods.spo import SPO
from benchbench.noise import Noise, Sample
from benchbench.store.metrics import read_metrics
from benchbench.train import setup
from benchbench.train.inputs import look_up
from benchbench.train.loop import train
from benchbench.train.resolved import resolve
from tests.tiny_sd3 import write_tiny_sd3
from tests.train.test_kill import CHILD
from tests.train.test_offline import equal, pairs, steps
from tests.train.test_ranks import ROUNDING, gap, together

__all__ = ["pairs"]
OFFLINE = ("diffusion-dpo", "dspo", "sft", "diffusion-kto", "mapo")
SMALL = ["train.batch=4", "train.eval_images=2", "train.lora_rank=2", "train.lora_alpha=2", "train.lr=1e-3"]
FEW = ["sampler.eval_steps=4", "train.save_every=4"]
NOISE = Noise(0, "train")
N = 3


@pytest.fixture(scope="module")
def tiny_sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd3(tmp_path_factory.mktemp("sd3") / "model", t5=False)


@pytest.fixture
def flow(tiny_sd3: Path, pairs: Path):
    def make(method: str, *overrides: str, samples: int = 4) -> RunConfig:
        data = str(pairs) if method in OFFLINE else None
        own = ["method.step_aware=false", "method.threshold=0"] if method == "spo" else []
        words = [*SMALL, *FEW, *own, *overrides]
        return load(method, str(tiny_sd3), "shapes-colour", "animals", samples, 0, "shapes-flow", words, data)

    return make


@pytest.fixture(scope="module")
def moved(tiny_sd3: Path) -> Policy:
    """Returns a policy of 10 steps whose adapter differs from its start, so that policy and reference differ."""
    backbone = backbones.load(str(tiny_sd3), "cpu")
    policy = make_policy(backbone, 10, guidance_scale=1.0, dynamics="flow-sde", noise_level=0.7)
    lora.add_lora(backbone.network, 2, 2.0, 0)
    with torch.no_grad():
        for name, parameter in backbone.network.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    return policy


def quiet(config: RunConfig, out: Path, **words: object) -> Path:
    return train(config, out, device="cpu", log=lambda line: None, **words)  # type: ignore[arg-type]


def latents(seed: int) -> Tensor:
    return torch.randn(N, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("method", ["ddpo", "d3po", "tailorpo", "tailorpo-g", "spo", *OFFLINE])
def test_the_first_step_of_every_method(method: str, flow, tmp_path: Path) -> None:
    """The loop refuses a first batch whose adapter, ratio or loss differs from the base model's; losses are known.

    Pairs of steps and Diffusion-DPO start at log 2, Diffusion-KTO at 1/2; DDPO's loss is minus the mean advantage.
    """
    rows = read_metrics(quiet(flow(method), tmp_path / "run"))
    first = next(row for row in rows if "loss" in row)
    assert all(math.isfinite(value) for row in rows for value in row.values()) and first["grad_norm"] > 0
    start = {"d3po": math.log(2), "tailorpo": math.log(2), "tailorpo-g": math.log(2), "diffusion-dpo": math.log(2)}
    if method in {**start, "spo": 0, "diffusion-kto": 0}:
        assert first["loss"] == pytest.approx(0.5 if method == "diffusion-kto" else math.log(2), abs=1e-3)
    if method not in OFFLINE:
        assert first["start.log_ratio"] < 1e-4
    evaluations = [row for row in rows if "eval.reward" in row]
    assert len(evaluations) == 2 and evaluations[0]["eval.win_rate"] == 0.5
    assert rows[-1]["eval_forwards"] == 2 * 2 * 4 * 2  # two evaluations of two images, in four steps with guidance


def noised(x0: Tensor, draw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns x_tau = (1 - s) x0 + s e, tau = 1000 s and the target e - x0, s uniform and then shifted by 3."""
    rows = [Sample("", number) for number in draw.tolist()]
    u = torch.tensor([(NOISE.integer(2**24, "tau", row.number) + 0.5) / 2**24 for row in rows], dtype=torch.float64)
    s = (3 * u / (1 + 2 * u)).float().view(-1, 1, 1, 1)
    eps = NOISE.normal(rows, "eps", "", shape=(4, 8, 8))
    return (1 - s) * x0 + s * eps, 1000 * s.flatten(), eps - x0


def errors(policy: Policy, x0: Tensor, draw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Returns m and q, and the policy's prediction minus the target and minus the reference's."""
    x, tau, target = noised(x0, draw)
    cond = policy.encode(["cat"] * N)
    theta, ref = policy.predict(x, tau, cond), policy.reference_predict(x, tau, cond)
    m, q = ((p - target).square().flatten(1).mean(1) for p in (theta, ref))
    return m, q, theta - target, theta - ref


@torch.no_grad()
def test_losses_of_given_images_are_of_the_velocity(moved: Policy) -> None:
    """SFT: the mean of m. Diffusion-DPO and DSPO: as their formulas, with e - x0 as the target of both errors."""
    draw, cond = torch.arange(N), moved.encode(["cat"] * N)
    m_w, q_w, d, p = errors(moved, latents(1), draw)
    m_l, q_l, _, _ = errors(moved, latents(2), draw)
    assert float((m_w - q_w).abs().min()) > 1e-5  # the adapter has moved
    batch = ImagePairs(latents(1), latents(2), cond, draw)
    loss, _ = SFT().loss(moved, Images(latents(1), cond, draw, torch.ones(N)), SFTConfig(), NOISE)
    assert float(loss) == pytest.approx(float(m_w.mean()), rel=1e-4)
    loss, _ = DiffusionDPO().loss(moved, batch, DiffusionDPOConfig(beta=20.0), NOISE)
    z = -20.0 / 2 * ((m_w - m_l) - (q_w - q_l))
    assert float(loss) == pytest.approx(float(torch.log1p(torch.exp(-z)).mean()), rel=1e-4)
    loss, _ = DSPO().loss(moved, batch, DSPOConfig(beta=0.5), NOISE)
    z = -0.5 / 2 * ((m_w - m_l) - (q_w - q_l))
    by_hand = (d - 0.5 * (1 - torch.sigmoid(z)).view(-1, 1, 1, 1) * p).square().mean()
    assert float(loss) == pytest.approx(float(by_hand), rel=1e-4)


@torch.no_grad()
def test_ddpo_s_ratio_is_that_of_flow_sde(moved: Policy) -> None:
    """Flow-GRPO's step: mean x (1 + g² dt/2s) + v (1 + g² (1-s)/2s) dt, std g sqrt(-dt), g² = .49 s/(1-s)."""
    k, cond, x, x_next = torch.tensor([9, 5, 2]), moved.encode(["cat"] * N), latents(3), latents(4)
    s = moved.schedule.tau[k].double() / 1000
    dt = moved.schedule.tau[k - 1].double() / 1000 - s
    g2 = 0.49 * s / (1 - s)
    v = moved.predict(x, moved.schedule.tau[k], cond).double()
    scale_x, scale_v = 1 + g2 * dt / (2 * s), (1 + g2 * (1 - s) / (2 * s)) * dt
    mean = scale_x.view(-1, 1, 1, 1) * x.double() + scale_v.view(-1, 1, 1, 1) * v
    std = (g2 * -dt).sqrt()
    squares = ((x_next.double() - mean) / std.view(-1, 1, 1, 1)).square().flatten(1).mean(1)
    log_prob = -squares / 2 - std.log() - 0.5 * math.log(2 * math.pi)
    old, advantage = log_prob.float() - torch.tensor([0.3, -0.2, 0.01]), torch.tensor([1.0, -2.0, 0.5])
    loss, _ = DDPO().loss(moved, Transitions(x, x_next, k, cond, old, advantage), DDPOConfig(clip=0.1), NOISE)
    rho = torch.tensor([0.3, -0.2, 0.01]).exp()
    by_hand = torch.maximum(-advantage * rho, -advantage * rho.clamp(0.9, 1.1)).mean()
    assert float(loss) == pytest.approx(float(by_hand), abs=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("words", [[], ["method.resample=none"], ["method.inner_steps=4", "method.kappa=1000"]])
def test_spo_makes_no_pair_of_the_step_without_noise(words: list[str], flow, tmp_path: Path) -> None:
    config = flow("spo", *words)
    cpu = torch.device("cpu")
    parts = setup.build(config, look_up(config), resolve(config, cpu, str), cpu, str, tmp_path)
    batches = list(SPO().collect(parts.policy, [Sample("cat", 0)], parts.step_reward, parts.cfg, NOISE))
    ks = {int(k) for batch, _ in batches for k in batch.k}
    assert ks and min(ks) >= 2


def test_rollouts_without_noise_are_refused(flow, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        flow("ddpo", "sampler.dynamics=ode")
    assert "sampler.dynamics=ode" in error.value.problem and "flow-sde" in error.value.remedy
    assert flow("sft", "sampler.dynamics=ode").sampler.dynamics == "ode"  # it takes no steps in training
    with pytest.raises(UsageError, match=r"method\.steps has \[1\]"):
        quiet(flow("ddpo", "method.steps=[10, 1]", "train.eval_every=0"), tmp_path / "run")


def of_shapes(pairs: Path, folder: Path) -> Path:
    """Returns a copy of a folder of pairs whose captions have words of the shapes world."""
    shutil.copytree(pairs, folder)
    file = folder / "pairs.jsonl"
    file.write_text(re.sub(r'"(cat|dog|ant)"', '"a red circle"', file.read_text()))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("method", "phase"), [("ddpo", "rollout"), ("diffusion-dpo", "optimizer")])
def test_a_killed_run_ends_in_the_same_bits(method: str, phase: str, pairs: Path, tmp_path: Path) -> None:
    """A run of shapes-flow is killed with SIGKILL in its second rollout or update, and goes on."""
    data = str(of_shapes(pairs, tmp_path / "pairs")) if method in OFFLINE else None
    fewer = [] if data else ["method.steps=[10, 2]", "method.minibatch=4"]
    words = [*SMALL, *FEW, "train.eval_every=0", *fewer]
    config = load(method, "shapes-flow", "shapes-colour", "shapes-simple", 12, 0, None, words, data)
    settings, out, log = tmp_path / "config.json", tmp_path / "killed", tmp_path / "phase.log"
    settings.write_text(config.model_dump_json())
    command = [sys.executable, "-c", CHILD, str(settings), str(out), phase, "2", str(log)]
    process = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert process.returncode == -signal.SIGKILL and log.read_text() == phase, process.stderr
    resumed = quiet(config, out, resume=True)
    whole = quiet(config, tmp_path / "whole")
    assert equal(resumed, whole) and steps(resumed) == steps(whole)
    assert any(bool(value.any()) for name, value in load_file(whole / "pytorch_lora_weights.safetensors").items())


@pytest.mark.long
def test_two_processes_train_as_one(flow, tmp_path: Path) -> None:
    config = flow("tailorpo-g", "train.batch=3", samples=3)
    single = quiet(config, tmp_path / "one")
    results = together(2, tmp_path / "ranks", config, tmp_path / "two")
    assert all("value" in result for result in results), results
    assert gap(single, tmp_path / "two") < ROUNDING
