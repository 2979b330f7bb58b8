"""The versions of the authors' packages, and of what they need, in the order in which they are installed.

All of them work together in these versions: ImageReward imports functions of transformers that later ones lack, and
hpsv2 antialiases its resize from torchvision 0.17 on, as today's installations do.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from benchbench.runtime.hashing import digest

PYTHON = "3.10"
"""A Python for which all of them are published."""
GIGABYTES = 6
"""Disk space of the environment with torch for CUDA, which is what PyPI gives on Linux."""
MINUTES = 5


class Step(NamedTuple):
    """One call of pip."""

    title: str
    packages: tuple[str, ...]
    options: tuple[str, ...] = ()


STEPS = (
    Step("what builds packages", ("setuptools==69.5.1", "wheel==0.43.0", "numpy==1.26.4")),
    Step(
        "torch, transformers and others",
        (
            "pillow==10.4.0",
            "ftfy==6.3.1",
            "regex==2024.5.15",
            "numpy==1.26.4",
            "torch==2.2.2",
            "torchvision==0.17.2",
            "transformers==4.38.2",
            "timm==0.9.16",
            "huggingface_hub==0.23.4",
            "diffusers==0.27.2",
            "accelerate==0.27.2",
            "datasets==2.18.0",
            "open_clip_torch==2.24.0",
        ),
    ),
    # Their builds need the setuptools above; an isolated build would take the newest, which lacks pkg_resources.
    Step(
        "OpenAI's CLIP, fairscale and clint",
        ("openai-clip==1.0.1", "fairscale==0.4.13", "clint==0.5.1"),
        ("--no-build-isolation",),
    ),
    # Their own requirements exclude each other; what scoring needs of them stands above.
    Step("image-reward and hpsv2", ("image-reward==1.5", "hpsv2==1.2.0"), ("--no-deps",)),
)
VOCABULARY = ("open_clip", "hpsv2/src/open_clip", "bpe_simple_vocab_16e6.txt.gz")
"""A file that hpsv2's wheel lacks: from this package, into this one, by this name. It is the same file in both."""


def key() -> str:
    """Returns the digest of all that is installed; it names the environment's folder."""
    return digest([PYTHON, STEPS, VOCABULARY])


def version(package: str) -> str:
    """Returns ``NAME VERSION`` of a pinned package."""
    return next(pin.replace("==", " ") for step in STEPS for pin in step.packages if pin.partition("==")[0] == package)


def about() -> dict[str, Any]:
    """Returns what is installed, for a record."""
    return {"python": PYTHON, "packages": [pin for step in STEPS for pin in step.packages]}
