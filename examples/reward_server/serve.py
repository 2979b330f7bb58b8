"""Serves a reward of benchbench over HTTP: ``python examples/reward_server/serve.py pickscore --port 8000``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from PIL.Image import Image
from reward_protocol import Info, Scorer, serve

from benchbench import reward_calls
from benchbench.diffusion.backbones import pick_device
from benchbench.errors import BenchError, UsageError
from benchbench.rewards import lookup
from benchbench.rewards.mix import Ensemble
from benchbench.rewards.scoring import scoring
from benchbench.runtime.hashing import digest
from benchbench.runtime.pictures import read_picture
from benchbench.runtime.precision import exact_fp32
from benchbench.types import Prompt, Reward


def main(argv: Sequence[str] | None = None) -> None:
    """Reads the command line and serves until Ctrl-C. Raises SystemExit with an error of three lines."""
    parser = argparse.ArgumentParser(description="Serve a reward of benchbench over HTTP (docs/http-rewards.md).")
    parser.add_argument("reward", help="a name of bench list rewards")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8000, help="0: a free one (default: 8000)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, ... (default: CUDA where there is one)")
    parser.add_argument("--max-batch", type=int, default=16, help="images of one request at most (default: 16)")
    options = parser.parse_args(argv)
    try:
        reward_class = lookup.require(options.reward)
        if issubclass(reward_class, Ensemble):
            raise UsageError(
                f"{options.reward} cannot be served",
                "a mix has no scale of its own until its members are normalised on images of a base model",
                "serve its members, one server each, and mix those: --reward http://A=0.5,http://B=0.5",
            )
        exact_fp32()
        score = scorer(reward_calls.load(reward_class, str(pick_device(options.device))))
    except BenchError as error:
        sys.exit(f"error: {error}")
    serve(score, info(reward_class, options.max_batch), options.host, options.port, read)


def scorer(reward: Reward) -> Scorer:
    """Returns the function that scores images with one of our rewards."""
    score = scoring(reward)

    def scores(images: list[Image], prompts: list[str], metadata: list[dict[str, Any]]) -> list[float]:
        for image in images:
            reason = reward.refuses(*image.size)
            if reason:
                raise ValueError(reason)
        rows = [Prompt(text, fields) for text, fields in zip(prompts, metadata, strict=True)]
        return list(score(images, rows).tolist())

    return scores


def info(reward: type[Reward], max_batch: int) -> Info:
    """Returns what the server says of the reward.

    Where weights or the code of a plug-in decide the scores, a digest of their hashes is part of the version.
    """
    identity = reward.identity()
    version = reward.version if len(identity) == 1 else f"{reward.version}+{digest(identity)[:8]}"
    return Info(
        reward.name,
        version,
        reward.unit,
        needs=reward.needs,
        max_batch=max_batch,
        range=reward.range,
        licence=f"weights: {reward.weights}",
        reads_prompt=reward.reads_prompt,
    )


def read(data: bytes) -> Image:
    """Returns the RGB image in the bytes of a file, by the one reader of pictures. Raises CorruptError."""
    return read_picture(data, "it").image


if __name__ == "__main__":
    main()
