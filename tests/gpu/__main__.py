"""Runs everything once on one GPU, with random weights at real size: ``make gpu`` and ``make gpu-more``.

``python -m tests.gpu --part first|more [--only NAMES] [--out results/gpu]`` from the repository's root, with
``PYTHONPATH=.`` where nothing is installed. Each step has its own process and time limit; its line is written to the
record as soon as it ends, and no step stops the next one. Without a GPU the training code of every method runs on fake
CUDA tensors instead. ``--device cpu --size tiny`` runs the steps on a CPU with tiny networks.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.gpu import summary
from tests.gpu.about import about, file_name
from tests.gpu.outcome import child, outcome
from tests.gpu.plan import PARTS, PRETENDED, Step, chosen

WORK = (
    Path(tempfile.gettempdir()) / "bench-gpu"
)  # not removed, since the next command uses the models and compiled code, too


def main(words: Sequence[str]) -> int:
    """Runs the chosen steps; returns 0 where all of them ended well, else 1."""
    args = _arguments(words)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the process of a step is ended, too
    device = args.device or _device()
    steps = [PRETENDED] if device == "fake" else chosen(args.part, args.only)
    origin = about(device)
    record = Path(args.out) / file_name(origin)
    total = sum(step.seconds for step in steps) * args.slower
    print(f"{len(steps)} steps on {origin['device']}, at most {total:.0f} s; the record goes to {record}", flush=True)
    if device == "fake":
        print("there is no GPU here: the methods run on fake CUDA tensors, which shows no speed and no rounding")
    for directory in (args.work, record.parent):
        directory.mkdir(parents=True, exist_ok=True)
    lines = list(_run(steps, device, args.size, args.slower, args.work, record, origin))
    print("\n" + summary.page(summary.lines(record)))
    return 0 if all(line["status"] == "ok" for line in lines) else 1


def _run(
    steps: Sequence[Step], device: str, size: str, slower: float, work: Path, record: Path, origin: dict[str, Any]
) -> Any:
    """Yields a line for each step after writing it and the summary; a step may use the time that earlier ones left."""
    started, granted = time.monotonic(), 0.0
    for step in steps:
        granted += step.seconds * slower
        limit = granted - (time.monotonic() - started)
        print(f"step {step.number}, {step.name}: {step.title}; at most {limit:.0f} s", flush=True)
        command, findings = child(step, *(("cuda", "fake") if device == "fake" else (device, size)), work)
        line = outcome(step, command, findings, limit) | {"size": "fake" if device == "fake" else size, "about": origin}
        with record.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
        record.with_suffix(".md").write_text(summary.page(summary.lines(record)), encoding="utf-8")
        print(f"step {step.number}, {step.name}: {line['status']} after {line['seconds']:g} s", flush=True)
        for message in [*summary.wrong(line), *line.get("log", [])]:
            print(f"  {message}", flush=True)
        yield line


def _arguments(words: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu", description=__doc__)
    parser.add_argument("--part", choices=PARTS, default="first", help="first: make gpu; more: make gpu-more")
    parser.add_argument("--only", default="", help="names or numbers of steps, separated by commas")
    parser.add_argument("--out", default="results/gpu", help="folder of the records")
    parser.add_argument("--device", choices=("cuda", "cpu", "fake"), help="cuda where there is one, else fake")
    parser.add_argument("--size", choices=("real", "tiny"), default="real", help="of the networks")
    parser.add_argument("--slower", type=float, default=1.0, help="multiplies the time limits, for a slower card")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of models and compiled code, a few GB")
    args = parser.parse_args(words)
    if args.device == "cpu" and args.size == "real":
        parser.error("networks of real size take hours on a CPU: use --size tiny, or --device fake")
    return args


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "fake"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
