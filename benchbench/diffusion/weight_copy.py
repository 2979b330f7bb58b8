"""A second set of the trained weights, which takes the place of the first within a block.

It holds the running average of a run (``train.ema``), or the old policy that a method samples with.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from benchbench.diffusion import lora_half


class WeightCopy:
    """One value for each trained parameter, of its shape, device and dtype float32; at first the parameter's own.

    ``used`` exchanges the storage of values and parameters: nothing is copied, no device is waited for, and a graph
    that was computed outside of the block keeps its weights, so that its backward pass stays right.
    """

    def __init__(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.values = [parameter.detach().clone() for parameter in self.parameters]

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Moves the values to decay values + (1 - decay) parameters; a decay of 0 copies the parameters."""
        for value, parameter in zip(self.values, self.parameters, strict=True):
            value.lerp_(parameter, 1 - decay)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Makes the network compute with the values within the block; ``values`` are the parameters' own then."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self) -> None:
        for i, parameter in enumerate(self.parameters):
            parameter.data, self.values[i] = self.values[i], parameter.data
        lora_half.weights_changed()  # an exchange raises no version


def averaging_decay(most: float, updates: int) -> float:
    """Returns the decay of a running average after ``updates`` optimizer steps: min(most, (1 + n)/(10 + n)).

    The average of a short run then does not keep the weights of its start; diffusers' EMAModel warms up so.
    """
    return min(most, (1 + updates) / (10 + updates))
