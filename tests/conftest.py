"""What every test stands on: no network, no file outside its own folder, one thread a process."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: two test processes share two cores
os.environ["HF_HUB_OFFLINE"] = "1"

import shutil
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")


IN_MEMORY = Path("/dev/shm")
ROOM = 8 * 2**30  # bytes; all tests together write less


def pytest_configure() -> None:
    """Puts the tests' folders into memory, where there is room: on a slow disk some tests take twice as long."""
    root = "PYTEST_DEBUG_TEMPROOT"
    if root not in os.environ and os.access(IN_MEMORY, os.W_OK) and shutil.disk_usage(IN_MEMORY).free > ROOM:
        os.environ[root] = str(IN_MEMORY)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores and caches of a test are in its own temporary folder."""
    monkeypatch.setenv("BENCH_HOME", str(tmp_path / "bench-store"))
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "bench-cache"))
