"""A CLIP whose image tower is told how noisy the sample was: SPO's step-aware preference model (arXiv:2406.04314).

| name here | meaning |
|---|---|
| ``tau`` | training timestep 0..999 of the sample that the picture x̂0 was predicted from |
| ``c`` | its embedding: 256 sinusoids, then Linear, SiLU, Linear to the tower's width |
| shift, scale, gate | what adaLN makes of c, six vectors a block: h <- h + gate * f(LN(h) (1 + scale) + shift) |

With all weights 0 and gates 1, as initialised, scores are the plain CLIP's for every tau. Modules sit where the
released checkpoints have them (``model.t_embedder``, ``model.vision_model.encoder.layers.N.adaLN_modulation``, ...), so
that such a state dict loads as it is.
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
    """cos, then sin, of tau times 128 frequencies from 1 down to almost 1/10000: [N, 256] from [N]."""
    frequencies = torch.exp(-math.log(MAX_PERIOD) * torch.arange(FREQUENCIES, device=tau.device) / FREQUENCIES)
    angles = tau.float()[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class Embedder(nn.Module):
    """c of tau."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(2 * FREQUENCIES, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, tau: Tensor) -> Tensor:
        embedding: Tensor = self.mlp(sinusoids(tau))
        return embedding


def modulation(width: int, chunks: int, gates: tuple[int, ...]) -> nn.Sequential:
    """c -> ``chunks`` vectors, all 0 at first except the gates, which are 1."""
    linear = nn.Linear(width, chunks * width)
    nn.init.zeros_(linear.weight)
    nn.init.zeros_(linear.bias)
    with torch.no_grad():
        for gate in gates:
            linear.bias[gate * width : (gate + 1) * width] = 1
    return nn.Sequential(nn.SiLU(), linear)


class StepAwareCLIP(nn.Module):
    """Wraps a transformers CLIPModel, to which it adds its modules."""

    def __init__(self, clip: Any) -> None:
        super().__init__()
        width = clip.config.vision_config.hidden_size
        clip.t_embedder = Embedder(width)
        for layer in clip.vision_model.encoder.layers:
            layer.adaLN_modulation = modulation(width, 6, gates=(2, 5))
        clip.vision_model.adaLN_modulation = modulation(width, 2, gates=())
        self.model = clip

    def see(self, pixels: Tensor, tau: Tensor) -> Tensor:
        """Unit embeddings [N, D] of normalised pictures [N, 3, side, side] at tau, int64 [] or [N]."""
        tower = self.model.vision_model
        c = self.model.t_embedder(tau.reshape(-1))
        h = tower.pre_layrnorm(tower.embeddings(pixels))
        for layer in tower.encoder.layers:
            made = layer.adaLN_modulation(c)[:, None].chunk(6, dim=-1)
            shift_1, scale_1, gate_1, shift_2, scale_2, gate_2 = made
            seen, _ = layer.self_attn(layer.layer_norm1(h) * (1 + scale_1) + shift_1, attention_mask=None)
            h = h + gate_1 * seen
            h = h + gate_2 * layer.mlp(layer.layer_norm2(h) * (1 + scale_2) + shift_2)
        # shift before scale, as in every block and in DiT; the released final layer's order is inferred
        shift, scale = tower.adaLN_modulation(c).chunk(2, dim=-1)
        pooled = tower.post_layernorm(h[:, 0]) * (1 + scale) + shift
        return normalize(self.model.visual_projection(pooled), dim=-1)

    def read(self, tokens: Tensor) -> Tensor:
        """Unit embeddings [N, D] of token ids [N, L]; the text tower is the plain CLIP's."""
        return normalize(self.model.text_projection(self.model.text_model(tokens).pooler_output), dim=-1)

    def score(self, seen: Tensor, read: Tensor) -> Tensor:
        """exp(logit_scale) times the cosine, [N]."""
        return self.model.logit_scale.exp() * (seen * read).sum(-1)

    def added(self) -> dict[str, nn.Parameter]:
        """The parameters that a plain CLIP does not have."""
        return {name: p for name, p in self.named_parameters() if any(part in name for part in ADDED)}

    def load(self, state: Mapping[str, Tensor], source: str) -> None:
        """Takes over a released checkpoint, or one of the added parameters alone.

        Errors: CorruptError for names or shapes that do not fit, and for a state without the step-aware part.
        """
        known = {name: value for name, value in state.items() if not name.endswith("position_ids")}
        own = self.state_dict()
        absent = [name for name in self.added() if name not in known]
        wrong = [name for name, value in known.items() if name not in own or own[name].shape != value.shape]
        if absent or wrong:
            raise CorruptError(
                f"{source} is not a step-aware preference model of this size",
                f"{len(absent)} of its parameters are missing and {len(wrong)} do not fit, as {(absent + wrong)[0]}",
                "name the checkpoint that belongs to this CLIP",
            )
        self.load_state_dict(known, strict=False)
