"""The checkpoints that authors released, by short names: repository, layout and licence. Imports no torch.

Ids, layouts and licences are from the authors' pages and from code that loads the checkpoints; none was loaded here.
No revision is known here: the first fetch records revision and hashes in the lock, and a later change is an error.
"""

from __future__ import annotations

from dataclasses import dataclass

UNET = ("unet/config.json", "unet/diffusion_pytorch_model*")
ROOT = ("config.json", "diffusion_pytorch_model*")
PIPELINE = (
    "model_index.json",
    "scheduler/*.json",
    "tokenizer/*",
    "tokenizer_2/*",
    "*/config.json",
    "unet/diffusion_pytorch_model*",
    "vae/diffusion_pytorch_model*",
    "text_encoder/*model*",
    "text_encoder_2/*model*",
)


@dataclass(frozen=True)
class AuthorsSampler:
    """The sampler of the authors' own examples; no file records it."""

    guidance_scale: float
    steps: int | None = None
    """None: they do not state it."""
    name: str = ""
    """The sampler, such as DDIM; empty: they do not state it, or take the pipeline's own."""
    vae: str = ""
    """The hub id of a VAE that they use in place of the base model's."""
    of_training: bool = False
    """True where only the sampler of their training is known."""

    @property
    def settings(self) -> dict[str, float]:
        """Returns the settings that the authors state, by the names of our own sampler's."""
        steps = {} if self.steps is None else {"steps": self.steps}
        return {**steps, "guidance_scale": self.guidance_scale}

    def __str__(self) -> str:
        steps = [f"{self.steps} {f'{self.name} ' if self.name else ''}steps"] if self.steps else []
        vae = [f"VAE {self.vae}"] if self.vae else []
        words = ", ".join([*steps, f"guidance {self.guidance_scale:g}", *vae])
        return f"{words} (its training)" if self.of_training else words


@dataclass(frozen=True)
class Released:
    """A released checkpoint. ``files`` are patterns of the files to fetch; ``base`` is the fine-tuned model."""

    method: str
    base: str
    repo: str
    files: tuple[str, ...]
    layout: str
    licence: str
    sampler: AuthorsSampler


def _ddpo(reward: str, layout: str = "pipeline", licence: str = "not stated") -> Released:
    sampler = AuthorsSampler(5, steps=50, name="DDIM", of_training=True)
    return Released("ddpo", "sd14", f"kvablack/ddpo-{reward}", PIPELINE, layout, licence, sampler)


RELEASED: dict[str, Released] = {
    "diffusion-dpo-sd15": Released(
        "diffusion-dpo",
        "sd15",
        "mhdang/dpo-sd1.5-text2image-v1",
        UNET,
        "UNet in a subfolder, 3.4 GB",
        "openrail++",
        AuthorsSampler(7.5, steps=50),
    ),
    "diffusion-dpo-sdxl": Released(
        "diffusion-dpo",
        "sdxl",
        "mhdang/dpo-sdxl-text2image-v1",
        UNET,
        "UNet in a subfolder, 10.3 GB",
        "openrail++",
        AuthorsSampler(5, steps=50),
    ),
    "spo-sd15": Released(
        "spo",
        "sd15",
        "SPO-Diffusion-Models/SPO-SD-v1-5_4k-p_10ep_LoRA",
        ("spo-sd-v1-5_4k-p_10ep_lora_diffusers.safetensors",),
        "LoRA, 3.2 MB",
        "Apache-2.0",
        AuthorsSampler(7.5),
    ),
    "spo-sd15-merged": Released(
        "spo",
        "sd15",
        "SPO-Diffusion-Models/SPO-SD-v1-5_4k-p_10ep",
        PIPELINE,
        "merged pipeline",
        "Apache-2.0",
        AuthorsSampler(7.5),
    ),
    "spo-sdxl": Released(
        "spo",
        "sdxl",
        "SPO-Diffusion-Models/SPO-SDXL_4k-p_10ep_LoRA",
        ("spo_sdxl_10ep_4k-data_lora_diffusers.safetensors",),
        "LoRA, 372 MB",
        "Apache-2.0",
        AuthorsSampler(5),
    ),
    "spo-sdxl-merged": Released(
        "spo",
        "sdxl",
        "SPO-Diffusion-Models/SPO-SDXL_4k-p_10ep",
        PIPELINE,
        "merged pipeline",
        "Apache-2.0",
        AuthorsSampler(5),
    ),
    "diffusion-kto-sd15": Released(
        "diffusion-kto",
        "sd15",
        "jacklishufan/diffusion-kto",
        UNET,
        "UNet in a subfolder, 1.7 GB in fp16",
        "not stated",
        AuthorsSampler(7, steps=50),
    ),
    "mapo-sdxl": Released(
        "mapo",
        "sdxl",
        "mapo-t2i/mapo-beta",
        ROOT,
        "UNet at the root, 10.3 GB",
        "openrail++",
        AuthorsSampler(5, steps=30, vae="madebyollin/sdxl-vae-fp16-fix"),
    ),
    "ddpo-aesthetic-sd14": _ddpo("aesthetic"),
    "ddpo-compressibility-sd14": _ddpo("compressibility"),
    "ddpo-incompressibility-sd14": _ddpo("incompressibility"),
    "ddpo-alignment-sd14": _ddpo("alignment", "pipeline of torch .bin files", "creativeml-openrail-m"),
}
