"""The tutorial of a method of your own: its files are those that ``bench new`` writes, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchbench import registry
from benchbench.cli.main import main
from benchbench.contract import new_package
from tests.docs.documented import ROOT
from tests.registry.plugin import write_plugin

PAGE = (ROOT / "docs" / "tutorials" / "own-method.md").read_text(encoding="utf-8")
REPLACED = "        advantage = cfg.scale * (r - r.mean())\n"


def test_the_page_names_the_files_that_are_written(tmp_path: Path) -> None:
    written = {str(file.relative_to(tmp_path)) for file in new_package.write("method", "reinforce", tmp_path)}
    named = set(re.findall(r"`(reinforce/[\w./]+)`", PAGE))
    assert named == written - {"reinforce/reinforce/__init__.py"}


@pytest.mark.slow
def test_the_method_that_remembers_keeps_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page's two blocks go where it says, and the state comes back."""
    new_package.write("method", "reinforce", tmp_path)
    code = (tmp_path / "reinforce" / "reinforce" / "method.py").read_text(encoding="utf-8")
    added, lines = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    class_line, _, functions = added.partition("\n")
    assert code.count(class_line) == 1
    assert code.count(REPLACED) == 1 and f"`{REPLACED.strip()}`" in PAGE
    code = code.replace(REPLACED, lines).replace("    def collect(", f"{functions}\n    def collect(")
    entries = {"benchbench.methods": {"reinforce": "remembers.method:Reinforce"}}
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", "remembers", {"method.py": code}, entries))
    assert main(["check", "reinforce"]) == 0
    assert "state survives JSON\tpassed" in capsys.readouterr().out
    method = registry.get("methods", "reinforce")()
    assert method.state() == {"baseline": None}
    method.load_state({"baseline": 2.5})
    assert method.state() == {"baseline": 2.5}
