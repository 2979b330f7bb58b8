"""Ctrl-C while a command loads what it works with: the command that goes on is printed then, too."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from docs_build.links import ROOT
from tests.cli.conftest import Bench


class CtrlC:
    """Finds modules, and is interrupted at one of them."""

    def __init__(self, module: str) -> None:
        self.module = module

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        if name == self.module:
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("evaluate.grid", "grid --model shapes --prompts circle"),
        ("tune.run", "tune ddpo --model shapes --reward shapes-colour"),
        ("evaluate.make_pairs", "pairs make --model shapes --prompts shapes-simple"),
        (
            "study.create",
            "study new x --row a=base --question q --raters 2 --model shapes --prompts shapes-simple",
        ),
    ],
)
def test_a_command_says_how_to_go_on(module: str, line: str, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    package, _, name = f"benchbench.{module}".rpartition(".")
    monkeypatch.delitem(sys.modules, f"{package}.{name}", raising=False)
    if package in sys.modules:
        monkeypatch.delattr(sys.modules[package], name, raising=False)
    monkeypatch.setattr(sys, "meta_path", [CtrlC(f"benchbench.{module}"), *sys.meta_path])
    monkeypatch.setattr(sys, "argv", ["bench", *line.split()])
    ran = bench(*line.split())
    assert ran.code == 130
    assert f"interrupted; go on with: bench {line}" in ran.err and "Traceback" not in ran.err


def test_no_command_that_can_go_on_imports_before_it_says_so() -> None:
    """In a function with ``with resumable()``, our imports stand within that block."""
    outside = []
    for file in sorted(Path(ROOT, "benchbench", "cli").glob("*.py")):
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and any(map(_is_resumable, function.body)):
                outside += [f"{file.name}:{node.lineno}" for node in function.body if isinstance(node, ast.ImportFrom)]
    assert outside == []


def _is_resumable(node: ast.stmt) -> bool:
    return isinstance(node, ast.With) and ast.unparse(node.items[0].context_expr).startswith("resumable(")
