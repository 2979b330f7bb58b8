"""Deterministic kernels, where a GPU has them."""

from __future__ import annotations

import os


def use_deterministic_kernels() -> None:
    """Makes PyTorch choose deterministic kernels, which are slower; call it before anything runs on a GPU.

    PyTorch warns where an operation has no deterministic kernel. Imports torch only here, after the variable is set.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    import torch

    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.backends.cudnn.benchmark = False
