"""Sets how exactly a GPU multiplies float32 matrices: as float32, or as TF32, which keeps 10 bits of each factor.

PyTorch uses TF32 for cuDNN's convolutions unless it is told otherwise, so a score in float32 would not be exact.

The flags are written by their old names (``allow_tf32``), which keep the old and the new flags of PyTorch in agreement;
the compiler reads both kinds and fails where they differ. They are read by their new names, which never fail. The flags
hold for the whole process, and so also for the thread in which PyTorch computes gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

import torch

Precision = Literal["fp32", "tf32"]


def exact_fp32() -> None:
    """Switches TF32 off in this process, for matrix products and for cuDNN's convolutions."""
    _allow(False, False)


def tf32() -> AbstractContextManager[None]:
    """Allows TF32 within the block, then restores what held before."""
    return _within(True)


def arithmetic(precision: Precision, device: torch.device) -> AbstractContextManager[None]:
    """The precision of float32 products within the block, whatever holds outside; on a CPU nothing changes."""
    return _within(precision == "tf32") if device.type == "cuda" else nullcontext()


@contextmanager
def _within(allowed: bool) -> Iterator[None]:
    matmul, conv = torch.backends.cuda.matmul, torch.backends.cudnn.conv  # type: ignore[attr-defined]
    before = matmul.fp32_precision, conv.fp32_precision
    _allow(allowed, allowed)
    try:
        yield
    finally:
        _allow(*(kind == "tf32" for kind in before))


def _allow(products: bool, convolutions: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # some versions of PyTorch call the old names deprecated
        torch.backends.cuda.matmul.allow_tf32 = products
        torch.backends.cudnn.allow_tf32 = convolutions
