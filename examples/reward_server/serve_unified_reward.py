"""Serves UnifiedReward 2.0 (Wang et al., arXiv:2503.05236) over HTTP, in front of a vLLM that runs the model.

    vllm serve CodeGoat24/UnifiedReward-2.0-qwen3vl-8b --served-model-name UnifiedReward --port 8080
    python serve_unified_reward.py --model-server http://127.0.0.1:8080 --instruction instruction.txt \
        --model-version UnifiedReward-2.0-qwen3vl-8b --port 8002
    bench eval --rewards http://127.0.0.1:8002 ...

The instruction is the authors' text for scores of single images (point_score_ACS_image_generation.py in their
repository), saved to a file with ``{prompt}`` where the caption stands; its hash is a part of the version.
It imports nothing of benchbench: copy it with ``reward_protocol.py``. It was not run with the released weights.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import re
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image
from reward_protocol import Info, Scorer, serve

AXES = ("alignment", "coherence", "style")
SCORE = re.compile(r"(alignment|coherence|style) score[^:\n]*:\s*(-?\d+(?:\.\d+)?)", re.IGNORECASE)
TIME_OUT = 120
"""Seconds that the model may take for one image."""
JPEG_QUALITY = 95
"""The authors' client sends its pictures as JPEG files of this quality."""


def main() -> None:
    """Reads the command line and serves until Ctrl-C. Raises SystemExit for an instruction without ``{prompt}``."""
    parser = argparse.ArgumentParser(description="Serve UnifiedReward 2.0 (docs/http-rewards.md of benchbench).")
    parser.add_argument("--model-server", required=True, help="address of vLLM, such as http://127.0.0.1:8080")
    parser.add_argument("--instruction", type=Path, required=True, help="the authors' instruction, with {prompt} in it")
    parser.add_argument("--model-version", required=True, help="name of the weights that vLLM runs")
    parser.add_argument("--model-name", default="UnifiedReward", help="the name under which vLLM serves the model")
    parser.add_argument("--axis", choices=[*AXES, "mean"], default="mean", help="which score (default: mean of three)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    parser.add_argument("--port", type=int, default=8002)
    parser.add_argument("--max-batch", type=int, default=16, help="images that are asked about at a time")
    options = parser.parse_args()
    instruction = options.instruction.read_text(encoding="utf-8")
    if "{prompt}" not in instruction:
        raise SystemExit(f"{options.instruction} has no {{prompt}}: write it where the caption stands")
    score = scorer(options.model_server, options.model_name, instruction, options.axis)
    serve(score, info(options, instruction), options.host, options.port)


def info(options: argparse.Namespace, instruction: str) -> Info:
    """Returns what the server says of the judge; the weights, the instruction and the axis decide the scores."""
    return Info(
        f"unifiedreward-{options.axis}",
        f"{options.model_version}+{hashlib.sha256(instruction.encode()).hexdigest()[:12]}",
        "rating, 1 to 5",
        max_batch=options.max_batch,
        range=(1.0, 5.0),
        licence="MIT",
    )


def scorer(address: str, model: str, instruction: str, axis: str) -> Scorer:
    """Returns the function that asks the model about each image, several at a time, without sampling."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(image: Image.Image, prompt: str) -> float:
        text = {"type": "text", "text": instruction.replace("{prompt}", prompt)}
        content = [{"type": "image_url", "image_url": {"url": data_url(image)}}, text]
        question = {"model": model, "messages": [{"role": "user", "content": content}], "temperature": 0}
        request = urllib.request.Request(
            f"{address.rstrip('/')}/v1/chat/completions",
            json.dumps({**question, "max_tokens": 512}).encode(),
            {"Content-Type": "application/json"},
        )
        with opener.open(request, timeout=TIME_OUT) as response:
            answer = json.load(response)
        return rating(str(answer["choices"][0]["message"]["content"]), axis)

    def score(images: list[Image.Image], prompts: list[str], _: list[dict[str, Any]]) -> list[float]:
        with ThreadPoolExecutor(max(1, len(images))) as threads:
            return list(threads.map(ask, images, prompts))

    return score


def data_url(image: Image.Image) -> str:
    """Returns an image as a JPEG file in a URL."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def rating(answer: str, axis: str) -> float:
    """Returns the rating on one axis, or the mean of the three. Raises ValueError where the answer lacks it."""
    found = {name.lower(): float(value) for name, value in SCORE.findall(answer)}
    wanted = AXES if axis == "mean" else (axis,)
    lacking = [name for name in wanted if name not in found]
    if lacking:
        raise ValueError(f"the model's answer has no {' and no '.join(lacking)} score: {answer[:200]!r}")
    return sum(found[name] for name in wanted) / len(wanted)


if __name__ == "__main__":
    main()
