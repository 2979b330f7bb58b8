"""Measures images a second and peak memory of each reward, at its real size with random weights.

Run it by ``make bench-rewards``, or ``python -m tests.bench.rewards [NAME ...]`` from the repository's root. Each
reward has its own process, so that the peak is its own. Pictures are 512x512, as Stable Diffusion 1.5 generates them,
with different prompts.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchbench.rewards import lookup

NAMES = ["aesthetic", "clip_l14", "imagereward", "clip_h14", "pickscore", "hpsv2.0", "hpsv2.1", "jpeg_compressibility"]
HEADER = ["reward", "device", "images/s", "images/s with gradient", "peak memory, GB", "weights, GB", "batch"]


def state(path: Path) -> dict[str, Any]:
    """Returns random tensors in the layout and at the size of the released file of this name."""
    from tests.reward_models import checkpoints as c

    path_name = f"{path.parent.name}/{path.name}"
    if path.name == "ImageReward.pt":
        return c.imagereward(0, c.IMAGEREWARD)
    if path.name.startswith("sac"):
        return c.head(0, c.L14.dim, c.L14)
    if path.name.startswith("HPS"):
        return c.open_clip(0, c.H14)
    return c.hf_clip(0, c.L14 if "large-patch14" in path_name else c.H14)


def measure(name: str) -> list[str]:
    """Measures a reward and returns its row of the table."""
    import torch

    from benchbench.reward_models import _clip, _weights
    from tests.reward_models import checkpoints
    from tests.reward_models.conftest import natural

    device = "cuda" if torch.cuda.is_available() else "cpu"
    reward_class = lookup.get(name)
    size = 0

    def read(path: Path) -> dict[str, Any]:
        nonlocal size
        tensors = state(path)
        size += sum(value.numel() * 4 for value in tensors.values())
        return tensors

    _clip.read = _weights.read = read
    reward_class.assets = tuple(replace(asset, sha256={}) for asset in reward_class.assets)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BENCH_WEIGHTS"] = str(checkpoints.write(Path(folder)))
        os.environ["BENCH_CACHE"] = folder
        reward = reward_class(device)
    batch = 32 if device == "cuda" else 1
    images = [natural(i, 512, 512) for i in range(batch)]
    tensors = torch.rand(batch, 3, 512, 512, device=device)
    n = 0

    def prompts() -> list[str]:
        nonlocal n
        n += 1
        return [f"the quick brown fox jumps over {'abcdefghij'[n % 10]} {'abcdefghij'[i % 10]}" for i in range(batch)]

    def score() -> None:
        reward.score(images, prompts())

    def gradient() -> None:
        x = tensors.clone().requires_grad_()
        torch.autograd.grad(reward.score_differentiable(x, prompts()).sum(), x)

    speeds = [speed(score, batch, device), speed(gradient, batch, device) if reward_class.differentiable else None]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if device == "cuda":
        peak = torch.cuda.max_memory_allocated()
    speed_texts = ["-" if s is None else f"{s:.3g}" for s in speeds]
    return [name, device, *speed_texts, f"{peak / 1e9:.2f}", f"{size / 1e9:.2f}", str(batch)]


def speed(run: Any, batch: int, device: str) -> float:
    """Returns images a second, measured for at least two seconds after one run to warm up."""
    import torch

    run()
    done, start = 0, time.perf_counter()
    while done < 1 or time.perf_counter() - start < 2:
        run()
        done += 1
    if device == "cuda":
        torch.cuda.synchronize()
    return done * batch / (time.perf_counter() - start)


def main() -> None:
    """Runs a process for each reward; with ``--one``, measures that reward in this process."""
    if sys.argv[1:2] == ["--one"]:
        print("\t".join(measure(sys.argv[2])), flush=True)
        return
    print("\t".join(HEADER), flush=True)
    for name in sys.argv[1:] or NAMES:
        subprocess.run([sys.executable, "-m", "tests.bench.rewards", "--one", name], check=True)


if __name__ == "__main__":
    main()
