"""Whatever a reward gives or raises is a number for each image, or an error that names the reward and an image."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from benchbench import reward_calls
from benchbench.api import CorruptError, PreparedReward, Reward, StepScorer
from benchbench.cli import listing
from benchbench.cli.main import main
from benchbench.errors import NoMemoryError, RunError, UsageError
from benchbench.rewards import lookup, mix
from benchbench.rewards.scoring import scoring

IMAGES = [Image.new("RGB", (8, 8), (level, level, level)) for level in (0, 51, 255)]
PIXELS = torch.tensor([0.0, 0.2, 1.0]).reshape(3, 1, 1, 1).expand(3, 3, 8, 8)
PROMPTS = ["first words", "second words", "third words"]


class Grey(StepScorer):
    """The mean brightness in per cent, changed by ``change``, which each test sets."""

    name, version, unit, range, differentiable, weights = "grey", "1", "%", (0.0, 100.0), True, "none"
    change: Callable[[Tensor], Any] = staticmethod(lambda scores: scores)

    def score(self, images: Sequence[Any], prompts: Sequence[str]) -> Any:
        return self.change(torch.tensor([np.asarray(image).mean() / 2.55 for image in images]).float())

    def score_differentiable(self, images: Tensor, prompts: Sequence[str]) -> Any:
        return self.change(100 * images.mean((1, 2, 3)))

    def score_at(self, images: Tensor, prompts: Sequence[str], tau: Tensor) -> Any:
        return self.score_differentiable(images, prompts)


class Prepared(Grey, PreparedReward):
    """Grey in two steps."""

    name = "prepared"

    def prepare(self, images: Sequence[Any]) -> Any:
        return self.change(torch.tensor([np.asarray(image).mean() / 2.55 for image in images]).float())

    def score_prepared(self, prepared: Tensor, prompts: Sequence[str]) -> Any:
        return self.change(prepared)


def call_all(reward: Any) -> list[Tensor]:
    """Calls the reward in every way that the suite calls it."""
    pixels = PIXELS.clone().requires_grad_()
    tau = torch.tensor(5)
    return [
        reward_calls.score(reward, IMAGES, PROMPTS),
        reward_calls.score_differentiable(reward, pixels, PROMPTS),
        reward_calls.score_at(reward, pixels, PROMPTS, tau),
    ]


def changed(monkeypatch: pytest.MonkeyPatch, change: Callable[[Tensor], Any]) -> None:
    monkeypatch.setattr(Grey, "change", staticmethod(change))


def ways() -> list[Callable[[], Any]]:
    pixels, prepared = PIXELS.clone().requires_grad_(), torch.zeros(3)
    return [
        lambda: reward_calls.score(Grey(), IMAGES, PROMPTS),
        lambda: reward_calls.score_differentiable(Grey(), pixels, PROMPTS),
        lambda: reward_calls.score_at(Grey(), pixels, PROMPTS, torch.tensor(5)),
        lambda: reward_calls.score_prepared(Prepared(), prepared, PROMPTS),
        lambda: scoring(Grey())(IMAGES, PROMPTS),
    ]


def test_a_good_reward_passes_as_it_is() -> None:
    for scores in call_all(Grey()):
        assert scores.dtype == torch.float32
        assert scores.tolist() == pytest.approx([0, 20, 100], abs=1e-4)
    assert [scores.requires_grad for scores in call_all(Grey())] == [False, True, True]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s[:, None] + s[None], "a tensor of shape [3, 3]"),
        (lambda s: s[:, None], "a tensor of shape [3, 1]"),
        (lambda s: s.mean(), "a tensor of shape []"),
        (lambda s: s[:2], "a tensor of shape [2]"),
        (lambda s: s.tolist(), "a list and not a tensor"),
        (lambda s: s.detach().numpy(), "a ndarray and not a tensor"),
        (lambda s: None, "a NoneType and not a tensor"),
        (lambda s: s + 1j, "complex numbers"),
    ],
    ids=["N x N", "column", "scalar", "too few", "list", "array", "nothing", "complex"],
)
def test_another_shape_or_type_is_refused_in_every_call(
    change: Callable[[Tensor], Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed(monkeypatch, change)
    for way in ways():
        with pytest.raises(RunError) as error:
            way()
        assert said in error.value.problem
        assert "3 images" in error.value.cause and "'first words'" in error.value.cause
        assert error.value.remedy in ("bench check grey", "bench check prepared")


def test_an_exception_names_reward_prompt_images_and_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_scores: Tensor) -> Tensor:
        raise ConnectionError("the scoring server answered 503\nsecond line")

    def end(_scores: Tensor) -> Tensor:
        sys.exit("usage: grey IMAGE")

    for change, said in ((fail, "ConnectionError: the scoring server answered 503 ("), (end, "SystemExit: usage")):
        changed(monkeypatch, change)
        for way in ways():
            with pytest.raises(RunError) as error:
                way()
            assert "failed on 3 images, the first with the prompt 'first words'" in error.value.problem
            assert error.value.cause.startswith(said) and Path(__file__).name in error.value.cause
            assert len(str(error.value).splitlines()) == 3


def test_our_own_errors_and_out_of_memory_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The splitter makes the parts smaller until one image is too much."""
    shown: list[int] = []

    def full(scores: Tensor) -> Tensor:
        shown.append(len(scores))
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    def damaged(_scores: Tensor) -> Tensor:
        raise CorruptError("weights are damaged", "a", "b")

    changed(monkeypatch, full)
    with pytest.raises(NoMemoryError):
        scoring(Grey())(IMAGES, PROMPTS)
    assert shown == [3, 1]
    changed(monkeypatch, damaged)
    with pytest.raises(CorruptError):
        call_all(Grey())


def test_scores_that_lost_their_gradient_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda scores: scores.detach())
    pixels = PIXELS.clone().requires_grad_()
    with pytest.raises(RunError, match="scores without a gradient"):
        reward_calls.score_differentiable(Grey(), pixels, PROMPTS)
    with torch.no_grad():
        assert len(reward_calls.score_differentiable(Grey(), pixels, PROMPTS)) == 3


def test_scores_in_half_precision_become_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda scores: scores.bfloat16())
    assert {scores.dtype for scores in call_all(Grey())} == {torch.float32}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_score_that_is_not_finite_names_its_prompt(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda s: torch.where(torch.arange(len(s)) == 1, value, s))
    with pytest.raises(RunError, match=f"grey gave {value}") as error:
        scoring(Grey())(IMAGES, PROMPTS)
    assert "'second words', one of 3 images" in error.value.cause


def test_a_mix_names_the_member_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    changed(monkeypatch, lambda scores: scores[:, None])
    monkeypatch.setattr(mix.registry, "get", lambda kind, name: {"grey": Grey, "prepared": Prepared}[name])
    mixed = mix.mix_class.__wrapped__("grey=1,prepared=2")()
    mixed.statistics = dict.fromkeys(mixed.members, mix.Statistics(0.0, 1.0, 3))
    for call in (mixed.score, lambda *_: mixed.score_differentiable(PIXELS, PROMPTS)):
        with pytest.raises(RunError, match="reward grey is wrong"):
            call(IMAGES, PROMPTS)


def test_what_loading_or_preparing_raises_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoFile(Grey):
        name = "no-file"

        def __init__(self, device: Any = "cpu") -> None:
            raise FileNotFoundError("weights.bin")

        @classmethod
        def missing(cls) -> str | None:
            raise KeyError("HOME")

        def expect(self, prompts: Sequence[str]) -> None:
            raise ValueError("too many")

    with pytest.raises(RunError, match="no-file failed when it is loaded") as error:
        reward_calls.load(NoFile, "cpu")
    assert "FileNotFoundError: weights.bin" in error.value.cause
    with pytest.raises(RunError, match="failed when it is asked for its files"):
        reward_calls.missing(NoFile)
    with pytest.raises(RunError, match="failed on 3 prompts"):
        reward_calls.expect(NoFile.__new__(NoFile), PROMPTS)
    changed(monkeypatch, lambda scores: scores[:1])
    with pytest.raises(RunError, match=r"prepared is wrong: it gave a tensor of shape \[1\]"):
        reward_calls.prepare(Prepared(), IMAGES)


RANGES = [(PIXELS * 255, "from 0 to 255"), (PIXELS * 2 - 1, "from -1 to 1"), ((PIXELS * 255).byte(), "uint8")]


@pytest.mark.parametrize("name", ["shapes-colour", "shapes-spm", "grey"])
@pytest.mark.parametrize(("images", "said"), RANGES, ids=["0..255", "-1..1", "bytes"])
def test_images_of_another_range_are_refused(name: str, images: Tensor, said: str) -> None:
    """They give plausible scores: the first images that an object gets are looked at."""
    reward = Grey() if name == "grey" else lookup.get(name)()
    with pytest.raises(UsageError, match=r"not in \[0, 1\]") as error:
        reward.score_differentiable(images, PROMPTS)
    assert said in error.value.cause
    assert len(reward.score_differentiable(PIXELS, PROMPTS)) == 3


def test_later_images_are_not_looked_at() -> None:
    """A look waits for the device."""
    reward = Grey()
    reward.score_differentiable(PIXELS, PROMPTS)
    assert reward.score_differentiable(PIXELS * 255, PROMPTS).tolist() == pytest.approx([0, 5100, 25500], rel=1e-5)
    told: Reward = Grey()
    told.assume_unit_range()
    assert len(told.score_differentiable(PIXELS * 255, PROMPTS)) == 3


def test_no_command_ends_without_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Code of others may call sys.exit anywhere, also with 0 or with no message."""
    for code in (None, 0, 3, "usage: mine IMAGE"):
        monkeypatch.setattr(listing, "table", lambda *_, code=code: sys.exit(code))
        assert main(["list", "methods"]) == RunError.code
        err = capsys.readouterr().err
        assert f"ended from inside, with {code!r}" in err and Path(__file__).name in err
        assert len(err.splitlines()) == 3
