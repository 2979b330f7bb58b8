"""Serves HPSv3 (Ma et al., arXiv:2508.03789) over HTTP, in an environment of its own with the authors' package.

    python3.10 -m venv hpsv3 && hpsv3/bin/pip install torch==2.6.0 hpsv3==1.0.0 matplotlib tensorboard starlette uvicorn
    hpsv3/bin/python serve_hpsv3.py --weights HPSv3.safetensors --port 8001
    bench eval --rewards http://127.0.0.1:8001 ...

It imports nothing of benchbench: copy it with ``reward_protocol.py``. It was not run with the released weights.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
from importlib import metadata
from pathlib import Path
from typing import Any

from PIL import Image
from reward_protocol import Info, Scorer, serve

WEIGHTS = ("MizzenAI/HPSv3", "HPSv3.safetensors")


def main() -> None:
    """Reads the command line, loads the judge and serves it until Ctrl-C."""
    parser = argparse.ArgumentParser(description="Serve HPSv3 over HTTP (docs/http-rewards.md of benchbench).")
    parser.add_argument("--weights", type=Path, help="HPSv3.safetensors (default: downloaded from the hub by its name)")
    parser.add_argument("--config", help="the settings of the network (default: the package's own, of 7B)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8001)
    parser.add_argument("--max-batch", type=int, default=8, help="images that the network scores at a time")
    options = parser.parse_args()
    weights = options.weights or download()
    package: Any = importlib.import_module("hpsv3")
    inferencer = package.HPSv3RewardInferencer(
        config_path=options.config, checkpoint_path=str(weights), device=options.device
    )
    serve(scorer(inferencer), info(weights, options.max_batch), options.host, options.port)


def download() -> Path:
    """Returns the released weights, from the Hugging Face cache or the hub."""
    from huggingface_hub import hf_hub_download

    return Path(hf_hub_download(*WEIGHTS))


def info(weights: Path, max_batch: int) -> Info:
    """Returns what the server says of the judge; the package's version and the weights decide the scores."""
    version = f"{metadata.version('hpsv3')}+{sha256(weights)[:12]}"
    return Info(
        "hpsv3", version, "mean of the predicted preference", max_batch=max_batch, range=(-5.0, 15.0), licence="MIT"
    )


def sha256(path: Path) -> str:
    """Returns the sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(2**24), b""):
            digest.update(block)
    return digest.hexdigest()


def scorer(inferencer: Any) -> Scorer:
    """Returns the function that scores images.

    The network returns a mean and a deviation for each image; the score is the mean, as in the authors' example.
    """
    import torch

    def score(images: list[Image.Image], prompts: list[str], _: list[dict[str, Any]]) -> list[float]:
        with torch.no_grad():  # by name: the order of the two arguments differs between the package and its source
            rewards = inferencer.reward(image_paths=images, prompts=prompts)
        return [float(reward[0]) for reward in rewards]

    return score


if __name__ == "__main__":
    main()
