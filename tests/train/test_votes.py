"""Votes on other images than the run would walk to are refused, each with what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchbench import prompts
from benchbench.api import PromptSet
from benchbench.config import load
from benchbench.errors import UsageError
from benchbench.methods._votes import Vote, read_votes
from benchbench.methods.d3po import D3POConfig
from benchbench.noise import Sample
from benchbench.samplers import SamplerConfig
from benchbench.store.images import ImageStore
from benchbench.store.keys import GenerationKey
from benchbench.train.votes import check_votes

PROMPTS = PromptSet("pets", ("cat", "dog", "cat"), "", "")
SAMPLER = SamplerConfig()
GOOD = Vote(prompt="dog", index=1, seed=0, i=0, j=1, winner=1, steps=20, guidance_scale=5.0)


def write_images(
    store: Path, model: str = "m", sampler: SamplerConfig = SAMPLER, shade: int = 0, shared: bool = False
) -> list[str]:
    """Stores images 0 and 1 of prompt 1 and returns their hashes."""
    key = GenerationKey(model, None, sampler.model_dump(mode="json"), "fp32", "pets", PROMPTS.hash, 0, shared)
    images, samples = ImageStore(store, key), [Sample("dog", number, 1) for number in (0, 1)]
    images.begin({})
    for sample in samples:
        images.write(sample, np.full((8, 8, 3), 10 * sample.number + shade, np.uint8))
    return [entry.sha256 for entry in images.scan(samples, print).values()]


def check(store: Path, *votes: Vote, sampler: SamplerConfig = SAMPLER) -> list[str]:
    said: list[str] = []
    check_votes(votes, PROMPTS, sampler, "m", store, said.append)
    return said


def refused(store: Path, vote: Vote) -> str:
    with pytest.raises(UsageError, match="other images than this run") as error:
        check(store, GOOD, vote)
    return error.value.cause


def test_votes_that_fit_are_silent(tmp_path: Path) -> None:
    """So are those on a prompt that the set has twice, and on a prompt of another set."""
    both = GOOD.model_copy(update={"prompt": "cat", "index": 2}), GOOD.model_copy(update={"prompt": "ox", "index": 7})
    assert check(tmp_path, GOOD, *both) == []


def test_a_wrong_index_is_named(tmp_path: Path) -> None:
    assert refused(tmp_path, GOOD.model_copy(update={"index": 0})) == "'dog' is prompt 1 of pets, and not 0"


@pytest.mark.parametrize("change", [{"steps": 50}, {"guidance_scale": 7.5}, {"steps": 50, "guidance_scale": None}])
def test_another_sampler_is_named(change: dict[str, float], tmp_path: Path) -> None:
    cause = refused(tmp_path, GOOD.model_copy(update=change))
    assert "images of" in cause and cause.endswith("not 20 and 5")


def test_votes_that_do_not_say_how_the_images_were_made_are_counted(tmp_path: Path) -> None:
    silent = GOOD.model_copy(update={"steps": None})
    assert check(tmp_path, GOOD, silent)[0].startswith("1 of 2 votes do not say how their images were made")


def test_the_hash_of_an_image_says_which_it_is(tmp_path: Path) -> None:
    """The store's image of the same name has another hash; then the hash is that of another sampler, or model."""
    first, second = write_images(tmp_path)
    with_hashes = GOOD.model_copy(update={"sha256_i": first, "sha256_j": second})
    assert check(tmp_path, with_hashes) == []
    swapped = GOOD.model_copy(update={"sha256_i": second, "sha256_j": first})
    assert refused(tmp_path, swapped).count("is another one in the store") == 2
    more = SamplerConfig(steps=50)
    for number, (model, sampler, words) in enumerate((("m", more, "'steps': 50"), ("n", SAMPLER, "the model n"))):
        store = tmp_path / str(number)
        other, _ = write_images(store, model, sampler, shade=100)
        assert words in refused(store, GOOD.model_copy(update={"sha256_i": other}))


def test_images_that_share_x_T_are_others_than_those_that_do_not(tmp_path: Path) -> None:
    """Both generations are in the store; a vote is compared with the one that it says it is of."""
    apart, shared = write_images(tmp_path), write_images(tmp_path, shade=50, shared=True)
    vote = GOOD.model_copy(update={"sha256_i": shared[0], "sha256_j": shared[1]})
    assert check(tmp_path, vote.model_copy(update={"shared_start": True})) == []
    assert "is another one in the store" in refused(tmp_path, vote)
    of_apart = GOOD.model_copy(update={"sha256_i": apart[0], "sha256_j": apart[1], "shared_start": True})
    assert "is another one in the store" in refused(tmp_path, of_apart)
    only_shared = tmp_path / "shared"
    write_images(only_shared, shade=50, shared=True)
    assert "from one x_T" in refused(only_shared, vote)


def test_the_file_gives_the_columns_and_old_votes_keep_their_digest(tmp_path: Path) -> None:
    path = tmp_path / "votes.csv"
    header = "prompt,index,seed,i,j,winner"
    path.write_text(f"{header}\ncat,0,0,0,1,1\n")
    [vote] = read_votes(str(path))
    assert vote.model_dump(mode="json") == {"prompt": "cat", "index": 0, "seed": 0, "i": 0, "j": 1, "winner": 1}
    path.write_text(f"{header},steps,guidance_scale,sha256_i\ncat,0,0,0,1,tie,,,\ncat,0,0,0,1,1,50,7.5,{'0' * 64}\n")
    tie, vote = read_votes(str(path))
    assert (vote.steps, vote.guidance_scale, vote.sha256_i, vote.sha256_j) == (50, 7.5, "0" * 64, None)
    assert tie.winner is None and "winner" in tie.model_dump()
    config = D3POConfig(votes=(tie, vote))
    assert D3POConfig.model_validate(config.model_dump(mode="json")) == config
    path.write_text(
        f"{header},steps,guidance_scale,sha256_i\ncat,0,0,0,1,1,x,,\ncat,0,0,0,1,1,,y,\ncat,0,0,0,1,1,,,z\n"
    )
    with pytest.raises(ValueError, match="3 of 3 votes are bad") as error:
        read_votes(str(path))
    assert all(words in str(error.value) for words in ("steps='x'", "guidance_scale='y'", "sha256_i='z'"))


def test_a_training_refuses_them_before_it_loads_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchbench.train import loop

    monkeypatch.setattr(loop, "build", lambda *args: pytest.fail("the model was loaded"))
    path = tmp_path / "votes.csv"
    second = prompts.load("shapes-simple").prompts[1]
    path.write_text(f"prompt,index,seed,i,j,winner\n{second},0,0,0,1,1\n")
    config = load("d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0, overrides=[f"method.votes={path}"])
    with pytest.raises(UsageError, match="other images than this run"):
        loop.train(config, tmp_path / "run", device="cpu", log=lambda line: None, store=tmp_path)
    assert not (tmp_path / "run").exists()
