"""The files of real size by their headers, the kinds of a file or folder, and files that are no such model at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchbench.diffusion import lora_file
from benchbench.diffusion import single_file as loading
from benchbench.diffusion.fill import empty
from benchbench.errors import BenchError, CorruptError, UsageError
from benchbench.hub import layout, models, weights
from benchbench.hub.known_configs import KNOWN
from benchbench.hub.models import LocalModel
from benchbench.hub.weights import check_fit
from tests.ldm_names import open_clip_name, unet_blocks, unet_name, vae_name

XL = layout.XL


def header_only(file: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """A safetensors file of these shapes in fp16, with a hole in place of the numbers: it takes no place on disk."""
    entries, end = dict[str, Any](), 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        entries[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(entries).encode()
    with file.open("wb") as handle:
        handle.write(len(text).to_bytes(8, "little") + text)
        handle.truncate(8 + len(text) + end)
    return file


def real_folder(folder: Path, kind: str) -> Path:
    """The settings of a published model, without weights."""
    for part, settings in KNOWN[kind].items():
        (folder / part).mkdir(parents=True)
        name = "scheduler_config.json" if part == "scheduler" else "config.json"
        (folder / part / name).write_text(json.dumps(settings))
    pipeline = XL if kind == "sdxl" else "StableDiffusionPipeline"
    (folder / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    return folder


def real_shapes(kind: str) -> dict[str, tuple[int, ...]]:
    """The names and shapes of a published file, made from networks without numbers."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    unet = empty(lambda: UNet2DConditionModel(**KNOWN[kind]["unet"]))
    vae = empty(lambda: AutoencoderKL(**KNOWN[kind]["vae"]))
    blocks, shapes = unet_blocks(unet.config), dict[str, tuple[int, ...]]()
    for name, tensor in unet.state_dict().items():
        shapes[f"model.diffusion_model.{unet_name(name, blocks)}"] = tuple(tensor.shape)
    for name, tensor in vae.state_dict().items():
        kernel = (1, 1) if ".attentions." in name and tensor.ndim == 2 else ()
        shapes[f"first_stage_model.{vae_name(name, 4)}"] = (*tensor.shape, *kernel)
    places = {"sd15": ["cond_stage_model."], "sd21": ["cond_stage_model."]}
    prefixes = places.get(kind, ["conditioner.embedders.0.", "conditioner.embedders.1."])
    for number, prefix in enumerate(prefixes):
        settings = CLIPTextConfig(**KNOWN[kind][f"text_encoder{'_2' if number else ''}"])
        network_class = CLIPTextModelWithProjection if number else CLIPTextModel
        encoder = empty(lambda network_class=network_class, settings=settings: network_class(settings))
        for name, tensor in encoder.state_dict().items():
            bare, shape = name.removeprefix("text_model."), tuple(tensor.shape)
            if kind == "sd15" or (kind == "sdxl" and not number):
                shapes[f"{prefix}transformer.text_model.{bare}"] = shape
            elif name == "text_projection.weight":
                shapes[f"{prefix}model.text_projection"] = shape[::-1]
            elif ".q_proj." in name:
                joined = bare.split(".")[2], bare.rpartition(".")[2]
                inner = f"transformer.resblocks.{joined[0]}.attn.in_proj_{joined[1]}"
                shapes[f"{prefix}model.{inner}"] = (3 * shape[0], *shape[1:])
            elif ".k_proj." not in name and ".v_proj." not in name:
                shapes[f"{prefix}model.{open_clip_name(bare)}"] = shape
    if kind == "sd21":  # the file also holds the last layer, which is not read
        layer = {name: shape for name, shape in shapes.items() if ".resblocks.22." in name}
        shapes |= {name.replace(".22.", ".23."): shape for name, shape in layer.items()}
        shapes["cond_stage_model.model.text_projection"] = (1024, 1024)
        shapes["cond_stage_model.model.logit_scale"] = ()
    return shapes


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The settings and the file of SD 1.5, SD 2.1-base and SDXL."""
    root = tmp_path_factory.mktemp("real")
    for kind in ("sd15", "sd21", "sdxl"):
        real_folder(root / kind, kind)
        header_only(root / f"{kind}.safetensors", real_shapes(kind))
    return root


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sd15", "sd21", "sdxl"])
def test_every_tensor_of_a_file_of_real_size_has_its_place(kind: str, files: Path) -> None:
    """The sizes are those of the published files: 1.0, 1.3 and 3.5 thousand million numbers."""
    found = weights.find(files / f"{kind}.safetensors")
    assert found is not None and found.kind == "single-file"
    base = LocalModel(str(files / kind), files / kind)
    check_fit(found, "it", base)
    loading.check(found.path, base)
    lacking = real_shapes(kind)
    gone = lacking.popitem()[0] if kind != "sd21" else "model.diffusion_model.out.2.bias"
    lacking.pop(gone, None)
    with pytest.raises(CorruptError, match="is not whole"):
        loading.check(header_only(files / "lacking.safetensors", lacking), base)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "base", "words"),
    [
        ("sdxl", "sd15", "2048 wide (SDXL), that of BASE is 768 wide (Stable Diffusion 1.x)"),
        ("sd15", "sd21", "768 wide (Stable Diffusion 1.x), that of BASE is 1024 wide (Stable Diffusion 2.x)"),
        ("sd21", "sdxl", "1024 wide (Stable Diffusion 2.x), that of BASE is 2048 wide (SDXL)"),
    ],
)
def test_a_file_of_another_family_names_its_own(kind: str, base: str, words: str, files: Path) -> None:
    found = weights.find(files / f"{kind}.safetensors")
    assert found is not None
    with pytest.raises(UsageError, match="is no fine-tuned") as error:
        check_fit(found, "it", LocalModel(str(files / base), files / base))
    assert words.replace("BASE", str(files / base)) in error.value.cause
    assert error.value.remedy.endswith(f"--model {kind}")


NAMES: dict[str, tuple[dict[str, tuple[int, ...]], str, str]] = {
    "Flux": ({"model.diffusion_model.double_blocks.0.img_attn.qkv.weight": (9, 3)}, "no Stable Diffusion", "attention"),
    "only a VAE": ({"first_stage_model.encoder.conv_in.weight": (8, 3, 3, 3)}, "holds no UNet", "it holds vae"),
    "a ControlNet": (
        {"conv_in.weight": (8, 4, 3, 3), "controlnet_mid.weight": (1,)},
        "more than a model",
        "controlnet_",
    ),
    "v": ({"conv_in.weight": (8, 4, 3, 3)}, "does not predict noise", "prediction type v"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_file_that_is_no_such_model(case: str, tmp_path: Path) -> None:
    shapes, problem, cause = NAMES[case]
    said = {"modelspec.prediction_type": "v"} if case == "v" else None
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, tmp_path / "a.safetensors", metadata=said)
    found = weights.find(tmp_path / "a.safetensors")
    assert found is not None and found.kind == "single-file"
    with pytest.raises((UsageError, CorruptError), match=problem) as error:
        check_fit(found, "it", LocalModel("base", real_folder(tmp_path / "base", "sd15")))
    assert cause in error.value.cause and len(str(error.value).splitlines()) == 3


SAID: dict[str, tuple[str, dict[str, str] | None, list[str], bool]] = {
    "v for v": ("sd21v", {"modelspec.prediction_type": "v"}, [], True),
    "v for v, by kohya's word": ("sd21v", {"ss_v_parameterization": "True"}, [], True),
    "v for v, by a mark": ("sd21v", None, ["v_pred"], True),
    "nothing said": ("sd21v", None, [], True),
    "noise for v": ("sd21v", {"modelspec.prediction_type": "epsilon"}, [], False),
    "noise for noise": ("sd21", {"modelspec.prediction_type": "epsilon"}, [], True),
    "v for noise, by kohya's word": ("sd21", {"ss_v_parameterization": "True"}, [], False),
}


@pytest.mark.parametrize("case", SAID)
def test_a_file_is_used_where_it_predicts_what_the_base_model_does(case: str, tmp_path: Path) -> None:
    base, said, marks, fits = SAID[case]
    shapes = {"conv_in.weight": (8, 4, 3, 3), "down_blocks.0.attn2.to_k.weight": (4, 1024)}
    state = {name: torch.zeros(shape) for name, shape in shapes.items()} | {name: torch.zeros(0) for name in marks}
    save_file(state, tmp_path / "a.safetensors", metadata=said)
    found, model = weights.find(tmp_path / "a.safetensors"), real_folder(tmp_path / "base", base)
    assert found is not None
    if fits:
        check_fit(found, "it", LocalModel("base", model))
        return
    predicts = "v" if base == "sd21v" else "noise"
    with pytest.raises(UsageError, match=f"it does not predict {predicts}") as error:
        check_fit(found, "it", LocalModel("base", model))
    assert f"base predicts {predicts}" in error.value.cause and len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(("own", "base"), [("sd21", "sd21v"), ("sd21v", "sd21")])
def test_a_whole_pipeline_that_predicts_something_else_is_refused(own: str, base: str, tmp_path: Path) -> None:
    folders = [real_folder(tmp_path / name, name) for name in (own, base)]
    for folder in folders:  # the size of the images is not what is asked here
        config = folder / "unet" / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | {"sample_size": 64}))
    check_fit(weights.Weights("pipeline", folders[0]), "it", LocalModel(own, folders[0]))
    with pytest.raises(UsageError, match="it does not predict"):
        check_fit(weights.Weights("pipeline", folders[0]), "it", LocalModel(base, folders[1]))


def entry(shape: object, dtype: str = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [0, 4]}


TO_K, FIRST = "model.diffusion_model.x.attn2.to_k.weight", "model.diffusion_model.input_blocks.0.0.weight"


@pytest.mark.parametrize(
    "header",
    [
        {FIRST: entry([-8, 4, 3, 3])},
        {FIRST: entry([2**70, 4, 3, 3]), TO_K: entry([2**70, 16])},
        {FIRST: entry([8, 4, 3, 3], "F99"), TO_K: entry([8, 768])},
        {FIRST: entry([8, 4, 3, 3]), TO_K: entry([8, 768])},
        {FIRST: [1, 2]},
        {FIRST: entry(None)},
        {FIRST: {"dtype": "F32", "shape": [1], "data_offsets": []}},
        {},
        [],
    ],
)
def test_a_header_that_makes_no_sense(header: object, tmp_path: Path) -> None:
    """An error of three lines, whichever reader finds it."""
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"0000")
    base = LocalModel("base", real_folder(tmp_path / "base", "sd15"))
    found = weights.find(tmp_path / "a.safetensors")
    assert found is not None
    with pytest.raises(BenchError) as error:
        if found.kind == "lora":
            lora_file.read(found.path, torch.nn.Linear(1, 1))
        check_fit(found, "it", base)
        loading.check(found.path, base)
    assert len(str(error.value).splitlines()) == 3


def test_the_kind_of_a_file_is_told_by_its_names(tmp_path: Path) -> None:
    """A LoRA is one by any naming; of several models in a folder the user names one."""
    unet, lora = {"conv_in.weight": torch.zeros(1)}, {"unet.conv_in.lora_A.weight": torch.zeros(1)}
    kinds = {"unet": unet, "lora": lora, "kohya": {"lora_unet_conv_in.hada_w1_a": torch.zeros(1)}}
    for name, state in kinds.items():
        (tmp_path / name).mkdir()
        save_file(state, tmp_path / name / "a.safetensors")
        found = weights.find(tmp_path / name)
        assert found is not None and found.kind == ("single-file" if name == "unet" else "lora")
    save_file(unet, tmp_path / "unet" / "b.safetensors")
    with pytest.raises(UsageError, match="holds 2 single-file checkpoints") as error:
        weights.find(tmp_path / "unet")
    assert error.value.cause == "a.safetensors, b.safetensors"
    save_file(lora, tmp_path / "unet" / "c.safetensors")
    found = weights.find(tmp_path / "unet")
    assert found is not None and found.path.name == "c.safetensors", "as before there were single files"


def test_a_pickle_is_refused_before_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt").write_bytes(b"\x80\x02this would run")
    for path in (tmp_path / "model.ckpt", tmp_path):
        with pytest.raises(CorruptError, match=r"model\.ckpt is a pickle") as error:
            weights.find(path)
        assert "can run code" in error.value.cause and "convert it to safetensors" in error.value.remedy


def test_the_conversion_that_the_documentation_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its block of code is run as it stands, on a checkpoint as PyTorch Lightning wrote them."""
    page = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
    block = next(part for part in page.split("```python\n") if "model.ckpt" in part.partition("```")[0])
    monkeypatch.chdir(tmp_path)
    state = {"model.diffusion_model.out.2.bias": torch.arange(4.0)}
    torch.save({"state_dict": {**state, "step": 3}, "epoch": 1}, "model.ckpt")
    exec(block.partition("```")[0], {})  # our own documentation
    assert torch.equal(load_file("model.safetensors")["model.diffusion_model.out.2.bias"], torch.arange(4.0))
    found = weights.find(tmp_path / "model.safetensors")
    assert found is not None and found.kind == "single-file"


def test_a_file_as_the_model(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({"conv_in.weight": torch.zeros(1)}, file)
    with pytest.raises(UsageError, match="is one file") as error:
        models.find(str(file))
    assert f"--checkpoint {file};" in error.value.remedy and "--model sd15" in error.value.remedy
