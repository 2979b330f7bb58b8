"""``bench eval --checkpoint FILE``: a row of a table like every other, and refusals before any image is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.cli.conftest import Bench
from tests.single_files import UNET, buffers, model_tensors, write
from tests.tiny import write_tiny_sd


@pytest.fixture
def argv(tiny_sd: Path, tmp_path: Path) -> list[object]:
    (tmp_path / "two.txt").write_text("a cat\na dog\n")
    words = ["eval", "--model", tiny_sd, "--prompts", tmp_path / "two.txt", "--rewards", "jpeg_compressibility"]
    return [*words, "--images-per-prompt", 1, "--steps", 2, "--device", "cpu"]


def pictures(store: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in store.rglob("*.webp"))


def test_a_row_of_a_table(bench: Bench, argv: list[object], tiny_sd: Path, tmp_path: Path) -> None:
    """Its images are those of its folder; a second run makes none; another file of this name is another row."""
    tuned = write_tiny_sd(tmp_path / "folder", seed=1)
    file = write(model_tensors(tuned, "sd15") | buffers(), tmp_path / "tuned.safetensors")
    ran = bench(*argv, "--checkpoint", file)
    assert ran.code == 0, ran.err
    assert "\ntuned  " in ran.out and "made 4 images" in ran.out
    assert f"tuned: of the file: UNet, VAE, text encoder; of {tiny_sd}: tokenizer, noise schedule" in ran.out
    assert "made 0 images" in bench(*argv, "--checkpoint", file).out
    one = pictures(tmp_path / "bench-store")
    folder = bench(*argv, "--checkpoint", tuned, "--store", tmp_path / "other")
    assert folder.code == 0, folder.err
    assert pictures(tmp_path / "other") == one
    write(model_tensors(tuned, "sd15"), file)
    assert "made 2 images" in bench(*argv, "--checkpoint", file).out


def test_a_file_that_does_not_fit_is_refused_before_images_are_made(
    bench: Bench, argv: list[object], tmp_path: Path
) -> None:
    state = model_tensors(write_tiny_sd(tmp_path / "folder", seed=1), "sd15")
    del state[f"{UNET}out.2.bias"]
    ran = bench(*argv, "--checkpoint", write(state, tmp_path / "tuned.safetensors"))
    assert ran.code == 4 and "UNet in" in ran.err and "conv_out.bias" in ran.err
    assert len(ran.err.strip().splitlines()) == 3 and not pictures(tmp_path / "bench-store")
    wide = write_tiny_sd(tmp_path / "wide", cross_dim=32)
    ran = bench(*argv, "--checkpoint", write(model_tensors(wide, "sd15"), tmp_path / "wide.safetensors"))
    assert ran.code == 2 and "32 wide" in ran.err and len(ran.err.strip().splitlines()) == 3


def test_what_is_no_checkpoint_or_no_model(bench: Bench, argv: list[object], tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"x")
    ran = bench(*argv, "--checkpoint", tmp_path / "model.ckpt")
    assert ran.code == 4 and "is a pickle" in ran.err and "safetensors" in ran.err
    file = write({"conv_in.weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    argv[argv.index("--model") + 1] = file
    ran = bench(*argv)
    assert ran.code == 2 and f"--checkpoint {file}" in ran.err and len(ran.err.strip().splitlines()) == 3
