"""What an evaluation makes images with: the base model, or it fine-tuned. Nothing is loaded until it is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.noise import Noise, Sample
from benchbench.store.runs import Adapter

if TYPE_CHECKING:
    import numpy as np


class ImageSampler(NamedTuple):
    """What draws uint8 [N, H, W, 3], and how many threads may ask it side by side."""

    draw: Callable[[Sequence[Sample], Noise], np.ndarray]
    threads: int


@dataclass(frozen=True)
class Subject:
    """A row of a table: its label, the hashes that its images are named by, and ``open``, which loads it."""

    label: str
    model_hash: str
    adapter_hash: str | None
    open: Callable[[], ImageSampler]


class Model:
    """A base model that is loaded when the first image is missing, and serves every adapter in turn."""

    def __init__(
        self,
        model: str | LocalModel,
        sampler: Mapping[str, Any],
        device: str,
        dtype: str,
        on_load: Callable[[Any], None],
        *,
        compiled: bool = False,
        channels_last: bool = False,
    ) -> None:
        self.model, self.sampler, self.device, self.dtype = models.find(model), sampler, device, dtype
        self.on_load = on_load  # is given the Backbone, once
        self.compiled, self.channels_last = compiled, channels_last
        self._backbone: Any = None

    def subject(self, label: str, adapter: Adapter | None) -> Subject:
        """The base (no adapter) or a fine-tuned model. At most one of a model's subjects may be in use at a time."""
        return Subject(label, self.model.hash, adapter.hash if adapter else None, lambda: self._open(adapter))

    def close(self) -> None:
        """Lets the weights go, so that the rewards find the memory free."""
        self._backbone = None

    def _open(self, adapter: Adapter | None) -> ImageSampler:
        from benchbench.diffusion import backbones
        from benchbench.diffusion.compile import speed_up
        from benchbench.diffusion.load_finetuned import with_weights
        from benchbench.diffusion.policy import make_policy
        from benchbench.diffusion.sample import sample

        if self._backbone is None:
            self._backbone = backbones.load(self.model, self.device, self.dtype)
            self.on_load(self._backbone)
            speed_up((self._backbone.network, self._backbone.vae), self.compiled, self.channels_last)
        backbone = with_weights(self._backbone, adapter.weights if adapter else None)
        if backbone.network is not self._backbone.network:
            speed_up((backbone.network, backbone.vae), self.compiled, self.channels_last)
        if adapter and adapter.weights.kind == "pipeline":
            self.close()  # nothing of the base is in use, and two whole models may be too much
        policy = make_policy(backbone, **self.sampler)
        return ImageSampler(partial(sample, policy), policy.threads)
