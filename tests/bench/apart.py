"""The other side of a comparison in a process of its own: what ours asks of the C library must not help it too."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from importlib import import_module
from types import TracebackType
from typing import Any

from tests.bench.measure import Took, took
from tests.bench.setting import Setting


class Apart:
    """A process that holds what a part's ``baselines(setting, *sizes)`` makes, and runs one of its cases when asked."""

    def __init__(self, part: Any, setting: Setting, *sizes: Any) -> None:
        import torch

        context = multiprocessing.get_context("spawn")
        self.line, far = context.Pipe()
        words = (far, part.__name__, setting, sizes, torch.get_num_threads())
        self.process = context.Process(target=_serve, args=words, daemon=True)
        self.process.start()
        far.close()
        self.names: list[str] = self._answer()

    def __enter__(self) -> Apart:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.line.close()
        self.process.join(60)

    def cases(self) -> dict[str, Callable[[], Took]]:
        """Every case by name, to be called here and run there."""
        return {name: lambda name=name: self._ask(name) for name in self.names}  # type: ignore[misc]

    def _ask(self, name: str) -> Took:
        self.line.send(name)
        found: Took = self._answer()
        return found

    def _answer(self) -> Any:
        found = self.line.recv()
        if isinstance(found, Exception):
            raise found
        return found


def _serve(line: Any, part: str, setting: Setting, sizes: tuple[Any, ...], threads: int) -> None:
    """In the other process, until the line is closed."""
    import torch

    torch.set_num_threads(threads)
    try:
        cases = import_module(part).baselines(setting, *sizes)
        line.send(list(cases))
        while True:
            line.send(took(cases[line.recv()]))
    except EOFError:
        pass
    except Exception as error:
        line.send(error)
