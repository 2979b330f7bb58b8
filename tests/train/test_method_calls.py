"""Whatever a method yields, returns or raises is a Batch and a scalar loss, or an error that names the method."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchbench.api import Images, Method, MethodConfig
from benchbench.errors import CorruptError, RunError
from benchbench.methods.ddpo import DDPO
from benchbench.noise import Noise
from benchbench.train import method_calls
from benchbench.train.loop import train
from benchbench.types import Cond

ROWS = Images(torch.zeros(2, 1, 1, 1), Cond(torch.zeros(2, 1, 1), torch.zeros(1, 1, 1)), torch.arange(2), torch.ones(2))
WEIGHT = torch.ones((), requires_grad=True)


class Mine(Method[MethodConfig]):
    """A method of another package."""

    name, paper, Config = "mine", "none", MethodConfig
    result: Callable[[], Any]

    def collect(self, policy: Any, samples: Any, reward: Any, cfg: Any, noise: Any) -> Iterator[Any]:
        yield self.result()

    def loss(self, policy: Any, batch: Any, cfg: Any, noise: Any) -> Any:
        return self.result()


def mine(result: Any) -> Mine:
    method = Mine()
    method.result = result if callable(result) else lambda: result  # type: ignore[method-assign]
    return method


def loss(result: Any) -> tuple[Tensor, Any]:
    policy: Any = None
    return method_calls.loss(mine(result), policy, ROWS, MethodConfig(), Noise(0, "t"))


def collected(method: Mine, collect: Callable[[], Any] | None = None) -> list[Any]:
    none: Any = None
    return list(method_calls.batches(method, collect or (lambda: method.collect(none, none, none, none, none))))


def fail() -> Any:
    raise KeyError("advantage")


def leave() -> Any:
    sys.exit(3)


def damaged() -> Any:
    raise CorruptError("a file is damaged", "a", "b")


def full() -> Any:
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")


def test_what_keeps_the_contract_passes() -> None:
    value, metrics = loss((2 * WEIGHT, {"a": 1, "b": torch.ones(()), "c": 0.5}))
    assert float(value.detach()) == 2 and set(metrics) == {"a", "b", "c"}
    assert collected(mine((ROWS, {"a": 1.0}))) == [(ROWS, {"a": 1.0})]


@pytest.mark.parametrize(
    ("result", "said"),
    [
        ((WEIGHT * torch.ones(2), {}), "a loss of shape [2] for 2 rows"),
        ((WEIGHT.reshape(1), {}), "a loss of shape [1]"),
        (WEIGHT, "the type Tensor"),
        ((0.5, {}), "a tuple (float, dict)"),
        (None, "the type NoneType"),
        ((WEIGHT.detach(), {}), "without a gradient"),
        ((WEIGHT * 1, None), "metrics that are the type NoneType"),
        ((WEIGHT * 1, {"kl": torch.zeros(2)}), "the metric 'kl' as the type Tensor of shape [2]"),
        (fail, "mine failed in loss()"),
        (leave, "mine failed in loss()"),
    ],
)
def test_a_wrong_loss_is_refused_by_name(result: Any, said: str) -> None:
    with pytest.raises(RunError) as error:
        loss(result)
    assert said in error.value.problem and "method mine" in error.value.problem
    assert error.value.remedy == "bench check mine"
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("result", "said"),
    [
        (ROWS, "collect() gave the type Images"),
        (({"x": 1}, {}), "collect() gave a tuple (dict, dict)"),
        ((ROWS[:0], {}), "a Batch without rows"),
        ((ROWS, None), "metrics that are the type NoneType"),
        (fail, "mine failed in collect()"),
        (leave, "mine failed in collect()"),
    ],
)
def test_a_wrong_batch_is_refused_by_name(result: Any, said: str) -> None:
    with pytest.raises(RunError) as error:
        collected(mine(result))
    assert said in error.value.problem and error.value.remedy == "bench check mine"


@pytest.mark.parametrize("given", [lambda: [(ROWS, {})], lambda: None, fail], ids=["list", "nothing", "raises"])
def test_a_collect_that_is_no_generator_is_refused(given: Callable[[], Any]) -> None:
    with pytest.raises(RunError, match=r"mine failed in collect\(\)"):
        collected(mine(None), given)


def test_an_exception_names_its_line() -> None:
    with pytest.raises(RunError) as error:
        loss(fail)
    assert error.value.cause.startswith("KeyError: 'advantage' (") and Path(__file__).name in error.value.cause


def test_our_own_errors_and_out_of_memory_pass() -> None:
    for call in (loss, lambda result: collected(mine(result))):
        with pytest.raises(CorruptError):
            call(damaged)
        with pytest.raises(RuntimeError, match="DefaultCPUAllocator"):
            call(full)


def test_a_training_ends_with_the_method_s_name(
    configure: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DDPO, "loss", lambda *_: (WEIGHT * torch.ones(3), {}))
    with pytest.raises(RunError, match=r"method ddpo is wrong: loss\(\) gave a loss of shape \[3\]"):
        train(configure("ddpo", "train.eval_every=0"), tmp_path / "run", log=lambda _: None)


def test_the_remedy_for_nan_names_the_check_of_a_plug_in() -> None:
    assert method_calls.hint(mine(None)) == "; to test the method itself: bench check mine"
    assert method_calls.hint(DDPO()) == ""


def test_a_state_that_json_cannot_hold_is_refused() -> None:
    class Keeps(Mine):
        kept: Any = {"mean": torch.zeros(())}

        def state(self) -> Any:
            return self.kept

        def load_state(self, state: dict[str, Any]) -> None:
            raise KeyError("mean")

    for kept, said in (
        ({"mean": torch.zeros(())}, r"failed in state\(\)"),
        ({"mean": float("nan")}, r"failed in state\(\)"),
        ([1.0], r"state\(\) gave the type list"),
    ):
        Keeps.kept = kept
        with pytest.raises(RunError, match=said):
            method_calls.state(Keeps())
    Keeps.kept = {"mean": 1.5}
    assert method_calls.state(Keeps()) == {"mean": 1.5}
    with pytest.raises(RunError, match=r"mine failed in load_state\(\)"):
        method_calls.load_state(Keeps(), {})


def test_a_method_that_cannot_be_made_is_named() -> None:
    class Needs(Mine):
        def __init__(self, path: str) -> None:
            super().__init__()

    with pytest.raises(RunError, match=r"mine failed in __init__\(\)"):
        method_calls.create(Needs)
