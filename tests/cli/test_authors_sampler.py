"""``bench eval`` says how the authors of a released checkpoint sample, and samples so where it is asked to."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants

from benchbench.evaluate.authors_sampler import notes
from benchbench.hub.models import LocalModel
from benchbench.hub.released import RELEASED, AuthorsSampler
from benchbench.hub.weights import Weights
from benchbench.samplers import SamplerConfig
from benchbench.store.runs import Adapter
from tests.cli.conftest import Bench
from tests.evaluate.released import cached, write_lora


@pytest.fixture
def argv(tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """A table of one prompt; SPO's LoRA and, as it is a file of no other kind, three more lie in the cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    for number, name in enumerate(("spo-sd15", "spo-sdxl", "diffusion-dpo-sd15", "diffusion-kto-sd15")):
        cached(tmp_path / "hub", RELEASED[name].repo, write_lora(tiny_sd, tmp_path / f"lora{number}", "diffusers"))
    (tmp_path / "one.txt").write_text("a cat\n")
    words = ["eval", "--model", tiny_sd, "--prompts", tmp_path / "one.txt", "--rewards", "jpeg_compressibility"]
    return [*words, "--images-per-prompt", 1, "--device", "cpu"]


def used(steps: int, guidance: float) -> str:
    return f"sampler steps {steps}, eta 1, guidance scale {guidance:g}"


def test_the_difference_is_said_and_theirs_is_used_when_asked(bench: Bench, argv: list[object]) -> None:
    """The base model's row, too, is then sampled so; the images of one sampler are those of the same by its numbers."""
    plain = bench(*argv, "--checkpoint", "diffusion-dpo-sd15", "--steps", 2)
    assert plain.code == 0, plain.err
    assert (
        "diffusion-dpo-sd15: its authors' sampler is 50 steps, guidance 7.5; this table uses 2 steps, guidance 5 "
        "(benchbench samples with DDIM); --authors-sampler uses theirs for every row"
    ) in plain.out and used(2, 5) in plain.text
    theirs = bench(*argv, "--checkpoint", "diffusion-dpo-sd15", "--authors-sampler")
    assert theirs.code == 0, theirs.err
    assert used(50, 7.5) in theirs.text and "made 2 images" in theirs.out and "its authors" not in theirs.out
    said = bench(*argv, "--checkpoint", "diffusion-dpo-sd15", "--steps", 50, "--guidance-scale", 7.5)
    assert used(50, 7.5) in said.text and "made 0 images" in said.out and "its authors" not in said.out


def test_steps_that_are_not_stated_stay_and_named_ones_come_first(bench: Bench, argv: list[object]) -> None:
    ran = bench(*argv, "--checkpoint", "spo-sd15", "--authors-sampler", "--steps", 3)
    assert ran.code == 0 and used(3, 7.5) in ran.text
    assert "spo-sd15: its authors state no steps, only their guidance; this table uses 3 steps, guidance 7.5" in ran.out
    assert used(20, 7.5) in bench(*argv, "--checkpoint", "spo-sd15", "--authors-sampler").text


def test_pictures_are_those_of_the_table(bench: Bench, argv: list[object], tmp_path: Path) -> None:
    table = bench(*argv, "--checkpoint", "diffusion-dpo-sd15", "--authors-sampler", "--steps", 2)
    assert table.code == 0, table.err
    images = len(list((tmp_path / "bench-store").rglob("*.webp")))
    words = ["grid", "diffusion-dpo-sd15", "--model", argv[2], "--prompts", argv[4], "--device", "cpu"]
    shown = bench(*words, "--authors-sampler", "--steps", 2)
    assert shown.code == 0, shown.err
    assert len(list((tmp_path / "bench-store").rglob("*.webp"))) == images == 2


def test_authors_who_differ_and_no_authors(bench: Bench, argv: list[object], tmp_path: Path) -> None:
    """A folder that is called as a released checkpoint is none of its authors'."""
    two = ["--checkpoint", "diffusion-dpo-sd15", "--checkpoint", "diffusion-kto-sd15"]
    ran = bench(*argv, *two, "--authors-sampler")
    assert ran.code == 2 and "do not sample alike" in ran.err and "50 steps, guidance 7.5" in ran.err
    assert "--steps, --guidance-scale" in ran.err and len(ran.err.strip().splitlines()) == 3
    (tmp_path / "spo-sd15").symlink_to(tmp_path / "lora0")
    for none in ([], ["--checkpoint", tmp_path / "spo-sd15"]):
        ran = bench(*argv, *none, "--authors-sampler")
        assert ran.code == 2 and "no authors" in ran.err and "bench list checkpoints" in ran.err


def test_a_vae_of_the_authors_is_named(tmp_path: Path) -> None:
    row = Adapter("mapo-sdxl", Weights("unet", tmp_path), "hash", None, None, "sdxl")
    sampler = SamplerConfig(steps=30, guidance_scale=5)
    vae = "madebyollin/sdxl-vae-fp16-fix"
    assert notes([row], sampler, LocalModel("sdxl", tmp_path)) == [
        f"mapo-sdxl: its authors use another VAE: --model sdxl+vae={vae}"
    ]
    assert notes([row], sampler, LocalModel(f"sdxl+vae={vae}", tmp_path, tmp_path)) == []


def test_how_a_sampler_is_told() -> None:
    told = [
        (AuthorsSampler(7.5), "guidance 7.5"),
        (AuthorsSampler(5, steps=30, vae="a/b"), "30 steps, guidance 5, VAE a/b"),
        (AuthorsSampler(5, steps=50, name="DDIM", of_training=True), "50 DDIM steps, guidance 5 (its training)"),
    ]
    assert [(sampler, str(sampler)) for sampler, _ in told] == told
