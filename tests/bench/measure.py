"""Timing: alternating rounds, wall and CPU seconds, and rows that keep every round's value."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True)
class Row:
    """One line of the table: what was measured, a value a round, and the bar that it is held against, if any."""

    part: str
    what: str
    unit: str  # s, x (a ratio), %, MB, images/s
    values: tuple[float, ...]
    cpu: tuple[float, ...] = ()  # the same from CPU seconds, which other work on the machine disturbs less
    least: float | None = None
    most: float | None = None

    @property
    def median(self) -> float:
        """Of the rounds."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """Whether the median holds the bar; None where there is none."""
        if self.least is not None:
            return self.median >= self.least
        return self.median <= self.most if self.most is not None else None

    def json(self) -> dict[str, Any]:
        """For the record, medians and verdict included."""
        cpu = statistics.median(self.cpu) if self.cpu else None
        return asdict(self) | {"median": self.median, "cpu_median": cpu, "met": self.met}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Row:
        """From a record."""
        known = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(**known | {"values": tuple(known["values"]), "cpu": tuple(known["cpu"])})


class Took(NamedTuple):
    """Seconds of one run."""

    wall: float
    cpu: float


@dataclass
class Times:
    """Seconds of one case, a value a round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def cpu_seconds() -> float:
    """User and system time of this process, of all its threads and of the children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def synchronise() -> None:
    """Waits for the GPU, where this process uses one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def took(case: Callable[[], object]) -> Took:
    """Runs it; what it says itself counts where it ran in another process."""
    gc.collect()
    synchronise()
    wall, cpu = time.perf_counter(), cpu_seconds()
    said = case()
    synchronise()
    return said if isinstance(said, Took) else Took(time.perf_counter() - wall, cpu_seconds() - cpu)


def alternate(cases: Mapping[str, Callable[[], object]], rounds: int, turn: bool = True) -> dict[str, Times]:
    """Every case once a round, in turn forwards and backwards, so that a machine that slows down slows all alike.

    Without ``turn`` always forwards, where a case needs what the one before it has left.
    """
    times = {name: Times() for name in cases}
    for i in range(rounds):
        for name in list(cases)[:: -1 if turn and i % 2 else 1]:
            wall, cpu = took(cases[name])
            times[name].wall.append(wall)
            times[name].cpu.append(cpu)
            print(f"  round {i + 1} of {rounds}, {name}: {wall:.2f} s", file=sys.stderr, flush=True)
    return times


def seconds(part: str, what: str, times: Times) -> Row:
    """A case's own times."""
    return Row(part, what, "s", tuple(times.wall), tuple(times.cpu))


def ratio(part: str, what: str, slow: Times, fast: Times, least: float | None = None) -> Row:
    """How many times as long ``slow`` took as ``fast``, round by round, since rounds lie side by side in time."""
    wall = tuple(a / b for a, b in zip(slow.wall, fast.wall, strict=True))
    cpu = tuple(a / b for a, b in zip(slow.cpu, fast.cpu, strict=True))
    return Row(part, what, "x", wall, cpu, least=least)


def table(rows: Sequence[Row]) -> str:
    """Markdown, a line a row: median, range, the same in CPU time, the bar and whether it is held."""
    head = ["part", "what", "median", "range", "in CPU time", "bar", "held"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        low, high = min(row.values), max(row.values)
        bar = f"at least {row.least:g}" if row.least is not None else f"at most {row.most:g}" if row.most else ""
        held = {True: "yes", False: "NO", None: ""}[row.met]
        cpu = f"{statistics.median(row.cpu):.3g}" if row.cpu else ""
        span = f"{low:.3g} to {high:.3g}" if len(row.values) > 1 else ""
        lines.append(f"| {row.part} | {row.what} | {row.median:.3g} {row.unit} | {span} | {cpu} | {bar} | {held} |")
    return "\n".join(lines)


def load() -> float:
    """Processes that want a core, averaged over the last minute."""
    return round(os.getloadavg()[0], 2)
