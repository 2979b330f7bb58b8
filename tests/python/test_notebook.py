"""The notebook of examples/ runs from its first cell to its last, in another folder, at 16 training images."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "examples" / "compare.ipynb"


def test_the_notebook_has_outputs_of_a_whole_run_and_no_path_of_a_machine() -> None:
    assert NOTEBOOK.stat().st_size < 300_000
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert re.findall(r"/(?:home|root|tmp|work|Users|usr)/", NOTEBOOK.read_text(encoding="utf-8")) == []


@pytest.mark.slow
def test_the_notebook_runs_in_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    sizes = notebook.cells[1]
    for words, smaller in (
        (r"SAMPLES = \d+", "SAMPLES = 16"),
        (r"SETTINGS = {}", 'SETTINGS = {"train.eval_images": 2}'),
    ):
        sizes.source, replaced = re.subn(words, smaller, sizes.source)
        assert replaced == 1
    sizes.source += "\nPROMPTS = PROMPTS[:2]"
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))  # the kernel imports what the test imports
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = [output.text for output in shown if output.output_type == "stream"]
    assert len(printed) == 1 and printed[0].startswith("table.tex and report")
    tables = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert len(tables) == 3 and "tailorpo" in tables[0] and "shapes-oracle" in tables[0]
    assert sum("image/png" in output.get("data", {}) for output in shown) == 2
    assert (tmp_path / "table.tex").read_text().startswith("%")
