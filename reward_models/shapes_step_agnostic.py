"""The shapes world's step-aware preference model without the timestep: what seeing noise brings by itself.

Imports the network only inside a function: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from .shapes_spm import ShapesSPM

if TYPE_CHECKING:
    from ._adaln import StepAwareCLIP


class ShapesStepAgnostic(ShapesSPM):
    """exp(logit_scale) times the cosine, by the CLIP of shapes-pref whose image tower was trained on noisy predictions.

    It learned from the same predictions as shapes-spm, but is not told their timestep and has no adaptive norm
    (SPO's Table 4, the step-agnostic row).
    """

    name: ClassVar[str] = "shapes-step-agnostic"
    trained: ClassVar[str] = "step-agnostic/spm.safetensors"

    @classmethod
    def network_class(cls) -> type[StepAwareCLIP]:
        """Returns the class of the network."""
        from ._agnostic import StepAgnosticCLIP

        return StepAgnosticCLIP
