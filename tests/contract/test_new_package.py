"""``bench new`` writes all of a package or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchbench.contract import new_package


def test_ctrl_c_leaves_nothing_and_the_same_command_then_writes_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text = Path.write_text

    def interrupted(path: Path, text: str, **options: Any) -> int:
        if path.name.startswith("test_"):
            raise KeyboardInterrupt
        return write_text(path, text, **options)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", interrupted)
        with pytest.raises(KeyboardInterrupt):
            new_package.write("reward", "half-done", tmp_path)
    assert list(tmp_path.iterdir()) == []
    files = new_package.write("reward", "half-done", tmp_path)
    assert len(files) == 5 and all(file.is_file() for file in files)
