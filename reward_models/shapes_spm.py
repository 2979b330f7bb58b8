"""The shapes world's step-aware preference model: its preference score given the timestep (SPO, arXiv:2406.04314).

Imports torch and what needs it only inside functions: `bench list` reads the class attributes and must not load torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import StepScorer
from benchbench.shapes import WEIGHTS

from ._shapes import to_side
from .shapes_pref import ShapesPref

if TYPE_CHECKING:
    import torch

    from ._adaln import StepAwareCLIP


class ShapesSPM(ShapesPref, StepScorer):
    """exp(logit_scale) times the cosine, by the CLIP of shapes-pref with adaLN layers trained on noisy predictions."""

    name: ClassVar[str] = "shapes-spm"
    base: ClassVar[str] = "shapes"
    takes_own_file: ClassVar[bool] = False
    trained: ClassVar[str] = "spm/spm.safetensors"
    """The file of the parameters that were trained on noisy predictions; all others are those of shapes-pref."""

    @classmethod
    def missing(cls) -> str | None:
        """Returns which weights are missing, of the preference score or of those trained on predictions, or None."""
        if not (WEIGHTS / cls.trained).is_file():
            return f"{cls.trained} of the shapes world is not in {WEIGHTS}"
        return super().missing()

    @classmethod
    def weight_files(cls) -> list[Path]:
        """Returns the files of the preference score and of the parameters trained on predictions."""
        return [*super().weight_files(), WEIGHTS / cls.trained]

    @classmethod
    def network_class(cls) -> type[StepAwareCLIP]:
        """Returns the class of the network."""
        from ._adaln import StepAwareCLIP

        return StepAwareCLIP

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        from safetensors.torch import load_file

        self.network = self.network_class()(self.model)
        file = WEIGHTS / self.trained
        self.network.load({name: value.float() for name, value in load_file(file).items()}, str(file), added_only=True)
        self.network.requires_grad_(False).eval().to(device)

    def embed_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Returns unit embeddings [N, D] of token ids [N, L]."""
        return self.network.embed_text(tokens)

    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        """Returns scores [N] with a gradient, of images [N, 3, H, W] in [0, 1] at timestep ``tau``."""
        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        if not len(images):
            return images.new_zeros(0)
        vision = self.network.embed_images(2 * to_side(images) - 1, tau.to(images.device))
        return self.network.score(vision, self.embed_prompts(prompts))

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Returns scores [N] of finished images, that is at timestep 0."""
        import torch

        return self.score_at(images, prompts, torch.zeros((), dtype=torch.int64, device=images.device))
