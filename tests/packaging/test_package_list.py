"""pyproject.toml names every package, and says where each lies that the links lead to."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
SETUPTOOLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def folders() -> Iterator[Path]:
    """Every folder under benchbench/ that has an __init__.py, through the links."""
    for folder, inside, files in os.walk(ROOT / "benchbench", followlinks=True):
        inside[:] = [name for name in inside if name != "__pycache__"]
        if "__init__.py" in files:
            yield Path(folder).relative_to(ROOT)


def test_the_list_is_that_of_the_packages_there_are() -> None:
    assert SETUPTOOLS["packages"] == sorted(".".join(folder.parts) for folder in folders())


def test_a_package_behind_a_link_is_named_with_its_place_and_others_are_not() -> None:
    """The links are relative, so that a clone may lie anywhere."""
    links = [folder for folder in folders() if (ROOT / folder).is_symlink()]
    assert not any(os.path.isabs(os.readlink(ROOT / link)) for link in links)
    places = {".".join(link.parts): str((ROOT / link).resolve().relative_to(ROOT)) for link in links}
    assert len(places) == 4 and SETUPTOOLS["package-dir"] == {"benchbench": "benchbench", **places}


def test_our_own_methods_and_rewards_need_no_entry_points() -> None:
    assert "entry-points" not in PROJECT
