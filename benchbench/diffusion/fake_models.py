"""Builds a base model on a fake device from the configs of its parts, without reading weights.

Imports diffusers and transformers only inside functions: they take seconds to load.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from benchbench.defaults import split_model
from benchbench.diffusion.backbones import DTYPES, Backbone
from benchbench.diffusion.network_kind import network_class
from benchbench.errors import MissingError
from benchbench.hub import borrowed, layout, models
from benchbench.hub.known_configs import KNOWN
from benchbench.runtime.json_files import read_object

PartConfigs = dict[str, dict[str, Any]]


def part_configs(model: str) -> PartConfigs:
    """Returns the config of each part of a model: from its folder if it is on this machine, else as published.

    Raises MissingError for a model that is neither here nor known, CorruptError for an unreadable config.json.
    """
    base, vae = split_model(model)
    try:
        root = models.pipeline_folder(base)
    except MissingError:
        if base not in KNOWN:
            raise
        return KNOWN[base]
    lent = borrowed.read(root)
    configs = {}
    for part in layout.parts_of(root):
        if part.startswith("tokenizer"):
            continue
        file = "scheduler_config.json" if part == "scheduler" else "config.json"
        configs[part] = read_object(layout.part_folder(root, part) / file, layout.FETCH_AGAIN)
        if lent and (own := lent.parts.get(part)):
            configs[part] |= dict(own.config)
    if vae:
        with contextlib.suppress(MissingError):  # a missing VAE uses as much memory as the model's own
            configs["vae"] = read_object(models.vae_folder(vae) / "config.json", layout.FETCH_AGAIN)
    return configs


def fake_backbone(model: str, dtype: str, unet_dtype: str | None = None) -> Backbone:
    """Returns the model as ``backbones.load`` does, with fake weights on a fake CUDA device; call it in ``fake_cuda``.

    ``dtype`` is fp32, bf16 or fp16; ``unet_dtype`` overrides it for a network whose every weight is trained. Raises the
    errors of ``part_configs``.
    """
    from diffusers import AutoencoderKL

    parts = part_configs(model)
    denoiser = "transformer" if "transformer" in parts else "unet"
    xl, sd3 = denoiser == "unet" and "text_encoder_2" in parts, denoiser == "transformer"
    upcast = parts["vae"].get("force_upcast", True) and (xl or dtype == "fp16")  # as in backbones.load
    network = _part(network_class(denoiser), parts[denoiser], unet_dtype or dtype)
    vae = _part(AutoencoderKL, parts["vae"], "fp32" if upcast else dtype)
    size = int(network.config.sample_size) * 2 ** (len(vae.config.block_out_channels) - 1)
    encoders = {name: config for name, config in parts.items() if name.startswith("text_encoder")}
    return Backbone(
        name=model,
        hash="fake",
        network=network,
        vae=vae,
        scheduler_config=parts["scheduler"],
        device=torch.device("cuda"),
        dtype=dtype,
        image_size=size,
        batch_size=max(1, min(64, 2**22 // size**2)),
        zeros_for_empty=xl,
        t5_tokens=_t5_tokens(model) if sd3 else None,
        **{name: _text_encoder(name, config, dtype, sd3) for name, config in encoders.items()},
        **{name.replace("text_encoder", "tokenizer"): _FakeTokenizer(config) for name, config in encoders.items()},
    )


def _t5_tokens(model: str) -> int | None:
    """Returns the number of T5 tokens of a prompt, which a model that is not here has as published."""
    try:
        return layout.t5_tokens(models.pipeline_folder(split_model(model)[0]))
    except MissingError:
        return layout.T5_TOKENS


def _part(kind: Any, config: dict[str, Any], dtype: str) -> Any:
    with _fake_weights(dtype):
        network = kind.from_config(dict(config))
    return network.eval().requires_grad_(False)


def _text_encoder(name: str, config: dict[str, Any], dtype: str, sd3: bool) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

    config = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype")}
    in_host_memory = name == "text_encoder_3"  # as in backbones.load
    with _fake_weights(dtype, "cpu" if in_host_memory else "cuda"):
        if in_host_memory:
            encoder = T5EncoderModel(T5Config(**config))
        else:
            encoder_class = CLIPTextModelWithProjection if sd3 or name == "text_encoder_2" else CLIPTextModel
            encoder = encoder_class(CLIPTextConfig(**config))
    return encoder.eval().requires_grad_(False)


@contextlib.contextmanager
def _fake_weights(dtype: str, device: str = "cuda") -> Iterator[None]:
    """Makes new fake weights on this device and in this precision within the block."""
    old_dtype = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[dtype])
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(old_dtype)


class _FakeTokenizer:
    """Returns zeros for every prompt: the cost of a prompt does not depend on its tokens."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.model_max_length = int(config.get("max_position_embeddings", 77))

    def __call__(self, prompts: Sequence[str], max_length: int, **_: Any) -> _Tokens:
        ids = torch.zeros(len(prompts), max_length, dtype=torch.int64)
        return _Tokens(input_ids=ids, attention_mask=torch.ones_like(ids))


class _Tokens(SimpleNamespace):
    def to(self, device: Any) -> _Tokens:
        """Returns the tokens on the device."""
        return _Tokens(**{name: value.to(device) for name, value in vars(self).items()})
