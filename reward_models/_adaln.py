"""SPO's step-aware preference model (arXiv:2406.04314): a CLIP whose image tower is conditioned on the timestep.

| name here | meaning |
|---|---|
| ``tau`` | training timestep 0..999 of the sample that the image x̂0 was predicted from |
| ``c`` | embedding of tau: 256 sinusoids, then Linear, SiLU, Linear to the tower's width |
| shift, scale, gate | adaLN functions of c, six vectors per block: h <- h + gate * f(LN(h) (1 + scale) + shift) |

Initially all added weights are 0 and gates 1, so that scores equal the plain CLIP's for every tau. Modules have the
names of the released checkpoints (``model.t_embedder``, ``model.vision_model.encoder.layers.N.adaLN_modulation``, ...),
so that their state dicts load unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from benchbench.api import CorruptError

FREQUENCIES, MAX_PERIOD = 128, 10_000.0
ADDED = ("t_embedder.", "adaLN_modulation.")


def sinusoids(tau: Tensor) -> Tensor:
    """Returns [N, 256] of tau [N]: cos, then sin, of tau times 128 frequencies from 1 down to almost 1/10000."""
    frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(FREQUENCIES, device=tau.device) / FREQUENCIES)
    angles = tau.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Embedder(nn.Module):
    """The embedding c of the timestep tau."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tau: Tensor) -> Tensor:
        """Returns c [N, width] of tau [N]."""
        embedding: Tensor = self.mlp(sinusoids(tau))
        return embedding


def modulation(width: int, chunks: int, gates: tuple[int, ...]) -> nn.Sequential:
    """Returns a module that maps c to ``chunks`` vectors; initially they are 0, and the gates are 1."""
    linear = nn.Linear(width, chunks * width)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    with torch.no_grad():
        for gate in gates:
            linear.bias[gate * width : (gate + 1) * width] = 1
    return nn.Sequential(nn.SiLU(), linear)


class StepAwareCLIP(nn.Module):
    """Wraps a transformers CLIPModel and adds the timestep modules to it."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        width = clip.config.vision_config.hidden_size
        clip.t_embedder = Embedder(width)
        for layer in clip.vision_model.encoder.layers:
            layer.adaLN_modulation = modulation(width, 6, gates=(2, 5))
        clip.vision_model.adaLN_modulation = modulation(width, 2, gates=())
        self.model = clip

    def embed_images(self, pixels: Tensor, tau: Tensor) -> Tensor:
        """Returns unit embeddings [N, D] of normalised images [N, 3, side, side] at tau, int64 [] or [N]."""
        tower = self.model.vision_model
        c = self.model.t_embedder(tau.reshape(-1))
        h = tower.pre_layrnorm(tower.embeddings(pixels))
        for layer in tower.encoder.layers:
            vectors = layer.adaLN_modulation(c)[:, None].chunk(6, dim=-1)
            shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = vectors
            attended, _ = layer.self_attn(layer.layer_norm1(h) * (1 + scale_1) + shift_1, attention_mask=None)
            h = h + gate_1 * attended
            h = h + gate_2 * layer.mlp(layer.layer_norm2(h) * (1 + scale_2) + shift_2)
        # shift before scale as in every block and in DiT; for the released final layer this order is inferred
        shift, scale = tower.adaLN_modulation(c).chunk(2, dim=-1)
        pooled = tower.post_layernorm(h[:, 0]) * (1 + scale) + shift
        return normalize(self.model.visual_projection(pooled), dim=-1)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """Returns unit embeddings [N, D] of token ids [N, L]; the text tower is the plain CLIP's."""
        return normalize(self.model.text_projection(self.model.text_model(tokens).pooler_output), dim=-1)

    def score(self, image_embeddings: Tensor, text_embeddings: Tensor) -> Tensor:
        """Returns exp(logit_scale) times the cosine, [N]."""
        scores: Tensor = self.model.logit_scale.exp() * (image_embeddings * text_embeddings).sum(-1)
        return scores

    def added_parameters(self) -> dict[str, nn.Parameter]:
        """Returns the parameters that a plain CLIP does not have, by name."""
        return {name: p for name, p in self.named_parameters() if any(part in name for part in ADDED)}

    def load(self, state: Mapping[str, Tensor], source: str, added_only: bool = False) -> None:
        """Loads a whole checkpoint; ``added_only``: one of the added parameters, for a CLIP that has its own weights.

        Raises CorruptError for names or shapes that do not fit, for parameters that are missing and would stay random,
        and for values that are not finite.
        """
        tensors = {name: value for name, value in state.items() if not name.endswith("position_ids")}
        expected = self.state_dict()
        required = self.added_parameters() if added_only else dict(self.named_parameters())
        missing = [name for name in required if name not in tensors]
        wrong = [name for name, value in tensors.items() if name not in expected or expected[name].shape != value.shape]
        if missing or wrong:
            example = (missing + wrong)[0]
            raise CorruptError(
                f"{source} is not a step-aware preference model of this size",
                f"{len(missing)} of its parameters are missing and {len(wrong)} do not fit, such as {example}",
                "fetch or make the whole checkpoint again, of the CLIP that it belongs to",
            )
        bad = next((name for name, value in tensors.items() if not value.isfinite().all()), None)
        if bad:
            cause = f"{bad} holds values that are not finite"
            raise CorruptError(f"{source} is damaged", cause, "fetch or make it again")
        self.load_state_dict(tensors, strict=False)
