"""Families of base models: models of one family have one architecture and one noise schedule. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchbench import defaults
from benchbench.errors import BenchError
from benchbench.hub import layout, models
from benchbench.hub.models import LocalModel
from benchbench.runtime.json_files import find_object

NAMES: Final = {
    "sd15": "Stable Diffusion 1.x",
    "sd21": "Stable Diffusion 2.x",
    "sd21v": "Stable Diffusion 2.x with v-prediction",
    "sdxl": "SDXL",
    "sd3": "Stable Diffusion 3.x",
    "shapes": "shapes",
    "shapes-flow": "shapes-flow",
}
"""The families by the short name of one member, with their names for people."""
MEMBERS: Final = {"sd14": "sd15", "sd35m": "sd3"}
"""Short names of models that belong to the family of another one."""
TEXT_WIDTHS: Final = {768: "sd15", 1024: "sd21"}
"""The width of a UNet's text conditioning, by which the families without SDXL's second text encoder differ."""


def is_flow(model: str | LocalModel) -> bool:
    """Returns whether a model is trained by flow matching: a known name decides, else its folder, if it is here."""
    base = defaults.split_model(str(model))[0]
    known = next((name for name, hub_ids in models.aliases().items() if base == name or base in hub_ids), base)
    if defaults.of(known).flow or known in models.HUB_IDS or not base:
        return defaults.of(known).flow
    folder = Path(base).expanduser()
    try:
        root = model.root if isinstance(model, LocalModel) else folder if folder.is_dir() else models.find(model).root
        return layout.is_sd3(root)
    except BenchError:
        return False


def family(model: str | LocalModel) -> str:
    """Returns the family of a model, a key of ``NAMES``; empty where the model is of none, or is not on this machine.

    A known name or hub id decides; else the files in the model's folder do. Another VAE changes no family.
    """
    base = defaults.split_model(str(model))[0]
    if not base:
        return ""
    if defaults.of(base).embedded is not None:
        return base
    for name, hub_ids in models.aliases().items():
        if base == name or base in hub_ids:
            return MEMBERS.get(name, name)
    try:
        root = models.find(model).root
        if layout.is_xl(root):
            return "sdxl"
        if layout.is_sd3(root):
            return "sd3"
    except BenchError:
        return ""
    width = (find_object(root / "unet" / "config.json") or {}).get("cross_attention_dim")
    found = TEXT_WIDTHS.get(width, "") if isinstance(width, int) else ""
    scheduler = find_object(root / "scheduler" / "scheduler_config.json") or {}
    return "sd21v" if found == "sd21" and scheduler.get("prediction_type") == "v_prediction" else found
