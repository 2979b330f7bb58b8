"""Sets how a GPU multiplies float32 matrices: in float32, or in TF32, which keeps 10 bits of each factor.

By default PyTorch uses TF32 for cuDNN's convolutions, so a float32 score would not be exact.

The flags are set by their old names (``allow_tf32``), which also sets PyTorch's new flags; the compiler reads both and
fails where they differ. They are read by their new names, which never fail. The flags hold for the whole process,
therefore also for the thread in which PyTorch computes gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "tf32"]


def exact_fp32() -> None:
    """Switches TF32 off in this process, for matrix products and cuDNN's convolutions."""
    _allow(False, False)


def tf32() -> AbstractContextManager[None]:
    """Returns a context that allows TF32 and restores the old flags at its end."""
    return _within(True)


def arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """Returns a context in which a GPU multiplies float32 in this precision; on a CPU it changes nothing."""
    return _within(precision == "tf32") if device.type == "cuda" else nullcontext()


@contextmanager
def _within(allowed: bool) -> Iterator[None]:
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    old_precisions = matmul.fp32_precision, conv.fp32_precision
    _allow(allowed, allowed)
    try:
        yield
    finally:
        _allow(*(precision == "tf32" for precision in old_precisions))


def _allow(products: bool, convolutions: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some versions of PyTorch call the old names deprecated
        torch.backends.cuda.matmul.allow_tf32 = products
        torch.backends.cudnn.allow_tf32 = convolutions
