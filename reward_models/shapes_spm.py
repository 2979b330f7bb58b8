"""The shapes world's step-aware preference model: its preference score, told the timestep (SPO, arXiv:2406.04314)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from benchbench.api import StepScorer
from benchbench.shapes import WEIGHTS

from ._shapes import to_side
from .shapes_pref import ShapesPref

if TYPE_CHECKING:
    import torch

FILE = "spm.safetensors"


class ShapesSPM(ShapesPref, StepScorer):
    """exp(logit_scale) times the cosine, by shapes-pref's CLIP with adaLN layers trained on noisy predictions."""

    name: ClassVar[str] = "shapes-spm"

    @classmethod
    def missing(cls) -> str | None:
        """Both the preference score and what was added to it are needed."""
        if not (WEIGHTS / "spm" / FILE).is_file():
            return f"spm/{FILE} of the shapes world is not in {WEIGHTS}"
        return super().missing()

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        from safetensors.torch import load_file

        from ._adaln import StepAwareCLIP

        self.network = StepAwareCLIP(self.model)
        file = WEIGHTS / "spm" / FILE
        self.network.load({name: value.float() for name, value in load_file(file).items()}, str(file))
        self.network.requires_grad_(False).eval().to(device)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Of token ids [N, L]: [N, D]."""
        return self.network.read(tokens)

    def score_at(self, images: torch.Tensor, prompts: Sequence[str], tau: torch.Tensor) -> torch.Tensor:
        if len(images) != len(prompts):
            raise ValueError(f"{len(images)} images for {len(prompts)} prompts")
        if not len(images):
            return images.new_zeros(0)
        return self.network.score(self.network.see(2 * to_side(images) - 1, tau.to(images.device)), self.read(prompts))

    def score_differentiable(self, images: torch.Tensor, prompts: Sequence[str]) -> torch.Tensor:
        """Of finished pictures: at timestep 0."""
        import torch

        return self.score_at(images, prompts, torch.zeros((), dtype=torch.int64, device=images.device))
