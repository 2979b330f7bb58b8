"""Step 7: a real ``bench train`` is killed with SIGKILL and resumed; how equal it ends to one that was left alone.

On a GPU the order in which a sum is taken may differ from run to run, so equal bits are reported and not demanded: what
is demanded is that the resumed run ends, with as many samples, at an adapter that moved the same way.
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
from tests.gpu.here import Found, Here

SAMPLES, BATCH = 8, 2
ADAPTER = "pytorch_lora_weights.safetensors"
WAIT = 60  # seconds for a first checkpoint; a whole run has twice as long
COSINE = 0.99


def run(here: Here) -> None:
    """The whole run beside the one that is killed, then the resumed one, then the comparison."""
    with here.part("a model on disk") as found:
        found["bytes"] = sum(path.stat().st_size for path in models.written(here).rglob("*") if path.is_file())
    folder = here.fresh("runs")
    with here.part("killed and resumed") as found:
        whole, killed = start(here, folder / "whole"), start(here, folder / "killed")
        try:
            found["samples_at_the_kill"] = kill(killed, folder / "killed")
            found["seconds_whole"] = finish(whole, folder / "whole")
            resumed = start(here, folder / "killed", "--resume")
            found["seconds_resumed"] = finish(resumed, folder / "killed")
            said = (folder / "killed.log").read_text(encoding="utf-8")
            found.check("it began again in place of resuming", "resuming after" in said)
        finally:
            for process in (whole, killed):
                if process.poll() is None:
                    process.kill()
    with here.part("how equal") as found:
        compare(folder, found)


def start(here: Here, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """``python -m benchbench train`` in this step's process group; what it says goes to a file beside its folder."""
    words = ["train", "--method", "tailorpo", "--model", str(models.written(here)), "--reward", "shapes-colour"]
    words += ["--prompts", "animals", "--samples", str(SAMPLES), "--seed", "0", "--out", str(out)]
    words += ["--device", here.device, *more, "--set", "method.steps=[20, 12, 4]"]
    words += [f"train.batch={BATCH}", f"train.save_every={BATCH}", "train.eval_every=0", "train.eval_images=2"]
    environment = os.environ | {"BENCH_HOME": str(out.parent / "store")}
    with out.with_suffix(".log").open("wb") as log:
        command = [sys.executable, "-m", "benchbench", *words]
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)


def kill(process: subprocess.Popen[bytes], out: Path) -> int:
    """SIGKILL as soon as the first checkpoint is there; its number of samples.

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
    """Waits for the end of a run; the seconds that it has trained. Errors: RuntimeError where it failed."""
    if process.wait(timeout=2 * WAIT) != 0:
        raise RuntimeError(f"it ended with {process.returncode}: {_end(out)}")
    done: dict[str, Any] = json.loads((out / "done.json").read_text(encoding="utf-8"))
    return float(done["seconds"])


def compare(folder: Path, found: Found) -> None:
    """Largest difference between the two adapters, tensors with equal bits, and the cosine of what training moved."""
    from safetensors.torch import load_file

    a, b = (load_file(folder / name / ADAPTER) for name in ("whole", "killed"))
    found["tensors"], found["equal"] = len(a), sum(torch.equal(a[name], b[name]) for name in a)
    found["largest_difference"] = max(float((a[name] - b[name]).abs().max()) for name in a)
    moved = [name for name in a if "lora_B" in name or ".up." in name]  # zero before training
    left, right = (torch.cat([one[name].flatten().float() for name in moved]) for one in (a, b))
    found["largest_weight"] = float(left.abs().max())
    found["cosine"] = float(torch.nn.functional.cosine_similarity(left, right, dim=0))
    found.check("the two adapters moved differently", found["cosine"] >= COSINE)


def _end(out: Path) -> str:
    text = out.with_suffix(".log").read_text(encoding="utf-8", errors="replace")
    return " / ".join(text.strip().splitlines()[-4:])
