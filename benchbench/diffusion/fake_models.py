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
from benchbench.errors import MissingError
from benchbench.hub import layout, models
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
    parts = ["unet", "vae", "text_encoder", *(["text_encoder_2"] if layout.is_xl(root) else [])]
    configs = {part: read_object(root / part / "config.json", layout.FETCH_AGAIN) for part in parts}
    configs["scheduler"] = read_object(root / "scheduler" / "scheduler_config.json", layout.FETCH_AGAIN)
    if vae:
        with contextlib.suppress(MissingError):  # a missing VAE uses as much memory as the model's own
            configs["vae"] = read_object(models.vae_folder(vae) / "config.json", layout.FETCH_AGAIN)
    return configs


def fake_backbone(model: str, dtype: str, unet_dtype: str | None = None) -> Backbone:
    """Returns the model as ``backbones.load`` does, with fake weights on a fake CUDA device; call it in ``fake_cuda``.

    ``dtype`` is fp32, bf16 or fp16; ``unet_dtype`` overrides it for a UNet whose every weight is trained. Raises the
    errors of ``part_configs``.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    parts = part_configs(model)
    xl = "text_encoder_2" in parts
    upcast = parts["vae"].get("force_upcast", True) and (xl or dtype == "fp16")  # as in backbones.load
    unet = _part(UNet2DConditionModel, parts["unet"], unet_dtype or dtype)
    vae = _part(AutoencoderKL, parts["vae"], "fp32" if upcast else dtype)
    size = int(unet.config.sample_size) * 2 ** (len(vae.config.block_out_channels) - 1)
    return Backbone(
        name=model,
        hash="fake",
        network=unet,
        vae=vae,
        text_encoder=_text_encoder(parts["text_encoder"], dtype, project=False),
        tokenizer=_FakeTokenizer(parts["text_encoder"]),
        scheduler_config=parts["scheduler"],
        device=torch.device("cuda"),
        dtype=dtype,
        image_size=size,
        batch_size=max(1, min(64, 2**22 // size**2)),
        text_encoder_2=_text_encoder(parts["text_encoder_2"], dtype, project=True) if xl else None,
        tokenizer_2=_FakeTokenizer(parts["text_encoder_2"]) if xl else None,
        zeros_for_empty=xl,
    )


def _part(network_class: Any, config: dict[str, Any], dtype: str) -> Any:
    with _fake_weights(dtype):
        network = network_class.from_config(dict(config))
    return network.eval().requires_grad_(False)


def _text_encoder(config: dict[str, Any], dtype: str, project: bool) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    config = {name: value for name, value in config.items() if name not in ("dtype", "torch_dtype")}
    encoder_class = CLIPTextModelWithProjection if project else CLIPTextModel
    with _fake_weights(dtype):
        encoder = encoder_class(CLIPTextConfig(**config))
    return encoder.eval().requires_grad_(False)


@contextlib.contextmanager
def _fake_weights(dtype: str) -> Iterator[None]:
    """Makes new weights on the fake device and in this precision within the block."""
    old_dtype = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[dtype])
    try:
        with torch.device("cuda"):
            yield
    finally:
        torch.set_default_dtype(old_dtype)


class _FakeTokenizer:
    """Returns zeros for every prompt: the cost of a prompt does not depend on its tokens."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.model_max_length = int(config.get("max_position_embeddings", 77))

    def __call__(self, prompts: Sequence[str], **_: Any) -> _Tokens:
        ids = torch.zeros(len(prompts), self.model_max_length, dtype=torch.int64)
        return _Tokens(input_ids=ids, attention_mask=torch.ones_like(ids))


class _Tokens(SimpleNamespace):
    def to(self, device: Any) -> _Tokens:
        """Returns the tokens on the device."""
        return _Tokens(**{name: value.to(device) for name, value in vars(self).items()})
