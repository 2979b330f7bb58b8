"""What every learned reward promises: N in, N out, for any batching and order, and two paths that agree."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from benchbench import registry
from benchbench.errors import RunError, UsageError
from benchbench.reward_models import _clip, _neural
from benchbench.reward_models._neural import NeuralReward
from benchbench.rewards import lookup
from tests.reward_models.conftest import LEARNED, Picture, natural, noisy

PROMPTS = ["a cat", "the quick brown fox", "z", "an ant playing chess", "a cat", "a very long prompt that is cut off"]
SIZES = [(40, 40), (32, 32), (64, 40), (40, 51), (33, 90), (100, 100)]
SCALE = {"hpsv2.0": 100.0, "hpsv2.1": 100.0, "pickscore": 100.0}
"""Scores in units of a cosine or of a rating."""


def pictures(make: Picture = natural) -> list[Image.Image]:
    return [make(i, *size) for i, size in enumerate(SIZES)]


def made(name: str) -> NeuralReward:
    reward: NeuralReward = lookup.get(name)()
    return reward


def close(a: Tensor, b: Tensor, name: str) -> bool:
    return torch.allclose(a, b, rtol=1e-5, atol=2e-5 * SCALE.get(name, 1.0))


@pytest.mark.parametrize("name", LEARNED)
def test_n_in_n_out_for_any_batching_and_order(name: str, weights: object) -> None:
    """Six pictures of six sizes: all at once, one by one, in chunks of four, backwards; never a matrix, never a row."""
    reward, images = made(name), pictures()
    scores = reward.score(images, PROMPTS)
    assert scores.shape == (6,) and scores.dtype == torch.float32 and scores.isfinite().all()
    assert scores.device.type == "cpu" and not scores.requires_grad
    assert len(scores.unique()) == 6
    alone = torch.cat([reward.score([image], [prompt]) for image, prompt in zip(images, PROMPTS, strict=True)])
    assert close(scores, alone, name)
    assert close(scores.flip(0), reward.score(images[::-1], PROMPTS[::-1]), name)
    reward.fits.size = 4
    assert close(scores, reward.score(images, PROMPTS), name)
    assert reward.score([], []).shape == (0,)
    with pytest.raises(ValueError, match="6 images for 3 prompts"):
        reward.score(images, PROMPTS[:3])


@pytest.mark.parametrize("name", LEARNED)
def test_the_tensor_path_too(name: str, weights: object) -> None:
    """And no score has a gradient with respect to another row's picture."""
    reward = made(name)
    x = torch.rand(5, 3, 48, 48, generator=torch.Generator().manual_seed(0)).requires_grad_()
    scores = reward.score_differentiable(x, PROMPTS[:5])
    assert scores.shape == (5,) and scores.requires_grad
    reward.fits.size = 2
    assert close(scores, reward.score_differentiable(x, PROMPTS[:5]), name)
    (row,) = torch.autograd.grad(scores[3], x)
    assert row[3].abs().max() > 0 and row[[0, 1, 2, 4]].abs().max() == 0
    assert all(not parameter.requires_grad for parameter in _parameters(reward))


def _parameters(reward: NeuralReward) -> list[Tensor]:
    modules = [value for value in vars(reward).values() if isinstance(value, torch.nn.Module)]
    assert modules
    return [parameter for module in modules for parameter in module.parameters()]


@pytest.mark.parametrize("name", LEARNED)
@pytest.mark.parametrize("make", [natural, noisy])
def test_the_gap_between_score_and_the_tensor_path(name: str, make: Picture, weights: object) -> None:
    """On 8-bit pictures of six sizes: below 5e-3 of the spread of the scores, on white noise too."""
    reward, images = made(name), pictures(make)
    scores = reward.score(images, PROMPTS)
    tensors = [torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255 for image in images]
    parts = [reward.score_differentiable(x, [p]) for x, p in zip(tensors, PROMPTS, strict=True)]
    gap, spread = (torch.cat(parts) - scores).abs().max().item(), scores.std().item()
    print(f"gap {name} {make.__name__}: {gap:.1e}, spread {spread:.1e}, ratio {gap / spread:.1e}")
    assert gap < 5e-3 * spread


@pytest.mark.parametrize("name", ["imagereward", "pickscore"])
def test_out_of_memory_halves_the_chunk_and_goes_on(
    name: str, weights: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for two pictures, chunks of 16 become ... 3, 1; the scores are those without the error."""
    reward, images = made(name), pictures()
    expected, sizes = reward.score(images, PROMPTS), []
    reward.fits.size = 16
    score_pixels = type(reward).score_pixels

    def tight(self: NeuralReward, pixels: Tensor, prompts: list[str]) -> Tensor:
        sizes.append(len(pixels))
        if len(pixels) > 2:
            raise torch.OutOfMemoryError("no room for three")
        return score_pixels(self, pixels, prompts)

    monkeypatch.setattr(type(reward), "score_pixels", tight)
    assert close(reward.score(images, PROMPTS), expected, name)
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1]
    sizes.clear()
    reward.score(images, PROMPTS)
    assert max(sizes) == 1, "what did not fit once is not tried again"


def test_no_room_for_one_picture_is_an_error(weights: object, monkeypatch: pytest.MonkeyPatch) -> None:
    reward = made("clip_l14")

    def none(self: NeuralReward, pixels: Tensor, prompts: list[str]) -> Tensor:
        raise torch.OutOfMemoryError("no room at all")

    monkeypatch.setattr(type(reward), "score_pixels", none)
    with pytest.raises(RunError, match="in the reward clip_l14, one image at a time"):
        reward.score(pictures(), PROMPTS)


def test_the_first_chunk_is_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    """80 % of 10 GB hold 16 pictures of 500 MB each; never fewer than one, never more than MAX_CHUNK."""
    import os

    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PHYS_PAGES": 10**7, "SC_PAGE_SIZE": 1000}[name])
    cpu = torch.device("cpu")
    assert _neural.first_chunk(cpu, 500) == 16
    assert _neural.first_chunk(cpu, 50_000) == 1
    assert _neural.first_chunk(cpu, 1) == _neural.MAX_CHUNK


def test_text_is_read_once_and_the_cache_is_bounded(weights: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt that was read is not read again until others have pushed it out; the longest unused goes first."""
    reward = made("pickscore")
    text: _clip.Text = reward.text  # type: ignore[attr-defined]
    read: list[str] = []
    tokens = text.tokens
    monkeypatch.setattr(text, "tokens", lambda prompts: read.extend(prompts) or tokens(prompts))
    text.cache.size = 3
    image = natural(0, 32, 32)
    first = reward.score([image] * 3, ["a", "b", "a"])
    assert read == ["a", "b"]
    assert close(first[0], first[2], "pickscore") and not close(first[0], first[1], "pickscore")
    reward.score([image] * 2, ["a", "c"])
    reward.score([image] * 2, ["d", "a"])
    assert read == ["a", "b", "c", "d"]
    reward.score([image], ["b"])
    assert read[-1] == "b" and len(text.cache) == 3


def test_the_aesthetic_reward_holds_no_text_tower(weights: object) -> None:
    reward = made("aesthetic")
    assert not hasattr(reward, "text")
    assert not [name for name, _ in reward.vision.named_parameters() if "text" in name]  # type: ignore[attr-defined]


def test_the_prompt_plays_no_part_in_the_aesthetic_reward_only(weights: object) -> None:
    image = natural(0, 40, 40)
    for name in LEARNED:
        a, b = made(name).score([image, image], ["a cat", "zebra"])
        assert close(a, b, name) == (name == "aesthetic"), name  # two rows of a batch may round differently


def test_html_in_a_prompt_is_read_as_the_authors_read_it(weights: object) -> None:
    """``&amp;`` is an ampersand to OpenAI's and open_clip's tokenizers, and five signs to PickScore's."""
    image = natural(0, 40, 40)
    for name, same in (("hpsv2.1", True), ("clip_h14", True), ("clip_l14", True), ("pickscore", False)):
        a, b = made(name).score([image, image], ["a &#98; c", "a b c"])
        assert close(a, b, name) == same, name


def test_tokens_are_open_clips() -> None:
    """With the real vocabulary, which open_clip ships: prompts of every kind, ids up to the end token."""
    open_clip = pytest.importorskip("open_clip")
    from transformers import CLIPTokenizer

    theirs = open_clip.tokenizer.SimpleTokenizer()
    merges = [" ".join(pair) for pair, _ in sorted(theirs.bpe_ranks.items(), key=lambda item: item[1])]
    words = {
        {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}.get(w, w): i
        for w, i in theirs.encoder.items()
    }
    ours = CLIPTokenizer(vocab=words, merges=[tuple(m.split(" ")) for m in merges], model_max_length=77)
    text = object.__new__(_clip.Text)
    torch.nn.Module.__init__(text)
    text.tokenizer, text.length, text.cleans = ours, 77, True
    prompts = [
        "a cat",
        "A  CAT,\n8k!!",
        "it's 1920x1080 (best:1.2)",
        "caf\u00e9 \u732b \U0001f431",
        "a &amp; b",
        "a \u201cquoted\u201d cat\u2019s \u2018hat\u2019",
        "\uff21 \uff43\uff41\uff54\uff0c \uff18\uff4b",
        "\ufb01sh and \ufb02owers",
        "caf\u00c3\u00a9 \u00e2\u20ac\u0153mojibake\u00e2\u20ac\u009d",
        "e\u0301 decomposed, soft\u00adhyphen, zero\u200bwidth",
        "\u2014 dash \u2026 dots \u00bd",
        "&lt;\u201cboth\u201d&gt;",
        "x" * 400,
        "word " * 100,
        "",
    ]
    for prompt in prompts:
        mine, other = text.tokens([prompt])[0].tolist(), theirs([prompt])[0].tolist()
        end = other.index(49407) + 1
        assert mine[:end] == other[:end], prompt


TYPOGRAPHIC = ("a \ufb01sh, \uff42\uff49\uff47", "a fish, big")


def test_typographic_signs_are_plain_ones_where_the_authors_say_so(weights: object) -> None:
    """A ligature and full-width letters: HPSv2 and CLIP read plain letters; PickScore and ImageReward read signs that
    they do not know. The vocabulary here is 26 letters, so that any other sign changes the score.
    """
    image = natural(0, 40, 40)
    for name, same in (
        ("hpsv2.0", True),
        ("hpsv2.1", True),
        ("clip_h14", True),
        ("clip_l14", True),
        ("pickscore", False),
    ):
        a, b = made(name).score([image, image], TYPOGRAPHIC)
        assert close(a, b, name) == same, name


@pytest.mark.parametrize(("name", "limit"), [("imagereward", 35), ("hpsv2.1", 12), ("pickscore", 12), ("clip_l14", 12)])
def test_prompts_that_are_cut_are_counted_once(name: str, limit: int, weights: object) -> None:
    """A letter a word is a token a word: limit - 2 words fit beside the start and end tokens, one more does not."""
    reward = made(name)
    fits, cut = " ".join("a" * (limit - 2)), " ".join("a" * (limit - 1))
    assert reward.cut([fits]) == (0, limit) and reward.cut([cut, fits, cut]) == (2, limit)
    assert reward.prompt_warnings([fits]) == reward.prompt_warnings([]) == []
    [line] = reward.prompt_warnings([fits, cut, cut, "b"])
    assert f"{name} reads the first {limit} tokens" in line and "1 of 3 different prompts" in line
    image = natural(0, 40, 40)
    a, b = reward.score([image, image], [cut, f"{cut} b c d"])  # what is cut plays no part
    assert close(a, b, name)


@pytest.mark.parametrize("name", ["aesthetic", "hpsv2.1", "pickscore", "imagereward"])
def test_a_picture_that_cannot_be_resized_is_refused(name: str, weights: object) -> None:
    """HPSv2 scales 2000 x 3 to 32 x .048 pixels, nothing; the others scale 3,000,000 x 1 to 96,000,000 x 32."""
    reward = made(name)
    too_long = (2000, 3) if name == "hpsv2.1" else (3_000_000, 1)
    for size in (too_long, too_long[::-1]):
        assert "differ too much" in (reward.refuses(*size) or "")
        with pytest.raises(UsageError, match="cannot be scored"):
            reward.score([Image.new("RGB", size)], ["a cat"])
    assert reward.refuses(64, 40) is None and reward.refuses(200, 20) is None
    assert len(reward.score([Image.new("RGB", (200, 20))], ["a cat"])) == 1


@pytest.mark.parametrize("name", [name for name in registry.names("rewards") if not name.startswith("spm")])
def test_what_a_class_says_of_prompts_is_true(name: str, weights: object) -> None:
    """Those that read no prompt give one score whatever it is, the others do not."""
    reward = made(name)
    image = natural(0, 40, 40)
    if name.startswith("shapes"):
        image = Image.new("RGB", (32, 32), (255, 255, 255))
        ImageDraw.Draw(image).ellipse((8, 8, 23, 23), fill=(220, 40, 40))
    words = ("a red circle", "a blue square on a green background")
    a, b = (reward.score([image], [prompt]) for prompt in words)
    assert torch.equal(a, b) == (not reward.reads_prompt)
