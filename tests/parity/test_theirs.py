"""The program for the other interpreter: plain Python 3.10, and tensors under the names that OpenAI's classes have."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from benchbench.parity import theirs
from benchbench.parity.references import REFERENCES
from benchbench.parity.theirs import clip_based, weights
from benchbench.reward_models import _clip
from tests.reward_models import checkpoints

FOLDER = Path(theirs.__file__).parent


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.name)
def test_it_is_python_3_10_without_benchbench(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 10))
    names = {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    assert not any(name.split(".")[0] == "benchbench" for name in names)


def test_every_reference_has_its_scorer() -> None:
    assert {*clip_based.SCORERS, "imagereward"} == set(REFERENCES)


def test_transformers_names_become_openais_and_back(tmp_path: Path) -> None:
    """Our reader, which the released layouts test, turns them back into what they were."""
    state = checkpoints.hf_clip(0, checkpoints.SMALL_H)
    save_file(state, tmp_path / "clip.safetensors")
    renamed = weights.clip_state(str(tmp_path / "clip.safetensors"))
    assert set(renamed) == set(checkpoints.open_clip(0, checkpoints.SMALL_H))
    back = _clip.from_open_clip(renamed, tmp_path)
    expected = {name: value for name, value in state.items() if not name.endswith("position_ids")}
    assert set(back) == set(expected) and all(torch.equal(back[name], expected[name]) for name in expected)


def test_openais_names_stay_and_become_float32(tmp_path: Path) -> None:
    state = {name: value.half() for name, value in checkpoints.open_clip(0, checkpoints.SMALL_H).items()}
    torch.save({"state_dict": state}, tmp_path / "clip.pt")
    read = weights.clip_state(str(tmp_path / "clip.pt"))
    assert set(read) == set(state) and all(torch.equal(read[name], state[name].float()) for name in state)


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    torch.save({"state_dict": print}, tmp_path / "bad.pt")
    with pytest.raises(Exception, match=r"(?i)weights.only"):
        weights.read(tmp_path / "bad.pt", map_location="cpu")
