"""Maps the name of a tensor in a LoRA file to the UNet's layer that it changes, for every trainer's naming.

| writer | name of the tensor A of a layer |
|---|---|
| peft | ``base_model.model.X.to_q.lora_A.weight``, or with the adapter's name: ``X.to_q.lora_A.default.weight`` |
| diffusers | ``unet.X.to_q.lora_A.weight`` or ``unet.X.to_q.lora.down.weight`` |
| diffusers up to 0.17 (DDPO, D3PO) | ``X.processor.to_q_lora.down.weight`` |
| kohya's sd-scripts, LyCORIS | ``lora_unet_X_to_q.lora_down.weight``; for SDXL, X is Stability AI's name of the block |

The magnitudes of DoRA are called ``X.lora_magnitude_vector`` by peft, with or without the adapter's name and
``.weight``, and ``X.dora_scale`` by LyCORIS. The two differ in shape, so they are two roles.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["A", "B", "mid", "bias", "alpha", "magnitude", "dora_scale"]
MATRIX = re.compile(
    r"(?P<layer>.+?)[._](?P<matrix>lora_A|lora_B|lora\.down|lora\.up|lora_down|lora_up)"
    r"(?:\.(?P<adapter>(?!(?:weight|bias)$)[^.]+))?\.(?P<kind>weight|bias)"
)
MAGNITUDE = re.compile(r"(?P<layer>.+?)\.lora_magnitude_vector(?:\.(?P<adapter>(?!weight$)[^.]+))?(?:\.weight)?")
OF_LYCORIS: dict[str, Role] = {".dora_scale": "dora_scale", ".lora_mid.weight": "mid"}
ALPHA = re.compile(r"(?P<layer>.+?)(?:[._]lora)?\.alpha")
KOHYA = "lora_unet_"
PREFIXES = ("base_model.model.", "unet.", "transformer.")
TEXT_ENCODER = ("text_encoder", "lora_te_", "lora_te1_", "lora_te2_", "base_model.model.text_model.", "text_model.")
LYCORIS = re.compile(
    r"\.(hada_|lokr_|oft_|boft_|glora_|ia3_|vera_lambda)"
    r"|\.(diff|diff_b|on_input|w_norm|b_norm|[ab][12]\.weight)$"
)
RESNET = {"conv1": "in_layers_2", "conv2": "out_layers_3", "time_emb_proj": "emb_layers_1"}
RESNET["conv_shortcut"] = "skip_connection"
OUTSIDE_BLOCKS = {
    "conv_in": "input_blocks_0_0",
    "conv_out": "out_2",
    "time_embedding.linear_1": "time_embed_0",
    "time_embedding.linear_2": "time_embed_2",
    "add_embedding.linear_1": "label_emb_0_0",
    "add_embedding.linear_2": "label_emb_0_2",
}


@dataclass(frozen=True)
class TensorName:
    """The parsed name of a tensor: the layer as the file writes it, its role there, and an adapter's name or ''."""

    layer: str
    role: Role
    adapter: str = ""


def parse(name: str) -> TensorName | None:
    """Returns the parts of a tensor's name, or None for one that is no part of a LoRA or DoRA."""
    if match := MATRIX.fullmatch(name):
        side: Role = "A" if match["matrix"].endswith(("A", "down")) else "B"
        if match["kind"] == "bias":
            return TensorName(match["layer"], "bias", match["adapter"] or "") if side == "B" else None
        return TensorName(match["layer"], side, match["adapter"] or "")
    if match := MAGNITUDE.fullmatch(name):
        return TensorName(match["layer"], "magnitude", match["adapter"] or "")
    if match := ALPHA.fullmatch(name):
        return TensorName(match["layer"], "alpha")
    return next((TensorName(name[: -len(end)], role) for end, role in OF_LYCORIS.items() if name.endswith(end)), None)


def resolver(unet: Any) -> Callable[[str], str]:
    """Returns a function from a layer as a file writes it to the UNet's module name; unknown layers keep theirs."""
    modules: list[str] = [name for name, _ in unet.named_modules() if name]
    kohya: dict[str, str] = {name.replace(".", "_"): name for name in modules}
    blocks = getattr(unet.config, "layers_per_block", None)  # SD 3's transformer has none
    if isinstance(blocks, int):
        kohya |= {_stability(name, blocks + 1, modules): name for name in modules}
    known = set(modules)

    def resolve(layer: str) -> str:
        if layer.startswith(KOHYA):
            return kohya.get(layer.removeprefix(KOHYA), layer)
        for prefix in PREFIXES:
            layer = layer.removeprefix(prefix)
        layer = layer.replace(".processor.", ".")
        inner = f"{layer}.0"  # the old processors call the first module of to_out just to_out
        return inner if layer.endswith(".to_out") and inner in known else layer

    return resolve


def _stability(name: str, per_block: int, modules: list[str]) -> str:
    """Returns Stability AI's name of a diffusers module, with underscores in place of dots, as kohya writes it."""
    if name in OUTSIDE_BLOCKS:
        return OUTSIDE_BLOCKS[name]
    head, *rest = name.split(".")
    if head == "mid_block" and len(rest) > 1:
        number = 1 if rest[0] == "attentions" else 2 * int(rest[1])
        return "_".join(["middle_block", str(number), *_inside(rest[0], rest[2:])])
    if head not in {"down_blocks", "up_blocks"} or len(rest) < 3:
        return name.replace(".", "_")
    block, kind, position = int(rest[0]), rest[1], int(rest[2])
    first = block * per_block
    if kind == "downsamplers":
        return "_".join(["input_blocks", str(first + per_block), "0", *("op" if p == "conv" else p for p in rest[3:])])
    if kind == "upsamplers":
        place = 2 if f"up_blocks.{block}.attentions" in modules else 1
        return "_".join(["output_blocks", str(first + per_block - 1), str(place), *rest[3:]])
    side, number = ("input_blocks", first + 1) if head == "down_blocks" else ("output_blocks", first)
    return "_".join([side, str(number + position), "1" if kind == "attentions" else "0", *_inside(kind, rest[3:])])


def _inside(kind: str, parts: list[str]) -> list[str]:
    """Returns the last parts of a name by Stability AI's names; only those of a ResNet block differ."""
    return [RESNET.get(part, part) for part in parts] if kind == "resnets" else parts
