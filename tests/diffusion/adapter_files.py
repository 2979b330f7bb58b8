"""Random adapter files in every naming and form, and the weights that they stand for, computed here by hand."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.ldm_names import unet_blocks, unet_name

PEFT, KOHYA = ("peft", "peft adapter", "diffusers", "lora.down", "processor"), ("kohya", "stability")
NAMINGS = (*PEFT, *KOHYA)
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0")
MAGNITUDES = ("lora_magnitude_vector", "lora_magnitude_vector.weight")
STYLE = "my-style"


@dataclass
class Adapter:
    """A file's tensors and settings, and the weight of each changed layer, float64."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    settings: dict[str, Any] | None = None
    weights: dict[str, Tensor] = field(default_factory=dict)
    layers: list[str] = field(default_factory=list)
    """The names of the layers in the file."""

    def write(self, folder: Path, beside: bool) -> Path:
        """The settings stand in adapter_config.json beside the file, or in its header as diffusers writes them."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "adapter_config.json").unlink(missing_ok=True)
        metadata = {"format": "pt"}
        if self.settings is not None and beside:
            (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **self.settings}))
        elif self.settings is not None:
            settings = {f"unet.{name}": value for name, value in self.settings.items()}
            metadata["lora_adapter_metadata"] = json.dumps(settings)
        file = folder / "an_adapter.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in self.tensors.items()}, file, metadata)
        return file


def made(unet: Any, naming: str, form: str, dtype: str, seed: int) -> Adapter:
    """An adapter of a few layers. ``form`` is lora, dora (every layer), or mixed (each layer its own; kohya only)."""
    rng, numbers = random.Random(seed), torch.Generator().manual_seed(seed)
    adapter, blocks = Adapter(), unet_blocks(unet.config)
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    names = [
        n for n, m in unet.named_modules() if isinstance(m, kinds) and (naming != "processor" or n.endswith(ATTENTION))
    ]
    settings = naming in PEFT and rng.random() < 0.6
    rslora = settings and rng.random() < 0.5
    rank, alpha = rng.randint(1, 4), rng.choice([1.0, 2.0, 6.0])
    if settings:
        adapter.settings = {"r": rank, "lora_alpha": alpha, "use_rslora": rslora, "use_dora": form == "dora"}
        adapter.settings |= {"rank_pattern": {}, "alpha_pattern": {}}
    for name in rng.sample(names, rng.randint(1, min(8, len(names)))):
        weight = unet.get_submodule(name).weight.detach()
        own_rank = rng.randint(1, 5) if naming in KOHYA or rng.random() < 0.4 else rank
        own_alpha: float | None = rng.choice([0.5, 1.0, 4.0]) if rng.random() < 0.5 else None
        written = _written(name, naming, blocks)
        adapter.layers.append(written)
        parts = _matrices(weight, own_rank, naming in KOHYA and rng.random() < 0.4, DTYPES[dtype], numbers)
        scale = own_rank
        if adapter.settings is not None and own_rank != rank:
            adapter.settings["rank_pattern"][name] = own_rank
        if adapter.settings is not None:
            if own_alpha is not None:
                adapter.settings["alpha_pattern"][name] = own_alpha
            scale = alpha if own_alpha is None else own_alpha
        elif own_alpha is not None and naming != "processor":
            parts["alpha"] = torch.tensor(own_alpha)
            scale = own_alpha
        changed = weight.double() + scale / (math.sqrt(own_rank) if rslora else own_rank) * _product(parts, weight)
        if form == "dora" or (form == "mixed" and rng.random() < 0.5):
            changed = _rescaled(changed, parts, naming, rng, DTYPES[dtype], numbers)
        adapter.weights[name] = changed
        adapter.tensors |= {f"{written}{_end(role, naming, rng)}": tensor for role, tensor in parts.items()}
    return adapter


def _matrices(
    weight: Tensor, rank: int, tucker: bool, dtype: torch.dtype, numbers: torch.Generator
) -> dict[str, Tensor]:
    out, inputs, *kernel = weight.shape
    ones = [1] * len(kernel)
    shapes = {"A": (rank, inputs, *kernel), "B": (out, rank, *ones)}
    if tucker and kernel and kernel != ones:
        shapes |= {"A": (rank, inputs, *ones), "mid": (rank, rank, *kernel)}
    return {role: (0.3 * torch.randn(shape, generator=numbers)).to(dtype) for role, shape in shapes.items()}


def _product(parts: dict[str, Tensor], weight: Tensor) -> Tensor:
    """B A as the layers themselves compute it, A first: on the unit vectors of the input."""
    A, B = parts["A"].double(), parts["B"].double()
    if weight.ndim == 2:
        return (A.T @ B.T).T
    if "mid" not in parts:
        return (B.flatten(1) @ A.flatten(1)).reshape(weight.shape)
    total = torch.zeros(weight.shape, dtype=torch.float64)
    mid = parts["mid"].double()
    for m in range(mid.shape[0]):
        for n in range(mid.shape[1]):
            total += B[:, m, 0, 0][:, None, None, None] * mid[m, n][None, None] * A[n, :, 0, 0][None, :, None, None]
    return total


def _rescaled(
    changed: Tensor,
    parts: dict[str, Tensor],
    naming: str,
    rng: random.Random,
    dtype: torch.dtype,
    numbers: torch.Generator,
) -> Tensor:
    """The weight with each output's, or each input's, norm replaced by a random magnitude."""
    by_input = naming in KOHYA and rng.random() < 0.5
    rows = changed.transpose(0, 1) if by_input else changed
    magnitude = (0.5 + torch.rand(len(rows), generator=numbers)).to(dtype)
    shape = (len(rows), *[1] * (changed.ndim - 1))
    result = torch.stack([m.double() * row / row.square().sum().sqrt() for m, row in zip(magnitude, rows, strict=True)])
    if naming in KOHYA:
        stored = magnitude.reshape(shape)
        parts["dora_scale"] = stored.transpose(0, 1) if by_input else stored
    else:
        parts["magnitude"] = magnitude if changed.ndim == 2 else magnitude.reshape(shape).transpose(0, 1)
    return result.transpose(0, 1) if by_input else result


def _written(name: str, naming: str, blocks: dict[str, str]) -> str:
    if naming == "kohya":
        return f"lora_unet_{name.replace('.', '_')}"
    if naming == "stability":
        return f"lora_unet_{unet_name(name, blocks).replace('.', '_')}"
    if naming == "processor":
        head, _, last = name.rpartition(".to_")
        return f"{head}.processor.to_{last.removesuffix('.0')}_lora"
    return f"{'base_model.model.' if naming.startswith('peft') else 'unet.'}{name}"


def _end(role: str, naming: str, rng: random.Random) -> str:
    if role == "alpha":
        return ".alpha"
    if role == "dora_scale":
        return ".dora_scale"
    if role == "magnitude":
        if naming == "peft adapter":
            return rng.choice([f".lora_magnitude_vector.{STYLE}", f".lora_magnitude_vector.{STYLE}.weight"])
        if naming == "processor":
            return ".lora_magnitude_vector"
        return f".{rng.choice(MAGNITUDES)}"
    if naming in KOHYA:
        return {"A": ".lora_down.weight", "B": ".lora_up.weight", "mid": ".lora_mid.weight"}[role]
    if naming == "processor":
        return {"A": ".down.weight", "B": ".up.weight"}[role]
    if naming == "lora.down":
        return {"A": ".lora.down.weight", "B": ".lora.up.weight"}[role]
    return f".lora_{role}{f'.{STYLE}' if naming == 'peft adapter' else ''}.weight"


def effective(layer: Any, weight: Tensor) -> Tensor:
    """The weight by which a layer acts, found from what it makes of single pixels, whatever it is made of."""
    out, inputs, *kernel = weight.shape
    with torch.no_grad():
        if not kernel:
            return (layer(torch.eye(inputs)) - layer(torch.zeros(1, inputs))).T
        images = torch.zeros(inputs, *kernel, inputs, 5, 5)
        for channel in range(inputs):
            for row in range(kernel[0]):
                for column in range(kernel[1]):
                    images[channel, row, column, channel, 1 + row, 1 + column] = 1
        base = getattr(layer, "base_layer", layer)
        place = (1 + base.padding[0]) // base.stride[0]  # the output whose window begins at pixel 1
        answers = layer(images.flatten(0, 2)) - layer(torch.zeros(1, inputs, 5, 5))
        return answers[:, :, place, place].reshape(inputs, *kernel, out).permute(3, 0, 1, 2)
