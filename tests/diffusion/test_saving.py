"""A saved adapter: its name, its mode, and what a killed writer leaves."""

from pathlib import Path

from benchbench.diffusion.lora import WEIGHT_NAME, save_adapter
from benchbench.diffusion.policy import Policy
from benchbench.hub import weights


def test_only_the_adapter_is_left(tuned: Policy, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"  # tmp_path itself may hold the cache of hashes
    folder.mkdir()
    (folder / f".{WEIGHT_NAME}.1-2.tmp").write_bytes(b"left by a kill")
    path = save_adapter(tuned.backbone.network, folder)
    assert [entry.name for entry in folder.iterdir()] == [path.name] == [WEIGHT_NAME]
    before = path.read_bytes()
    assert save_adapter(tuned.backbone.network, folder).read_bytes() == before
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_half_written_adapter_is_no_adapter(tuned: Policy, tmp_path: Path) -> None:
    whole = save_adapter(tuned.backbone.network, tmp_path / "whole").read_bytes()
    (tmp_path / "killed").mkdir()
    (tmp_path / "killed" / f".{WEIGHT_NAME}.1-2.tmp").write_bytes(whole)
    assert weights.find(tmp_path / "whole") is not None and weights.find(tmp_path / "killed") is None
