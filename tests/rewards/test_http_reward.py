"""A reward that a server computes: its name and version, what is sent, and what ends with a clear message."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from benchbench import reward_calls
from benchbench.api import Prompt
from benchbench.errors import RunError, UsageError
from benchbench.rewards import lookup
from benchbench.rewards.identity import key_of_reward
from benchbench.store.scores import made_by
from benchbench.train.reward_memory import RewardMemory, memory_of
from tests.rewards.servers import INFO, Told, reference, right


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)) for _ in range(count)]


def mean_and_tag(images, prompts, metadata):
    """Scores the mean of the pixels, the length of the prompt and the tag."""
    return [
        float(np.asarray(i).mean()) + 1000 * len(p) + 10_000 * m.get("tag", 0)
        for i, p, m in zip(images, prompts, metadata, strict=True)
    ]


def test_every_pixel_prompt_and_row_arrives_in_its_order() -> None:
    """Ten images in requests of three; the tags of two equal prompts differ."""
    images = pictures(10)
    prompts = [Prompt("a" * (1 + n % 2), {"tag": n, "other": "unsent"}) for n in range(10)]
    with reference(mean_and_tag, max_batch=3, needs=("tag",)) as address:
        reward = lookup.get(address)()
        scores = reward_calls.score(reward, images, prompts)
        back = reward_calls.score(reward, images[::-1], prompts[::-1])
    expected = [np.asarray(i).mean() + 1000 * (1 + n % 2) + 10_000 * n for n, i in enumerate(images)]
    assert torch.equal(scores, torch.tensor(expected, dtype=torch.float32)) and torch.equal(back.flip(0), scores)


def test_only_what_is_in_a_key_is_sent_and_at_most_max_batch() -> None:
    with Told(lambda n, r: right(r), {**INFO, "needs": ["tag"]}) as told:
        reward = lookup.get(told.address)()
        reward.score(pictures(9), [Prompt("a", {"tag": n, "secret": "x"}) for n in range(9)])
        assert [len(r["images"]) for r in told.requests] == [4, 4, 1]
        assert [row for r in told.requests for row in r["metadata"]] == [{"tag": n} for n in range(9)]
        assert set(told.requests[0]) == {"images", "prompts", "metadata"}
        assert reward.score([], []).shape == (0,) and len(told.requests) == 3


def test_a_prompt_without_its_metadata_is_refused_before_anything_is_sent() -> None:
    with Told(lambda n, r: right(r), {**INFO, "needs": ["tag"]}) as told:
        reward = lookup.get(told.address)()
        for prompts in (["a", "b"], [Prompt("a", {"tag": 1}), Prompt("b", {"tags": 1})]):
            with pytest.raises(UsageError, match=r"has no 'tag', which the reward ruler@http needs"):
                reward_calls.score(reward, pictures(2), prompts)
        assert not told.requests


def test_a_name_is_never_that_of_a_registered_reward() -> None:
    """Scores of a server that calls itself pickscore are filed apart, and no key holds an address."""
    with Told(lambda n, r: right(r), {**INFO, "name": "pickscore", "version": "v1"}) as told:
        served, released = lookup.get(told.address), lookup.get("pickscore")
        assert (served.name, served.version) == ("pickscore@http", "v1") and released.version == "v1"
        assert key_of_reward(served) == ["pickscore@http", "v1"]
        assert served.identity() == {"version of the reward pickscore@http": "v1"} and made_by(served) == ""
        assert lookup.get("pickscore@http") is served and lookup.get("pickscore") is released
        assert lookup.resolve(told.address, "sd15") == (
            "pickscore@http",
            f"{told.address} computes pickscore@http, version v1",
        )
    with pytest.raises(UsageError, match="cannot be asked by its name"):
        lookup.get("never-asked@http")


def test_what_a_class_says_is_what_the_server_says() -> None:
    facts = {"range": [0, 5], "reads_prompt": False, "licence": "MIT", "needs": ["tag", "tag"]}
    with Told(lambda n, r: right(r), {**INFO, **facts}) as told:
        reward = lookup.require(f"{told.address}/")
    assert (reward.unit, reward.range, reward.reads_prompt, reward.needs) == ("signs", (0.0, 5.0), False, ("tag",))
    assert not reward.differentiable and reward.trainable and reward.weights == f"on the server {told.address}; MIT"


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({**INFO, "higher_is_better": False}, "lower scores are better"),
        ({**INFO, "max_batch": "4"}, "max_batch is '4'"),
        ({}, "name is None"),
        ([], "no JSON object"),
    ],
)
def test_a_server_of_another_kind_is_refused(info: object, said: str) -> None:
    with Told(lambda n, r: right(r), info) as told:
        with pytest.raises(UsageError) as error:
            lookup.get(told.address)
        assert said in str(error.value) and len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"scores": [1.0]}, "it holds 1 scores for 2 images"),
        ({"scores": [1.0, float("nan")]}, "score 1 is nan"),
        ({"scores": ["1", "2"]}, "score 0 is '1'"),
        ({"scores": [True, False]}, "score 0 is True"),
        ({"scores": None}, "scores is no list"),
    ],
)
def test_scores_that_cannot_be_used_end_in_one_message(other: dict[str, object], said: str) -> None:
    with Told(lambda n, r: right(r, **other)) as told:
        with pytest.raises(RunError) as error:
            reward_calls.score(lookup.get(told.address)(), pictures(2), ["a cat", "a dog"])
        assert said in error.value.cause and "a cat" in error.value.cause and told.address in error.value.problem
        assert len(str(error.value).splitlines()) == 3 and len(told.requests) == 1


@pytest.mark.parametrize(
    ("now", "said"), [({"version": "2"}, "ruler, version 2"), ({"name": "scale"}, "scale, version 1")]
)
def test_another_version_or_name_half_way_is_never_mixed(now: dict[str, str], said: str) -> None:
    with Told(lambda n, r: right(r, **(now if n else {}))) as told:
        with pytest.raises(RunError, match="changed while it scored") as error:
            reward_calls.score(lookup.get(told.address)(), pictures(5), ["a"] * 5)
        assert f"it said ruler, version 1, at first and says {said} now" in error.value.cause


def test_a_mix_holds_names_and_never_an_address() -> None:
    with reference(mean_and_tag, needs=("tag",)) as address:
        name, note = lookup.resolve(f"{address}=0.5,shapes-colour=0.3", "shapes")
        assert name == "ruler@http=0.5,shapes-colour=0.3" and "computes ruler@http" in (note or "")
        mixed = lookup.get(name)
        assert lookup.get(f"shapes-colour=0.3, {address}=0.5").name == name == mixed.name
        assert mixed.needs == ("tag",) and not mixed.differentiable
        images, prompts = pictures(6), [Prompt("a", {"tag": n}) for n in range(6)]
        reward = mixed()
        reward.calibrate(images, prompts)
        z = [lookup.get(member)().score(images, prompts).double() for member in ("ruler@http", "shapes-colour")]
        z = [(s - s.mean()) / s.std(correction=0) for s in z]
        assert torch.allclose(reward.score(images, prompts).double(), 0.5 * z[0] + 0.3 * z[1], atol=1e-4)


def test_a_mix_follows_a_server_to_its_new_version() -> None:
    for version in ("1", "2"):
        with Told(lambda n, r: right(r), {**INFO, "version": version}) as told:
            assert f"ruler@http {version}" in lookup.get(f"{told.address}=1,shapes-colour=1").version


def test_a_served_reward_takes_no_memory_and_is_not_asked_for_a_plan() -> None:
    """A plan is made in another process, which knows the name alone."""
    assert memory_of("never-asked@http") == RewardMemory(0, 0, 0)
    assert memory_of("never-asked@http=1,aesthetic=1") == memory_of("aesthetic") != RewardMemory(0, 0, 0)
