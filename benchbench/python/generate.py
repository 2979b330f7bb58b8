"""``generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchbench import choice
from benchbench.evaluate.measure import BASE, prepare
from benchbench.python.calls import Prompts, Reference, call, prompts_of, reference, several, store_folder
from benchbench.store.runs import find_adapter

if TYPE_CHECKING:
    from PIL.Image import Image


def generate(
    model: str | Path | None = None,
    run: Reference | None = None,
    prompts: Prompts = (),
    *,
    seed: int = 0,
    images_per_prompt: int = 1,
    steps: int | None = None,
    guidance_scale: float | None = None,
    strength: float | None = None,
    batch_size: int | None = None,
    compiled: bool = False,
    channels_last: bool = False,
    dtype: str = "auto",
    store: str | Path | None = None,
    device: str | None = None,
    progress: bool = False,
) -> list[Image]:
    """Returns the pictures of a model, the same that ``evaluate`` and ``bench eval`` make and score.

    The noise of a picture depends on the seed, its prompt, the place of the prompt in the list or set, and its number,
    so that the same prompts, sampled alike, give the same pictures here and there. They are kept in the store, and a
    picture that is there is read. Made in a batch of another size, some values differ by 1 of 255, by rounding.

    Args:
        model: The base model. Default: that of the run, else sd15 where CUDA and its weights are, else shapes.
        run: The training: a Run, a run's id, a folder or file of weights, or a released checkpoint's name. None and
            ``"base"`` are the base model.
        prompts: A list of texts, a prompt set's name, or a file.
        seed: The seed of the pictures, one of ``eval_seeds`` of ``evaluate``.
        images_per_prompt: Pictures for each prompt.
        steps: Denoising steps. Default: those of the training, or 20.
        guidance_scale: The scale of classifier-free guidance. Default: that of the training, or 5.
        strength: Edit the pictures that the prompts name: the share of the steps that are taken (docs/editing.md).
        batch_size: Pictures at a time; changes memory and not results.
        compiled: Compile the network's blocks: faster on GPUs, changes rounding.
        channels_last: Use the channels-last memory layout: faster on GPUs, changes rounding.
        dtype: Precision of the network, ``auto``, ``fp32``, ``bf16`` or ``fp16``.
        store: The folder of images, scores and runs. Default: ``$BENCH_HOME``, else ``./bench-store``.
        device: ``cpu``, ``cuda``, ``cuda:1``, ... Default: CUDA where there is one.
        progress: Show the lines and the progress bar of ``bench eval``.

    Returns:
        RGB images of PIL: all pictures of the first prompt, then those of the second, and so on.

    Raises:
        UsageError: A name cannot be used, or a prompt has words that the model does not know.
        MissingError: Weights or the run are not here.
        CorruptError: The weights are damaged, or those of another model.
        RunError: The run is not finished, or the disk is full.

    Example:
        >>> images = bb.generate("shapes", run, ["a red circle", "two blue squares"], seed=0)
        >>> images[0]
    """
    with call("generate", progress) as log:
        folder = store_folder(store)
        adapter = None if run is None or run == BASE else find_adapter(folder, reference(run))
        settings = adapter.settings if adapter else {}
        chosen_model, _ = choice.choose_model(str(model) if model else settings.get("model"), device)
        edits = strength is not None
        resolved = choice.resolve(
            chosen_model, prompts_of(prompts), lambda: choice.RewardNames([]), lambda _: None, edits=edits
        )
        sampler = {"steps": steps, "guidance_scale": guidance_scale, "strength": strength}
        prepared = prepare(
            resolved.model,
            {adapter.label: [adapter]} if adapter else {BASE: []},
            resolved.prompts,
            (),
            store=folder,
            images_per_prompt=images_per_prompt,
            eval_seeds=several(seed, int),
            sampler={name: value for name, value in sampler.items() if value is not None},
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            compiled=compiled,
            channels_last=channels_last,
            log=log,
        )
        (by_seed,) = prepared.make().values()
        return [generation.images.read(sample) for generation in by_seed for sample in generation.entries]
