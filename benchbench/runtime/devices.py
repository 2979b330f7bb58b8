"""The GPUs that this process may use."""

from __future__ import annotations

import os

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
