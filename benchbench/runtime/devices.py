"""The names of devices, and the GPUs that this process may use."""

from __future__ import annotations

import os
import re

from benchbench.errors import UsageError

KINDS = ("cpu", "cuda", "mps", "xpu", "meta")
"""The kinds of devices that a name may begin with."""
VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus() -> tuple[str, ...]:
    """Returns the ids of the CUDA devices, as CUDA_VISIBLE_DEVICES has them: ``0``, ``GPU-8932f937``, ``MIG-...``.

    Where the variable is set it is believed, as CUDA does: ids after an empty or a negative one do not count.
    """
    text = os.environ.get(VISIBLE)
    if text is None:
        import torch  # takes seconds, and the variable may answer without it

        return tuple(str(i) for i in range(torch.cuda.device_count()))
    found: list[str] = []
    for word in (word.strip() for word in text.split(",")):
        if not word or word.startswith("-"):
            break
        found.append(word)
    return tuple(found)


def check_name(device: str | None) -> None:
    """Raises UsageError for a word that names no device. Whether the device is there, only torch can tell."""
    if device is not None and not re.fullmatch(rf"({'|'.join(KINDS)})(:\d+)?", device):
        raise UsageError(
            f"device {device!r} cannot be used", "it is no device, as cpu, cuda and cuda:1 are", "see `bench doctor`"
        )
