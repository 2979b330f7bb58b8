"""Kernels that give the same bits every time, where a GPU has them."""

from __future__ import annotations

import os


def use_deterministic_kernels() -> None:
    """Makes PyTorch choose kernels that repeat their bits; to be called before anything runs on a GPU.

    It costs speed. Where an operation has no such kernel PyTorch warns and takes the one there is.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
