"""A file that could not be read for want of memory is not called damaged: the advice would be wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch

from benchbench.diffusion import lora_file
from benchbench.reward_models import _weights
from benchbench.train import checkpoint

ALLOCATOR = RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: ...")


def _checkpoint(folder: Path) -> None:
    (folder / "checkpoints" / "00000008").mkdir(parents=True)
    checkpoint.find_latest(folder, "key", pytest.fail, {})


def _reward(folder: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(1)}, folder / "weights.safetensors")
    _weights.read(folder / "weights.safetensors")


def _adapter(folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"")
    lora_file.read(folder / "a.bin", torch.nn.Linear(1, 1))


@pytest.mark.parametrize("error", [MemoryError(), ALLOCATOR])
@pytest.mark.parametrize("read", [_checkpoint, _reward, _adapter])
def test_out_of_memory_is_raised_as_it_is(
    read: Callable[[Path], None], error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(checkpoint, "read_state", fail)
    monkeypatch.setattr(safetensors.torch, "load_file", fail)
    monkeypatch.setattr(torch, "load", fail)
    with pytest.raises(type(error)) as caught:
        read(tmp_path)
    assert caught.value is error
