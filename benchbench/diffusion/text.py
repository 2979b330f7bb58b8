"""Encodes prompts as conditions of a network.

SD 1.x and 2.x have one text encoder; SDXL has two and the image size; SD 3 has two, and T5 unless it is left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from benchbench.diffusion.backbones import Backbone
from benchbench.noise import copy_to_device
from benchbench.types import Cond

Embedding = tuple[Tensor, Tensor | None]
"""The embedding of one prompt: [L, D], and for SDXL and SD 3 the pooled projection [P]."""
_batch_dependence: WeakKeyDictionary[Any, dict[int, bool]] = WeakKeyDictionary()
"""The results of ``_depends_on_batch``, by text encoder and number of threads."""


@torch.no_grad()
def encode(backbone: Backbone, prompts: list[str]) -> list[Embedding]:
    """Returns the embedding of each prompt, as the model's own pipeline makes it.

    For SDXL it is the concatenated penultimate hidden states of both encoders, and the pooled projection of the second.
    For SD 3 those states are followed by the tokens of T5, and the pooled projections of both are concatenated.

    On some CPUs each prompt is encoded alone. There, the last bits of an embedding depend on the batch size, and so on
    which prompts are cached already: a resumed run would differ from an uninterrupted one.
    """
    if len(prompts) > 1 and backbone.device.type == "cpu" and _depends_on_batch(backbone):
        return [embedding for prompt in prompts for embedding in _encode_batch(backbone, [prompt])]
    return _encode_batch(backbone, prompts)


def _depends_on_batch(backbone: Backbone) -> bool:
    """Returns whether this CPU rounds an embedding differently in a batch; tested once per number of threads.

    This was seen on processors without AVX-512, from two prompts on.
    """
    results = _batch_dependence.setdefault(backbone.text_encoder, {})
    threads = torch.get_num_threads()
    if threads not in results:
        prompts = [f"{number} things" for number in range(16)]
        single = _encode_batch(backbone, prompts[:1])[0][0]
        batches = (_encode_batch(backbone, prompts[:n])[0][0] for n in (2, 5, 16))
        results[threads] = not all(torch.equal(embedding, single) for embedding in batches)
    return results[threads]


def _encode_batch(backbone: Backbone, prompts: list[str]) -> list[Embedding]:
    encoder, tokens = backbone.text_encoder, _tokens(backbone, backbone.tokenizer, prompts)
    if backbone.text_encoder_2 is None:
        # SD 1.x and 2.x ignore the padding mask, unless the text encoder's config says otherwise
        mask = tokens.attention_mask if getattr(encoder.config, "use_attention_mask", False) else None
        return [(row, None) for row in encoder(tokens.input_ids, attention_mask=mask)[0]]
    output = encoder(tokens.input_ids, output_hidden_states=True)
    output_2 = backbone.text_encoder_2(
        _tokens(backbone, backbone.tokenizer_2, prompts).input_ids, output_hidden_states=True
    )
    states = torch.cat([output.hidden_states[-2], output_2.hidden_states[-2]], dim=-1)
    if backbone.t5_tokens is None:
        return list(zip(states, output_2.text_embeds, strict=True))
    t5 = _t5_states(backbone, prompts, backbone.t5_tokens).to(states.dtype)
    texts = torch.cat([F.pad(states, (0, t5.shape[-1] - states.shape[-1])), t5], dim=1)
    return list(zip(texts, torch.cat([output.text_embeds, output_2.text_embeds], dim=-1), strict=True))


def _t5_states(backbone: Backbone, prompts: list[str], tokens: int) -> Tensor:
    """Returns what T5 says of N prompts, [N, tokens, D]; zeros where the model has no T5, as diffusers has it.

    Weights that lie in host memory, as they do for a GPU, are copied to the device for this call alone.
    """
    if backbone.text_encoder_3 is None or tokens == 0:
        return torch.zeros(len(prompts), tokens, backbone.network.config.joint_attention_dim, device=backbone.device)
    ids = backbone.tokenizer_3(
        prompts, padding="max_length", max_length=tokens, truncation=True, add_special_tokens=True, return_tensors="pt"
    ).input_ids
    encoder, ids = backbone.text_encoder_3, ids.to(backbone.device)
    if next(encoder.parameters()).device == backbone.device:
        states: Tensor = encoder(ids)[0]
        return states
    kept = chain(encoder.named_parameters(), encoder.named_buffers())
    weights = {name: tensor.to(backbone.device) for name, tensor in kept}
    states = torch.func.functional_call(encoder, weights, (ids,))[0]
    return states


def _tokens(backbone: Backbone, tokenizer: Any, prompts: list[str]) -> Any:
    return tokenizer(
        prompts, padding="max_length", max_length=tokenizer.model_max_length, truncation=True, return_tensors="pt"
    ).to(backbone.device)


def condition(backbone: Backbone, rows: Sequence[Embedding], empty: Embedding) -> Cond:
    """Returns the conditions of N prompts. For SDXL they say that images are uncropped and of the model's own size."""
    text, null = torch.stack([row for row, _ in rows]), empty[0][None]
    pooled = [vector for _, vector in rows if vector is not None]
    if not pooled or empty[1] is None:
        return Cond(text, null)
    size, null_pooled = backbone.image_size, empty[1][None]
    if backbone.t5_tokens is not None:
        return Cond(text, null, torch.stack(pooled), null_pooled)
    if backbone.zeros_for_empty:
        null, null_pooled = torch.zeros_like(null), torch.zeros_like(null_pooled)
    ids = copy_to_device(torch.tensor([[size, size, 0, 0, size, size]], dtype=text.dtype), text.device)
    return Cond(text, null, torch.stack(pooled), null_pooled, ids.repeat(len(rows), 1))


def with_null(cond: Cond, rows: int) -> Cond:
    """Returns 2N rows for guidance: the empty prompt N times, then the prompts."""
    if cond.pooled is None or cond.null_pooled is None:
        return replace(cond, text=torch.cat([cond.null.expand(rows, -1, -1), cond.text]))
    pooled = torch.cat([cond.null_pooled.expand(rows, -1), cond.pooled])
    return replace(cond.repeat(2), text=torch.cat([cond.null.expand(rows, -1, -1), cond.text]), pooled=pooled)


def predict(network: Any, x: Tensor, tau: Tensor, cond: Cond) -> Tensor:
    """Returns the prediction, float32 [N, C, h, w], for latents x [N, C, h, w] and times tau [N]."""
    x = x.to(next(network.parameters()).dtype)  # network.dtype would inspect every weight, at every step
    if cond.pooled is None:
        prediction: Tensor = network(x, tau, cond.text).sample
    elif cond.time_ids is None:
        texts = {"encoder_hidden_states": cond.text.to(x.dtype), "pooled_projections": cond.pooled.to(x.dtype)}
        prediction = network(hidden_states=x, timestep=tau, **texts).sample
    else:
        added = {"text_embeds": cond.pooled, "time_ids": cond.time_ids}
        prediction = network(x, tau, cond.text, added_cond_kwargs=added).sample
    return prediction.float()
