"""Gives a step its device, the size of its models, a folder to work in, and a file for its findings."""

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

from benchbench.runtime.locks import locked


class PartResult(dict[str, Any]):
    """The numbers of one part of a step, and the checks that failed."""

    def check(self, description: str, passed: bool) -> None:
        """Notes ``what`` as failed unless it passed."""
        if not passed:
            self.setdefault("failed", []).append(description)


@dataclass(frozen=True)
class StepContext:
    """The device and folders that a step runs on.

    ``size`` is ``real`` (SD 1.5 and SDXL with random weights), ``tiny`` (networks of a few thousand weights), or
    ``fake`` (the real sizes on fake CUDA tensors).
    """

    device: str
    size: str
    work: Path  # for models, images and runs; all steps share it
    findings: Path  # a line for each part of this step, written as soon as it is done

    @property
    def tiny(self) -> bool:
        """True where the step runs on tiny networks."""
        return self.size == "tiny"

    @property
    def cuda(self) -> bool:
        """True for a real GPU."""
        return self.device.startswith("cuda") and self.size != "fake"

    @contextmanager
    def part(self, name: str) -> Iterator[PartResult]:
        """Runs a part of the step and writes its numbers when it ends; an error ends this part and not the step."""
        self._write({"begins": name})
        result, started = PartResult(), time.monotonic()
        try:
            yield result
        except Exception as error:  # a device may raise anything, and the next part runs all the same
            traceback.print_exc()
            result["error"] = _describe(error)
        self.settle()
        result["seconds"] = round(time.monotonic() - started, 2)
        self._write({"part": name, **plain(result)})
        print(f"  {name}: {json.dumps(plain(result))}", file=sys.stderr, flush=True)

    def settle(self) -> None:
        """Waits for the device and frees the memory that nothing refers to any more."""
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
        """Returns an empty folder for this step."""
        import shutil

        folder = self.work / self.findings.stem / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds a lock for the block, which writes files that all steps share: steps may run at the same time."""
        with locked(self.work / "files.lock", lambda line: print(line, file=sys.stderr)):
            yield

    def reset_peak(self) -> None:
        """Resets the peak of ``peak_gib``."""
        if self.cuda:
            import torch

            torch.cuda.reset_peak_memory_stats()

    @property
    def peak_gib(self) -> float | None:
        """The peak memory of tensors since ``reset_peak``, in GiB; None on a CPU."""
        if not self.cuda:
            return None
        import torch

        return torch.cuda.max_memory_allocated() / 2**30

    def _write(self, line: Mapping[str, Any]) -> None:
        with self.findings.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()


def plain(value: Any) -> Any:
    """Returns JSON values with numbers of four digits; a number that is not finite becomes a string."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, bool | int | str) or value is None:
        return value
    number = float(value)
    return float(f"{number:.4g}") if math.isfinite(number) else str(number)


def _describe(error: Exception) -> str:
    """Returns the error's class, its message, and the last line of our own code in its traceback."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "site-packages" not in f.filename]
    last = frames[-1] if frames else None
    where = f" at {Path(last.filename).name}:{last.lineno}" if last else ""
    message = " ".join(str(error).split())[:400]
    return f"{type(error).__name__}: {message}{where}"
