"""The step-aware preference model: equal to its CLIP at first, and loaded from the released format (methods.md S5)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cosine_similarity
from transformers import CLIPConfig, CLIPModel

from benchbench.errors import CorruptError, MissingError
from benchbench.reward_models._adaln import StepAwareCLIP, sinusoids

SIDE, WIDTH = 16, 12


def clip(seed: int = 0) -> CLIPModel:
    torch.manual_seed(seed)
    text = {"vocab_size": 20, "hidden_size": 8, "intermediate_size": 16, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "max_position_embeddings": 6, "bos_token_id": 18, "eos_token_id": 19}
    vision = {"hidden_size": WIDTH, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    vision |= {"image_size": SIDE, "patch_size": 8}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=5)).eval()


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(1)
    tokens = torch.tensor([[18, 3, 4, 19, 19, 19], [18, 7, 19, 19, 19, 19], [18, 9, 9, 2, 1, 19]])
    return torch.randn(3, 3, SIDE, SIDE, generator=g), tokens


def perturbed(model: StepAwareCLIP) -> StepAwareCLIP:
    g = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.added_parameters().values():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=g))
    return model


@torch.no_grad()
def score(model: StepAwareCLIP, tau: torch.Tensor) -> torch.Tensor:
    pixels, tokens = inputs()
    return model.score(model.embed_images(pixels, tau), model.embed_text(tokens))


def test_equal_to_its_clip_at_first_for_every_timestep() -> None:
    """S5, against transformers' own forward pass: exp(logit_scale) cos, whatever tau."""
    pixels, tokens = inputs()
    plain = clip()
    with torch.no_grad():
        out = plain(pixel_values=pixels, input_ids=tokens)
        expected = plain.logit_scale.exp() * cosine_similarity(out.image_embeds, out.text_embeds)
    model = StepAwareCLIP(clip())
    for tau in (0, 1, 500, 999):
        torch.testing.assert_close(score(model, torch.tensor(tau)), expected, atol=1e-5, rtol=1e-5)


def test_sinusoids() -> None:
    """tau = 3: frequency 0 is 1, so cos 3 and sin 3; frequency 64 is 10000^-.5 = .01: cos .03 and sin .03."""
    row = sinusoids(torch.tensor([3]))[0]
    assert row.shape == (256,)
    found = [row[0].item(), row[128].item(), row[64].item(), row[192].item()]
    assert found == pytest.approx([math.cos(3), math.sin(3), math.cos(0.03), math.sin(0.03)], abs=1e-5)


def test_the_timestep_counts_once_the_added_layers_have_moved() -> None:
    """One tau for all is that tau for each; other timesteps give other scores; each row depends on its own tau."""
    model = perturbed(StepAwareCLIP(clip()))
    early, late = score(model, torch.tensor(900)), score(model, torch.tensor(50))
    assert not torch.allclose(early, late, atol=1e-3)
    mixed = score(model, torch.tensor([900, 50, 900]))
    torch.testing.assert_close(mixed, torch.where(torch.tensor([True, False, True]), early, late), atol=1e-5, rtol=1e-5)


def test_a_block_by_hand() -> None:
    """One block, all modulations constant (weights 0, so c does not count): shift a, scale b, gate g of each branch.

    h + g1 attn(LN1(h)(1+b1)+a1), then + g2 mlp(LN2(h)(1+b2)+a2); at the end LN(CLS)(1+b)+a, projected.
    """
    model = StepAwareCLIP(clip())
    tower = model.model.vision_model
    values = torch.randn(2, 6, WIDTH, generator=torch.Generator().manual_seed(3))
    last = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        for layer, made in zip(tower.encoder.layers, values, strict=True):
            layer.adaLN_modulation[1].bias.copy_(made.flatten())
        tower.adaLN_modulation[1].bias.copy_(last.flatten())
        pixels, _ = inputs()
        h = tower.pre_layrnorm(tower.embeddings(pixels))
        for layer, (a1, b1, g1, a2, b2, g2) in zip(tower.encoder.layers, values, strict=True):
            h = h + g1 * layer.self_attn(layer.layer_norm1(h) * (1 + b1) + a1, attention_mask=None)[0]
            h = h + g2 * layer.mlp(layer.layer_norm2(h) * (1 + b2) + a2)
        pooled = tower.post_layernorm(h[:, 0]) * (1 + last[1]) + last[0]
        expected = model.model.visual_projection(pooled)
        seen = model.embed_images(pixels, torch.tensor(7))
    torch.testing.assert_close(seen, expected / expected.norm(dim=-1, keepdim=True), atol=1e-5, rtol=1e-5)


def test_released_names_and_shapes_load() -> None:
    """A state dict with the released keys (rewards.md 5 g), an old position_ids buffer among them, gives its scores."""
    source = perturbed(StepAwareCLIP(clip(5)))
    state = source.state_dict()
    added = {name: tuple(value.shape) for name, value in state.items() if name in source.added_parameters()}
    expected = {"model.t_embedder.mlp.0.weight": (WIDTH, 256), "model.t_embedder.mlp.2.weight": (WIDTH, WIDTH)}
    expected |= {"model.t_embedder.mlp.0.bias": (WIDTH,), "model.t_embedder.mlp.2.bias": (WIDTH,)}
    for i in range(2):
        block = f"model.vision_model.encoder.layers.{i}.adaLN_modulation.1."
        expected |= {f"{block}weight": (6 * WIDTH, WIDTH), f"{block}bias": (6 * WIDTH,)}
    last = "model.vision_model.adaLN_modulation.1."
    expected |= {f"{last}weight": (2 * WIDTH, WIDTH), f"{last}bias": (2 * WIDTH,)}
    assert added == expected
    model = StepAwareCLIP(clip(0))
    model.load({**state, "model.vision_model.embeddings.position_ids": torch.arange(5)}, "file")
    torch.testing.assert_close(score(model, torch.tensor(300)), score(source, torch.tensor(300)))


def test_a_plain_clip_and_another_size_are_refused() -> None:
    model = StepAwareCLIP(clip())
    plain = {name: value for name, value in model.state_dict().items() if name not in model.added_parameters()}
    with pytest.raises(CorruptError, match="not a step-aware"):
        model.load(plain, "file")
    state = model.state_dict() | {"model.t_embedder.mlp.0.weight": torch.zeros(4, 256)}
    with pytest.raises(CorruptError, match="not a step-aware"):
        model.load(state, "file")


def test_a_partial_checkpoint_is_refused_and_the_added_layers_alone_need_a_clip() -> None:
    """A missing tensor would stay random: it is refused, unless the caller says that the CLIP has its weights."""
    source, model = perturbed(StepAwareCLIP(clip(5))), StepAwareCLIP(clip(0))
    partial = source.state_dict()
    del partial["model.text_projection.weight"]
    for state in (partial, source.added_parameters()):
        with pytest.raises(CorruptError, match="not a step-aware") as error:
            model.load(state, "file")
        assert "missing" in error.value.cause
    model.load(source.added_parameters(), "file", added_only=True)
    broken = source.state_dict()
    broken["model.text_projection.weight"][0, 0] = float("nan")
    with pytest.raises(CorruptError, match="is damaged") as error:
        model.load(broken, "file")
    assert "model.text_projection.weight" in error.value.cause


def test_a_released_checkpoint_of_any_size_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reward around a tiny checkpoint in the released format: contract, resize and gradient."""
    from PIL import Image
    from transformers import CLIPTokenizer

    from benchbench.reward_models import spm

    letters = ["a", "b", "a</w>", "b</w>", *(f"w{i}" for i in range(14)), "<|startoftext|>", "<|endoftext|>"]
    words = CLIPTokenizer(vocab={word: i for i, word in enumerate(letters)}, merges=[], model_max_length=6)
    words.save_pretrained(tmp_path)
    source = perturbed(StepAwareCLIP(clip(5)))
    torch.save(source.state_dict(), tmp_path / "spm.bin")
    assert spm.FILE in str(spm.SPM.missing())
    with pytest.raises(MissingError, match="spm has no weights"):
        spm.SPM()
    monkeypatch.setattr(spm, "files", lambda _: (tmp_path / "spm.bin", tmp_path))
    monkeypatch.setattr(spm.SPM, "missing", classmethod(lambda cls: None))
    monkeypatch.setattr(spm, "config", lambda: source.model.config)
    reward = spm.SPM()
    images = [Image.new("RGB", (20 + 12 * i, 32), (40 * i, 10, 90)) for i in range(3)]
    scores = reward.score(images, ["a", "b", "a b"])
    assert scores.shape == (3,) and scores.isfinite().all() and len(reward.score([], [])) == 0
    torch.testing.assert_close(scores.flip(0), reward.score(images[::-1], ["a b", "b", "a"]))
    pixels = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(0)).requires_grad_()
    early, late = (reward.score_at(pixels, ["a", "b"], torch.tensor(tau)) for tau in (900, 10))
    assert not torch.allclose(early, late, atol=1e-3)
    (gradient,) = torch.autograd.grad(early[0], pixels)
    assert float(gradient[0].abs().sum()) > 0 and float(gradient[1].abs().sum()) == 0
    (tmp_path / "spm.bin").write_bytes(b"not a checkpoint")
    with pytest.raises(CorruptError, match="is not the expected checkpoint"):
        spm.SPM()


def test_preprocessing_by_hand() -> None:
    """A constant .5 stays .5 through the resize: (.5 - mean)/std, red (.5 - .48145466)/.26862954 = .06904."""
    from benchbench.reward_models._preprocess import aliased_tensor

    made = aliased_tensor(torch.full((1, 3, 40, 64), 0.5), SIDE)
    assert made.shape == (1, 3, SIDE, SIDE)
    assert made[0, 0].unique().tolist() == pytest.approx([0.06904] * len(made[0, 0].unique()), abs=1e-5)
