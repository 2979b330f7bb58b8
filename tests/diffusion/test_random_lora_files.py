"""Whatever an adapter file's naming, form, ranks, scales and precision: every layer's weight is the one by hand."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from hypothesis import given, settings
from hypothesis import strategies as st

from benchbench.diffusion.lora import load_adapter
from benchbench.errors import CorruptError
from tests.diffusion.adapter_files import DTYPES, KOHYA, NAMINGS, Adapter, effective, made

SMALL = {"sample_size": 8, "block_out_channels": (8, 16), "layers_per_block": 1, "norm_num_groups": 4}
FAMILIES: dict[str, dict[str, Any]] = {
    "SD 1.x": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 12,
        "attention_head_dim": 2,
    },
    "SD 2.x": {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": 10,
        "attention_head_dim": (2, 4),
        "use_linear_projection": True,
    },
    "SDXL": {
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": 14,
        "attention_head_dim": (2, 2),
        "transformer_layers_per_block": (1, 2),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 60,
    },
}
FILES = st.tuples(
    st.sampled_from(sorted(FAMILIES)),
    st.sampled_from(NAMINGS),
    st.sampled_from(["lora", "dora", "mixed"]),
    st.sampled_from(sorted(DTYPES)),
    st.booleans(),
    st.integers(0, 2**32 - 1),
)
File = tuple[str, str, str, str, bool, int]


@cache
def network(family: str) -> Any:
    """One network a family takes every file in turn, as the rows of a table do."""
    torch.manual_seed(0)
    return UNet2DConditionModel(**{**SMALL, **FAMILIES[family]}).eval().requires_grad_(False)


@cache
def pristine(family: str) -> Any:
    return copy.deepcopy(network(family))


def state_of(unet: Any) -> dict[str, torch.Tensor]:
    """The weights by name, whether or not peft has wrapped their layers."""
    return {name.replace(".base_layer.", "."): tensor for name, tensor in unet.state_dict().items()}


def made_for(file: File) -> tuple[Any, Adapter]:
    family, naming, form, dtype, _, seed = file
    if naming not in KOHYA:  # peft decomposes every layer or none, and the processors of diffusers 0.17 none
        form = "lora" if naming == "processor" or form == "mixed" else form
    return pristine(family), made(pristine(family), naming, form, dtype, seed)


def check_sound(file: File, folder: Path) -> None:
    """Changed layers act by the weight that was computed by hand, all others by their own."""
    unet, adapter = made_for(file)
    shared = network(file[0])
    adapted = load_adapter(shared, adapter.write(folder, file[4]))
    assert adapter.weights
    for name, wanted in adapter.weights.items():
        found = effective(adapted.get_submodule(name), unet.get_submodule(name).weight)
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))
    rest, changed = state_of(adapted), {f"{name}.weight" for name in adapter.weights}
    assert all(torch.equal(tensor, rest[name]) for name, tensor in unet.state_dict().items() if name not in changed)
    if adapted is shared:
        shared.delete_adapters("default")
    _check_as_before(shared, unet)


def _check_as_before(shared: Any, unet: Any) -> None:
    state = state_of(shared)
    assert state.keys() == unet.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in unet.state_dict().items())


def _needed(name: str) -> bool:
    """Without its alpha or its magnitudes, a layer is a sound one of another scale."""
    return not name.endswith((".alpha", ".dora_scale")) and "lora_magnitude" not in name


def _without(adapter: Adapter, rng: random.Random) -> None:
    """One matrix is gone; without its middle matrix a convolution's A has the wrong shape."""
    del adapter.tensors[rng.choice([name for name in adapter.tensors if _needed(name)])]


def _cut(adapter: Adapter, rng: random.Random) -> None:
    """The last row of a tensor along one axis is gone."""
    name = rng.choice([name for name, tensor in adapter.tensors.items() if tensor.ndim])
    tensor = adapter.tensors[name]
    axis = rng.randrange(tensor.ndim)
    adapter.tensors[name] = tensor.narrow(axis, 0, tensor.shape[axis] - 1)


def _longer(adapter: Adapter, rng: random.Random) -> None:
    name = rng.choice(list(adapter.tensors))
    tensor = adapter.tensors[name].reshape(adapter.tensors[name].shape or (1,))
    axis = rng.randrange(tensor.ndim)
    adapter.tensors[name] = torch.cat([tensor, tensor], axis)


def _not_finite(adapter: Adapter, rng: random.Random) -> None:
    name = rng.choice(list(adapter.tensors))
    tensor = adapter.tensors[name].clone()
    tensor.view(-1)[rng.randrange(tensor.numel())] = rng.choice([float("nan"), float("inf")])
    adapter.tensors[name] = tensor


def _stray(adapter: Adapter, rng: random.Random) -> None:
    """A tensor of another method, of the text encoder, of no layer, or one that says that its mathematics differ."""
    layer = rng.choice(adapter.layers)
    ends = (".weight", ".hada_w1_a", ".lokr_w1", ".diff", ".diff_b", ".wd_for_diff", ".scalar", ".oft_blocks")
    names = [*(f"{layer}{end}" for end in ends), "lora_te_text_model_q.alpha", "text_encoder.q_proj.alpha", "stray"]
    adapter.tensors[rng.choice(names)] = torch.ones(1)


def _elsewhere(adapter: Adapter, rng: random.Random) -> None:
    """A layer is called by a name that the network does not have."""
    layer = rng.choice(adapter.layers)
    moved = {name: tensor for name, tensor in adapter.tensors.items() if name.startswith(f"{layer}.")}
    adapter.tensors = {name: tensor for name, tensor in adapter.tensors.items() if name not in moved}
    adapter.tensors |= {f"{layer}_9{name[len(layer) :]}": tensor for name, tensor in moved.items()}


def _two_adapters(adapter: Adapter, rng: random.Random) -> None:
    layer = "unet.conv_in"
    adapter.tensors |= {f"{layer}.lora_A.one.weight": torch.ones(1, 4, 3, 3)}
    adapter.tensors |= {f"{layer}.lora_B.two.weight": torch.ones(8, 1, 1, 1)}


DAMAGES: dict[str, Callable[[Adapter, random.Random], None]] = {
    "a tensor is missing": _without,
    "a tensor is shorter": _cut,
    "a tensor is longer": _longer,
    "values are not finite": _not_finite,
    "a stray tensor": _stray,
    "an unknown layer": _elsewhere,
    "two adapters": _two_adapters,
}


def check_damaged(file: File, damage: str, folder: Path) -> None:
    """The error has three lines, and the network is as it was."""
    unet, adapter = made_for(file)
    DAMAGES[damage](adapter, random.Random(file[5]))
    _check_refused(file, unet, adapter.write(folder, file[4]))


def check_broken(file: File, share: float, folder: Path) -> None:
    """A file that is cut off, at any byte, is refused."""
    unet, adapter = made_for(file)
    path = adapter.write(folder, file[4])
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    _check_refused(file, unet, path)


def _check_refused(file: File, unet: Any, path: Path) -> None:
    with pytest.raises(CorruptError) as error:
        load_adapter(network(file[0]), path)
    assert len(str(error.value).splitlines()) == 3 and error.value.remedy
    _check_as_before(network(file[0]), unet)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@settings(max_examples=200)
@given(FILES)
def test_every_accepted_file_has_the_weights_by_hand(folder: Path, file: File) -> None:
    check_sound(file, folder)


@settings(max_examples=200)
@given(FILES, st.sampled_from(sorted(DAMAGES)))
def test_every_damaged_file_is_refused(folder: Path, file: File, damage: str) -> None:
    check_damaged(file, damage, folder)


@settings(max_examples=50)
@given(FILES, st.floats(0, 1, exclude_max=True))
def test_every_file_that_is_cut_off_is_refused(folder: Path, file: File, share: float) -> None:
    check_broken(file, share, folder)


@pytest.mark.long
@settings(max_examples=2000)
@given(FILES, st.sampled_from(sorted(DAMAGES)), st.floats(0, 1, exclude_max=True))
def test_many_files(folder: Path, file: File, damage: str, share: float) -> None:
    check_sound(file, folder)
    check_damaged(file, damage, folder)
    check_broken(file, share, folder)
