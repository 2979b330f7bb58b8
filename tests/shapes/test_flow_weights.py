"""The shipped files of shapes-flow are those of its record, and plain diffusers samples from them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusion3Pipeline

from benchbench.runtime.hashing import file_sha256
from benchbench.shapes import WEIGHTS, oracle
from benchbench.shapes.captions import simple_prompts
from benchbench.shapes_build import flow_measure, flow_model, tokenizer

FOLDER = WEIGHTS / "flow"
PLAIN = """
import sys, numpy, torch
from diffusers import StableDiffusion3Pipeline
pipe = StableDiffusion3Pipeline.from_pretrained(sys.argv[1], text_encoder_3=None, tokenizer_3=None)
pictures = pipe(["a red ring", "a blue cross"], num_inference_steps=4, guidance_scale=4.5, max_sequence_length=0,
                height=32, width=32, generator=torch.Generator().manual_seed(3), output_type="np").images
assert "benchbench" not in sys.modules
numpy.save(sys.argv[2], pictures)
"""


@pytest.fixture(scope="module")
def pipe() -> StableDiffusion3Pipeline:
    return flow_model.load(FOLDER / "model")


def test_files_are_those_of_the_record() -> None:
    """Hash by hash; below 8 MB; a full build."""
    record = json.loads((FOLDER / "record.json").read_text())
    assert {name: file_sha256(WEIGHTS / name) for name in record["files"]} == record["files"]
    shipped = {p.relative_to(WEIGHTS).as_posix(): p.stat().st_size for p in FOLDER.rglob("*") if p.is_file()}
    assert shipped.keys() == {*record["files"], "flow/record.json"} and sum(shipped.values()) < 8_000_000
    assert not record["quick"]


def test_plain_diffusers_samples_the_same_pictures(pipe: StableDiffusion3Pipeline, tmp_path: Path) -> None:
    """Saved whole and loaded in another process, which does not import this package."""
    pipe.save_pretrained(tmp_path / "whole")
    command = [sys.executable, "-c", PLAIN, str(tmp_path / "whole"), str(tmp_path / "pictures.npy")]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=300)
    theirs = np.load(tmp_path / "pictures.npy")
    ours = flow_measure.sample(pipe, ["a red ring", "a blue cross"], 4, 3)
    assert np.array_equal((theirs * 255).round().astype(np.uint8), ours)


def test_text_is_encoded_as_the_pipeline_does(pipe: StableDiffusion3Pipeline) -> None:
    """20 tokens, none of them T5's, and a summary of 192 numbers."""
    tokens, _, summary, _ = pipe.encode_prompt(
        "a red ring", "", "", do_classifier_free_guidance=False, max_sequence_length=0
    )
    ours = flow_model.encode_text(pipe.text_encoder, tokenizer.encode(pipe.tokenizer, ["a red ring"]))
    assert tokens.shape == (1, 20, 192) and summary.shape == (1, 192)
    assert torch.equal(tokens, ours[0]) and torch.equal(summary, ours[1])


def test_samples_follow_their_prompts(pipe: StableDiffusion3Pipeline) -> None:
    """45 simple prompts: the oracle finds most of what they state, and far more than chance (1/8 and 1/6)."""
    prompts = simple_prompts()
    rates = oracle.agreement(flow_measure.sample(pipe, prompts, 10, 0), prompts)
    assert rates["colour"] > 0.8 and rates["shape"] > 0.6
