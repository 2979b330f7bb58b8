"""What every test stands on: no network, no file outside its own folder, one thread a process."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: two test processes share two cores
os.environ["HF_HUB_OFFLINE"] = "1"

from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores and caches of a test are in its own temporary folder."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "bench-store"))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "bench-cache"))
