"""Models in one file, as people share them: the pictures of the folder that they were made from, or a refusal."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchbench.diffusion import backbones, prediction
from benchbench.diffusion.policy import make_policy
from benchbench.diffusion.prediction import noise_likeness
from benchbench.diffusion.sample import sample
from benchbench.errors import BenchError, CorruptError, UsageError
from benchbench.evaluate.lazy_model import LazyModel
from benchbench.evaluate.rows import check_model
from benchbench.hub import models
from benchbench.noise import Noise, Sample
from benchbench.runtime.hashing import file_sha256
from benchbench.store.runs import find_adapter
from tests import single_files
from tests.single_files import UNET, buffers, model_tensors, unet_tensors, write
from tests.tiny import write_tiny_sd
from tests.tiny_xl import write_tiny_sdxl

SAMPLER = {"steps": 2, "eta": 1.0, "guidance_scale": 2.0}
SAMPLES = [Sample("a cat", 0), Sample("a dog", 1)]
SHAPES = [Sample("a red circle", 0)]
KINDS: dict[str, Callable[..., Path]] = {
    "sd15": write_tiny_sd,
    "sd21": lambda folder, seed=0: write_tiny_sd(folder, seed, cross_dim=20, linear=True),
    "sdxl": write_tiny_sdxl,
}
"""Text conditioning of 16, 20 and 24 numbers a token tells the kinds apart."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base model and, as ``tuned``, another of the same settings, of each kind."""
    root = tmp_path_factory.mktemp("single")
    for kind, write_tiny in KINDS.items():
        write_tiny(root / kind)
        write_tiny(root / f"{kind}-tuned", seed=1)
    return root


def images(model: Path | str) -> np.ndarray:
    return sample(make_policy(backbones.load(str(model), "cpu"), **SAMPLER), SAMPLES, Noise(0, "eval"))


def shapes(base: backbones.Backbone) -> np.ndarray:
    return sample(make_policy(base, **SAMPLER), SHAPES, Noise(0, "eval"))


def drawn(
    model: Path | str, reference: Path, said: list[str] | None = None, samples: list[Sample] = SAMPLES
) -> np.ndarray:
    """Generates as `bench eval` does."""
    one, base = find_adapter(reference.parent, reference), models.find(str(model))
    check_model([one], base, "", (said if said is not None else []).append)
    lazy = LazyModel(base, SAMPLER, "cpu", "fp32", lambda _: None)
    lazy.check(one)
    return lazy.with_adapter("row", one).open().generate(samples, Noise(0, "eval"))


def mixed(base: Path, tuned: Path, parts: tuple[str, ...], folder: Path) -> Path:
    """The base model with some parts of the other."""
    folder.mkdir()
    for path in base.iterdir():
        (folder / path.name).symlink_to((tuned if path.name in parts else base) / path.name)
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_model_has_the_pictures_of_its_folder(kind: str, folders: Path, tmp_path: Path) -> None:
    """To the bit; averaged weights and the noise schedule in it change nothing, and the output says what is used."""
    tuned = folders / f"{kind}-tuned"
    file = write(model_tensors(tuned, kind) | buffers(), tmp_path / "model.safetensors")
    said: list[str] = []
    pictures = drawn(folders / kind, file, said)
    assert np.array_equal(pictures, images(tuned)) and not np.array_equal(pictures, images(folders / kind))
    second = ", second text encoder" if kind == "sdxl" else ""
    used = f"model: of the file: UNet, VAE, text encoder{second}; of {folders / kind}: tokenizer, noise schedule"
    assert said[1] == f"{used}; the averaged weights (model_ema) are not used"
    one = find_adapter(tmp_path, file)
    assert (one.weights.kind, one.hash) == ("single-file", file_sha256(file))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_parts_that_the_file_lacks_are_those_of_the_base_model(kind: str, folders: Path, tmp_path: Path) -> None:
    base, tuned = folders / kind, folders / f"{kind}-tuned"
    state = model_tensors(tuned, kind)
    for without, parts in {
        ("first_stage_model.",): ("unet", "text_encoder", "text_encoder_2"),
        ("cond_stage_model.", "conditioner."): ("unet", "vae"),
        ("first_stage_model.", "cond_stage_model.", "conditioner."): ("unet",),
        ("conditioner.embedders.0.",): ("unet", "vae", "text_encoder_2", *(["text_encoder"] if kind != "sdxl" else [])),
    }.items():
        file = write(state, tmp_path / f"without-{without[0]}{len(without)}.safetensors", without=without)
        wanted = mixed(base, tuned, parts, tmp_path / file.stem)
        assert np.array_equal(drawn(base, file), images(wanted)), parts


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_unet_by_any_names(kind: str, folders: Path, tmp_path: Path) -> None:
    base, tuned = folders / kind, folders / f"{kind}-tuned"
    wanted = images(mixed(base, tuned, ("unet",), tmp_path / "mixed"))
    own = single_files.tensors(tuned, "unet")
    states = {"plain": own, "prefix": {f"unet.{name}": t for name, t in own.items()}, "ldm": unet_tensors(tuned)}
    for name, state in states.items():
        file = write(state, tmp_path / name / "weights.safetensors")
        assert np.array_equal(drawn(base, file), wanted), name
        assert np.array_equal(drawn(base, file.parent), wanted), "a folder that holds the one file"


def test_a_model_in_half_precision(folders: Path, tmp_path: Path) -> None:
    """The pictures are those of the rounded weights in float32."""
    state = {name: t.half().float() for name, t in model_tensors(folders / "sd15-tuned", "sd15").items()}
    half = write(state, tmp_path / "half.safetensors", torch.float16)
    whole = write(state, tmp_path / "whole.safetensors")
    assert half.stat().st_size < 0.6 * whole.stat().st_size
    assert np.array_equal(drawn(folders / "sd15", half), drawn(folders / "sd15", whole))


def test_a_vae_that_is_named_with_the_model_stays(folders: Path, tmp_path: Path) -> None:
    file = write(model_tensors(folders / "sd15-tuned", "sd15"), tmp_path / "model.safetensors")
    said: list[str] = []
    pictures = drawn(f"{folders / 'sd15'}+vae={folders / 'sd15'}", file, said)
    wanted = mixed(folders / "sd15", folders / "sd15-tuned", ("unet", "text_encoder"), tmp_path / "mixed")
    assert np.array_equal(pictures, images(wanted))
    assert "of the file: UNet, text encoder; of" in said[1] and "VAE, tokenizer" in said[1]


State = dict[str, Tensor]
CONV_IN = f"{UNET}input_blocks.0.0.weight"
TO_K = f"{UNET}input_blocks.1.1.transformer_blocks.0.attn1.to_k.weight"


def put(**changes: Tensor | None) -> Callable[[State], State]:
    """Replaces tensors, or takes them out; ``__`` stands for a dot."""
    named = {name.replace("__", "."): tensor for name, tensor in changes.items()}
    return lambda state: {name: t for name, t in (state | named).items() if t is not None}  # type: ignore[operator]


REFUSED: dict[str, tuple[Callable[[State], State], type[BenchError], str, str]] = {
    "inpainting": (lambda s: s | {CONV_IN: torch.zeros(8, 9, 3, 3)}, UsageError, "is no fine-tuned", "for inpainting"),
    "pictures": (lambda s: s | {CONV_IN: torch.zeros(8, 8, 3, 3)}, UsageError, "is no fine-tuned", "edits pictures"),
    "v, by a mark": (put(v_pred=torch.zeros(0)), UsageError, "does not predict noise", "v_pred"),
    "another schedule, by a mark": (put(ztsnr=torch.zeros(0)), UsageError, "another noise schedule", "ztsnr"),
    "another schedule": (
        put(alphas_cumprod=torch.linspace(1, 0, 1000)),
        UsageError,
        "another noise schedule",
        "differ",
    ),
    "a tensor is missing": (
        lambda s: {n: t for n, t in s.items() if n != TO_K},
        CorruptError,
        "UNet in",
        "to_k.weight",
    ),
    "a tensor of the VAE is missing": (
        put(first_stage_model__quant_conv__bias=None),
        CorruptError,
        "VAE in",
        "quant_conv.bias",
    ),
    "a tensor of the text encoder is missing": (
        put(cond_stage_model__transformer__text_model__final_layer_norm__bias=None),
        CorruptError,
        "text encoder in",
        "final_layer_norm.bias",
    ),
    "one tensor more": (
        lambda s: s | {f"{UNET}input_blocks.1.0.more": torch.zeros(1)},
        CorruptError,
        "UNet in",
        "more",
    ),
    "one more without a place": (
        lambda s: s | {f"{UNET}somewhere.weight": torch.zeros(1)},
        CorruptError,
        "UNet in",
        "have a place",
    ),
    "one more in the VAE": (put(first_stage_model__loss=torch.zeros(1)), CorruptError, "VAE in", "have a place"),
    "one more in the text encoder": (
        put(cond_stage_model__other__weight=torch.zeros(1)),
        CorruptError,
        "text encoder in",
        "have a place",
    ),
    "a tensor of no part": (put(control_model__a=torch.zeros(1)), CorruptError, "more than a model", "control_model.a"),
    "another shape": (lambda s: s | {TO_K: s[TO_K][:, :-1]}, CorruptError, "UNet in", "another shape: [8, 7]"),
    "not a number": (lambda s: s | {TO_K: s[TO_K] * float("nan")}, CorruptError, "not finite", "attn1.to_k"),
    "whole numbers": (lambda s: s | {TO_K: s[TO_K].to(torch.int8)}, CorruptError, "is quantised", "torch.int8"),
    "a second text encoder": (
        put(conditioner__embedders__1__model__ln_final__bias=torch.zeros(1)),
        CorruptError,
        "another model",
        "second text encoder|text encoder 2",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_by_its_own_reason(case: str, folders: Path, tmp_path: Path) -> None:
    change, error_class, problem, cause = REFUSED[case]
    file = write(change(model_tensors(folders / "sd15-tuned", "sd15")), tmp_path / "model.safetensors")
    with pytest.raises(error_class, match=problem) as error:
        drawn(folders / "sd15", file)
    assert any(words in error.value.cause for words in cause.split("|")), error.value.cause
    assert len(str(error.value).splitlines()) == 3 and error.value.remedy


def test_a_unet_that_predicts_something_else_is_found_out_by_what_it_predicts(tmp_path: Path) -> None:
    """The shapes model predicts noise: from pure noise, its prediction is close to x. Names and shapes tell nothing."""
    model = models.find("shapes")
    base = backbones.load(model, "cpu")
    assert noise_likeness(base) > 0.95
    own = {name: tensor.clone() for name, tensor in base.network.state_dict().items()}
    assert np.array_equal(drawn("shapes", write(own, tmp_path / "same.safetensors"), samples=SHAPES), shapes(base))
    other = own | {f"conv_out.{end}": -own[f"conv_out.{end}"] for end in ("weight", "bias")}
    with pytest.raises(UsageError, match="does not predict noise") as error:
        drawn("shapes", write(other, tmp_path / "other.safetensors"), samples=SHAPES)
    assert "likeness -0.9" in error.value.cause or "likeness -1.0" in error.value.cause


def test_a_v_file_is_drawn_as_the_pipeline_of_a_v_model(folders: Path, tmp_path: Path) -> None:
    """The file says v, and so does the base model's scheduler."""
    both = []
    for name in ("sd15", "sd15-tuned"):
        folder = mixed(folders / name, folders / name, (), tmp_path / name)
        config = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        (folder / "scheduler").unlink()
        (folder / "scheduler").mkdir()
        said = json.dumps(config | {"prediction_type": "v_prediction"})
        (folder / "scheduler" / "scheduler_config.json").write_text(said)
        both.append(folder)
    state = model_tensors(both[1], "sd15") | {"v_pred": torch.zeros(0)}
    pictures = drawn(both[0], write(state, tmp_path / "v.safetensors"))
    assert np.array_equal(pictures, images(both[1])) and not np.array_equal(pictures, images(folders / "sd15-tuned"))


def test_a_unet_that_predicts_noise_is_found_out_beside_a_model_that_predicts_v(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The likeness of its prediction to pure noise tells: 0.97 beside a base model of 0.1; 0.4 proves nothing."""
    base: Any = SimpleNamespace(name="sd21v", scheduler_config={"prediction_type": "v_prediction"}, likeness=0.1)
    monkeypatch.setattr(prediction, "noise_likeness", lambda backbone: backbone.likeness)
    unsure, noise = (SimpleNamespace(likeness=likeness) for likeness in (0.4, 0.97))
    prediction.check_prediction(unsure, base, Path("a.safetensors"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="does not predict v"):
        prediction.check_prediction(noise, base, Path("a.safetensors"))  # type: ignore[arg-type]


def test_the_folder_that_the_documentation_makes_of_a_file(
    folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its block of code is run as it stands; the folder is a model to train, and has the file's pictures."""
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    block = next(part for part in page.split("```python\n") if "from_single_file" in part.partition("```")[0])
    monkeypatch.chdir(tmp_path)
    write(model_tensors(folders / "sd15-tuned", "sd15") | buffers(), Path("model.safetensors"))
    Path("base-folder").symlink_to(folders / "sd15")
    exec(block.partition("```")[0], {})  # our own documentation
    assert np.array_equal(images(tmp_path / "my-model"), images(folders / "sd15-tuned"))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_file_that_is_cut_off(share: float, folders: Path, tmp_path: Path) -> None:
    file = write(model_tensors(folders / "sd15-tuned", "sd15"), tmp_path / "model.safetensors")
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CorruptError, match="is damaged") as error:
        drawn(folders / "sd15", file)
    assert len(str(error.value).splitlines()) == 3


def test_eight_bits_of_floating_point_are_read(folders: Path, tmp_path: Path) -> None:
    state = model_tensors(folders / "sd15-tuned", "sd15")
    small = {
        name: tensor.to(torch.float8_e4m3fn) if tensor.is_floating_point() else tensor for name, tensor in state.items()
    }
    whole = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in small.items()}
    files = [write(tensors, tmp_path / f"{name}.safetensors") for name, tensors in (("small", small), ("whole", whole))]
    assert np.array_equal(drawn(folders / "sd15", files[0]), drawn(folders / "sd15", files[1]))
