"""Step 9: compares generation and scoring with plain diffusers, and a saved adapter's image in both."""

from __future__ import annotations

from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from benchbench.rewards import lookup
from benchbench.runtime.precision import exact_fp32
from tests.bench.baselines import generate_and_score as plain
from tests.bench.parts.generation import generator
from tests.bench.setting import SAMPLER, Setting
from tests.gpu import models, rewards
from tests.gpu.context import PartResult, StepContext
from tests.gpu.profile import groups
from tests.gpu.steps.machine import peak

IMAGES = 64
BATCHES = (8, 16, 32)
ALONE = 3  # images of the loop with one prompt a call, which is slow
TFLOP = 34.6  # operations of an image: 20 guided steps and the decoder
LEAST, SHARE = 1.3, 40.0  # least speed over plain diffusers' best batch; percent of the matrix product peak
REWARD = "pickscore"
MEAN_DIFFERENCE, LARGEST_DIFFERENCE = 0.5, 8  # of 255, between ours and plain diffusers with the same adapter, in fp32


def run(context: StepContext) -> None:
    """Runs the parts without compiling first, so that they are done if time runs out, and the profile last."""
    shared = Shared(context, Bench("sd15", context.device, 1, context.fresh("images"), str(models.written(context))))
    with context.part("plain diffusers") as result:
        diffusers(shared, result)
    with context.part("ours, eager") as result:
        ours(shared, result, "eager")
    with context.part("scores") as result:
        scores(shared, result)
    with context.part("the adapter in plain diffusers") as result:
        same_image(shared, result)
    with context.part("ours, compiled") as result:
        ours(shared, result, "compiled")
    with context.part("share of the peak") as result:
        share_of_peak(shared, result)


class Bench(Setting):
    """A Setting whose prompts the tiny tokenizer knows."""

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """The prompts of ``animals``, twice."""
        from benchbench import prompts

        return tuple(prompts.load("animals").prompts) * 2


class Shared:
    """Holds what several parts use: models that are loaded once, and the speeds in images a second."""

    def __init__(self, context: StepContext, setting: Setting) -> None:
        self.context, self.setting = context, setting
        self.count, self.batch = (4, 2) if context.tiny else (IMAGES, 16)
        self.speeds: dict[str, float] = {}

    @cached_property
    def pipe(self) -> Any:
        """The pipeline of plain diffusers."""
        return plain.load_pipeline(self.setting.root, self.setting.device, self.setting.torch_dtype())

    @cached_property
    def eager(self) -> Any:
        """Our generator with default settings."""
        return generator(self.setting)

    @cached_property
    def compiled(self) -> Any:
        """Our generator with channels-last and, on a GPU, compiled blocks; on a CPU compiling takes minutes."""
        return generator(self.setting, compiled=self.context.cuda, channels_last=True)

    def store(self, variant: str) -> Path:
        """Returns the folder of the images of ``eager`` or ``compiled``."""
        return self.setting.work / variant


def diffusers(shared: Shared, result: PartResult) -> None:
    """Measures the pipeline at several batch sizes and with one prompt a call; it writes PNG files."""
    setting = shared.setting
    for batch in (1, *((2,) if shared.context.tiny else BATCHES)):
        many = ALONE if batch == 1 else batch
        with setting.fresh() as out:
            plain.generate(shared.pipe, setting.texts[:batch], out, batch, steps=2)
            make = partial(plain.generate, shared.pipe, setting.texts[:many], out, batch)
            speed = many / shared.context.seconds(make)
        result[f"{batch} a call, images/s"] = speed
        shared.speeds["alone" if batch == 1 else f"{batch}"] = speed


def ours(shared: Shared, result: PartResult, variant: str) -> None:
    """Measures generation into the store, after a first batch whose time includes compiling."""
    context, make, speeds = shared.context, getattr(shared, variant), shared.speeds
    with shared.setting.fresh() as store:
        result["seconds_to_warm_up"] = context.seconds(lambda: make(store, shared.batch, shared.batch))
    context.reset_peak()
    seconds = context.seconds(lambda: make(shared.store(variant), shared.count, shared.batch))
    speeds[variant] = result["images/s"] = shared.count / seconds
    result["peak_gib"] = context.peak_gib
    best = max((speed for name, speed in speeds.items() if name.isdigit()), default=0.0)
    if not best:  # plain diffusers did not run
        return
    result["over diffusers' best batch"], result["over one prompt a call"] = (
        speeds[variant] / best,
        speeds[variant] / speeds["alone"],
    )
    if variant == "compiled" and context.cuda:
        ratio = result["over diffusers' best batch"]
        result.check(f"{ratio:.2f} times diffusers' best batch, wanted {LEAST}", ratio >= LEAST)


def scores(shared: Shared, result: PartResult) -> None:
    """Measures an evaluation's own scoring, including making the reward and reading from the store."""
    from benchbench.evaluate.score import score

    context, store = shared.context, shared.store("eager")
    generated = shared.eager(store, shared.count, shared.batch)  # which are there already
    with rewards.random_weights(context):
        reward_class = lookup.get(REWARD)
        frames: list[Any] = []
        options = {"store": store, "device": context.device, "batch_size": 16, "log": lambda _: None}
        seconds = context.seconds(lambda: frames.extend(score(generated, [reward_class], **options)))  # type: ignore[arg-type]
    result["images/s"], result["scores"] = shared.count / seconds, len(frames[0])
    result.check("a score is not finite", bool(np.isfinite(frames[0].score).all()))


def share_of_peak(shared: Shared, result: PartResult) -> None:
    """Notes the share of the matrix product peak and, where it is below 40 %, the three largest other costs."""
    context, variant = shared.context, "compiled" if "compiled" in shared.speeds else "eager"
    result["peak_tflops"] = peak(context, shared.setting.torch_dtype())
    result["of"], result["percent_of_peak"] = variant, 100 * shared.speeds[variant] * TFLOP / result["peak_tflops"]
    if result["percent_of_peak"] < SHARE or context.tiny:
        with shared.setting.fresh() as store:
            result.update(groups(context, lambda: getattr(shared, variant)(store, shared.batch, shared.batch)))


def same_image(shared: Shared, result: PartResult) -> None:
    """Compares one image of a saved adapter by benchbench and by a pipeline given the same noise, in fp32."""
    from benchbench.diffusion import backbones
    from benchbench.diffusion.lora import add_lora, load_adapter, save_adapter
    from benchbench.diffusion.policy import make_policy
    from benchbench.diffusion.sample import sample
    from benchbench.noise import Noise, Sample

    exact_fp32()  # PyTorch's own default for convolutions is TF32
    folder, noise, samples = shared.setting.work / "adapter", Noise(0, "eval"), [Sample("a cat", 0)]
    folder.mkdir()
    trained = models.loaded(shared.context, "sd15", "fp32").network
    add_lora(trained, 4, 4.0, seed=0)
    models.move_adapter(trained)
    save_adapter(trained, folder)
    backbone = backbones.load(shared.setting.folder, shared.context.device, "fp32")
    policy = make_policy(backbone, **SAMPLER)  # type: ignore[arg-type]
    base = sample(policy, samples, noise)
    load_adapter(backbone.network, folder)
    ours_made = sample(policy, samples, noise)
    gap = np.abs(ours_made[0].astype(int) - _pipeline(shared, folder, policy, noise, samples).astype(int))
    result["mean_difference"], result["largest_difference"] = float(gap.mean()), int(gap.max())
    result["the adapter's own"] = float(np.abs(ours_made.astype(int) - base.astype(int)).mean())
    close = gap.mean() <= MEAN_DIFFERENCE and gap.max() <= LARGEST_DIFFERENCE
    result.check(f"more than {MEAN_DIFFERENCE} on average or {LARGEST_DIFFERENCE} somewhere, of 255", bool(close))


def _pipeline(shared: Shared, folder: Path, policy: Any, noise: Any, samples: Any) -> np.ndarray:
    """Returns the pipeline's picture from our noise, uint8 [H, W, 3]; changes the pipeline for good."""
    import torch
    from diffusers import DDIMScheduler

    from benchbench.diffusion.rollout import NoiseSource

    draws, pipe = NoiseSource(policy, noise, samples), shared.pipe.to(dtype=torch.float32)
    pipe.load_lora_weights(folder)
    k = iter(range(SAMPLER["steps"], 0, -1))  # type: ignore[call-overload]

    class Given(DDIMScheduler):
        """A DDIM scheduler that takes its noise from our NoiseSource."""

        def step(self, model_output: Any, timestep: Any, sample: Any, **_: Any) -> Any:
            z = draws.z(next(k))
            return super().step(model_output, timestep, sample, eta=1.0, variance_noise=z, return_dict=False)

    pipe.scheduler = Given.from_config(pipe.scheduler.config)
    generated = pipe(
        [samples[0].prompt],
        num_inference_steps=SAMPLER["steps"],
        guidance_scale=SAMPLER["guidance_scale"],
        latents=draws.start(),
        output_type="np",
    )
    picture: np.ndarray = (generated.images[0] * 255).round().astype(np.uint8)
    return picture
