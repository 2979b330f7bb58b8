"""The servers of other judges, with stand-ins for the package and for the model that they ask."""

from __future__ import annotations

import argparse
import base64
import io
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

from benchbench.cli.main import main
from benchbench.runtime.hashing import file_sha256
from tests.rewards.servers import Told, example, reward_protocol, serving

INSTRUCTION = "Rate this image of [{prompt}].\n"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with a dark and a bright picture, and their prompts."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, value in (("a", 40), ("b", 200)):
        Image.new("RGB", (16, 16), (value, value, value)).save(folder / f"{name}.png")
    (tmp_path / "prompts.txt").write_text("a cat\na {dog}\n")
    return folder


def scores(pictures: Path, address: str, capsys: pytest.CaptureFixture[str]) -> list[float]:
    words = ["score", "--images", pictures, "--prompts", pictures.parent / "prompts.txt", "--rewards", address]
    assert main([*map(str, words)]) == 0, capsys.readouterr().err
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    values: list[float] = frame.set_index("image").score.loc[["a.png", "b.png"]].tolist()
    return values


class Inferencer:
    """Has the call of hpsv3 1.0.0: N means and deviations, here the brightness and the length of the prompt."""

    def reward(self, image_paths: list[Image.Image], prompts: list[str]) -> torch.Tensor:
        assert torch.is_grad_enabled() is False
        rows = [
            (float(image.getpixel((0, 0))[0]), float(len(p))) for image, p in zip(image_paths, prompts, strict=True)
        ]
        return torch.tensor(rows, dtype=torch.bfloat16)


def test_hpsv3_is_the_mean_that_the_package_returns(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reward_protocol()
    server, weights = example("serve_hpsv3"), tmp_path / "HPSv3.safetensors"
    weights.write_bytes(b"weights")
    with monkeypatch.context() as patched:
        patched.setattr(metadata, "version", lambda name: {"hpsv3": "1.0.0"}[name])
        info = server.info(weights, 1)
    assert (info.name, info.version) == ("hpsv3", f"1.0.0+{file_sha256(weights)[:12]}")
    with serving(server.scorer(Inferencer()), info) as address:
        assert scores(pictures, address, capsys) == [40.0, 200.0]


def answer(_: int, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers as the model does: alignment is the length of the text, coherence the brightness, style one."""
    assert request["temperature"] == 0 and request["model"] == "UnifiedReward"
    image, text = request["messages"][0]["content"]
    kind, _, data = image["image_url"]["url"].partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert kind == "data:image/jpeg;base64" and picture.format == "JPEG"
    rated = (len(text["text"]), picture.getpixel((0, 0))[0], 1.0)
    names = ("Alignment", "Coherence", "Style")
    lines = [f"{name} Score (1-5): {value}" for name, value in zip(names, rated, strict=True)]
    return {"choices": [{"message": {"content": "\n".join(lines)}}]}


@pytest.mark.parametrize(
    ("axis", "expected"),
    [("alignment", [28.0, 30.0]), ("coherence", [40.0, 200.0]), ("mean", [69 / 3, 231 / 3])],
)
def test_unified_reward_is_what_the_model_answers(
    axis: str, expected: list[float], pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A prompt's own braces stay as they are."""
    reward_protocol()
    server = example("serve_unified_reward")
    info = server.info(argparse.Namespace(axis=axis, model_version="2.0", max_batch=2), INSTRUCTION)
    with (
        Told(answer) as model,
        serving(server.scorer(model.address, "UnifiedReward", INSTRUCTION, axis), info) as judge,
    ):
        assert scores(pictures, judge, capsys) == pytest.approx(expected)
    assert {request["messages"][0]["content"][1]["text"] for request in model.requests} == {
        "Rate this image of [a cat].\n",
        "Rate this image of [a {dog}].\n",
    }


def test_an_answer_without_a_score_is_told(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reward_protocol()
    server = example("serve_unified_reward")
    info = server.info(argparse.Namespace(axis="mean", model_version="2.0", max_batch=2), INSTRUCTION)
    wrong = {"choices": [{"message": {"content": "Alignment Score (1-5): 3\nI like it."}}]}
    with (
        Told(lambda *_: wrong) as model,
        serving(server.scorer(model.address, "m", INSTRUCTION, "mean"), info) as judge,
    ):
        words = ["score", "--images", pictures, "--prompts", pictures.parent / "prompts.txt", "--rewards", judge]
        assert main([*map(str, words)]) == 5
    err = capsys.readouterr().err
    assert "no coherence and no style score" in err


@pytest.mark.parametrize(
    "text", ["Alignment Score (1-5): 2.694700002670288\nCoherence Score (1-5): 2", "style score: 5"]
)
def test_scores_are_read_from_the_models_words(text: str) -> None:
    reward_protocol()
    server = example("serve_unified_reward")
    if "Alignment" in text:
        assert server.rating(text, "alignment") == 2.694700002670288
    else:
        assert server.rating(text, "style") == 5.0
