"""D3PO trains on people's votes: reading the file, and the trajectories of the images that were voted on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchbench.api import StepPairs
from benchbench.config import load
from benchbench.diffusion.decode import Decoder
from benchbench.diffusion.guidance import StepReward
from benchbench.diffusion.policy import Policy
from benchbench.diffusion.sample import sample
from benchbench.errors import UsageError
from benchbench.methods._votes import Vote, read_votes
from benchbench.methods.d3po import D3PO, D3POConfig
from benchbench.noise import Noise, Sample
from tests.methods.rewards import Brightness

HEADER = "prompt,index,seed,i,j,winner\n"
GOOD = HEADER + "cat,0,0,1,3,3\ncat,0,0,0,2,tie\ndog,1,5,0,1,0\n"
VOTES = (
    Vote(prompt="cat", index=0, seed=0, i=1, j=3, winner=3),
    Vote(prompt="dog", index=1, seed=5, i=0, j=1, winner=0),
)


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def collect(policy: Policy, cfg: D3POConfig, count: int = 2) -> list[StepPairs]:
    step_reward = StepReward(Decoder(policy.backbone), Brightness(), policy)
    samples = [Sample("ant", i) for i in range(count)]
    with torch.no_grad():
        return [batch for batch, _ in D3PO().collect(policy, samples, step_reward, cfg, Noise(0, "train"))]


def test_csv_and_jsonl_hold_the_same(tmp_path: Path) -> None:
    lines = [{"prompt": "cat", "index": 0, "seed": 0, "i": 1, "j": 3, "winner": 3}]
    lines += [{"prompt": "cat", "index": 0, "seed": 0, "i": 0, "j": 2, "winner": "tie"}]
    lines += [{"prompt": "dog", "index": 1, "seed": 5, "i": 0, "j": 1, "winner": 0}]
    jsonl = write(tmp_path / "votes.jsonl", "\n".join(json.dumps(line) for line in lines))
    votes = read_votes(write(tmp_path / "votes.csv", GOOD))
    assert votes == read_votes(jsonl)
    assert votes[0] == VOTES[0] and votes[1].winner is None and votes[2] == VOTES[1]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("cat,0,0,1,3,2", "line 2: the winner 2 is neither i=1 nor j=3"),
        ("cat,0,0,1,1,1", "line 2: i and j are both 1"),
        ("cat,0,zero,1,3,3", "line 2: seed='zero' is not a whole number"),
        (",0,0,1,3,3", "line 2: no prompt"),
        ("cat,0,0,1", "line 2: no j, winner"),
        ("cat,0,0,1,-3,1", "line 2: j='-3'"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(ValueError, match="1 of 2 votes are bad") as error:
        read_votes(write(tmp_path / "votes.csv", f"{HEADER}{row}\ncat,0,0,1,3,3\n"))
    assert message in str(error.value)


def test_bad_files_are_refused_with_all_settings(tmp_path: Path) -> None:
    def configure(path: str) -> None:
        load(
            "d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0, overrides=[f"method.votes={path}", "train.lr=-1"]
        )

    with pytest.raises(UsageError, match="2 settings") as error:
        configure(str(tmp_path / "none.csv"))
    assert "cannot be read" in error.value.cause and "train.lr" in error.value.cause
    with pytest.raises(UsageError) as error:
        configure(write(tmp_path / "votes.txt", GOOD))
    assert "neither .csv nor .jsonl" in error.value.cause
    with pytest.raises(UsageError) as error:
        configure(write(tmp_path / "ties.csv", f"{HEADER}cat,0,0,0,2,tie\n"))
    assert "none prefers an image" in error.value.cause
    with pytest.raises(UsageError) as error:
        configure(write(tmp_path / "broken.jsonl", '{"prompt": "cat"\n'))
    assert "line 1" in error.value.cause


def test_the_rows_are_in_the_run_s_settings(tmp_path: Path) -> None:
    """The run stays the same without the file, and is another run when the file has changed."""
    path = write(tmp_path / "votes.csv", GOOD)
    config = load("d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0, overrides=[f"method.votes={path}"])
    assert config.settings["votes"][0]["winner"] == 3
    assert D3POConfig.model_validate(config.settings).votes[0] == VOTES[0]
    write(tmp_path / "votes.csv", GOOD.replace("3,3", "3,1"))
    changed = load("d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0, overrides=[f"method.votes={path}"])
    assert config.digest != changed.digest


def test_the_images_are_those_that_were_voted_on(tuned: Policy) -> None:
    """Each pair's final latents decode to the base model's evaluation images, within one level of 255."""
    (pairs,) = collect(tuned, D3POConfig(votes=VOTES, minibatch=2, steps=(20, 1)))
    last = pairs[pairs.k == 1]
    images = [(Decoder(tuned.backbone)(x) * 255).round() for x in (last.next_w, last.next_l)]
    with tuned.adapter_off():
        shown = {
            (v.prompt, n): torch.from_numpy(sample(tuned, [Sample(v.prompt, n, v.index)], Noise(v.seed, "eval"))[0])
            for v in VOTES
            for n in (v.i, v.j)
        }
    winners, losers = {"cat": 3, "dog": 0}, {"cat": 1, "dog": 1}
    for side, number in zip(images, (winners, losers), strict=True):
        for image in side.permute(0, 2, 3, 1):
            gaps = {key: float((image - true).abs().max()) for key, true in shown.items()}
            nearest = min(gaps, key=lambda key: gaps[key])
            assert gaps[nearest] <= 1 and number[nearest[0]] == nearest[1]
    assert tuned.cost.reward_calls == 0


def test_images_with_a_shared_start_are_walked_to_from_one_x_T(tuned: Policy) -> None:
    """Without the word of the votes the walk starts elsewhere and ends at other images."""
    votes = tuple(vote.model_copy(update={"shared_start": True}) for vote in VOTES)
    shared, apart = (collect(tuned, D3POConfig(votes=v, minibatch=2, steps=(20, 1)))[0] for v in (votes, VOTES))
    assert torch.equal(shared[shared.k == 20].x_w, shared[shared.k == 20].x_l)
    assert not torch.equal(apart[apart.k == 20].x_w, apart[apart.k == 20].x_l)
    last = shared[shared.k == 1]
    ends = [(Decoder(tuned.backbone)(x) * 255).round() for x in (last.next_w, last.next_l)]
    with tuned.adapter_off():
        for vote in votes:
            winner = Sample(vote.prompt, vote.winner or 0, vote.index)
            image = torch.from_numpy(sample(tuned, [winner], Noise(vote.seed, "eval"), shared_start=True)[0])
            assert any(float((end.permute(1, 2, 0) - image).abs().max()) <= 1 for end in ends[0])


def test_every_vote_is_seen_once_a_pass(tuned: Policy) -> None:
    """Samples 0 and 1 get one vote each, so do 2 and 3, and sample 4 gets either.

    A vote's latents agree within rounding, not bitwise, since they are computed in different rows of a batch.
    """
    (pairs,) = collect(tuned, D3POConfig(votes=VOTES, minibatch=5, steps=(1,)), 5)
    # latents here are tens, two votes' differ by several, and rounding is below 1e-4
    groups = [sum(torch.allclose(a, b, atol=1e-2) for b in pairs.next_w) for a in pairs.next_w]
    assert sorted(groups) == [2, 2, 3, 3, 3]
