"""Random weights at the released sizes, in the released layouts, where a reward looks for its own.

Each linear map keeps the size of what it gets, as in a trained network: with larger weights the networks would turn
rounding into noise, and with smaller ones every picture would get one score.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file

from tests.reward_models import checkpoints
from tests.reward_models.checkpoints import H14, IMAGEREWARD, L14, Sizes, State

DATA = Path(__file__).parents[3] / "shared" / "data"
"""The released vocabularies and the aesthetic predictor's released head, which the project does not hold."""
HEAD = "sac+logos+ava1-l14-linearMSE.pth"
LAION, OPENAI, BERT = "CLIP-ViT-H-14-laion2B-s32B-b79K", "clip-vit-large-patch14", "bert-base-uncased"
TOKENIZERS = """
import sys
from transformers import BertTokenizerFast, CLIPTokenizerFast
data, folder, *clips = sys.argv[1:]
for clip in clips:
    CLIPTokenizerFast(f"{data}/clip-vocab.json", f"{data}/clip-merges.txt").save_pretrained(f"{folder}/{clip}")
BertTokenizerFast(f"{data}/bert-base-uncased-vocab.txt").save_pretrained(f"{folder}/bert-base-uncased")
"""
"""For the packages' own interpreter, whose age is that of the files on the hub."""


def write_tokenizers(python: Path, folder: Path) -> None:
    """Writes the tokenizers of the released vocabularies, in the files that the hub has."""
    words = [python, "-I", "-c", TOKENIZERS, DATA, folder, LAION, OPENAI]
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=300)
    for clip in (LAION, OPENAI):  # the word list and the merges, in the original's order
        assert len(json.loads((folder / clip / "vocab.json").read_text())) == H14.words


def write_weights(reward: str, folder: Path, seed: int = 0) -> None:
    """Writes the files of weights of one reward."""
    WRITERS[reward](folder, seed)


def scaled(state: State) -> State:
    """Returns the state with every matrix and convolution scaled by the root of its inputs' number."""
    for name, value in state.items():
        if value.ndim < 2 or ("embed" in name and value.ndim < 4):
            continue
        inputs = len(value) if name in ("visual.proj", "text_projection") else value[0].numel()
        value *= inputs**-0.5 / value.std()
    return state


def write_small_openai(folder: Path) -> None:
    """Writes OpenAI's CLIP with two narrow layers and the whole vocabulary."""
    size = Sizes(128, 128, side=224, patch=32, words=L14.words, length=L14.length, mlp=4)
    save_file(scaled(checkpoints.hf_clip(0, size)), folder / OPENAI / "model.safetensors")


def _laion(folder: Path, seed: int) -> None:
    save_file(scaled(checkpoints.hf_clip(seed, H14)), folder / LAION / "model.safetensors")


def _openai(folder: Path, seed: int) -> None:
    save_file(scaled(checkpoints.hf_clip(seed, L14)), folder / OPENAI / "model.safetensors")


def _aesthetic(folder: Path, seed: int) -> None:
    _openai(folder, seed)
    shutil.copyfile(DATA / HEAD, folder / HEAD)


def _pickscore(folder: Path, seed: int) -> None:
    (folder / "PickScore_v1").mkdir(exist_ok=True)
    save_file(scaled(checkpoints.hf_clip(seed, H14)), folder / "PickScore_v1" / "model.safetensors")


def _hpsv2(version: str) -> Callable[[Path, int], None]:
    def write(folder: Path, seed: int) -> None:
        (folder / "HPSv2").mkdir(exist_ok=True)
        half = {name: value.half() for name, value in scaled(checkpoints.open_clip(seed, H14)).items()}
        torch.save({"state_dict": half}, folder / "HPSv2" / f"HPS_{version}_compressed.pt")

    return write


def _imagereward(folder: Path, seed: int) -> None:
    state = scaled(checkpoints.imagereward(seed, IMAGEREWARD))
    width = state["blip.visual_encoder.cls_token"].shape[-1]
    for side, old in (
        ("vision", width),
        ("text", state["blip.text_encoder.embeddings.word_embeddings.weight"].shape[1]),
    ):
        state[f"blip.{side}_proj.weight"] = torch.zeros(256, old)  # unused, at its released shape
        state[f"blip.{side}_proj.bias"] = torch.zeros(256)
    torch.save(state, folder / "ImageReward.pt")


WRITERS: dict[str, Callable[[Path, int], None]] = {
    "aesthetic": _aesthetic,
    "clip_l14": _openai,
    "imagereward": _imagereward,
    "clip_h14": _laion,
    "pickscore": _pickscore,
    "hpsv2.0": _hpsv2("v2"),
    "hpsv2.1": _hpsv2("v2.1"),
}
