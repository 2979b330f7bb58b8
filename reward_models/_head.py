"""The head of the aesthetic predictor and of ImageReward: five linear layers without activations."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from ._weights import State, fill, need

LINEAR = (0, 2, 4, 6, 7)
"""Indices of the linear layers; the layers between are dropout, which evaluation skips."""


class Head(nn.Module):
    """Maps embeddings [N, D] to scores [N]. Its tensors are ``layers.{0,2,4,6,7}.{weight,bias}``."""

    def __init__(self, state: State, path: Path) -> None:
        super().__init__()
        shapes = [need(state, f"layers.{i}.weight", path).shape for i in LINEAR]

        def make() -> nn.ModuleDict:
            return nn.ModuleDict(
                {"layers": nn.ModuleDict({str(i): nn.Linear(n, m) for i, (m, n) in zip(LINEAR, shapes, strict=True)})}
            )

        self.stack = fill(make, state, path)

    def forward(self, x: Tensor) -> Tensor:
        """Returns scores [N] of embeddings [N, D]."""
        for layer in self.stack["layers"].values():  # type: ignore[operator]
            x = layer(x)
        return x.squeeze(-1)
