"""Switches TF32 off when a learned reward is made, so that its scores are exact float32.

Imports torch only inside the function: `bench list` reads rewards and must not load torch.
"""

from __future__ import annotations


def use_exact_fp32() -> None:
    """Switches TF32 off in this process, for matrix products and for cuDNN's convolutions."""
    from benchbench.runtime.precision import exact_fp32

    exact_fp32()
