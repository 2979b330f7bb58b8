"""Step 7: kills a real ``bench train`` with SIGKILL, resumes it, and compares it with an uninterrupted run.

On a GPU the order of a sum may differ from run to run, so equal bits are reported but not required. The step requires
that the resumed run completes, and that its adapter moved in the same direction.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tests.gpu import models
from tests.gpu.context import PartResult, StepContext

SAMPLES, BATCH = 8, 2
ADAPTER = "pytorch_lora_weights.safetensors"
WAIT = 60  # seconds for a first checkpoint; a complete run may take twice as long
COSINE = 0.99


def run(context: StepContext) -> None:
    """Runs one training beside one that is killed, then the resumed one, then the comparison."""
    with context.part("a model on disk") as result:
        result["bytes"] = sum(path.stat().st_size for path in models.written(context).rglob("*") if path.is_file())
    folder = context.fresh("runs")
    with context.part("killed and resumed") as result:
        uninterrupted, killed = start(context, folder / "whole"), start(context, folder / "killed")
        try:
            result["samples_at_the_kill"] = kill(killed, folder / "killed")
            result["seconds_whole"] = finish(uninterrupted, folder / "whole")
            resumed = start(context, folder / "killed", "--resume")
            result["seconds_resumed"] = finish(resumed, folder / "killed")
            log = (folder / "killed.log").read_text(encoding="utf-8")
            result.check("it began again in place of resuming", "resuming after" in log)
        finally:
            for process in (uninterrupted, killed):
                if process.poll() is None:
                    process.kill()
    with context.part("how equal") as result:
        compare(folder, result)


def start(context: StepContext, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """Starts ``python -m benchbench train`` in this step's process group, with its output in a file beside ``out``."""
    arguments = ["train", "--method", "tailorpo", "--model", str(models.written(context)), "--reward", "shapes-colour"]
    arguments += ["--prompts", "animals", "--samples", str(SAMPLES), "--seed", "0", "--out", str(out)]
    arguments += ["--device", context.device, *more, "--set", "method.steps=[20, 12, 4]"]
    arguments += [f"train.batch={BATCH}", f"train.save_every={BATCH}", "train.eval_every=0", "train.eval_images=2"]
    environment = os.environ | {"BENCH_HOME": str(out.parent / "store")}
    with out.with_suffix(".log").open("wb") as log:
        command = [sys.executable, "-m", "benchbench", *arguments]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def kill(process: subprocess.Popen[bytes], out: Path) -> int:
    """Sends SIGKILL as soon as there is a checkpoint, and returns the checkpoint's samples.

    Errors: RuntimeError where the run ends before that, or takes too long.
    """
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        done = sorted(p for p in (out / "checkpoints").glob("*") if p.name.isdigit())
        if done:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return int(done[-1].name)
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"no checkpoint to be killed after: {_end(out)}")


def finish(process: subprocess.Popen[bytes], out: Path) -> float:
    """Waits for the end of a run and returns its seconds of training. Errors: RuntimeError where it failed."""
    if process.wait(timeout=2 * WAIT) != 0:
        raise RuntimeError(f"it ended with {process.returncode}: {_end(out)}")
    done: dict[str, Any] = json.loads((out / "done.json").read_text(encoding="utf-8"))
    return float(done["seconds"])


def compare(folder: Path, result: PartResult) -> None:
    """Notes the largest difference of the adapters, the tensors with equal bits, and the cosine of their changes."""
    from safetensors.torch import load_file

    a, b = (load_file(folder / name / ADAPTER) for name in ("whole", "killed"))
    result["tensors"], result["equal"] = len(a), sum(torch.equal(a[name], b[name]) for name in a)
    result["largest_difference"] = max(float((a[name] - b[name]).abs().max()) for name in a)
    moved = [name for name in a if "lora_B" in name or ".up." in name]  # zero before training
    left, right = (torch.cat([adapter[name].flatten().float() for name in moved]) for adapter in (a, b))
    result["largest_weight"] = float(left.abs().max())
    result["cosine"] = float(torch.nn.functional.cosine_similarity(left, right, dim=0))
    result.check("the two adapters moved differently", result["cosine"] >= COSINE)


def _end(out: Path) -> str:
    text = out.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    return " / ".join(text.strip().splitlines()[-4:])
