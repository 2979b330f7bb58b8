"""Votes written for others: D3PO reads them with their sampler or refuses, offline methods read the pairs."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from benchbench.api import PromptSet
from benchbench.config import load
from benchbench.errors import UsageError
from benchbench.methods._votes import Vote, read_votes
from benchbench.pairs.open import open_pairs
from benchbench.samplers import FlowSampler, SamplerConfig
from benchbench.study.design import Arm, Study
from benchbench.study.export import write_csv, write_pairs, write_votes
from benchbench.study.progress import preferred
from benchbench.study.vote_store import StoredVote
from benchbench.train.votes import check_votes
from tests.study.made import make_study

SAMPLER = {"steps": 20, "guidance_scale": 5.0, "eta": 1.0}


def one_row(folder: Path) -> Study:
    made = {"sampler": SAMPLER, "model_hash": "m" * 64, "prompts_hash": "p", "shared_start": True}
    base = Arm(label="base", run=None, adapter_hash=None)
    return make_study(folder, arms=1, **made).model_copy(update={"arms": (base,)})


def first_wins(study: Study, answers: Sequence[str] = ()) -> list[StoredVote]:
    """Votes of all raters for the first picture of each page, or ``answers`` on a rater's first pages."""
    votes = []
    for slot, pages in enumerate(study.assignment):
        for position, item in enumerate(pages):
            side = next(side for side in ("left", "right") if preferred(item, side) == 1)
            answer = answers[position] if position < len(answers) else side
            votes.append(StoredVote(slot, position, 0, answer, None, 0.0))
    return votes


def test_the_header_says_how_the_images_were_made_and_d3po_reads_it(tmp_path: Path) -> None:
    study = one_row(tmp_path / "s")
    path = tmp_path / "votes.jsonl"
    votes = first_wins(study)
    count = write_votes(study, votes, path, 0, set())
    header, *lines = map(json.loads, path.read_text().splitlines())
    assert header["votes_of"] == "s" and {name: header[name] for name in SAMPLER} == SAMPLER
    assert header["adapter_hash"] is None and header["shared_start"] is True
    assert count == len(lines) == 2 * len(study.comparisons)  # repeats and checks are no votes
    read = read_votes(str(path))
    assert [vote.winner for vote in read] == [vote.i for vote in read]
    one = read[0]
    assert (one.steps, one.eta, one.shared_start, one.model_hash) == (20, 1.0, True, "m" * 64)
    check_votes(read, PromptSet("other", ("x",), "", ""), SamplerConfig(), "m" * 64, tmp_path, lambda _: None)
    with pytest.raises(UsageError, match="exists"):
        write_votes(study, votes, path, 0, set())
    with pytest.raises(UsageError, match=r"no \.jsonl file"):
        write_votes(study, votes, tmp_path / "votes.csv", 0, set())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"steps": 50}, "images of 50 steps"),
        ({"eta": 0.5}, "images of eta 0.5, not 1"),
        ({"model_hash": "n" * 64}, "images of the model nnnnnnnnnnnn, not mmmmmmmmmmmm"),
        ({"adapter_hash": "a" * 64}, "images of fine-tuned weights (aaaaaaaaaaaa)"),
    ],
)
def test_d3po_refuses_what_it_would_not_walk_to_again(change: dict[str, object], words: str, tmp_path: Path) -> None:
    header = {**SAMPLER, "model_hash": "m" * 64, "adapter_hash": None, "shared_start": False, "prompts_hash": "p"}
    vote = Vote.model_validate({"prompt": "a", "index": 0, "seed": 0, "i": 0, "j": 1, "winner": 1, **header, **change})
    with pytest.raises(UsageError, match="other images than this run") as error:
        check_votes([vote], PromptSet("set", ("b",), "", ""), SamplerConfig(), "m" * 64, tmp_path, lambda _: None)
    assert words in error.value.cause and "sampler.steps" in error.value.remedy


def test_votes_on_images_without_noise_are_refused(tmp_path: Path) -> None:
    """A flow-matching model shows people images of ode, which D3PO cannot walk to again; pairs can be exported."""
    header = {"steps": 40, "guidance_scale": 4.5, "model_hash": "m" * 64, "adapter_hash": None, "prompts_hash": "p"}
    vote = Vote.model_validate({"prompt": "a", "index": 0, "seed": 0, "i": 0, "j": 1, "winner": 1, **header})
    with pytest.raises(UsageError, match="flow-matching model") as error:
        check_votes([vote], PromptSet("set", ("b",), "", ""), FlowSampler(), "m" * 64, tmp_path, lambda _: None)
    assert "40 steps of ode" in error.value.cause and "10 steps of flow-sde" in error.value.cause
    study = one_row(tmp_path / "s")
    study = study.model_copy(update={"sampler": FlowSampler().evaluation.model_dump()})
    with pytest.raises(UsageError, match="D3PO cannot learn") as error:
        write_votes(study, first_wins(study), tmp_path / "votes.jsonl", 0, set())
    assert "40 steps of ode" in error.value.cause


def test_a_header_without_a_field_is_named(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    path.write_text(json.dumps({"votes_of": "s", "steps": 20}) + "\n")
    with pytest.raises(ValueError, match="line 1: the header has no guidance_scale, eta, shared_start"):
        read_votes(str(path))


def test_a_study_between_runs_gives_pairs_and_d3po_says_why_not(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s")
    with pytest.raises(UsageError, match="D3PO cannot learn") as error:
        write_votes(study, first_wins(study), tmp_path / "v.jsonl", 0, set())
    assert "--pairs" in error.value.remedy
    out = tmp_path / "pairs"
    assert write_pairs(tmp_path / "s", study, first_wins(study), out, 0, set()) == len(study.comparisons)
    pairs = open_pairs(str(out))
    assert len(pairs) == len(study.comparisons)
    first = study.comparisons[0]
    files = [tmp_path / "s" / "pictures" / study.pictures[n].file for n in (first.first, first.second)]
    assert pairs[0].caption == "prompt 0"
    for picture, file in zip((pairs[0].winner, pairs[0].loser), files, strict=True):
        assert picture.tobytes() == Image.open(file).convert("RGB").tobytes()
    for path in (out, out / "pairs.parquet"):
        with pytest.raises(UsageError) as refused:
            load("d3po", "shapes", "shapes-colour", "shapes-simple", 4, 0, overrides=[f"method.votes={path}"])
        assert "holds preference pairs" in refused.value.cause and "--pairs" in refused.value.cause


def test_a_pair_needs_a_majority_and_excluded_raters_have_none(tmp_path: Path) -> None:
    """Rater 0 prefers the first of each pair, rater 1 draws: all have a majority of one; without rater 0 none has."""
    study = make_study(tmp_path / "s")
    drawn = [vote._replace(answer="draw") if vote.slot else vote for vote in first_wins(study)]
    assert write_pairs(tmp_path / "s", study, drawn, tmp_path / "a", 0, set()) == len(study.comparisons)
    with pytest.raises(UsageError, match="no pair to write"):
        write_pairs(tmp_path / "s", study, drawn, tmp_path / "b", 0, {0})
    assert not (tmp_path / "b").exists()


def test_the_csv_has_every_vote_as_it_was_seen(tmp_path: Path) -> None:
    study = make_study(tmp_path / "s", prompts=("=1+1", "b", "c"))
    votes = first_wins(study)
    write_csv(study, votes, tmp_path / "votes.csv")
    with (tmp_path / "votes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(votes) and {row["kind"] for row in rows} == {"pair", "repeat", "check"}
    assert {row["prompt"] for row in rows} == {"'=1+1", "b", "c"}  # a spreadsheet computes nothing
    for row in rows:
        assert row[f"{row['answer']}_row"] in ("A", "picture")
