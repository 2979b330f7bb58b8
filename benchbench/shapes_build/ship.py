"""Stage: writes half-precision copies of all that is shipped, with the pipeline in diffusers' layout."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPModel, CLIPTextModel

from benchbench.runtime.json_files import read_object
from benchbench.shapes_build import tokenizer
from benchbench.shapes_build.stage import Facts, Stage
from benchbench.shapes_build.unet import make_scheduler


def pipeline(work: Path) -> StableDiffusionPipeline:
    """Returns the text-to-image pipeline of the parts that the stages trained."""
    return StableDiffusionPipeline(
        vae=AutoencoderKL.from_pretrained(work / "vae"),
        text_encoder=CLIPTextModel.from_pretrained(work / "text" / "text_encoder"),
        tokenizer=tokenizer.make(),
        unet=UNet2DConditionModel.from_pretrained(work / "unet" / "unet"),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def remove_paths(folder: Path) -> None:
    """Removes from each config.json the path that the part was loaded from, so that two builds give the same files."""
    for file in folder.rglob("config.json"):
        config = read_object(file, "run the same command again")
        config.pop("_name_or_path", None)
        file.write_text(json.dumps(config, indent=2) + "\n")


def run_in_float32(file: Path) -> None:
    """Names float32 in a config.json: transformers loads in the precision named there, diffusers always in float32."""
    config = read_object(file, "run the same command again")
    file.write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")


def run(stage: Stage) -> Facts:
    """Writes model/, clip/, pref/ and aesthetic.safetensors; returns the numbers of parameters."""
    pipe = pipeline(stage.work)
    parts = {"unet": pipe.unet, "vae": pipe.vae, "text_encoder": pipe.text_encoder}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    pipe.to(torch.float16).save_pretrained(stage.folder / "model")
    run_in_float32(stage.folder / "model" / "text_encoder" / "config.json")
    for name in ("clip", "pref"):
        model = CLIPModel.from_pretrained(stage.of(name) / name)
        counts[name] = sum(p.numel() for p in model.parameters())
        model.to(torch.float16).save_pretrained(stage.folder / name)
        tokenizer.save(stage.folder / name)
    weights = load_file(stage.of("aesthetic") / "aesthetic.safetensors")
    counts["aesthetic"] = sum(value.numel() for value in weights.values())
    save_file({name: value.half() for name, value in weights.items()}, stage.folder / "aesthetic.safetensors")
    remove_paths(stage.folder)
    return {"parameters": counts}
