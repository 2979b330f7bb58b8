"""Times cases in alternating rounds, in wall and CPU seconds, and keeps every round's value in rows."""

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
    """A line of the table: what was measured, a value for each round, and the bar that the median must meet, if any."""

    part: str
    what: str
    unit: str  # s, x (a ratio), %, MB, images/s
    values: tuple[float, ...]
    cpu: tuple[float, ...] = ()  # from CPU seconds, which other work on the machine disturbs less
    least: float | None = None
    most: float | None = None

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.values)

    @property
    def met(self) -> bool | None:
        """True where the median meets the bar, False where it does not, None where there is no bar."""
        if self.least is not None:
            return self.median >= self.least
        return self.median <= self.most if self.most is not None else None

    def json(self) -> dict[str, Any]:
        """Returns the row for the record, with medians and verdict."""
        cpu = statistics.median(self.cpu) if self.cpu else None
        return asdict(self) | {"median": self.median, "cpu_median": cpu, "met": self.met}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Row:
        """Returns the row that ``json`` returned."""
        known = {name: value[name] for name in cls.__dataclass_fields__}
        return cls(**known | {"values": tuple(known["values"]), "cpu": tuple(known["cpu"])})


class Elapsed(NamedTuple):
    """Seconds of one run."""

    wall: float
    cpu: float


@dataclass
class Times:
    """Seconds of one case, a value a round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def cpu_seconds() -> float:
    """Returns user and system time of this process with all threads and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in used)


def synchronise() -> None:
    """Waits for the GPU, where this process uses one."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def time_once(case: Callable[[], object]) -> Elapsed:
    """Runs a case and returns its seconds; a case that ran in another process returns them itself."""
    gc.collect()
    synchronise()
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = case()
    synchronise()
    return result if isinstance(result, Elapsed) else Elapsed(time.perf_counter() - wall, cpu_seconds() - cpu)


def alternate(cases: Mapping[str, Callable[[], object]], rounds: int, turn: bool = True) -> dict[str, Times]:
    """Runs every case once a round, in an order that reverses each round, so that a slower machine slows all alike.

    Without ``turn`` the order stays the same, for cases that need what the one before has left.
    """
    times = {name: Times() for name in cases}
    for i in range(rounds):
        for name in list(cases)[:: -1 if turn and i % 2 else 1]:
            wall, cpu = time_once(cases[name])
            times[name].wall.append(wall)
            times[name].cpu.append(cpu)
            print(f"  round {i + 1} of {rounds}, {name}: {wall:.2f} s", file=sys.stderr, flush=True)
    return times


def seconds(part: str, what: str, times: Times) -> Row:
    """Returns the row of a case's seconds."""
    return Row(part, what, "s", tuple(times.wall), tuple(times.cpu))


def ratio(part: str, what: str, slow: Times, fast: Times, least: float | None = None) -> Row:
    """Returns the row of ``slow`` / ``fast``, taken round by round, since the two of a round run close in time."""
    wall = tuple(a / b for a, b in zip(slow.wall, fast.wall, strict=True))
    cpu = tuple(a / b for a, b in zip(slow.cpu, fast.cpu, strict=True))
    return Row(part, what, "x", wall, cpu, least=least)


def table(rows: Sequence[Row]) -> str:
    """Returns a Markdown table: for each row median, range, median of CPU time, the bar and whether it is met."""
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
    """Returns the load average of the last minute."""
    return round(os.getloadavg()[0], 2)
