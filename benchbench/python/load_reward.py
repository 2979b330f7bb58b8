"""``load_reward``."""

from __future__ import annotations

from benchbench import reward_calls
from benchbench.diffusion.backbones import pick_device
from benchbench.rewards import lookup
from benchbench.runtime.precision import exact_fp32
from benchbench.types import Reward


def load_reward(name: str, device: str | None = None) -> Reward:
    """Returns a reward with its weights, to score pictures in a loop of your own.

    ``score`` of the module scores many pictures at a time, and checks what a reward returns. From this call on the
    process computes in exact float32, as the rewards' scores are defined.

    Args:
        name: A reward (``bench list rewards``), a weighted mix such as ``"aesthetic=0.5,clip=0.5"``, or a server's
            address.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... Default: CUDA where there is one.

    Returns:
        The Reward. ``reward.score(images, prompts)`` takes N images of PIL and N prompts, and returns a tensor of N
        scores in ``reward.unit``.

    Raises:
        UsageError: There is no such reward.
        MissingError: Its weights are not here. The error names the command that fetches them.

    Example:
        >>> reward = bb.load_reward("shapes-clip")
        >>> reward.score([image], ["a red circle"])
    """
    reward_class = lookup.require(name)
    chosen = pick_device(device)
    exact_fp32()
    return reward_calls.load(reward_class, chosen)
