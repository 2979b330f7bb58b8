"""The cost of a gradient, counted again in FLOPs on networks of the true sizes, and how costs add up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from benchbench import defaults
from benchbench.api import Cond
from benchbench.diffusion.cost import CHECKPOINTING, GRADIENT, Cost, sum_costs
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward, guide
from benchbench.diffusion.lora import add_lora
from benchbench.diffusion.network_kind import network_class, part_name
from benchbench.diffusion.policy import Policy
from benchbench.hub.known_configs import KNOWN, SD15_UNET, SD35M_TRANSFORMER, SD_VAE, SDXL_UNET
from tests.methods.rewards import Brightness


class Flops(TorchDispatchMode):
    """Sums the FLOPs of what runs, by PyTorch's own formulas, which know fused attention.

    FlopCounterMode uses the same formulas, but its hooks fail under gradient checkpointing.
    """

    total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func._overloadpacket in flop_registry:
            self.total += flop_registry[func._overloadpacket](*args, **(kwargs or {}), out_val=out)
        return out


def flops(run: Callable[[], Any]) -> int:
    with Flops() as counted:
        run()
    return counted.total


def without_weights(make: Callable[[], nn.Module]) -> Any:
    """A network made on the meta device, with fake tensors on the CPU in the place of its weights."""
    with torch.device("meta"):
        network = make()
    for module in network.modules():
        for name, p in module._parameters.items():
            if p is not None:
                module._parameters[name] = nn.Parameter(torch.empty(p.shape, dtype=p.dtype), p.requires_grad)
        for name, buffer in module._buffers.items():
            if buffer is not None:
                module._buffers[name] = torch.empty(buffer.shape, dtype=buffer.dtype)
    return network


def network_of(config: dict[str, Any], finetune: str) -> Any:
    def make() -> Any:
        kind = network_class("transformer" if config is SD35M_TRANSFORMER else "unet")
        network = kind(**config).requires_grad_(finetune == "full")
        if finetune == "lora":
            add_lora(network, 4, 4.0, seed=0)
        return network

    return without_weights(make)


def asked(network: Any, gradient_of: str | None) -> Callable[[], None]:
    """A forward pass of one row, with the gradient of the weights, of the latents alone, or with none."""
    own = network.config
    x = torch.randn(1, own.in_channels, own.sample_size, own.sample_size, requires_grad=gradient_of == "latents")
    more: dict[str, Any] = {}
    if part_name(network) == "transformer":
        text, more = torch.randn(1, 77 + 256, own.joint_attention_dim), {"pooled_projections": torch.randn(1, 2048)}
    else:
        text = torch.randn(1, 77, own.cross_attention_dim)
    if getattr(own, "addition_embed_type", None):
        more = {"added_cond_kwargs": {"text_embeds": torch.randn(1, 1280), "time_ids": torch.zeros(1, 6)}}

    def run() -> None:
        with torch.set_grad_enabled(gradient_of is not None):
            loss = network(x, timestep=torch.tensor([500]), encoder_hidden_states=text, **more).sample.square().sum()
        if gradient_of == "latents":
            torch.autograd.grad(loss, x)
        elif gradient_of:
            loss.backward()

    return run


def counted(config: dict[str, Any], finetune: str) -> dict[str, float]:
    """Forward passes that a gradient costs: of the weights, the latents, and what checkpointing adds to each."""
    with FakeTensorMode():
        network = network_of(config, finetune)
        if finetune == "lora":
            network.disable_adapters()
        forward = flops(asked(network, None))  # of the base model
        if finetune == "lora":
            network.enable_adapters()
        found = {of: flops(asked(network, of)) / forward for of in ("weights", "latents")}
        network.enable_gradient_checkpointing()
        again = {of: flops(asked(network, of)) / forward - found[of] for of in ("weights", "latents")}
    parameters = sum(p.numel() for name, p in network.named_parameters() if "lora" not in name)
    found |= {"forward": forward, "parameters": parameters}
    return found | {f"{of} again": more for of, more in again.items()}


@pytest.mark.parametrize("finetune", ["lora", "full"])
def test_the_factors_are_those_of_stable_diffusion(finetune: str) -> None:
    """Each constant is the counted ratio, to the digits that it is given with; checkpointing's to a hundredth."""
    found = counted(SD15_UNET, finetune)
    assert defaults.of("sd15").tflop_per_evaluation == round(2 * found["forward"] / 1e12, 2)
    assert defaults.of("sd15").unet_parameters == found["parameters"]
    digits = len(str(GRADIENT[finetune]).split(".")[1])
    assert round(found["weights"], digits) == GRADIENT[finetune]
    assert round(found["latents"], 1) == GRADIENT["latents"]
    assert found["weights again"] == pytest.approx(CHECKPOINTING, abs=0.01)
    assert found["latents again"] == pytest.approx(CHECKPOINTING, abs=0.01)


@pytest.mark.long
@pytest.mark.parametrize("finetune", ["lora", "full"])
def test_they_are_within_four_percent_on_sdxl(finetune: str) -> None:
    found = counted(SDXL_UNET, finetune)
    assert defaults.of("sdxl").tflop_per_evaluation == round(2 * found["forward"] / 1e12, 1)
    assert defaults.of("sdxl").unet_parameters == found["parameters"]
    assert found["weights"] == pytest.approx(GRADIENT[finetune], rel=0.04)
    assert found["latents"] == pytest.approx(GRADIENT["latents"], rel=0.04)
    for of in ("weights", "latents"):
        assert found[of] + found[f"{of} again"] == pytest.approx(
            GRADIENT[finetune if of == "weights" else of] + CHECKPOINTING, rel=0.04
        )


@pytest.mark.long
def test_the_work_of_sd21_at_768_pixels() -> None:
    with FakeTensorMode():
        network = network_of(KNOWN["sd21v"]["unet"], "none")
        found = round(2 * flops(asked(network, None)) / 1e12, 1), sum(p.numel() for p in network.parameters())
    defaults_of = defaults.of("sd21v")
    assert found == (defaults_of.tflop_per_evaluation, defaults_of.unet_parameters)


@pytest.mark.long
@pytest.mark.parametrize(("finetune", "gradient"), [("lora", 2.53), ("full", 3.19)])
def test_what_they_are_for_sd35m(finetune: str, gradient: float) -> None:
    """docs/models.md says so: a gradient of an adapter costs 15 % more there than the constant, of every weight 4 %."""
    found = counted(SD35M_TRANSFORMER, finetune)
    assert defaults.of("sd35m").tflop_per_evaluation == round(2 * found["forward"] / 1e12, 1)
    assert defaults.of("sd35m").unet_parameters == found["parameters"]
    assert (round(found["weights"], 2), round(found["weights again"], 2)) == (gradient, 1.0)


@pytest.mark.parametrize(
    ("config", "evaluations", "gradient"),
    [(SD15_UNET, 1.57, 2.02), pytest.param(SDXL_UNET, 0.77, 2.08, marks=pytest.mark.long)],
)
def test_what_decoding_costs(config: dict[str, Any], evaluations: float, gradient: float) -> None:
    """Not part of nfe: one image decoded, in guided evaluations, and with a gradient in decodings (methods/README)."""
    from diffusers import AutoencoderKL

    with FakeTensorMode():
        forward = flops(asked(network_of(config, "none"), None))
        vae = without_weights(lambda: AutoencoderKL(**SD_VAE).requires_grad_(False))
        z = torch.randn(1, 4, config["sample_size"], config["sample_size"], requires_grad=True)
        with torch.no_grad():
            once = flops(lambda: vae.decode(z))
        back = flops(lambda: torch.autograd.grad(vae.decode(z).sample.sum(), z))
    assert (round(once / (2 * forward), 2), round(back / once, 2)) == (evaluations, gradient)


def test_nfe_by_hand() -> None:
    """10 guided without gradient, 4 with, of which 1 of the latents; 3 plain ones without and 2 with; 2 guided ones
    under checkpointing; 7 forwards of evaluations: 10 + 3/2 + 7/2 = 15; gradients of weights (2 x 4 + 2 - 2)/2 = 4 and
    1 of latents; 2 x .74 for checkpointing. LoRA: 15 + 4 x 2.2 + 2.2 + 1.48 = 27.48. Full: 15 + 12.28 + 2.2 + 1.48.
    """
    cost = Cost()
    cost.add(10, guided=True, gradient=False, of_latents=True, checkpointed=False)  # no gradient, so none of latents
    cost.add(1, guided=True, gradient=True, of_latents=False, checkpointed=False)
    cost.add(2, guided=True, gradient=True, of_latents=False, checkpointed=True)
    cost.add(1, guided=True, gradient=True, of_latents=True, checkpointed=False)
    cost.add(3, guided=False, gradient=False, of_latents=False, checkpointed=False)
    cost.add(2, guided=False, gradient=True, of_latents=False, checkpointed=False)
    cost.eval_forwards, cost.reward_calls = 7, 100
    assert (cost.unet_evals, cost.unet_grads, cost.plain_evals, cost.plain_grads) == (10, 4, 3, 2)
    assert (cost.latent_forwards, cost.checkpointed_forwards) == (2, 4)
    assert (cost.nfe("lora"), cost.nfe("full")) == (27.48, 30.96)
    both = sum_costs([vars(cost), vars(cost)])
    assert (both.nfe("lora"), both.reward_calls) == (54.96, 200)


def rows(policy: Policy) -> tuple[torch.Tensor, Cond]:
    return torch.randn(3, *policy.backbone.latent_shape), policy.encode(["cat"] * 3)


def test_guidance_counts_as_a_gradient_of_the_latents(tuned: Policy) -> None:
    x, cond = rows(tuned)
    judge = StepReward(Decoder(tuned.backbone), Brightness(), tuned)
    guide(tuned, judge, x, 5, cond, ["cat"] * 3, 0.1, 0.5)
    assert tuned.cost == Cost(unet_grads=3, latent_forwards=6, reward_calls=3)


def test_checkpointing_switched_on_in_the_middle_counts_from_there(tuned: Policy) -> None:
    x, cond = rows(tuned)
    tuned.step(x, 5, cond)
    tuned.backbone.network.enable_gradient_checkpointing()
    tuned.step(x, 5, cond)
    tuned.predict(x, torch.tensor([5, 6, 7]), cond)
    with torch.no_grad():
        tuned.step(x, 5, cond)
    assert tuned.cost == Cost(unet_evals=3, unet_grads=6, plain_grads=3, checkpointed_forwards=9)


def test_without_guidance_an_evaluation_is_one_forward(tuned: Policy) -> None:
    tuned.guidance_scale = 1
    x, cond = rows(tuned)
    with torch.no_grad():
        tuned.step(x, 5, cond)
    assert tuned.cost == Cost(plain_evals=3) and tuned.cost.nfe("lora") == 1.5


def test_what_an_evaluation_computes_is_its_own(tuned: Policy) -> None:
    """Counted also where it ends in an error, and nothing else of it is."""
    x, cond = rows(tuned)
    with pytest.raises(ValueError, match="stop"), tuned.evaluating(), torch.no_grad():
        tuned.step(x, 5, cond)
        raise ValueError("stop")
    assert tuned.cost == Cost(eval_forwards=6)
