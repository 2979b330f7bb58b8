"""A base model on a fake device: built from the settings of its parts, without a weight being read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import torch

from benchbench.defaults import split_model
from benchbench.diffusion.backbones import DTYPES, Backbone
from benchbench.errors import MissingError
from benchbench.hub import models
from benchbench.hub.known_configs import KNOWN
from benchbench.runtime.json_files import read_object

Settings = dict[str, dict[str, Any]]


def settings(model: str) -> Settings:
    """The settings of a model's parts: of its folder where it is on this machine, else as they were published.

    Errors: MissingError for a model that is neither here nor known, CorruptError for a config.json that cannot be read.
    """
    base, vae = split_model(model)
    try:
        root = models.pipeline_folder(base)
    except MissingError:
        if base not in KNOWN:
            raise
        return KNOWN[base]
    parts = ["unet", "vae", "text_encoder", *(["text_encoder_2"] if models.is_xl(root) else [])]
    found = {part: read_object(root / part / "config.json", models.FETCH_AGAIN) for part in parts}
    found["scheduler"] = read_object(root / "scheduler" / "scheduler_config.json", models.FETCH_AGAIN)
    if vae:
        with contextlib.suppress(MissingError):  # another decoder's memory is that of the model's own
            found["vae"] = read_object(models.vae_folder(vae) / "config.json", models.FETCH_AGAIN)
    return found


def fake_backbone(model: str, dtype: str, unet_dtype: str | None = None) -> Backbone:
    """The model as ``backbones.load`` gives it, with fake weights on a fake CUDA device; within ``fake_cuda`` only.

    ``dtype`` is fp32, bf16 or fp16, ``unet_dtype`` that of a UNet that is trained whole. Errors: as ``settings``.
    """
    from diffusers import AutoencoderKL, UNet2DConditionModel

    parts = settings(model)
    xl = "text_encoder_2" in parts
    upcast = parts["vae"].get("force_upcast", True) and (xl or dtype == "fp16")  # as backbones.load does it
    unet = _part(UNet2DConditionModel, parts["unet"], unet_dtype or dtype)
    vae = _part(AutoencoderKL, parts["vae"], "fp32" if upcast else dtype)
    size = int(unet.config.sample_size) * 2 ** (len(vae.config.block_out_channels) - 1)
    return Backbone(
        name=model,
        hash="fake",
        network=unet,
        vae=vae,
        text_encoder=_text(parts["text_encoder"], dtype, project=False),
        tokenizer=_Words(parts["text_encoder"]),
        scheduler_config=parts["scheduler"],
        device=torch.device("cuda"),
        dtype=dtype,
        image_size=size,
        batch_size=max(1, min(64, 2**22 // size**2)),
        text_encoder_2=_text(parts["text_encoder_2"], dtype, project=True) if xl else None,
        tokenizer_2=_Words(parts["text_encoder_2"]) if xl else None,
        zeros_for_empty=xl,
    )


def _part(kind: Any, config: dict[str, Any], dtype: str) -> Any:
    with _made_as(dtype):
        made = kind.from_config(dict(config))
    return made.eval().requires_grad_(False)


def _text(config: dict[str, Any], dtype: str, project: bool) -> Any:
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    asked = {name: value for name, value in config.items() if name not in ("dtype", "torch_dtype")}
    with _made_as(dtype):
        made = (CLIPTextModelWithProjection if project else CLIPTextModel)(CLIPTextConfig(**asked))
    return made.eval().requires_grad_(False)


@contextlib.contextmanager
def _made_as(dtype: str) -> Iterator[None]:
    """New weights are on the fake device and of this type from the start."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[dtype])
    try:
        with torch.device("cuda"):
            yield
    finally:
        torch.set_default_dtype(before)


class _Words:
    """A tokenizer of no words: what a prompt costs does not depend on what its tokens are."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.model_max_length = int(config.get("max_position_embeddings", 77))

    def __call__(self, prompts: Sequence[str], **_: Any) -> _Tokens:
        ids = torch.zeros(len(prompts), self.model_max_length, dtype=torch.int64)
        return _Tokens(input_ids=ids, attention_mask=torch.ones_like(ids))


class _Tokens(SimpleNamespace):
    def to(self, device: Any) -> _Tokens:
        """The tokens on the device."""
        return _Tokens(**{name: value.to(device) for name, value in vars(self).items()})
