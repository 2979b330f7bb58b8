"""A second set of the trained weights: in its block the network computes with it, outside nothing has changed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchbench.diffusion import backbones
from benchbench.diffusion.finetuned import make_trainable
from benchbench.diffusion.lora import add_lora, save_adapter
from benchbench.diffusion.policy import Policy, make_policy
from benchbench.diffusion.weight_copy import WeightCopy, averaging_decay
from benchbench.errors import UsageError

X = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
TAU = torch.tensor([901, 451, 51])
WORDS = ["cat", "dog", "ant"]


def policy_of(folder: Path, dtype: str, full: bool = False) -> Policy:
    found = make_policy(backbones.load(str(folder), "cpu", dtype, "fp32" if full else None), 20, 1.0, 5.0)
    if full:
        make_trainable(found)
    else:
        add_lora(found.backbone.network, 4, 8.0, seed=0)
    return found


def move(policy: Policy, seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))


def predicted(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        return policy.predict(X, TAU, policy.encode(WORDS))


@pytest.mark.parametrize(("dtype", "full"), [("fp32", False), ("bf16", False), ("fp16", False), ("bf16", True)])
def test_the_network_computes_with_the_copy_in_its_block_alone(dtype: str, full: bool, tiny_sd: Path) -> None:
    """To the bit, where the adapter has copies in half precision as well; every weight can be trained, too."""
    policy = policy_of(tiny_sd, dtype, full)
    move(policy, 1)
    policy.keep_old()
    old = predicted(policy)
    move(policy, 2)
    new = predicted(policy)
    assert float((old - new).abs().max()) > 1e-2
    cond = policy.encode(WORDS)
    for _ in range(2):
        assert torch.equal(policy.old_predict(X, TAU, cond), old)
        assert torch.equal(predicted(policy), new)
    with pytest.raises(KeyError), policy.old():
        raise KeyError
    assert torch.equal(predicted(policy), new)


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_graph_from_outside_of_the_block_keeps_its_weights(dtype: str, tiny_sd: Path) -> None:
    """The old policy predicts between a forward and its backward pass, and the gradient is what it is without that."""
    policy = policy_of(tiny_sd, dtype)
    move(policy, 1)
    policy.keep_old()
    move(policy, 2)
    cond, gradients = policy.encode(WORDS), []
    for between in (False, True):
        loss = policy.predict(X, TAU, cond).square().mean()
        if between:
            policy.old_predict(X, TAU, cond)
        gradients.append(torch.autograd.grad(loss, policy.parameters()))
    assert all(torch.equal(a, b) and a.any() for a, b in zip(*gradients, strict=True))


def test_the_copy_is_not_saved_with_the_adapter(tiny_sd: Path, tmp_path: Path) -> None:
    policy = policy_of(tiny_sd, "fp32")
    move(policy, 1)
    plain = save_adapter(policy.backbone.network, tmp_path / "plain").read_bytes()
    policy.keep_old()
    move(policy, 2)
    assert policy.old_weights
    policy.old_weights.follow(0.3)
    moved = save_adapter(policy.backbone.network, tmp_path / "moved").read_bytes()
    with policy.old():
        assert save_adapter(policy.backbone.network, tmp_path / "old").read_bytes() not in (plain, moved)
    assert len(moved) == len(plain)


def test_values_follow_by_the_decay() -> None:
    """By hand: 0.75 * 8 + 0.25 * 4 = 7, then 0.5 * 7 + 0.5 * 4 = 5.5; with a decay of 0 they are the parameter."""
    parameter = torch.nn.Parameter(torch.tensor([8.0, 1 / 3]))
    copy = WeightCopy([parameter])
    with torch.no_grad():
        parameter[0] = 4.0
    seen = []
    for decay in (0.75, 0.5, 1.0):
        copy.follow(decay)
        seen.append(copy.values[0].tolist())
    assert [row[0] for row in seen] == [7.0, 5.5, 5.5] and all(row[1] == float(parameter.detach()[1]) for row in seen)
    copy.follow(0.0)
    assert torch.equal(copy.values[0], parameter) and not copy.values[0].requires_grad
    assert copy.values[0].data_ptr() != parameter.data_ptr()


def test_the_decay_of_an_average_grows_with_the_steps() -> None:
    """By hand: 2/11 after one step, 11/20 after ten; 91/100 after ninety is more than .9."""
    assert [averaging_decay(0.9, n) for n in (1, 10, 90)] == pytest.approx([2 / 11, 0.55, 0.9])


def test_a_policy_without_old_weights_says_so(tiny_sd: Path) -> None:
    policy = policy_of(tiny_sd, "fp32")
    with pytest.raises(UsageError, match="no old weights") as error:
        policy.old_predict(X, TAU, policy.encode(WORDS))
    assert '"old"' in error.value.remedy
