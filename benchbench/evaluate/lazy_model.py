"""A base model that generates images for an evaluation, by itself or fine-tuned; loaded when an image is missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchbench.diffusion import backbones, lora_file, single_file
from benchbench.diffusion.backbones import Backbone
from benchbench.diffusion.compile import speed_up
from benchbench.diffusion.edit import edit
from benchbench.diffusion.load_finetuned import with_weights
from benchbench.diffusion.policy import make_policy
from benchbench.diffusion.sample import sample
from benchbench.evaluate.evaluated_model import EvaluatedModel, ImageGenerator
from benchbench.hub import models
from benchbench.hub.models import LocalModel
from benchbench.samplers import steps_taken
from benchbench.store.runs import Adapter


class LazyModel:
    """A base model that is loaded when the first image is missing, and serves every adapter in turn.

    ``sampler`` is the arguments of ``make_policy`` and, where sources are edited, the strength. ``on_load`` is called
    once, with the loaded Backbone.
    """

    def __init__(
        self,
        model: str | LocalModel,
        sampler: Mapping[str, Any],
        device: str,
        dtype: str,
        on_load: Callable[[Backbone], None],
        *,
        compiled: bool = False,
        channels_last: bool = False,
        shared_start: bool = False,
    ) -> None:
        self.model, self.sampler, self.device, self.dtype = models.find(model), sampler, device, dtype
        self.on_load = on_load
        self.compiled, self.channels_last, self.shared_start = compiled, channels_last, shared_start
        self._backbone: Backbone | None = None
        self._to_check: list[Path] = []

    def with_adapter(self, label: str, adapter: Adapter | None) -> EvaluatedModel:
        """Returns the base model (no adapter) or a fine-tuned one. Only the one that was opened last may be used."""
        return EvaluatedModel(label, self.model.hash, adapter.hash if adapter else None, lambda: self._open(adapter))

    def check(self, adapter: Adapter | None) -> None:
        """Raises CorruptError for a single file whose tensors do not fit; no image has been made by then.

        A LoRA from elsewhere is checked once the base model is loaded, which is before the first image, too.
        """
        if adapter and adapter.weights.kind == "single-file":
            single_file.check(adapter.weights.path, self.model)
        elif adapter and adapter.weights.kind == "lora" and adapter.run is None:
            self._to_check.append(adapter.weights.path)

    def close(self) -> None:
        """Releases the weights, so that rewards have the memory."""
        self._backbone = None

    def _open(self, adapter: Adapter | None) -> ImageGenerator:
        base = self._backbone
        if base is None:
            base = self._backbone = backbones.load(self.model, self.device, self.dtype)
            self.on_load(base)
            for path in self._to_check:
                lora_file.read(path, base.network)
            speed_up((base.network, base.vae), self.compiled, self.channels_last)
        backbone = with_weights(base, adapter.weights if adapter else None)
        if backbone.network is not base.network:
            speed_up((backbone.network, backbone.vae), self.compiled, self.channels_last)
        if adapter and adapter.weights.kind == "pipeline":
            del base
            self.close()  # the pipeline replaces the base model, and memory may not hold both
        policy = make_policy(backbone, **{key: value for key, value in self.sampler.items() if key != "strength"})
        if "strength" in self.sampler:
            make = partial(edit, policy, steps_taken(self.sampler), shared_start=self.shared_start)
            return ImageGenerator(make, policy.threads)
        return ImageGenerator(partial(sample, policy, shared_start=self.shared_start), policy.threads)
