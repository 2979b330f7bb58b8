"""Prompts as a UNet's conditions: of one text encoder in SD 1.x and 2.x, of two and the image's size in SDXL."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from benchbench.diffusion.backbones import Backbone
from benchbench.noise import hand_over
from benchbench.types import Cond

Embedding = tuple[Tensor, Tensor | None]
"""Of one prompt: [L, D], and SDXL's pooled projection [P]."""
_COMPANY: WeakKeyDictionary[Any, dict[int, bool]] = WeakKeyDictionary()
"""The answers of ``_company_matters``, by text encoder and number of threads."""


@torch.no_grad()
def encode(backbone: Backbone, prompts: list[str]) -> list[Embedding]:
    """Each prompt's embedding, as the model's own pipeline makes it.

    SDXL: the states before the last layer of both encoders side by side, and the second one's projected summary.

    On some CPUs each prompt is read alone: where the last bits of an embedding depend on how many prompts are read with
    it, they would depend on what has been read before, and a run that was resumed would differ from one that was not.
    """
    if len(prompts) > 1 and backbone.device.type == "cpu" and _company_matters(backbone):
        return [embedding for prompt in prompts for embedding in _read(backbone, [prompt])]
    return _read(backbone, prompts)


def _company_matters(backbone: Backbone) -> bool:
    """Tries once per number of threads whether this CPU rounds a prompt differently when others are read with it.

    It was seen on processors without AVX-512, for two prompts as for many.
    """
    seen = _COMPANY.setdefault(backbone.text_encoder, {})
    threads = torch.get_num_threads()
    if threads not in seen:
        words = [f"{number} things" for number in range(16)]
        alone = _read(backbone, words[:1])[0][0]
        seen[threads] = not all(torch.equal(_read(backbone, words[:n])[0][0], alone) for n in (2, 5, 16))
    return seen[threads]


def _read(backbone: Backbone, prompts: list[str]) -> list[Embedding]:
    encoder, tokens = backbone.text_encoder, _tokens(backbone, backbone.tokenizer, prompts)
    if backbone.text_encoder_2 is None:
        # SD 1.x ignores the padding mask and SD 2.x does too, unless its text encoder's config says otherwise
        mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
        return [(row, None) for row in encoder(tokens.input_ids, attention_mask=mask)[0]]
    first = encoder(tokens.input_ids, output_hidden_states=True)
    second = backbone.text_encoder_2(
        _tokens(backbone, backbone.tokenizer_2, prompts).input_ids, output_hidden_states=True
    )
    states = torch.cat([first.hidden_states[-2], second.hidden_states[-2]], dim=-1)
    return list(zip(states, second.text_embeds, strict=True))


def _tokens(backbone: Backbone, tokenizer: Any, prompts: list[str]) -> Any:
    return tokenizer(
        prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).to(backbone.device)


def condition(backbone: Backbone, rows: Sequence[Embedding], empty: Embedding) -> Cond:
    """The conditions of N prompts. SDXL is told that its images are whole and of its own size."""
    text, null = torch.stack([row for row, _ in rows]), empty[0][None]
    pooled = [vector for _, vector in rows if vector is not None]
    if not pooled or empty[1] is None:
        return Cond(text, null)
    size, null_pooled = backbone.image_size, empty[1][None]
    if backbone.zeros_for_empty:
        null, null_pooled = torch.zeros_like(null), torch.zeros_like(null_pooled)
    ids = hand_over(torch.tensor([[size, size, 0, 0, size, size]], dtype=text.dtype), text.device)
    return Cond(text, null, torch.stack(pooled), null_pooled, ids.repeat(len(rows), 1))


def with_null(cond: Cond, rows: int) -> Cond:
    """2N rows for guidance: the empty prompt N times, then the prompts."""
    if cond.pooled is None or cond.null_pooled is None:
        return replace(cond, text=torch.cat([cond.null.expand(rows, -1, -1), cond.text]))
    pooled = torch.cat([cond.null_pooled.expand(rows, -1), cond.pooled])
    return replace(cond.repeat(2), text=torch.cat([cond.null.expand(rows, -1, -1), cond.text]), pooled=pooled)


def noise(unet: Any, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
    """The network's noise prediction, float32 [N, C, h, w], at latents x [N, C, h, w] and timesteps tau [N]."""
    x = x.to(next(unet.parameters()).dtype)  # unet.dtype would look at every weight, at every step
    if cond.pooled is None:
        return unet(x, tau, cond.text).sample.float()
    added = {"text_embeds": cond.pooled, "time_ids": cond.time_ids}
    return unet(x, tau, cond.text, added_cond_kwargs=added).sample.float()
