"""Runs the baselines of a comparison in their own process, so that our settings of the C library do not help them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any

from tests.bench.measure import Elapsed, time_once
from tests.bench.setting import Setting


class BaselineProcess:
    """A process that calls a part's ``baselines(setting, *sizes)`` once and then runs its cases on request."""

    def __init__(self, part: Any, setting: Setting, *sizes: Any) -> None:
        import torch

        context = multiprocessing.get_context("spawn")
        self.line, child_line = context.Pipe()
        arguments = (child_line, part.__name__, setting, sizes, torch.get_num_threads())
        self.process = context.Process(target=_serve, args=arguments, daemon=True)
        self.process.start()
        child_line.close()
        self.names: list[str] = self._answer()

    def __enter__(self) -> BaselineProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.line.close()
        self.process.join(60)

    def cases(self) -> dict[str, Callable[[], Elapsed]]:
        """Returns the cases by name, as functions that run in the process and return its seconds."""
        return {name: lambda name=name: self._run_case(name) for name in self.names}  # type: ignore[misc]

    def _run_case(self, name: str) -> Elapsed:
        self.line.send(name)
        answer: Elapsed = self._answer()
        return answer

    def _answer(self) -> Any:
        answer = self.line.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


def _serve(line: Any, part: str, setting: Setting, sizes: tuple[Any, ...], threads: int) -> None:
    """Runs in the process: runs the cases that are requested until the connection is closed."""
    import torch

    torch.set_num_threads(threads)
    try:
        cases = import_module(part).baselines(setting, *sizes)
        line.send(list(cases))
        while True:
            line.send(time_once(cases[line.recv()]))
    except EOFError:
        pass
    except Exception as error:
        line.send(error)
