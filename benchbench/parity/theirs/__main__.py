"""Scores pictures with an authors' package: a request as JSON on standard input, a line of JSON for each score.

The request has ``reward``, a name in ``SCORERS``; ``files``, lists of paths: the weights, then the head or the
tokenizer's files; ``folder``, an empty one to work in; ``pictures``, paths of PNG files; ``prompts``, one a picture.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TextIO

import torch

from . import clip_based, imagereward


def main() -> None:
    """Answers the request of standard input."""
    answers = _keep_stdout()
    request = json.load(sys.stdin)
    os.chdir(request["folder"])
    scorers = {**clip_based.SCORERS, "imagereward": imagereward.scorer}
    with torch.inference_mode():
        score = scorers[request["reward"]](request["files"])
        for picture, prompt in zip(request["pictures"], request["prompts"], strict=True):
            print(json.dumps({"score": float(score(picture, prompt))}), file=answers, flush=True)


def _keep_stdout() -> TextIO:
    """Returns standard output for the answers alone; what the packages print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


main()
