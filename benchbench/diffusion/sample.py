"""Generates images of a policy, for evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from benchbench.diffusion.decode import to_uint8
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.rollout import walk
from benchbench.noise import Noise, Sample


@torch.no_grad()
def sample(policy: Policy, samples: Sequence[Sample], noise: Noise, shared_start: bool = False) -> np.ndarray:
    """Returns uint8 [N, H, W, 3]; each image depends on the seed and its sample alone, not on the batch.

    With ``shared_start`` the images of one prompt start from one x_T.
    """
    return to_uint8(policy.decoder(walk(policy, samples, noise, shared_start)))
