"""A pipeline's folder borrows parts of shapes, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from benchbench.errors import CorruptError
from benchbench.hub import borrowed
from benchbench.shapes import MODEL
from benchbench.shapes_build import flow_model


def written(folder: Path, name: str, entry: Any) -> Path:
    """Writes the file of shapes-flow with one part changed, and returns the folder."""
    parts = flow_model.BORROWED["parts"] | {name: entry}
    (folder / borrowed.FILE).write_text(json.dumps(flow_model.BORROWED | {"parts": parts}))
    return folder


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        ("vae", {"model": "sd15", "folder": "vae"}),
        ("vae", {"model": "shapes", "folder": "../../flow"}),
        ("vae", {"model": "shapes", "folder": "/etc"}),
        ("vae", {"model": "shapes", "folder": "text_encoder"}),
        ("unet", {"model": "shapes", "folder": "unet"}),
        ("vae", {"model": "shapes", "folder": "vae", "config": {"trust_remote_code": 1}}),
        ("vae", {"model": "shapes", "folder": "vae", "config": {"shift_factor": "0"}}),
        ("vae", {"model": "shapes"}),
        ("vae", "shapes"),
        ("vae", None),
    ],
)
def test_what_shapes_does_not_lend_is_refused(name: str, entry: Any, tmp_path: Path) -> None:
    """Another model, a path, a part or a setting that is not on the list, and an entry that is no entry."""
    with pytest.raises(CorruptError, match="cannot be used") as error:
        borrowed.read(written(tmp_path, name, entry))
    assert str(tmp_path) in error.value.problem


@pytest.mark.parametrize("text", ["[]", "{}", '{"max_sequence_length": 0}', '{"max_sequence_length": -1, "parts": {}}'])
def test_a_file_without_its_content_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / borrowed.FILE).write_text(text)
    with pytest.raises(CorruptError):
        borrowed.load(tmp_path)


def test_a_folder_that_borrows_nothing(tmp_path: Path) -> None:
    assert borrowed.read(tmp_path) is None and borrowed.load(tmp_path) == {}


def test_the_parts_of_shapes_flow_are_those_of_shapes() -> None:
    """Parts are in float32 and frozen; one encoder serves twice, its projection is the identity, and there is no T5."""
    from transformers import CLIPTextModel

    parts = borrowed.load(MODEL.parent / "flow" / "model")
    assert parts["text_encoder_3"] is None and parts["tokenizer_3"] is None
    assert parts["text_encoder"] is parts["text_encoder_2"] and parts["tokenizer"] is parts["tokenizer_2"]
    assert parts["vae"].config.shift_factor == 0 and parts["vae"].dtype == torch.float32
    assert not any(p.requires_grad for p in parts["text_encoder"].parameters())
    ids = parts["tokenizer"](["a red ring"], padding="max_length", max_length=20, return_tensors="pt").input_ids
    plain = CLIPTextModel.from_pretrained(MODEL / "text_encoder", dtype=torch.float32)
    with torch.no_grad():
        assert torch.equal(parts["text_encoder"](ids).text_embeds, plain(ids).pooler_output)
