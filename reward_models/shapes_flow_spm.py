"""The step-aware preference model of shapes-flow, the shapes world's flow-matching model."""

from __future__ import annotations

from typing import ClassVar

from .shapes_spm import ShapesSPM


class ShapesFlowSPM(ShapesSPM):
    """Scores like shapes-spm, with layers that were trained on the predictions of shapes-flow.

    The timestep is 1000 sigma, which need not be a whole number.
    """

    name: ClassVar[str] = "shapes-flow-spm"
    version: ClassVar[str] = "shapes-2"
    base: ClassVar[str] = "shapes-flow"
    trained: ClassVar[str] = "flow/spm/spm.safetensors"
