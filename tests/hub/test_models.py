"""A model is known by its weights: one hash with the replaced VAE in it, and no pickle of unknown origin."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchbench.diffusion import backbones
from benchbench.errors import CorruptError
from benchbench.hub import lock, models
from benchbench.runtime.hashing import file_sha256
from tests.tiny import write_tiny_sd

PARTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}


@pytest.fixture(scope="module")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")


def pickled(model: Path, part: str, keep: bool = False) -> Path:
    """Replaces the weights of a part by a pickle of the same tensors and returns it."""
    safe = model / part / f"{PARTS[part]}.safetensors"
    pickle = safe.with_name("pytorch_model.bin" if part == "text_encoder" else f"{PARTS[part]}.bin")
    torch.save(load_file(safe), pickle)
    if not keep:
        safe.unlink()
    return pickle


@pytest.mark.parametrize("part", PARTS)
def test_a_pickle_of_unknown_origin_is_refused_before_it_is_read(
    part: str, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(shutil.copytree(tiny_sd, tmp_path / "model"))
    pickle = pickled(model, part)
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("a pickle was read"))
    for use in (lambda: models.find(str(model)).hash, lambda: backbones.load(str(model), "cpu")):
        with pytest.raises(CorruptError, match="pickle of unknown origin") as error:
            use()
        assert str(pickle) in error.value.problem and "safetensors" in error.value.remedy
    if part == "vae":
        with pytest.raises(CorruptError, match="pickle of unknown origin"):
            models.find(f"{tiny_sd}+vae={model / 'vae'}")


def test_a_pickle_beside_safetensors_is_not_read(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is one that the library would take first, because the safetensors have another name."""
    model = Path(shutil.copytree(tiny_sd, tmp_path / "model"))
    for part in PARTS:
        pickled(model, part, keep=True)
    monkeypatch.setattr(torch, "load", lambda *args, **options: pytest.fail("a pickle was read"))
    backbones.load(str(model), "cpu")
    unet = model / "unet" / "diffusion_pytorch_model.safetensors"
    unet.rename(unet.with_name("model.safetensors"))
    with pytest.raises(CorruptError, match="cannot be loaded"):
        backbones.load(str(model), "cpu")


def test_a_pickle_that_was_fetched_is_read(tiny_sd: Path, tmp_path: Path) -> None:
    model = Path(shutil.copytree(tiny_sd, tmp_path / "model"))
    lock.pin("file owner/name unet", file_sha256(pickled(model, "unet")))
    ours, theirs = (backbones.load(str(folder), "cpu").network.state_dict() for folder in (model, tiny_sd))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_one_answer_to_which_weights_a_model_is(tiny_sd: Path, tmp_path: Path) -> None:
    """The hash is one by name, looked up and loaded; another VAE, and an equal one in its place, is another model."""
    other = write_tiny_sd(tmp_path / "other", seed=1)
    names = [str(tiny_sd), f"{tiny_sd}+vae={other}", f"{tiny_sd}+vae={tiny_sd}"]
    hashes = [models.find(name).hash for name in names]
    assert len({*hashes}) == 3
    assert hashes == [models.model_hash(name) for name in names] == [backbones.load(n, "cpu").hash for n in names]
