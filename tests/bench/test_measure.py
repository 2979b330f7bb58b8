"""The arithmetic of the benchmark: rounds, ratios, bars and the clock of a network."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from tests.bench.clock import Clock
from tests.bench.measure import Row, Times, alternate, ratio, table


def test_ratios_are_of_the_same_round() -> None:
    """The median of (4/2, 9/3, 8/1) = (2, 3, 8) is 3, though the ratio of the medians is 8/2 = 4."""
    row = ratio("p", "slow / fast", Times([4, 9, 8], [4, 4, 4]), Times([2, 3, 1], [1, 2, 4]), least=3.5)
    assert row.values == (2, 3, 8) and row.cpu == (4, 2, 1)
    assert row.median == 3 and row.met is False
    assert Row.read(json.loads(json.dumps(row.json()))) == row


@pytest.mark.parametrize(
    ("least", "most", "met"), [(3.0, None, True), (3.1, None, False), (None, 3.0, True), (None, 2.9, False)]
)
def test_a_bar_is_held_by_the_median(least: float | None, most: float | None, met: bool) -> None:
    assert Row("p", "w", "x", (1, 3, 9), least=least, most=most).met is met
    assert Row("p", "w", "x", (1, 3, 9)).met is None


def test_the_table_shows_median_range_and_bar() -> None:
    lines = table([Row("p", "w", "x", (1.0, 3.0, 9.0), (2.0,), least=5.0)]).splitlines()
    assert lines[2] == "| p | w | 3 x | 1 to 9 | 2 | at least 5 | NO |"


@pytest.mark.parametrize(("turn", "order"), [(True, "abba"), (False, "abab")])
def test_rounds_alternate(turn: bool, order: str) -> None:
    done: list[str] = []
    times = alternate({name: lambda name=name: done.append(name) for name in "ab"}, 2, turn)
    assert "".join(done) == order
    assert {name: (len(t.wall), len(t.cpu)) for name, t in times.items()} == {"a": (2, 2), "b": (2, 2)}


class _Slow(torch.autograd.Function):
    """An operation that takes 20 ms forwards and 40 ms backwards."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        time.sleep(0.02)
        return x.clone()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        time.sleep(0.04)
        return gradient


class _SlowNetwork(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=_Slow.apply(self.weight * x))


def test_the_clock_runs_inside_the_network_alone() -> None:
    """The network takes 20 ms forwards and 40 backwards; the 200 and 400 ms outside are not counted."""

    class Outside(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: Tensor) -> Tensor:
            time.sleep(0.2)
            return x.clone()

        @staticmethod
        def backward(ctx, gradient: Tensor) -> Tensor:
            time.sleep(0.4)
            return gradient

    net = _SlowNetwork()
    with Clock(net) as clock:
        Outside.apply(net(torch.ones(1)).sample).sum().backward()
    assert len(clock.spans) == 2 and 0.06 <= clock.seconds < 0.2
    net(torch.ones(1))
    assert len(clock.spans) == 2  # the hooks are gone


@pytest.mark.parametrize("at_once", [True, False])
def test_the_clock_of_threads_side_by_side_is_their_mean(at_once: bool) -> None:
    """Two threads are in the network together or one after the other; the clock shows half of the sum either way.

    In the second case one of the two is always outside.
    """
    both, net = Barrier(2), _SlowNetwork()

    def ask(first: bool) -> None:
        if at_once or not first:
            both.wait()
        with torch.no_grad():
            net(torch.ones(1))
        if not at_once and first:
            both.wait()

    with Clock(net) as clock, ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(ask, True), pool.submit(ask, False)]:
            done.result()
    spans = [end[0] - start[0] for start, end in clock.spans]
    assert len(spans) == 2 and clock.seconds == pytest.approx(sum(spans) / 2)
    assert clock.seconds >= 0.02 and clock.cpu_seconds < clock.seconds  # they sleep


def test_the_clock_of_cpu_time_is_of_the_threads_that_ask() -> None:
    """Two threads in the network together each count their own CPU time and not the whole process's."""
    both = Barrier(2)

    class Busy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            both.wait()
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass
            return x

    net = Busy()
    with Clock(net) as clock, ThreadPoolExecutor(2) as pool:
        list(pool.map(net, [torch.ones(1)] * 2))
    assert 0.1 <= clock.cpu_seconds < 0.15
