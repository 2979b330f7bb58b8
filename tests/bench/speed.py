"""Measures the speed of benchbench against plain implementations (``make bench``), both on one machine in one run.

``python -m tests.bench.speed [--only generate,train] [--rounds 3] [--threads N] [--out FILE]`` from the repository's
root. Every part runs in its own process and is written to the record as soon as it is done, so that an interrupted run
continues where it stopped. Parts that ``--only`` names are measured anew. A Markdown table lies beside the JSON record.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from itertools import chain, count
from pathlib import Path
from typing import Any

from benchbench.runtime.cores import cores
from tests.bench.measure import Row, load, table
from tests.bench.setting import Setting

PARTS = {
    "generate": "generation",
    "score": "scoring",
    "train": "training",
    "unet": "unet",
    "memory": "memory",
    "growth": "growth",
    "repeat": "repeat",
    "cells": "cells",
}
GPU_SECONDS = {"generate": 140, "score": 75, "train": 120, "unet": 60, "memory": 80, "growth": 65, "repeat": 50}
"""Time limits of the parts that run on a GPU, less than ten minutes in all; a part may use what earlier ones left."""
CPU_SECONDS = 3600
ROUNDS = {"cpu": 3, "cuda": 1}
WITHOUT_TRAINING = ("generate", "score", "growth")  # the straightforward trainers work with Stable Diffusion 1 only
RECORDS = Path("results/speed")


def main() -> int:
    """Measures the chosen or missing parts, then shows the table; returns the exit code."""
    args = _arguments()
    if args.part:
        return _part(args)
    only = [name.strip() for name in args.only.split(",") if name.strip()]
    unknown = [name for name in only if name not in PARTS]
    if unknown:
        print(f"error: no part {', '.join(unknown)}; there are {', '.join(PARTS)}", file=sys.stderr)
        return 2
    about = _about(args)
    out = Path(args.out) if args.out else _default_record(about)
    record = _read(out, about)
    gpu = args.model != "shapes"
    wanted = [name for name in (WITHOUT_TRAINING if args.model == "sdxl" else PARTS) if not gpu or name in GPU_SECONDS]
    pending = only or [name for name in wanted if record["parts"].get(name, {"error": ""}).get("error") is not None]
    if not pending:
        print(f"{out} is complete; name parts with --only to measure them again")
        return _show(record, out)
    print(
        f"measuring {', '.join(pending)} on {about['model']}, {about['device']}; the record goes to {out}", flush=True
    )
    started, granted_seconds = time.monotonic(), 0.0
    for i, name in enumerate(pending, 1):
        spent = time.monotonic() - started
        granted_seconds += GPU_SECONDS.get(name, 5) if gpu else CPU_SECONDS
        print(f"{name}: part {i} of {len(pending)}, {spent:.0f} s so far", file=sys.stderr, flush=True)
        record["parts"][name] = _measure(name, args, granted_seconds - spent)
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(out, json.dumps(record, indent=1) + "\n")
    return _show(record, out)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.bench.speed", description=__doc__)
    parser.add_argument("--only", default="", help=f"parts, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--rounds", type=int, help="how often every case is measured: 3, on a GPU 1")
    parser.add_argument("--threads", type=int, default=cores(), help="of torch on a CPU; all, if not said")
    parser.add_argument("--model", choices=("shapes", "sd15", "sdxl"), help="shapes on a CPU, sd15 on a GPU")
    parser.add_argument("--out", help="the record; the table lies beside it")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    return parser.parse_args()


def _about(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the circumstances of the numbers; a record of other circumstances is not continued."""
    import torch

    from benchbench.runtime.provenance import record

    gpu = torch.cuda.is_available()
    args.model = args.model or ("sd15" if gpu else "shapes")
    args.rounds = args.rounds or ROUNDS["cuda" if gpu else "cpu"]
    device = torch.cuda.get_device_name() if gpu else f"CPU, {args.threads} of {cores()} threads"
    origin = record({}, {}, "cuda" if gpu else "cpu")
    versions = {key: origin[key] for key in ("benchbench", "python", "system", "packages")}
    commit = (origin["git"] or {}).get("commit")
    return {"model": args.model, "device": device, "rounds": args.rounds, "commit": commit, **versions}


def _slug(about: dict[str, Any]) -> str:
    device = "".join(c if c.isalnum() else "-" for c in about["device"].lower()).replace("--", "-")
    return f"{about['model']}-{device}"


def _default_record(about: dict[str, Any]) -> Path:
    """Returns the record of these circumstances, or a new file beside those of other commits and machines."""
    names = (f"{_slug(about)}{number}.json" for number in chain([""], (f"-{n}" for n in count(2))))
    return next(out for out in map(RECORDS.joinpath, names) if not out.is_file() or not _differences(out, about))


def _differences(out: Path, about: dict[str, Any]) -> list[str]:
    previous = json.loads(out.read_text(encoding="utf-8"))["about"]
    return [key for key in about if previous.get(key) != about[key]]


def _read(out: Path, about: dict[str, Any]) -> dict[str, Any]:
    """Returns the record so far. Raises SystemExit where the file is about another machine or other code."""
    if not out.is_file():
        return {"about": about, "parts": {}}
    differences = _differences(out, about)
    if differences:
        raise SystemExit(
            f"error: {out} was measured under other circumstances ({', '.join(differences)})\n"
            "  why: a table compares only what was measured alike\n"
            "  try: another file with --out, or move that one away"
        )
    result: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return result


def _measure(name: str, args: argparse.Namespace, limit: float) -> dict[str, Any]:
    """Measures a part in its own process and returns its entry of the record; after an error the entry has no rows.

    A process over its limit is killed with all that it has started.
    """
    arguments = ["--part", name, "--model", args.model, "--rounds", str(args.rounds), "--threads", str(args.threads)]
    before, started = load(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-speed-", ignore_cleanup_errors=True) as work:
        command = [sys.executable, "-m", "tests.bench.speed", *arguments, "--work", work]
        environment = os.environ | {"OMP_NUM_THREADS": str(args.threads), "HF_HUB_OFFLINE": "1"}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
        try:
            stdout, error = process.communicate(timeout=max(1.0, limit))[0], ""
        except subprocess.TimeoutExpired:
            stdout, error = "", f"over its time limit of {limit:.0f} s"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if not error and process.returncode:
        error = f"its process ended with {process.returncode}"
    rows = [] if error else json.loads(stdout.strip().splitlines()[-1])
    spent = round(time.monotonic() - started, 1)
    result = {"seconds": spent, "load_before": before, "load_after": load(), "rows": rows}
    return result | ({"error": error} if error else {})


def _part(args: argparse.Namespace) -> int:
    """Runs in the process of a part; prints its rows as JSON in the last line of standard output."""
    import torch

    from benchbench.runtime.progress import duration

    torch.set_num_threads(args.threads)
    gpu, started = torch.cuda.is_available(), time.monotonic()
    folder = args.model
    if args.model != "shapes":
        from tests.bench import random_models

        folder = str(random_models.write(Path(tempfile.gettempdir()) / f"bench-random-{args.model}", args.model))
    setting = Setting(args.model, "cuda" if gpu else "cpu", args.rounds, Path(args.work), folder)
    rows = import_module(f"tests.bench.parts.{PARTS[args.part]}").measure(setting)
    print(f"{args.part}: {duration(time.monotonic() - started)}", file=sys.stderr)
    print(json.dumps([row.json() for row in rows]))
    return 0


def _show(record: dict[str, Any], out: Path) -> int:
    """Prints the table and writes it beside the record; returns 0, also where a bar is not met."""
    about = record["about"]
    loads = [part[key] for part in record["parts"].values() for key in ("load_before", "load_after")]
    rows = [Row.read(row) for name in PARTS for row in record["parts"].get(name, {}).get("rows", [])]
    summary = (
        f"Model {about['model']}, {about['device']}, {about['rounds']} rounds, torch {about['packages']['torch']}."
    )
    summary += f" Other work on the machine: load average {min(loads):g} to {max(loads):g}, this included."
    for name, part in record["parts"].items():
        if "error" in part:
            summary += f"\nNot measured: {name} ({part['error']})."
    page = f"# Speed\n\n{summary}\nMade by `make bench`; every round's value is in the JSON file beside this one.\n\n"
    _write(out.with_suffix(".md"), f"{page}{table(rows)}\n")
    print(f"{summary}\n\n{table(rows)}\n\nrecord: {out}, {out.with_suffix('.md')}")
    return 0


def _write(path: Path, text: str) -> None:
    from benchbench.runtime.files import write_atomic

    write_atomic(path, text.encode())


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        if "--part" not in sys.argv:  # the process of a part prints nothing
            print("interrupted; the parts that are done are kept, and the same command goes on", file=sys.stderr)
        sys.exit(130)
