"""The adapter of a half-precision network: the same bits in rollout and update, renewed after every optimizer step."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from benchbench.diffusion import backbones
from benchbench.diffusion.lora import add_lora, load_adapter, save_adapter
from benchbench.diffusion.policy import Policy, make_policy

HALF = ["bf16", "fp16"]
X = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
TAU = torch.tensor([901, 451, 51])


def fresh(folder: Path, dtype: str) -> Policy:
    found = make_policy(backbones.load(str(folder), "cpu", dtype), 20, 1.0, 5.0)
    add_lora(found.backbone.network, 4, 8.0, seed=0)
    return found


def moved(policy: Policy) -> Policy:
    """An adapter that does something: B is no longer 0."""
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in policy.backbone.network.named_parameters():
            if ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=draw) / 10)
    return policy


def predicted(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        return policy.predict(X, TAU, policy.encode(["cat", "dog", "ant"]))


@pytest.mark.parametrize("dtype", HALF)
def test_an_adapter_of_zeros_changes_no_bit(tiny_sd: Path, dtype: str) -> None:
    policy, base = fresh(tiny_sd, dtype), make_policy(backbones.load(str(tiny_sd), "cpu", dtype), 20, 1.0, 5.0)
    assert torch.equal(predicted(policy), predicted(base))


@pytest.mark.parametrize("dtype", HALF)
def test_the_walk_and_the_update_round_alike(tiny_sd: Path, dtype: str) -> None:
    """The walk takes half-precision copies of A and B, the update the float32 masters: the same bits."""
    policy = moved(fresh(tiny_sd, dtype))
    update = policy.predict(X, TAU, policy.encode(["cat", "dog", "ant"]))
    assert update.requires_grad and torch.equal(predicted(policy), update.detach())


@pytest.mark.parametrize("dtype", HALF)
def test_it_is_peft_s_adapter_to_rounding(tiny_sd: Path, dtype: str) -> None:
    """Against peft's own path in float32 on the same rounded weights; as close as peft in half precision is."""
    policy = moved(fresh(tiny_sd, dtype))
    ours = predicted(policy)
    layers = [layer for layer in policy.backbone.network.modules() if hasattr(layer, "low_rank")]
    assert len(layers) == 32
    for layer in layers:
        del layer.forward  # what is left is peft's
    theirs = predicted(policy)
    exact = make_policy(backbones.load(str(tiny_sd), "cpu", "fp32"), 20, 1.0, 5.0)
    add_lora(exact.backbone.network, 4, 8.0, seed=0)
    kind = next(policy.backbone.network.parameters()).dtype
    with torch.no_grad():
        for parameter in exact.backbone.network.parameters():
            parameter.copy_(parameter.to(kind))
    moved(exact)
    error, allowed = (predicted(exact) - ours).abs().max(), (predicted(exact) - theirs).abs().max()
    assert 0 < error < 1.5 * allowed
    assert (predicted(exact) - predicted(fresh(tiny_sd, dtype))).abs().max() > 5 * error  # the adapter is what is seen


@pytest.mark.parametrize("fused", [False, True])
def test_an_optimizer_step_reaches_the_next_walk(tiny_sd: Path, fused: bool) -> None:
    """A fused optimizer changes weights without raising their version: the walk must see its step all the same."""
    policy = moved(fresh(tiny_sd, "bf16"))
    before = predicted(policy)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=1e-2, fused=fused)
    policy.predict(X, TAU, policy.encode(["cat", "dog", "ant"])).square().mean().backward()
    optimizer.step()
    after = predicted(policy)
    assert not torch.equal(before, after)
    assert torch.equal(after, policy.predict(X, TAU, policy.encode(["cat", "dog", "ant"])).detach())
    k, cond = torch.tensor([18, 9, 1]), policy.encode(["cat", "dog", "ant"])
    with torch.no_grad():
        walked = policy.step(X, k, cond)
    ratio = policy.step(X, k, cond).log_prob(walked.draw(X)) - walked.log_prob(walked.draw(X))
    assert ratio.requires_grad and float(ratio.detach().abs().max()) == 0  # of the rollout against its update


def test_weights_put_in_place_reach_the_next_walk(tiny_sd: Path) -> None:
    """As a checkpoint that is read puts them."""
    policy = fresh(tiny_sd, "bf16")
    before = predicted(policy)
    assert not torch.equal(before, predicted(moved(policy)))


def test_a_young_adapter_is_not_rounded_away(tiny_sd: Path) -> None:
    """Merged into bf16 weights a small adapter is lost; on the low-rank path it moves the prediction."""
    policy = fresh(tiny_sd, "bf16")
    base = predicted(policy)
    with torch.no_grad():
        for name, parameter in policy.backbone.network.named_parameters():
            if ".lora_B." in name:
                parameter.fill_(3e-5)
    layer: Any = next(layer for layer in policy.backbone.network.modules() if hasattr(layer, "low_rank"))
    delta = layer.scaling["default"] * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    merged = (layer.base_layer.weight.float() + delta).bfloat16()
    assert (merged == layer.base_layer.weight).float().mean() > 0.9
    assert not torch.equal(predicted(policy), base)


def test_a_saved_adapter_is_evaluated_as_it_was_trained(tiny_sd: Path, tmp_path: Path) -> None:
    """Loaded again for inference on a half-precision model, and after another one was taken away."""
    policy = moved(fresh(tiny_sd, "bf16"))
    save_adapter(policy.backbone.network, tmp_path)
    other = make_policy(backbones.load(str(tiny_sd), "cpu", "bf16"), 20, 1.0, 5.0)
    base = predicted(other)
    for _ in range(2):
        load_adapter(other.backbone.network, tmp_path)
        assert torch.equal(predicted(other), predicted(policy))
        other.backbone.network.delete_adapters("default")
        assert torch.equal(predicted(other), base)


def test_float32_keeps_peft_s_path(tiny_sd: Path) -> None:
    """Every number of a run in float32 stays what it was."""
    assert not [m for m in fresh(tiny_sd, "fp32").backbone.network.modules() if hasattr(m, "low_rank")]


def test_threads_do_not_take_each_other_s_products(tiny_sd: Path) -> None:
    """Rows that are evaluated side by side, each thread in a forward of its own at the same time."""
    policy = moved(fresh(tiny_sd, "bf16"))
    inputs = [torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(i)) for i in range(8)]
    cond = policy.encode(["cat", "dog", "ant"])

    @torch.no_grad()
    def run(x: torch.Tensor) -> torch.Tensor:
        return policy.predict(x, TAU, cond)

    wanted = [run(x) for x in inputs]
    with ThreadPoolExecutor(4) as pool:
        assert all(torch.equal(a, b) for a, b in zip(pool.map(run, inputs), wanted, strict=True))


def test_a_forward_that_failed_leaves_nothing(tiny_sd: Path) -> None:
    """An error between queries and values: the next forward computes its own product, with the same bits as before."""
    policy = moved(fresh(tiny_sd, "bf16"))
    before = predicted(policy)
    values: Any = next(m for name, m in policy.backbone.network.named_modules() if name.endswith("attn1.to_v"))
    hook = values.register_forward_pre_hook(lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("no room")))
    with pytest.raises(torch.OutOfMemoryError):
        policy.backbone.network(X.bfloat16(), 500, policy.encode(["cat"] * 3).text)
    hook.remove()
    assert torch.equal(predicted(policy), before)
    groups = {id(layer.low_rank[0]): layer.low_rank[0] for layer in values.modules() if hasattr(layer, "low_rank")}
    assert groups and all(not group._low_rank for group in groups.values())
