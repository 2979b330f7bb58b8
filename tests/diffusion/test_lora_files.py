"""LoRA files of other trainers: each is loaded wholly, with each layer's own scale, or refused with its own reason."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from benchbench.diffusion import backbones
from benchbench.diffusion.fill import empty
from benchbench.diffusion.lora import load_adapter
from benchbench.diffusion.lora_names import resolver
from benchbench.errors import CorruptError
from benchbench.hub.known_configs import KNOWN
from tests.ldm_names import unet_blocks, unet_name
from tests.tiny_xl import write_tiny_sdxl

X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
TEXT = torch.randn(2, 12, 16, generator=torch.Generator().manual_seed(1))
ENDS = (".to_q", ".to_k", ".to_v", ".to_out.0")
Pair = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def plain(tiny_sd: Path) -> Any:
    return backbones.load(str(tiny_sd), "cpu").network


@pytest.fixture
def unet(plain: Any) -> Any:
    return copy.deepcopy(plain)


def adapted(unet: Any, ranks: Callable[[int], int] = lambda _: 2) -> dict[str, Pair]:
    """A and B of every attention layer by name; ``ranks`` maps the number of a layer to its rank."""
    generator, made = torch.Generator().manual_seed(5), dict[str, Pair]()
    for name, module in unet.named_modules():
        if name.endswith(ENDS):
            rank, (out, inputs) = ranks(len(made)), module.weight.shape
            A = torch.randn(rank, inputs, generator=generator)
            made[name] = A, torch.randn(out, rank, generator=generator)
    assert len(made) >= 16
    return made


def predicted(unet: Any) -> Tensor:
    with torch.no_grad():
        return unet(X, 500, TEXT).sample


def by_hand(plain: Any, layers: dict[str, Pair], scales: Callable[[int], float]) -> Tensor:
    """The prediction with W + s B A in place of each W."""
    unet = copy.deepcopy(plain)
    with torch.no_grad():
        for number, (name, (A, B)) in enumerate(layers.items()):
            unet.get_submodule(name).weight += scales(number) * (B @ A).reshape(unet.get_submodule(name).weight.shape)
    return predicted(unet)


def written(folder: Path, state: dict[str, Tensor], config: dict[str, Any] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    if config is not None:
        (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", **config}))
    file = folder / ("adapter_model.safetensors" if config is not None else "lora.safetensors")
    save_file({name: tensor.clone() for name, tensor in state.items()}, file)
    return file


def kohya(layers: dict[str, Pair], alphas: Callable[[int], float | None]) -> dict[str, Tensor]:
    state = {}
    for number, (name, (A, B)) in enumerate(layers.items()):
        flat = f"lora_unet_{name.replace('.', '_')}"
        state |= {f"{flat}.lora_down.weight": A, f"{flat}.lora_up.weight": B}
        if (alpha := alphas(number)) is not None:
            state[f"{flat}.alpha"] = torch.tensor(alpha)
    return state


def named(layers: dict[str, Pair], prefix: str = "unet.", suffix: str = "") -> dict[str, Tensor]:
    return {
        f"{prefix}{name}.lora_{side}{suffix}.weight": tensor
        for name, pair in layers.items()
        for side, tensor in zip("AB", pair, strict=True)
    }


def test_kohya_with_an_alpha_of_each_layer(unet: Any, plain: Any, tmp_path: Path) -> None:
    """Ranks 1 and 3, alphas 2 and 5, and every fourth layer without alpha, whose scale is 1."""
    layers = adapted(unet, lambda i: 1 + 2 * (i % 2))

    def alpha(number: int) -> float | None:
        return None if number % 4 == 3 else (2.0, 5.0)[number % 3 == 0]

    load_adapter(unet, written(tmp_path, kohya(layers, alpha)))
    wanted = by_hand(plain, layers, lambda i: 1.0 if alpha(i) is None else alpha(i) / (1 + 2 * (i % 2)))
    torch.testing.assert_close(predicted(unet), wanted, rtol=1e-3, atol=1e-3)


def test_alpha_beside_the_names_of_diffusers(unet: Any, plain: Any, tmp_path: Path) -> None:
    layers = adapted(unet)
    state = named(layers) | {f"unet.{name}.alpha": torch.tensor(3.0) for name in layers}
    load_adapter(unet, written(tmp_path, state))
    torch.testing.assert_close(predicted(unet), by_hand(plain, layers, lambda _: 1.5), rtol=1e-3, atol=1e-3)


def test_patterns_and_rslora_of_peft(unet: Any, plain: Any, tmp_path: Path) -> None:
    """Rank 4 and alpha 6 but for the queries, of rank 9 and alpha 12; the scale is alpha / √r."""
    names = list(adapted(unet))
    queries = [name.endswith("to_q") for name in names]
    layers = adapted(unet, lambda i: 9 if queries[i] else 4)
    config = {"r": 4, "lora_alpha": 6, "use_rslora": True}
    config |= {"rank_pattern": {"to_q": 9}, "alpha_pattern": {"to_q": 12}}
    load_adapter(unet, written(tmp_path, named(layers, "base_model.model."), config))
    wanted = by_hand(plain, layers, lambda i: 12 / 3 if queries[i] else 6 / 2)
    torch.testing.assert_close(predicted(unet), wanted, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("adapter", ["default", "default_0", "my-style"])
def test_an_adapter_s_name_inside_the_keys_is_stripped(adapter: str, unet: Any, plain: Any, tmp_path: Path) -> None:
    layers = adapted(unet)
    load_adapter(unet, written(tmp_path, named(layers, "base_model.model.", f".{adapter}")))
    torch.testing.assert_close(predicted(unet), by_hand(plain, layers, lambda _: 1.0), rtol=1e-3, atol=1e-3)


def test_convolutions_of_kohya(unet: Any, plain: Any, tmp_path: Path) -> None:
    """A of a convolution is [r, in, 3, 3] and B [out, r, 1, 1]: their product is a 3x3 kernel."""
    weight = unet.get_submodule("down_blocks.0.resnets.0.conv1").weight
    A, B = torch.randn(2, *weight.shape[1:]), torch.randn(len(weight), 2, 1, 1)
    load_adapter(unet, written(tmp_path, kohya({"down_blocks.0.resnets.0.conv1": (A, B)}, lambda _: 1.0)))
    flat = {"down_blocks.0.resnets.0.conv1": (A.flatten(1), B.flatten(1))}
    torch.testing.assert_close(predicted(unet), by_hand(plain, flat, lambda _: 0.5), rtol=1e-3, atol=1e-3)


def test_stability_s_names_of_sdxl_s_blocks(tmp_path: Path) -> None:
    """Every name of diffusers' own map from Stability AI's layout to its own; here with one layer a block and not two.

    In SDXL, input_blocks.4.1 is down_blocks.1.attentions.0, output_blocks.3.1 is up_blocks.1.attentions.0.
    """
    unet = backbones.load(str(write_tiny_sdxl(tmp_path / "xl")), "cpu").network
    resolve = resolver(unet)
    down, middle = "down_blocks.1.attentions.0", "mid_block.attentions.0"
    names = {
        "input_blocks_0_0": "conv_in",
        "input_blocks_1_0_in_layers_2": "down_blocks.0.resnets.0.conv1",
        "input_blocks_2_0_op": "down_blocks.0.downsamplers.0.conv",
        "input_blocks_3_0_emb_layers_1": "down_blocks.1.resnets.0.time_emb_proj",
        "input_blocks_3_1_proj_in": "down_blocks.1.attentions.0.proj_in",
        "input_blocks_3_1_transformer_blocks_1_attn2_to_out_0": f"{down}.transformer_blocks.1.attn2.to_out.0",
        "middle_block_0_out_layers_3": "mid_block.resnets.0.conv2",
        "middle_block_1_transformer_blocks_0_ff_net_0_proj": f"{middle}.transformer_blocks.0.ff.net.0.proj",
        "middle_block_2_in_layers_2": "mid_block.resnets.1.conv1",
        "output_blocks_0_0_skip_connection": "up_blocks.0.resnets.0.conv_shortcut",
        "output_blocks_1_1_transformer_blocks_0_attn1_to_q": "up_blocks.0.attentions.1.transformer_blocks.0.attn1.to_q",
        "output_blocks_1_2_conv": "up_blocks.0.upsamplers.0.conv",
        "output_blocks_3_0_in_layers_2": "up_blocks.1.resnets.1.conv1",
        "label_emb_0_0": "add_embedding.linear_1",
        "time_embed_2": "time_embedding.linear_2",
        "out_2": "conv_out",
    }
    assert {name: resolve(f"lora_unet_{name}") for name in names} == names
    assert all(unet.get_submodule(name) is not None for name in names.values())
    assert resolve("lora_unet_input_blocks_9_9_nothing") == "lora_unet_input_blocks_9_9_nothing"


@pytest.mark.parametrize("kind", ["sd15", "sd21", "sdxl"])
def test_both_namings_of_kohya_at_real_size(kind: str) -> None:
    """Every layer that an adapter can change, by diffusers' names and by Stability AI's.

    sd-scripts says that it makes 192 modules for the attentions of SD 1.x and 2.x, and 722 for those of SDXL.
    """
    unet = empty(lambda: UNet2DConditionModel(**KNOWN[kind]["unet"]))
    resolve, blocks = resolver(unet), unet_blocks(unet.config)
    layers = [name for name, module in unet.named_modules() if isinstance(module, torch.nn.Linear | torch.nn.Conv2d)]
    assert sum(".attentions." in name for name in layers) == {"sd15": 192, "sd21": 192, "sdxl": 722}[kind]
    for name in layers:
        for written in (name, unet_name(name, blocks)):
            assert resolve(f"lora_unet_{written.replace('.', '_')}") == name


def half(state: dict[str, Tensor], end: str) -> dict[str, Tensor]:
    gone = next(name for name in state if name.endswith(end))
    return {name: tensor for name, tensor in state.items() if name != gone}


REFUSED: dict[str, tuple[Callable[[dict[str, Pair]], dict[str, Tensor]], str, str]] = {
    "no B": (lambda made: half(named(made), "lora_B.weight"), "is incomplete", r"has no B"),
    "no A": (lambda made: half(named(made), "lora_A.weight"), "is incomplete", r"has no A"),
    "an alpha alone": (
        lambda made: named(made) | {"unet.conv_in.alpha": torch.tensor(1.0)},
        "is incomplete",
        "conv_in has no A",
    ),
    "whole weights": (
        lambda _: {"model.diffusion_model.out.2.weight": torch.zeros(2)},
        "holds no LoRA",
        "out.2.weight",
    ),
    "text encoder": (
        lambda made: kohya(made, lambda _: 1.0) | {"lora_te_text_model_a.lora_down.weight": torch.zeros(2, 16)},
        "changes the text encoder",
        "lora_te_text_model_a",
    ),
    "LoHa": (lambda _: {"lora_unet_conv_in.hada_w1_a": torch.zeros(2, 2)}, "no plain LoRA", "LyCORIS"),
    "LoKr": (lambda _: {"unet.conv_in.lokr_w1": torch.zeros(2, 2)}, "no plain LoRA", "LyCORIS"),
    "full differences": (lambda _: {"lora_unet_conv_in.diff": torch.zeros(2, 2)}, "no plain LoRA", "LyCORIS"),
    "magnitudes alone": (
        lambda made: kohya(made, lambda _: 1.0) | {"lora_unet_conv_in.dora_scale": torch.ones(8, 1, 1, 1)},
        "is incomplete",
        "conv_in has no A",
    ),
    "magnitudes of another shape": (
        lambda made: named(made) | {f"unet.{next(iter(made))}.lora_magnitude_vector": torch.ones(3)},
        "belongs to another model",
        "magnitude [3]",
    ),
    "magnitudes under two names": (
        lambda made: (
            named(made)
            | {f"unet.{next(iter(made))}.lora_magnitude_vector": torch.ones(len(next(iter(made.values()))[1]))}
            | {f"unet.{next(iter(made))}.dora_scale": torch.ones(len(next(iter(made.values()))[1]), 1)}
        ),
        "is ambiguous",
        "twice",
    ),
    "magnitudes of the difference": (
        lambda made: (
            kohya(made, lambda _: 1.0) | {f"lora_unet_{next(iter(made)).replace('.', '_')}.wd_for_diff": torch.ones(1)}
        ),
        "no plain LoRA",
        "wd_for_diff",
    ),
    "a middle matrix in a linear layer": (
        lambda made: (
            kohya(made, lambda _: 1.0)
            | {f"lora_unet_{next(iter(made)).replace('.', '_')}.lora_mid.weight": torch.ones(2, 2)}
        ),
        "belongs to another model",
        "mid [2, 2]",
    ),
    "a stray tensor": (lambda made: named(made) | {"unet.conv_in.weight": torch.ones(1)}, "no plain LoRA", "conv_in"),
    "two adapters": (
        lambda made: named(made, suffix=".one") | named(made, suffix=".two"),
        "holds 2 adapters",
        "'one', 'two'",
    ),
    "one layer twice": (lambda made: named(made) | named(made, "base_model.model."), "is ambiguous", "two names"),
    "another layer": (
        lambda made: named({"down_blocks.7.attn1.to_q": made[next(iter(made))]}),
        "belongs to another model",
        "not in this model",
    ),
    "another shape": (
        lambda made: named({name: (torch.zeros(2, 99), B) for name, (_, B) in made.items()}),
        "belongs to another model",
        "another shape",
    ),
    "A and B of two ranks": (
        lambda made: named({name: (A[:1], B) for name, (A, B) in made.items()}),
        "belongs to another model",
        "another shape",
    ),
    "not a number": (
        lambda made: named({name: (A, B * float("nan")) for name, (A, B) in made.items()}),
        "values that are not finite",
        "diverged",
    ),
    "whole numbers": (
        lambda made: named({name: (A.to(torch.int8), B) for name, (A, B) in made.items()}),
        "is quantised",
        "torch.int8",
    ),
    "an infinite alpha": (
        lambda made: kohya(made, lambda _: float("inf")),
        "values that are not finite",
        "down_blocks",
    ),
    "nothing": (lambda _: {}, "is empty", "no tensors"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_loaded_wholly_is_refused_by_its_own_reason(case: str, unet: Any, tmp_path: Path) -> None:
    """And the network is as it was: another adapter goes onto it."""
    make, problem, cause = REFUSED[case]
    layers, before = adapted(unet), predicted(unet)
    with pytest.raises(CorruptError, match=problem) as error:
        load_adapter(unet, written(tmp_path / "bad", make(layers)))
    assert cause in error.value.cause and len(str(error.value).splitlines()) == 3
    assert torch.equal(predicted(unet), before)
    load_adapter(unet, written(tmp_path / "good", named(layers)))
    assert not torch.equal(predicted(unet), before)


@pytest.mark.parametrize(
    ("config", "problem", "cause"),
    [
        ({"peft_type": "LOHA", "r": 2}, "no plain LoRA", "LOHA"),
        ({"r": 2, "lora_alpha": 2, "use_dora": True}, "is incomplete", "have no magnitudes"),
        ({"r": 2, "lora_alpha": 2, "init_lora_weights": "pissa"}, "no plain LoRA", "pissa"),
        ({"r": 8, "lora_alpha": 2}, "contradicts itself", "rank 8"),
        ({"r": 2, "lora_alpha": "much"}, "settings of the adapter", "much"),
        ({"r": 2, "lora_alpha": 2, "rank_pattern": {"(": 1}}, "settings of the adapter", "unterminated"),
    ],
)
def test_settings_that_do_not_fit_the_tensors(
    config: dict[str, Any], problem: str, cause: str, unet: Any, tmp_path: Path
) -> None:
    with pytest.raises(CorruptError, match=problem) as error:
        load_adapter(unet, written(tmp_path, named(adapted(unet)), config))
    assert cause in error.value.cause


def test_a_loaded_adapter_is_compared_with_its_file(unet: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that drops a tensor, or scales otherwise, is found out."""
    file, load = written(tmp_path, named(adapted(unet))), type(unet).load_lora_adapter

    def drops(self: Any, state: dict[str, Tensor], **settings: Any) -> None:
        load(self, {n: t for n, t in state.items() if "mid_block" not in n}, **settings)

    def scales(self: Any, state: dict[str, Tensor], metadata: dict[str, Any], **settings: Any) -> None:
        load(self, state, metadata={**metadata, "unet.lora_alpha": math.pi}, **settings)

    for wrong in (drops, scales):
        with monkeypatch.context() as patch, pytest.raises(CorruptError, match="was not loaded wholly"):
            patch.setattr(type(unet), "load_lora_adapter", wrong)
            load_adapter(unet, file)
    load_adapter(unet, file)


def test_one_adapter_after_another_on_one_network(unet: Any, plain: Any, tmp_path: Path) -> None:
    """The rows of a table share the base network: peft's wrappers stay in it when an adapter is taken off."""
    layers = adapted(unet)
    files = written(tmp_path / "a", named(layers)), written(tmp_path / "b", kohya(layers, lambda _: 4.0))
    wanted = by_hand(plain, layers, lambda _: 1.0), by_hand(plain, layers, lambda _: 2.0)
    for file, expected in zip(files, wanted, strict=True):
        load_adapter(unet, file)
        torch.testing.assert_close(predicted(unet), expected, rtol=1e-3, atol=1e-3)
        unet.delete_adapters("default")
