"""Without a GPU: every method's rollout, losses and optimiser step on fake CUDA tensors, for SD 1.5 and SDXL.

It shows tensors on the wrong device or in the wrong precision, copies and reads inside the denoising loop, floating
point operations and live memory; it shows no speed and no rounding. Walks are short: every step asks the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchbench.diffusion.fake_cuda import Counted, LiveMemory, fake_cuda
from benchbench.noise import Noise
from benchbench.train.trainer import Trainer
from tests.gpu import models, rewards, runs
from tests.gpu.here import Found, Here
from tests.gpu.steps.waiting import calls

GIB = 2**30
MEMORY = 80 * GIB  # of the card that is pretended
MODELS = ("sd15", "sdxl")
IMAGES = 2
SHORT = ("sampler.steps=2",)
FULL = "diffusion-dpo, every weight"


def run(here: Here) -> None:
    """A part for each model and method."""
    for model in MODELS:
        for method in (*runs.ONLINE, *runs.OFFLINE):
            with here.part(f"{model}, {method}") as found:
                one(here, model, method, found)
    with here.part(f"sd15, {FULL}") as found:
        one(here, "sd15", "diffusion-dpo", found, "train.finetune=full")


def one(here: Here, model: str, method: str, found: Found, *overrides: str) -> None:
    """Copies and reads of the walk, TFLOP and live memory of a rollout and its optimiser step."""
    settings = [word for word in runs.words(method, IMAGES) if not word.startswith("method.steps")]
    settings += [] if method in (*runs.OFFLINE, "spo") else ["method.steps=[2]"]
    for write in (runs.picture_pairs, models.folder):  # while numbers are real
        write(here, model)
    rewards.files(here)
    with pretended(), LiveMemory() as live, Counted() as counted, FlopCounterMode(display=False) as flops:
        made = runs.trainer(here, method, *settings, *SHORT, *overrides, model=model)
        try:
            found["weights_gib"] = live.now / GIB
            if method in runs.ONLINE:
                _warm_up(made)
            before, seen = (counted.copies, len(counted.reads)), (0, 0)

            def look(_: int) -> None:
                nonlocal seen
                seen = (counted.copies - before[0], len(counted.reads) - before[1])

            live.reset_peak()
            operations = flops.get_total_flops()
            with calls(look):
                batch = runs.first_batch(made, IMAGES // made.parts.method.images(made.parts.cfg))
            found["copies_in_the_walk"], found["reads_in_the_walk"] = seen  # as they were after its last call
            made._learn(batch)
            found["tflop"] = (flops.get_total_flops() - operations) / 1e12
            found["peak_gib"], found["dtype"] = live.peak / GIB, made.parts.policy.backbone.dtype
            found["micro_batch"] = made.micro_batch
            found.check("the walk copies from the host's memory", seen[0] == 0)
            found.check("the walk reads values", seen[1] == 0)
        finally:
            runs.close(made)


def _warm_up(made: Trainer) -> None:
    """Texts are read and resizing is prepared once in a run, before the first walk needs them."""
    policy, prompts = made.parts.policy, list(made.parts.prompts.prompts[:IMAGES])
    policy.encode(prompts)
    with torch.no_grad():
        latents = torch.zeros(IMAGES, *policy.backbone.latent_shape, device="cuda")
        made.parts.reward(latents, prompts, "a warm-up", policy.schedule.tau[0])


@contextmanager
def pretended() -> Iterator[None]:
    """A CUDA device of 80 GB, of the Hopper generation, that answers what benchbench asks about it."""
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
