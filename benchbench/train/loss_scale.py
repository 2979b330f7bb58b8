"""The scaled loss of fp16: small gradients are lifted out of fp16's underflow, and overflows skip an optimiser step.

The rule is that of torch.amp.GradScaler (2^16 at first, twice as much after 2000 steps without an overflow, half as
much after one). It stands here because the loop looks at the gradient norm anyway: one read of the device decides
both whether the step is taken and what the clipping does, and it is the norm of the *summed* gradients of all
processes, so that all of them decide alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchbench.errors import RunError

GROWTH, BACKOFF = 2.0, 0.5
PATIENCE = 2000  # steps without an overflow before the scale grows
MOST_SKIPPED = 10  # steps in a row; more than the scale's start can explain


@dataclass
class LossScale:
    """The factor on the loss before the backward pass. Only fp16 uses it."""

    enabled: bool
    scale: float = 2.0**16
    good: int = 0
    """Optimiser steps since the scale last changed."""
    skipped: int = 0
    """Optimiser steps skipped in a row."""

    def __call__(self, loss: Tensor) -> Tensor:
        """The loss to differentiate, a float32 scalar."""
        return loss * self.scale if self.enabled else loss

    @torch.no_grad()
    def unscale(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Divides the float32 gradients by the scale; to be called after they were summed and before clipping."""
        if self.enabled:
            torch._foreach_mul_([p.grad for p in parameters if p.grad is not None], 1.0 / self.scale)

    def accept(self, finite: bool, where: str) -> bool:
        """Returns True where the optimiser may take this step, and moves the scale.

        Errors: RunError after MOST_SKIPPED steps in a row with a gradient that is not finite.
        """
        if finite:
            self.skipped, self.good = 0, self.good + 1
            if self.good == PATIENCE:
                self.scale, self.good = self.scale * GROWTH, 0
            return True
        self.scale, self.good, self.skipped = self.scale * BACKOFF, 0, self.skipped + 1
        if self.skipped == MOST_SKIPPED:
            raise RunError(
                f"{MOST_SKIPPED} optimiser steps in a row were skipped: gradients overflow fp16",
                f"{where}; the loss scale has fallen to {self.scale:g} and they still are not finite",
                "lower train.lr, or train in another precision: --set train.dtype=bf16 or fp32",
            )
        return False

    def state(self) -> dict[str, Any]:
        """JSON-able, for a checkpoint; empty where the loss is not scaled."""
        return asdict(self) if self.enabled else {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Takes over what ``state`` gave."""
        for name, value in state.items():
            setattr(self, name, value)
