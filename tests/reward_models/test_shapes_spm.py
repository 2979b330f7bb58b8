"""The shapes world's step-aware preference model, as shipped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchbench.errors import CorruptError
from benchbench.reward_models import shapes_clip
from benchbench.reward_models.shapes_flow_spm import ShapesFlowSPM
from benchbench.reward_models.shapes_pref import ShapesPref
from benchbench.reward_models.shapes_spm import ShapesSPM
from benchbench.reward_models.shapes_step_agnostic import ShapesStepAgnostic
from benchbench.rewards.lookup import unfit
from benchbench.runtime.hashing import file_sha256
from benchbench.shapes import WEIGHTS

PROMPTS = ["a red ring", "a blue cross", "a green square"]


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_with_its_added_layers_as_initialised_it_is_shapes_pref(pictures: torch.Tensor) -> None:
    """S5 on the shipped CLIP: weights 0, gates 1 give shapes-pref's scores for every timestep."""
    from benchbench.reward_models._adaln import StepAwareCLIP

    spm, pref = ShapesSPM(), ShapesPref()
    fresh = StepAwareCLIP(ShapesPref().model)
    spm.network.load({name: p.detach() for name, p in fresh.added_parameters().items()}, "fresh", added_only=True)
    with torch.no_grad():
        expected = pref.score_differentiable(pictures, PROMPTS)
        for tau in (0, 501, 951):
            torch.testing.assert_close(spm.score_at(pictures, PROMPTS, torch.tensor(tau)), expected)


def test_the_timestep_counts_and_finished_pictures_are_at_zero(pictures: torch.Tensor) -> None:
    spm = ShapesSPM()
    with torch.no_grad():
        early, late = (spm.score_at(pictures, PROMPTS, torch.tensor(tau)) for tau in (951, 51))
        assert not torch.allclose(early, late, atol=1e-2)
        finished = spm.score_at(pictures, PROMPTS, torch.tensor(0))
    torch.testing.assert_close(spm.score_differentiable(pictures, PROMPTS), finished)
    assert spm.score_at(pictures[:0], [], torch.tensor(3)).shape == (0,)
    with pytest.raises(ValueError, match="prompts"):
        spm.score_at(pictures, PROMPTS[:2], torch.tensor(3))


@pytest.mark.parametrize("scorer", [ShapesSPM, ShapesFlowSPM])
def test_the_record_is_of_the_shipped_file_and_says_what_it_gained(scorer: type[ShapesSPM]) -> None:
    """Held out at t >= 500 it orders more pairs rightly than shapes-pref, by more than two standard errors.

    That of shapes-flow cannot be told apart from shapes-pref, as reward_models/README.md says: it is not worse.
    """
    file = WEIGHTS / scorer.trained
    record = json.loads((file.parent / "record.json").read_text())
    assert record["files"] == {"spm/spm.safetensors": file_sha256(file)}
    assert not record["quick"]
    noisy = record["at_t_of_500_and_more"]
    assert noisy["gain"] == pytest.approx(noisy["step_aware"] - noisy["plain"])
    least = 2 if scorer is ShapesSPM else -2
    assert noisy["gain"] > least * noisy["standard_error"]


def test_the_judge_of_shapes_flow_takes_times_between_whole_ones(pictures: torch.Tensor) -> None:
    """A timestep is not cut to a whole number. Its layers are its own, and it judges no images of shapes."""
    flow, other = ShapesFlowSPM(), ShapesSPM()
    with torch.no_grad():
        whole, between, theirs = (
            scorer.score_at(pictures, PROMPTS, torch.tensor(tau))
            for scorer, tau in ((flow, 947.0), (flow, 947.4), (other, 947.0))
        )
    assert not torch.equal(whole, between) and not torch.allclose(whole, theirs, atol=1e-2)
    assert unfit(ShapesFlowSPM, "shapes") and unfit(ShapesSPM, "shapes-flow")
    assert unfit(ShapesFlowSPM, "shapes-flow") is None


def test_a_clip_without_one_of_its_weights_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The missing tensor would stay random, other at each start."""
    shutil.copytree(WEIGHTS / "pref", tmp_path / "pref")
    state = load_file(tmp_path / "pref" / "model.safetensors")
    del state["text_projection.weight"]
    save_file(state, tmp_path / "pref" / "model.safetensors", metadata={"format": "pt"})
    monkeypatch.setattr(shapes_clip, "WEIGHTS", tmp_path)
    with pytest.raises(CorruptError, match="not a whole CLIP") as error:
        ShapesPref()
    assert "text_projection.weight" in error.value.cause


def test_the_step_agnostic_one_is_not_told_the_timestep(pictures: torch.Tensor) -> None:
    """It differs from shapes-pref, scores alike at every timestep, and has no layers beside the plain CLIP's."""
    agnostic, pref = ShapesStepAgnostic(), ShapesPref()
    assert dict(agnostic.network.model.named_parameters()).keys() == dict(pref.model.named_parameters()).keys()
    with torch.no_grad():
        early, late = (agnostic.score_at(pictures, PROMPTS, torch.tensor(tau)) for tau in (951, 51))
        assert torch.equal(early, late) and torch.equal(late, agnostic.score_differentiable(pictures, PROMPTS))
        assert not torch.allclose(late, pref.score_differentiable(pictures, PROMPTS), atol=1e-2)


def test_the_step_agnostic_record_is_of_the_shipped_file() -> None:
    """It learned from the pairs of shapes-spm and gained on shapes-pref by more than two standard errors."""
    records = [json.loads((WEIGHTS / name / "record.json").read_text()) for name in ("spm", "step-agnostic")]
    file = "step-agnostic/spm.safetensors"
    assert records[1]["files"] == {file: file_sha256(WEIGHTS / file)}
    assert records[0]["seed"] == records[1]["seed"] and not records[1]["quick"]
    assert records[0]["config"] | {"lr": records[1]["config"]["lr"]} == records[1]["config"]
    tried = records[1]["learning_rates_tried_on_other_pairs"]
    assert max(tried, key=lambda rate: tried[rate]["step_agnostic"]) == f"{records[1]['config']['lr']:.0e}".replace(
        "e-0", "e-"
    )
    noisy = records[1]["at_t_of_500_and_more"]
    assert noisy["gain"] > 2 * noisy["standard_error"]
