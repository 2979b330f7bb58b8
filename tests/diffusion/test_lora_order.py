"""An adapter's file is the same bytes however safetensors orders its metadata."""

from __future__ import annotations

import json

import torch
from safetensors.torch import load, save

from benchbench.diffusion.lora import _sort_metadata


def swapped(file: bytes) -> bytes:
    """The file with its two metadata entries in the other order; as many bytes."""
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:end])
    header["__metadata__"] = dict(reversed(header["__metadata__"].items()))
    return file[:8] + json.dumps(header, separators=(",", ":")).encode().ljust(end - 8) + file[end:]


def test_the_order_of_metadata_does_not_matter() -> None:
    tensors = {"b": torch.randn(3, 2), "a": torch.arange(5.0)}
    file = save(tensors, {"format": "pt", "lora_adapter_metadata": '{"r": 4, "é": "x"}'})
    one, other = _sort_metadata(file), _sort_metadata(swapped(file))
    assert swapped(file) != file and one == other
    back = load(one)
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())
