"""Training on a tiny SDXL: guidance by the reward's gradient, SPO in SDXL's segments, and all weights."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from benchbench.config import load
from benchbench.diffusion import backbones
from benchbench.diffusion.lora import load_adapter
from benchbench.store.metrics import read_metrics
from benchbench.train.loop import train
from tests.tiny_xl import write_tiny_sdxl

SMALL = ["train.batch=2", "train.eval_images=2", "train.lr=1e-3", "train.lora_rank=2", "train.lora_alpha=2"]


@pytest.mark.parametrize("method", ["tailorpo-g", "spo", "ddpo"])
def test_a_method_trains_on_sdxl(method: str, tmp_path: Path) -> None:
    """A method trains, and plain diffusers reads its adapter; the loop checks that a new adapter changes nothing."""
    from diffusers import StableDiffusionXLPipeline

    words = {
        "spo": ["method.step_aware=false", "method.threshold=0", "method.candidates=2", "method.inner_steps=4"],
        "ddpo": ["method.minibatch=2", "train.finetune=full"],
    }
    model = str(write_tiny_sdxl(tmp_path / "xl"))
    overrides = [*SMALL, *words.get(method, [])]
    config = load(method, model, "shapes-colour", "animals", 4, 0, preset="shapes", overrides=overrides)
    run = train(config, tmp_path / "run", log=lambda _: None)
    rows = [row for row in read_metrics(run) if "loss" in row]
    assert json.loads((run / "done.json").read_text())["samples"] == 4
    assert all(math.isfinite(value) for row in rows for value in row.values()) and rows[0]["grad_norm"] > 0
    if method == "ddpo":
        return
    pipe = StableDiffusionXLPipeline.from_pretrained(model, add_watermarker=False)
    pipe.load_lora_weights(run)
    network = backbones.load(model, "cpu").network
    load_adapter(network, run)
    x, text = (torch.randn(1, *shape, generator=torch.Generator().manual_seed(0)) for shape in ((4, 8, 8), (12, 24)))
    added = {"text_embeds": text[:, 0, :12], "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]])}
    with torch.no_grad():
        a, b = (unet(x, 500, text, added_cond_kwargs=added).sample for unet in (network, pipe.unet))
    torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


def test_the_preset_of_sdxl_is_its_default() -> None:
    """SPO has a preset for SDXL with 2 candidates in segments of 4 steps; other methods use `released`."""
    for model in ("sdxl", "sdxl+vae=madebyollin/sdxl-vae-fp16-fix"):
        config = load("spo", model, "spm", "animals", 8, 0)
        assert (config.preset, config.train.lora_rank, config.settings["inner_steps"]) == ("released-sdxl", 64, 4)
    assert load("spo", "sd15", "spm", "animals", 8, 0).preset == "released"
    assert load("tailorpo", "sdxl", "aesthetic", "animals", 8, 0).preset == "released"
