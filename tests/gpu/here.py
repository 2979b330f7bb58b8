"""Gives a step its device, the size of its models, a folder to work in, and a place for its findings."""

from __future__ import annotations

import gc
import json
import math
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class Found(dict[str, Any]):
    """The numbers of one part of a step, and the checks that they did not pass."""

    def check(self, what: str, passed: bool) -> None:
        """Notes ``what`` as failed unless it passed."""
        if not passed:
            self.setdefault("failed", []).append(what)


@dataclass(frozen=True)
class Here:
    """``size`` is ``real`` (SD 1.5 and SDXL with random weights), ``tiny`` (networks of a few thousand weights), or
    ``fake``: the real sizes on a device that is only pretended.
    """

    device: str
    size: str
    work: Path  # for models, images and runs; the whole command shares it
    findings: Path  # a line for each part of this step, written as soon as it is done

    @property
    def tiny(self) -> bool:
        """True where only the step itself is tried out."""
        return self.size == "tiny"

    @property
    def cuda(self) -> bool:
        """True for a GPU that is there."""
        return self.device.startswith("cuda") and self.size != "fake"

    @contextmanager
    def part(self, name: str) -> Iterator[Found]:
        """A part of the step. Its numbers are written when it ends; an error ends this part and not the step."""
        self._write({"begins": name})
        found, started = Found(), time.monotonic()
        try:
            yield found
        except Exception as error:  # whatever a device may raise is a finding, and the next part has its turn
            traceback.print_exc()
            found["error"] = _said(error)
        self.settle()
        found["seconds"] = round(time.monotonic() - started, 2)
        self._write({"part": name, **plain(found)})
        print(f"  {name}: {json.dumps(plain(found))}", file=sys.stderr, flush=True)

    def settle(self) -> None:
        """Waits for the device and gives back what nobody holds any more."""
        torch = sys.modules.get("torch")
        gc.collect()
        if self.cuda and torch is not None:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()

    def synchronise(self) -> None:
        """Waits for the device."""
        if self.cuda:
            import torch

            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], object]) -> float:
        """Returns the seconds that ``run`` takes, the device's work included."""
        self.synchronise()
        started = time.perf_counter()
        run()
        self.synchronise()
        return time.perf_counter() - started

    def fresh(self, name: str) -> Path:
        """An empty folder for this step."""
        import shutil

        folder = self.work / self.findings.stem / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def reset_peak(self) -> None:
        """The peak of memory is counted from here on."""
        if self.cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()

    @property
    def peak_gib(self) -> float | None:
        """Most memory that tensors took since ``reset_peak``, in GiB; None on a CPU."""
        if not self.cuda:
            return None
        import torch

        return torch.cuda.max_memory_allocated() / 2**30

    def _write(self, line: Mapping[str, Any]) -> None:
        with self.findings.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()


def plain(value: Any) -> Any:
    """JSON-able, with numbers of four digits; what is not finite becomes a word."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    number = float(value)
    return float(f"{number:.4g}") if math.isfinite(number) else str(number)


def _said(error: Exception) -> str:
    """The kind of error, its first lines, and where in our own code it came up."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
    last = frames[-1] if frames else None
    where = f" at {Path(last.filename).name}:{last.lineno}" if last else ""
    words = " ".join(str(error).split())[:400]
    return f"{type(error).__name__}: {words}{where}"
