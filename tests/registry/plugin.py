"""Makes a folder that Python sees as an installed package with entry points, without pip."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def write_plugin(site: Path, package: str, files: Mapping[str, str], groups: Mapping[str, Mapping[str, str]]) -> Path:
    """``site`` on sys.path is all it takes; ``groups`` are the entry points, group -> name -> module:object."""
    folder = site / package
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    for name, text in files.items():
        (folder / name).write_text(text)
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site
