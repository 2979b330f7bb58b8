"""Step 9: images and their scores against plain diffusers, and a saved adapter in both."""

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
from tests.gpu.here import Found, Here
from tests.gpu.profile import groups
from tests.gpu.steps.machine import peak

IMAGES = 64
BATCHES = (8, 16, 32)
ALONE = 3  # images of the one-prompt loop, which is slow
TFLOP = 34.6  # of an image: 20 guided steps and the decoder
LEAST, SHARE = 1.3, 40.0  # times plain diffusers' best batch; percent of the matrix multiplication peak
REWARD = "pickscore"
MEAN_DIFFERENCE, LARGEST_DIFFERENCE = 0.5, 8  # of 255, between ours and plain diffusers with the same adapter, in fp32


def run(here: Here) -> None:
    """Runs the parts without compiling first, so that a cut leaves them, and the profile last."""
    kept = Kept(here, Bench("sd15", here.device, 1, here.fresh("images"), str(models.written(here))))
    with here.part("plain diffusers") as found:
        diffusers(kept, found)
    with here.part("ours, eager") as found:
        ours(kept, found, "eager")
    with here.part("scores") as found:
        scores(kept, found)
    with here.part("the adapter in plain diffusers") as found:
        same_image(kept, found)
    with here.part("ours, compiled") as found:
        ours(kept, found, "compiled")
    with here.part("share of the peak") as found:
        share(kept, found)


class Bench(Setting):
    """Prompts of letters that the tiny tokenizer knows, and as many images as the size allows."""

    @cached_property
    def texts(self) -> tuple[str, ...]:
        """Prompts, all different."""
        from benchbench import prompts

        return tuple(prompts.load("animals").prompts) * 2


class Kept:
    """Holds what several parts use: models that are loaded once, and the images a second of each way."""

    def __init__(self, here: Here, setting: Setting) -> None:
        self.here, self.setting = here, setting
        self.count, self.batch = (4, 2) if here.tiny else (IMAGES, 16)
        self.speeds: dict[str, float] = {}

    @cached_property
    def pipe(self) -> Any:
        """Plain diffusers' pipeline."""
        return plain.load_pipeline(self.setting.root, self.setting.device, self.setting.torch_dtype())

    @cached_property
    def eager(self) -> Any:
        """Our generator as it is without settings."""
        return generator(self.setting)

    @cached_property
    def compiled(self) -> Any:
        """Our generator with channels-last and, on a GPU, compiled blocks; a CPU compiles for minutes."""
        return generator(self.setting, compiled=self.here.cuda, channels_last=True)

    def store(self, kind: str) -> Path:
        """Returns the folder of one way's images."""
        return self.setting.work / kind


def diffusers(kept: Kept, found: Found) -> None:
    """Images a second of the pipeline at several batch sizes, and one prompt a call; PNG files are written."""
    setting = kept.setting
    for batch in (1, *((2,) if kept.here.tiny else BATCHES)):
        many = ALONE if batch == 1 else batch
        with setting.fresh() as out:
            plain.generate(kept.pipe, setting.texts[:batch], out, batch, steps=2)
            make = partial(plain.generate, kept.pipe, setting.texts[:many], out, batch)
            speed = many / kept.here.seconds(make)
        found[f"{batch} a call, images/s"] = speed
        kept.speeds["alone" if batch == 1 else f"{batch}"] = speed


def ours(kept: Kept, found: Found, kind: str) -> None:
    """Images a second into the store; a batch is made before, and says how long compiling takes."""
    here, make, speeds = kept.here, getattr(kept, kind), kept.speeds
    with kept.setting.fresh() as store:
        found["seconds_to_warm_up"] = here.seconds(lambda: make(store, kept.batch, kept.batch))
    here.reset_peak()
    seconds = here.seconds(lambda: make(kept.store(kind), kept.count, kept.batch))
    speeds[kind] = found["images/s"] = kept.count / seconds
    found["peak_gib"] = here.peak_gib
    best = max((speed for name, speed in speeds.items() if name.isdigit()), default=0.0)
    if not best:  # plain diffusers did not run
        return
    found["over diffusers' best batch"], found["over one prompt a call"] = (
        speeds[kind] / best,
        speeds[kind] / speeds["alone"],
    )
    if kind == "compiled" and here.cuda:
        ratio = found["over diffusers' best batch"]
        found.check(f"{ratio:.2f} times diffusers' best batch, wanted {LEAST}", ratio >= LEAST)


def scores(kept: Kept, found: Found) -> None:
    """Images a second through an evaluation's own scoring, the reward's making and reading from the store included."""
    from benchbench.evaluate.score import score

    here, store = kept.here, kept.store("eager")
    made = kept.eager(store, kept.count, kept.batch)  # which are there already
    with rewards.random_weights(here):
        kind = lookup.get(REWARD)
        frames: list[Any] = []
        options = {"store": store, "device": here.device, "batch_size": 16, "log": lambda _: None}
        seconds = here.seconds(lambda: frames.extend(score(made, [kind], **options)))  # type: ignore[arg-type]
    found["images/s"], found["scores"] = kept.count / seconds, len(frames[0])
    found.check("a score is not finite", bool(np.isfinite(frames[0].score).all()))


def share(kept: Kept, found: Found) -> None:
    """Returns the share of the matrix multiplication peak; below 40 % also the three largest other costs."""
    here, kind = kept.here, "compiled" if "compiled" in kept.speeds else "eager"
    found["peak_tflops"] = peak(here, kept.setting.torch_dtype())
    found["of"], found["percent_of_peak"] = kind, 100 * kept.speeds[kind] * TFLOP / found["peak_tflops"]
    if found["percent_of_peak"] < SHARE or here.tiny:
        with kept.setting.fresh() as store:
            found.update(groups(here, lambda: getattr(kept, kind)(store, kept.batch, kept.batch)))


def same_image(kept: Kept, found: Found) -> None:
    """One image of an adapter that benchbench saved, by benchbench and by a pipeline given the same noise, in fp32."""
    from benchbench.diffusion import backbones
    from benchbench.diffusion.lora import add_lora, load_adapter, save_adapter
    from benchbench.diffusion.policy import make_policy
    from benchbench.diffusion.sample import sample
    from benchbench.noise import Noise, Sample

    exact_fp32()  # PyTorch's own default for convolutions is TF32
    folder, noise, of = kept.setting.work / "adapter", Noise(0, "eval"), [Sample("a cat", 0)]
    folder.mkdir()
    trained = models.loaded(kept.here, "sd15", "fp32").network
    add_lora(trained, 4, 4.0, seed=0)
    models.move_adapter(trained)
    save_adapter(trained, folder)
    backbone = backbones.load(kept.setting.folder, kept.here.device, "fp32")
    policy = make_policy(backbone, **SAMPLER)  # type: ignore[arg-type]
    base = sample(policy, of, noise)
    load_adapter(backbone.network, folder)
    ours_made = sample(policy, of, noise)
    gap = np.abs(ours_made[0].astype(int) - _pipeline(kept, folder, policy, noise, of).astype(int))
    found["mean_difference"], found["largest_difference"] = float(gap.mean()), int(gap.max())
    found["the adapter's own"] = float(np.abs(ours_made.astype(int) - base.astype(int)).mean())
    close = gap.mean() <= MEAN_DIFFERENCE and gap.max() <= LARGEST_DIFFERENCE
    found.check(f"more than {MEAN_DIFFERENCE} on average or {LARGEST_DIFFERENCE} somewhere, of 255", bool(close))


def _pipeline(kept: Kept, folder: Path, policy: Any, noise: Any, of: Any) -> np.ndarray:
    """The pipeline's picture from our noise, uint8 [H, W, 3]; the pipeline is of no further use."""
    import torch
    from diffusers import DDIMScheduler

    from benchbench.diffusion.rollout import NoiseSource

    draws, pipe = NoiseSource(policy, noise, of), kept.pipe.to(dtype=torch.float32)
    pipe.load_lora_weights(folder)
    k = iter(range(SAMPLER["steps"], 0, -1))  # type: ignore[call-overload]

    class Given(DDIMScheduler):
        """Takes its noise from ours."""

        def step(self, model_output: Any, timestep: Any, sample: Any, **_: Any) -> Any:
            z = draws.z(next(k))
            return super().step(model_output, timestep, sample, eta=1.0, variance_noise=z, return_dict=False)

    pipe.scheduler = Given.from_config(pipe.scheduler.config)
    made = pipe(
        [of[0].prompt],
        num_inference_steps=SAMPLER["steps"],
        guidance_scale=SAMPLER["guidance_scale"],
        latents=draws.start(),
        output_type="np",
    )
    picture: np.ndarray = (made.images[0] * 255).round().astype(np.uint8)
    return picture
