"""No walk of an online method copies anything to the GPU or reads anything from it, whichever learned reward judges.

Shown without a GPU: networks of the real classes at a small size, on tensors that have shapes and no values.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from benchbench.api import Reward
from benchbench.config import load
from benchbench.diffusion import backbones
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.noise import Noise, Sample, copy_to_device
from benchbench.rewards import lookup
from tests.diffusion.tiny_spm import write_tiny_spm
from tests.waiting import Waits

CUDA, META = torch.device("cuda"), torch.device("meta")
METHODS = {
    "ddpo": ["method.steps=all"],
    "d3po": ["method.steps=all"],
    "spo": ["method.kappa=1000"],
    "tailorpo": ["method.steps=all"],
    "tailorpo-g": ["method.steps=all", "method.accept=better"],
}
REWARDS = ["aesthetic", "pickscore", "hpsv2.1", "imagereward", "spm"]
TRAVELS = ["pickscore", "hpsv2.1"]  # a copy of their text tower is on the GPU only while it reads


def move(thing: nn.Module | Reward, device: torch.device) -> Any:
    """Puts tensors without values on the device in the place of a network's or a reward's own.

    The text tower of a CLIP reward stays in the host's memory.
    """
    if isinstance(thing, Reward):
        thing.device = device
        for name, network in vars(thing).items():
            if isinstance(network, nn.Module):
                move(network, torch.device("cpu") if name == "text" and thing.name in TRAVELS else device)
        return thing
    for part in thing.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                made = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
                part._parameters[name] = nn.Parameter(made, requires_grad=parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype, device=device)
    return thing


def move_policy(policy: Policy, device: torch.device) -> Policy:
    """The policy with tensors without values on the device."""
    backbone = replace(policy.backbone, device=device)
    for network in (backbone.network, backbone.vae, backbone.text_encoder):
        move(network, device)
    for name, value in vars(policy.schedule).items():
        if isinstance(value, Tensor):
            setattr(policy.schedule, name, torch.empty(value.shape, dtype=value.dtype, device=device))
    policy.processes.device = device
    return replace(policy, backbone=backbone)


class Judge(StepReward):
    """Notes what had been found when each judgement ended; after the last one the walk is over."""

    def __init__(self, policy: Policy, reward: Reward, waits: Waits) -> None:
        super().__init__(Decoder(policy.backbone), reward, policy)
        self.waits, self.calls = waits, list[list[str]]()

    def __call__(self, x0: Tensor, prompts: Sequence[str], where: str, tau: Tensor | None = None) -> Tensor:
        r = super().__call__(x0, prompts, where, tau)
        self.calls.append(self.waits.found[:])
        return r


def walk(policy: Policy, reward: Reward, method: str, words: list[str], prompts: list[str]) -> list[list[str]]:
    """Lists what makes the GPU wait between the start of a walk and the end of each judgement."""
    config = load(method, "shapes", "shapes-colour", "shapes-simple", 16, 0, "shapes", words)
    samples = [Sample(prompt, i) for i, prompt in enumerate(prompts)]
    policy.encode(prompts)
    with Waits(policy.backbone.device.type) as waits, torch.no_grad():
        judge = Judge(policy, reward, waits)
        next(config.method_class().collect(policy, samples, judge, config.method_config, Noise(0, "t")), None)
    return judge.calls


@pytest.fixture
def reward(request: pytest.FixtureRequest, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reward:
    """Makes one of the learned rewards, by name."""
    if request.param == "spm":
        write_tiny_spm(tmp_path, monkeypatch)
    made: Reward = lookup.get(request.param)()
    return made


def test_waiting_is_noticed() -> None:
    """The other tests rely on this: copies between devices pass, and so does work on one device."""
    with FakeTensorMode(), Waits() as waits:
        x, y = torch.empty(2), torch.empty(2, device=CUDA)
        y.tolist(), bool(y[0] > 0), y.nonzero()
        assert waits.found == ["_local_scalar_dense"] * 3 + ["nonzero"]
        waits.found.clear()
        x.to(CUDA), y.cpu(), torch.tensor([1.0], device=CUDA), y.new_tensor([1.0]), y.copy_(x), y[[0, 1]]
        assert len(waits.found) == 6
        waits.found.clear()
        (
            copy_to_device(x, CUDA),
            y + 1,
            y.new_full((1,), 3.0),
            torch.arange(2, device=CUDA),
            x.tolist(),
            y * torch.tensor(2),
        )
        assert waits.found == []


def check(
    reward: Reward,
    tiny_sd: Path,
    device: torch.device,
    mode: AbstractContextManager[Any],
    methods: Sequence[str] = tuple(METHODS),
) -> None:
    """No copy and no reading in the walks of the methods, where the prompts are known.

    Where they are new, only the text tower of a CLIP reward is copied, before the first judgement.
    """
    name = reward.name
    real = make_policy(backbones.load(str(tiny_sd), "cpu"), 2, 1.0, 5.0)
    add_lora(real.backbone.network, 4, 4.0, seed=0)
    with mode:
        policy, judge = move_policy(real, device), move(reward, device)
        for method in methods:
            unaware = ["method.step_aware=false"] if method == "spo" and name != "spm" else []
            words = METHODS[method] + unaware
            new = walk(policy, judge, method, words, ["cat", method])
            known = walk(policy, judge, method, words, ["cat", method])
            assert known[-1] == [], f"{method}: {known}"
            assert set(new[0]) == ({"_to_copy between host and device"} if name in TRAVELS else set()), method
            assert new[-1] == new[0], f"{method}: something is copied again: {new}"


@pytest.mark.parametrize("methods", [["tailorpo-g"], pytest.param(list(METHODS)[:-1], marks=pytest.mark.long)])
@pytest.mark.parametrize("reward", REWARDS, indirect=True)
def test_a_walk_copies_nothing_and_reads_nothing(
    reward: Reward, methods: list[str], tiny_sd: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the meta device, through which PyTorch also goes back everywhere, so that gradients are looked at too."""
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: nullcontext())  # which does not know this device
    check(reward, tiny_sd, META, nullcontext(), methods)


@pytest.mark.gpu
@pytest.mark.parametrize("reward", REWARDS, indirect=True)
def test_on_a_gpu_nothing_waits(reward: Reward, tiny_sd: Path) -> None:
    """PyTorch's own check on a real GPU: whatever waits raises an error, in a guided walk whose prompts are known."""
    policy = make_policy(backbones.load(str(tiny_sd), "cuda"), 2, 1.0, 5.0)
    add_lora(policy.backbone.network, 4, 4.0, seed=0)
    judge = StepReward(Decoder(policy.backbone), type(reward)("cuda"), policy)
    config = load("tailorpo-g", "shapes", "shapes-colour", "shapes-simple", 16, 0, "shapes", METHODS["tailorpo-g"])
    samples = [Sample("cat", 0), Sample("dog", 1)]
    for mode in ("default", "error"):
        torch.cuda.set_sync_debug_mode(mode)
        try:
            with torch.no_grad():
                next(config.method_class().collect(policy, samples, judge, config.method_config, Noise(0, "t")))
        finally:
            torch.cuda.set_sync_debug_mode("default")


@pytest.mark.long
@pytest.mark.parametrize("reward", REWARDS, indirect=True)
def test_on_a_fake_gpu_too(reward: Reward, tiny_sd: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fake tensors take the CUDA branches. Libraries that notice fake tensors look at fewer values.

    Without a GPU PyTorch does not go back through fake tensors of one, so the gradient is zeros here.
    """
    monkeypatch.setattr(torch.autograd, "grad", lambda y, x: (torch.zeros_like(x),))
    check(reward, tiny_sd, CUDA, FakeTensorMode())
