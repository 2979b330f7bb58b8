"""Files of the Hugging Face cache are found where huggingface_hub finds them."""

from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import constants, try_to_load_from_cache

from benchbench.hub import hf_cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with one repository, of two commits of which main is the second."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--owner--name"
    for commit, file in (("aaa", "old.json"), ("bbb", "new.json"), ("bbb", "unet/config.json")):
        path = repository / "snapshots" / commit / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("bbb")
    return tmp_path


@pytest.mark.parametrize(
    ("repo", "file", "there"),
    [
        ("owner/name", "new.json", True),
        ("owner/name", "unet/config.json", True),
        ("owner/name", "old.json", False),
        ("owner/name", "none.json", False),
        ("owner/other", "new.json", False),
    ],
)
def test_the_same_files_are_found(cache: Path, repo: str, file: str, there: bool) -> None:
    theirs = try_to_load_from_cache(repo, file)
    path = hf_cache.cached_file(repo, file)
    assert (path is not None) is there
    assert (str(path) if path else None) == theirs


def test_a_repository_without_main_has_nothing(cache: Path) -> None:
    (cache / "models--owner--name" / "refs" / "main").unlink()
    assert hf_cache.cached_file("owner/name", "new.json") is None is try_to_load_from_cache("owner/name", "new.json")
    assert hf_cache.repository("owner/name") == cache / "models--owner--name"
    assert hf_cache.repository("owner/other") is None
