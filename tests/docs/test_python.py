"""The tutorial of the calls from Python runs as it is written, at its smallest size."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.documented import ROOT

PAGE = ROOT / "docs" / "tutorials" / "python.md"
FEW = 'prompts=["a red circle", "a blue ring"], images_per_prompt=1'
SMALL = {
    "samples=96": 'samples=2, settings={"train.batch": 2, "train.eval_every": 0}',
    'prompts="shapes-simple", rewards': f"{FEW}, steps=2, rewards",
    'trained["d3po"], rewards': f'trained["d3po"], {FEW}, rewards',
}


@pytest.mark.slow
def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Four trainings, a table with its files, a picture, its scores and a comparison; nothing is printed."""
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))
    for words, small in SMALL.items():
        assert code.count(words) == 1
        code = code.replace(words, small)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(compile(code, str(PAGE), "exec"), names)
    assert (tmp_path / "table.html").is_file() and (tmp_path / "circle.png").is_file()
    result = names["result"]
    assert result.scores.row.unique().tolist() == ["base", "tailorpo", "d3po"]  # type: ignore[attr-defined]
    assert "\\toprule" in result.table.to_latex()  # type: ignore[attr-defined]
    assert capsys.readouterr().out == ""
