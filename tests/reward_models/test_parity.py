"""Each learned reward equals an independent computation to 1e-5, and would not if it were wrong in the usual places."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from benchbench.rewards import lookup
from tests.reward_models import checkpoints, independent
from tests.reward_models.conftest import natural
from tests.reward_models.independent import MEAN, STD, State, gelu, quick_gelu, unit

TOLERANCE = 1e-5
PROMPTS = ["a cat", "the quick brown fox jumps", "z", "a cat"]
MEAN_IR, STD_IR = 0.16717362830052426, 1.0333394966054072
Scores = Callable[..., Tensor]


def pictures() -> list:  # type: ignore[type-arg]
    """Of the towers' own size, so that no resize takes part; those are tested by themselves."""
    return [natural(i, checkpoints.SIDE, checkpoints.SIDE) for i in range(4)]


def pixels() -> Tensor:
    out = []
    for image in pictures():
        rows = torch.tensor(list(image.tobytes()), dtype=torch.float32).view(image.height, image.width, 3)
        out.append((rows.permute(2, 0, 1) / 255 - MEAN) / STD)
    return torch.stack(out)


def clip_ids(prompts: list[str]) -> list[list[int]]:
    """By hand: beginning, a token a letter (the last of a word is another one), end; 12 at most, the end stays."""
    words = {word: i for i, word in enumerate(checkpoints.CLIP_WORDS)}
    out = []
    for prompt in prompts:
        letters = [c if i + 1 < len(word) else f"{c}</w>" for word in prompt.split() for i, c in enumerate(word)]
        inner = [words[c] for c in letters][: checkpoints.LENGTH - 2]
        out.append([words["<|startoftext|>"], *inner, words["<|endoftext|>"]])
    return out


def bert_ids(prompts: list[str]) -> list[list[int]]:
    words = {word: i for i, word in enumerate(checkpoints.BERT_WORDS)}
    out = []
    for prompt in prompts:
        letters = [c if i == 0 else f"##{c}" for word in prompt.split() for i, c in enumerate(word)]
        out.append([words["[CLS]"], *(words[c] for c in letters), words["[SEP]"]])
    return out


def aesthetic(folder: Path, act: Callable[[Tensor], Tensor] = quick_gelu, heads: int = 2) -> Tensor:
    clip = load_file(folder / "clip-vit-large-patch14" / "model.safetensors")
    head = torch.load(folder / "sac+logos+ava1-l14-linearMSE.pth", weights_only=True)
    return independent.head(head, unit(independent.hf_image(clip, pixels(), heads, act)))


def clip_hf(
    folder: Path, file: str, heads: int, act: Callable[[Tensor], Tensor], mask: bool = True, scaled: bool = False
) -> Tensor:
    s = load_file(folder / file / "model.safetensors")
    image = unit(independent.hf_image(s, pixels(), heads, act))
    text = unit(independent.hf_text(s, clip_ids(PROMPTS), 2, act, mask))
    return (math.exp(s["logit_scale"].item()) if scaled else 1.0) * (image * text).sum(-1)


def hps(
    folder: Path, version: str, act: Callable[[Tensor], Tensor] = gelu, heads: int = 2, mask: bool = True
) -> Tensor:
    found = torch.load(folder / "HPSv2" / f"HPS_{version}_compressed.pt", weights_only=True)["state_dict"]
    s: State = {name: value.float() for name, value in found.items()}
    image = unit(independent.oc_image(s, pixels(), heads, act))
    return 100 * (image * unit(independent.oc_text(s, clip_ids(PROMPTS), 2, act, mask))).sum(-1)


def imagereward(
    folder: Path,
    heads: int = 3,
    eps: float = 1e-6,
    mask: bool = False,
    enc: bool = False,
    act: Callable[[Tensor], Tensor] = gelu,
) -> Tensor:
    s = torch.load(folder / "ImageReward.pt", weights_only=True)
    ids = bert_ids(PROMPTS)
    if enc:
        ids = [[len(checkpoints.BERT_WORDS) + 1, *row[1:]] for row in ids]
    image = independent.ir_image(s, pixels(), 2, eps, act)
    return (independent.head(s, independent.ir_text(s, ids, image, heads, mask, act), "mlp.") - MEAN_IR) / STD_IR


RIGHT: dict[str, Scores] = {
    "aesthetic": aesthetic,
    "imagereward": imagereward,
    "hpsv2.0": lambda folder, **wrong: hps(folder, "v2", **wrong),
    "hpsv2.1": lambda folder, **wrong: hps(folder, "v2.1", **wrong),
    "pickscore": lambda folder, **w: clip_hf(folder, "PickScore_v1", **{"heads": 2, "act": gelu, "scaled": True, **w}),
    "clip_h14": lambda folder, **w: clip_hf(
        folder, "CLIP-ViT-H-14-laion2B-s32B-b79K", **{"heads": 2, "act": gelu, **w}
    ),
    "clip_l14": lambda folder, **w: clip_hf(folder, "clip-vit-large-patch14", **{"heads": 2, "act": quick_gelu, **w}),
}
WRONG = [
    ("aesthetic", {"act": gelu}),
    ("aesthetic", {"heads": 4}),
    ("clip_l14", {"act": gelu}),
    ("clip_l14", {"mask": False}),
    ("clip_h14", {"act": quick_gelu}),
    ("clip_h14", {"heads": 5}),
    ("pickscore", {"act": quick_gelu}),
    ("pickscore", {"scaled": False}),
    ("pickscore", {"mask": False}),
    ("hpsv2.0", {"act": quick_gelu}),
    ("hpsv2.1", {"heads": 5}),
    ("hpsv2.1", {"mask": False}),
    ("imagereward", {"heads": 8}),
    ("imagereward", {"eps": 1e-5}),
    ("imagereward", {"mask": True}),
    ("imagereward", {"enc": True}),
    ("imagereward", {"act": quick_gelu}),
]


def relative(name: str, found: Tensor, expected: Tensor) -> float:
    """Largest difference, in units of the score's own scale (100 cos and logits count hundredths of a cosine)."""
    scale = 100.0 if name in ("hpsv2.0", "hpsv2.1", "pickscore") else 1.0
    return ((found - expected).abs().max() / scale).item()


@pytest.mark.parametrize("name", RIGHT)
def test_equals_the_independent_computation(name: str, weights: Path, record_property: Callable[..., None]) -> None:
    """Both paths, since pictures of the tower's size are not resized."""
    reward = lookup.get(name)()
    expected = RIGHT[name](weights)
    assert expected.std() > 100 * TOLERANCE, "random scores that hardly differ would prove nothing"
    error = relative(name, reward.score(pictures(), PROMPTS), expected)
    record_property("error", error)
    print(f"parity {name}: {error:.1e}")
    assert error < TOLERANCE
    raw = pixels() * STD + MEAN
    assert relative(name, reward.score_differentiable(raw, PROMPTS), expected) < TOLERANCE


@pytest.mark.parametrize(
    ("name", "wrong"), WRONG, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_a_wrong_port_would_be_noticed(name: str, wrong: dict[str, object], weights: Path) -> None:
    """The independent computation with one mistake differs by far more than the tolerance."""
    reward = lookup.get(name)()
    assert relative(name, reward.score(pictures(), PROMPTS), RIGHT[name](weights, **wrong)) > 10 * TOLERANCE


def test_the_two_versions_of_hpsv2_are_two_models(weights: Path) -> None:
    a, b = (lookup.get(name)().score(pictures(), PROMPTS) for name in ("hpsv2.0", "hpsv2.1"))
    assert (a - b).abs().max() > 0.1


def test_a_pickle_of_the_same_tensors_scores_the_same(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pytorch_model.bin is read where there is no model.safetensors."""
    expected = lookup.get("pickscore")().score(pictures(), PROMPTS)
    copy = tmp_path / "weights"
    shutil.copytree(weights, copy)
    safe = copy / "PickScore_v1" / "model.safetensors"
    torch.save(load_file(safe), safe.with_name("pytorch_model.bin"))
    safe.unlink()
    monkeypatch.setenv("BENCH_WEIGHTS", str(copy))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))  # another lock: both are the first file that it sees
    assert torch.equal(lookup.get("pickscore")().score(pictures(), PROMPTS), expected)


def test_clip_h14_reads_open_clips_own_file_too(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In open_clip's layout it is HPSv2's computation without the 100."""
    copy = tmp_path / "weights"
    shutil.copytree(weights, copy)
    folder = copy / "CLIP-ViT-H-14-laion2B-s32B-b79K"
    (folder / "model.safetensors").unlink()
    state = torch.load(weights / "HPSv2" / "HPS_v2_compressed.pt", weights_only=True)["state_dict"]
    save_file(state, folder / "open_clip_model.safetensors")
    monkeypatch.setenv("BENCH_WEIGHTS", str(copy))
    scores = lookup.get("clip_h14")().score(pictures(), PROMPTS)
    assert relative("clip_h14", 100 * scores, hps(weights, "v2")) < 100 * TOLERANCE


@pytest.mark.parametrize("name", RIGHT)
def test_the_gradient_is_that_of_the_independent_score(name: str, weights: Path) -> None:
    """A small step along the gradient changes the score by its length squared times the step, to first order."""
    reward = lookup.get(name)()
    raw = (pixels() * STD + MEAN).clamp(0.2, 0.8)
    x = raw.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(reward.score_differentiable(x, PROMPTS).sum(), x)
    assert gradient.isfinite().all() and (gradient.flatten(1).norm(dim=1) > 0).all()
    step = 1e-2 * gradient / gradient.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
    with torch.no_grad():
        up, down = (reward.score_differentiable(raw + sign * step, PROMPTS) for sign in (1, -1))
    slope = (up - down) / 2e-2
    assert torch.allclose(slope, gradient.flatten(1).norm(dim=1), rtol=0.05)
