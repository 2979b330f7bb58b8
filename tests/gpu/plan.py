"""Lists the steps of the acceptance run in their order, with the seconds that each may take."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

PARTS = ("first", "more")


@dataclass(frozen=True)
class Step:
    """One step: its number in the specification, its name, which of the two commands runs it, and its time limit."""

    number: int
    name: str
    part: str
    seconds: int
    title: str

    @property
    def module(self) -> Any:
        """The step's module, whose ``run`` takes a StepContext."""
        return import_module(f"tests.gpu.steps.{self.name}")


STEPS = (
    Step(1, "machine", "first", 80, "versions, matrix multiplication speed, pytest -m gpu"),
    Step(3, "methods", "first", 115, "a rollout, a loss and an optimizer step of every method"),
    Step(4, "precision", "first", 80, "gradients, first ratio and logits in half precision and TF32 against fp32"),
    Step(6, "memory", "first", 110, "training and evaluation with the memory of a 24 GB and of a 40 GB card"),
    Step(9, "generate", "first", 175, "64 images and their scores against plain diffusers"),
    Step(2, "waiting", "more", 60, "no denoising loop waits for the device"),
    Step(5, "forward", "more", 120, "one forward of the UNet: eager, with an adapter, channels-last, compiled"),
    Step(7, "resume", "more", 120, "bench train killed with SIGKILL and resumed"),
    Step(8, "sdxl", "more", 60, "SDXL: one evaluation batch and one TailorPO rollout"),
    Step(10, "iteration", "more", 120, "TailorPO and D3PO iterations against straightforward ones"),
)
"""The steps in the order in which they run. The limits, 560 and 480 seconds, have a margin over an H200's times."""


PRETENDED = Step(0, "pretended", "none", 900, "every method's training code on fake CUDA tensors, without a GPU")


def named(name: str) -> Step:
    """Returns the step of this name, which may be ``PRETENDED``."""
    return next(step for step in (*STEPS, PRETENDED) if step.name == name)


def chosen(part: str, only: str) -> list[Step]:
    """Returns the steps of a part, or those that ``only`` lists (names or numbers, separated by commas), in order.

    Errors: SystemExit for a name that no step has.
    """
    words = [word.strip() for word in only.split(",") if word.strip()]
    if not words:
        return [step for step in STEPS if step.part == part]
    known = {key: step for step in STEPS for key in (step.name, str(step.number))}
    unknown = [word for word in words if word not in known]
    if unknown:
        names = ", ".join(f"{step.number} {step.name}" for step in STEPS)
        raise SystemExit(f"error: no step {', '.join(unknown)}\n  why: the steps are {names}\n  try: --only methods")
    picked = {known[word] for word in words}
    return [step for step in STEPS if step in picked]
