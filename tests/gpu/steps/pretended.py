"""Runs every method's rollout, losses and optimizer step on fake CUDA tensors, for SD 1.5 and SDXL, without a GPU.

This shows tensors on the wrong device or in the wrong precision, copies and reads inside the denoising loop, floating
point operations and live memory, but no speed and no rounding. Two denoising steps are enough, since all are alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchbench.diffusion.fake_cuda import LiveMemory, OperationCounter, fake_cuda
from benchbench.noise import Noise
from benchbench.train.trainer import Trainer
from tests.gpu import models, rewards, runs
from tests.gpu.context import PartResult, StepContext
from tests.gpu.steps.waiting import calls

GIB = 2**30
MEMORY = 80 * GIB  # of the fake card
MODELS = ("sd15", "sdxl")
IMAGES = 2
SHORT = ("sampler.steps=2",)
FULL = "diffusion-dpo, every weight"


def run(context: StepContext) -> None:
    """Runs a part for each model and method."""
    for model in MODELS:
        for method in (*runs.ONLINE, *runs.OFFLINE):
            with context.part(f"{model}, {method}") as result:
                run_method(context, model, method, result)
    with context.part(f"sd15, {FULL}") as result:
        run_method(context, "sd15", "diffusion-dpo", result, "train.finetune=full")


def run_method(context: StepContext, model: str, method: str, result: PartResult, *overrides: str) -> None:
    """Notes the denoising loop's copies and reads, and TFLOP and live memory of a rollout with its optimizer step."""
    settings = [word for word in runs.small_settings(method, IMAGES) if not word.startswith("method.steps")]
    settings += [] if method in (*runs.OFFLINE, "spo", "diffusion-nft", "draft", "awm") else ["method.steps=[2]"]
    for write in (runs.picture_pairs, models.folder):  # these need real tensors
        write(context, model)
    rewards.files(context)
    with pretended(), LiveMemory() as live, OperationCounter() as counted, FlopCounterMode(display=False) as flops:
        trainer = runs.trainer(context, method, *settings, *SHORT, *overrides, model=model)
        try:
            result["weights_gib"] = live.now / GIB
            if method in runs.ONLINE:
                _warm_up(trainer)
            before, in_walk = (counted.copies, len(counted.reads)), (0, 0)

            def note_counts(_: int) -> None:
                nonlocal in_walk
                in_walk = (counted.copies - before[0], len(counted.reads) - before[1])

            live.reset_peak()
            operations = flops.get_total_flops()
            with calls(note_counts):
                batch = runs.first_batch(trainer, IMAGES // trainer.parts.method.images(trainer.parts.cfg))
            result["copies_in_the_walk"], result["reads_in_the_walk"] = in_walk  # as counted after its last call
            trainer._learn(batch)
            result["tflop"] = (flops.get_total_flops() - operations) / 1e12
            result["peak_gib"], result["dtype"] = live.peak / GIB, trainer.parts.policy.backbone.dtype
            result["micro_batch"] = trainer.micro_batch
            result.check("the walk copies from the host's memory", in_walk[0] == 0)
            result.check("the walk reads values", in_walk[1] == 0)
        finally:
            runs.close(trainer)


def _warm_up(trainer: Trainer) -> None:
    """Encodes prompts and prepares the reward, which a run does once, before its first denoising loop."""
    policy, prompts = trainer.parts.policy, list(trainer.parts.prompts.prompts[:IMAGES])
    policy.encode(prompts)
    with torch.no_grad():
        latents = torch.zeros(IMAGES, *policy.backbone.latent_shape, device="cuda")
        trainer.parts.step_reward(latents, prompts, "a warm-up", policy.schedule.tau[0])


@contextmanager
def pretended() -> Iterator[None]:
    """Imitates a CUDA device of the Hopper generation with 80 GB within the block."""
    properties = SimpleNamespace(
        total_memory=MEMORY, major=9, minor=0, name="a pretended GPU", multi_processor_count=132
    )
    answers = {
        "get_device_properties": lambda *_: properties,
        "get_device_capability": lambda *_: (9, 0),
        "get_device_name": lambda *_: properties.name,
        "mem_get_info": lambda *_: (MEMORY, MEMORY),
    }
    with ExitStack() as stack:
        for name, answer in answers.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        stack.enter_context(mock.patch.object(Noise, "permutation", lambda self, n, *_: list(range(n))))
        stack.enter_context(fake_cuda())
        yield
