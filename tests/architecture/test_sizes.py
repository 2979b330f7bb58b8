"""Small files, short functions, and few imports that hide in functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from tests.architecture.test_rooms import ROOT, modules

FILES = list(modules(ROOT).values())
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(path: Path) -> Iterator[Function]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, Function):
            yield node


def hidden_imports(path: Path) -> set[int]:
    """The lines of imports of our own code inside functions."""
    found = set()
    for function in functions(path):
        for node in ast.walk(function):
            if isinstance(node, ast.ImportFrom) and (node.level or (node.module or "").startswith("benchbench")):
                found.add(node.lineno)
    return found


def test_no_file_is_long() -> None:
    lines = {path.relative_to(ROOT): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {path: count for path, count in lines.items() if count > 350} == {}
    assert median(lines.values()) <= 94


def test_no_function_is_long() -> None:
    found = {f"{p.relative_to(ROOT)}:{f.lineno}": lines_of(f, p) for p in FILES for f in functions(p)}
    assert {where: count for where, count in found.items() if count > 60} == {}


def lines_of(function: Function, path: Path) -> int:
    """The lines of a function. The calls from Python explain each argument: there the docstring does not count."""
    assert function.end_lineno is not None
    lines, first = function.end_lineno - function.lineno + 1, function.body[0]
    if path.parent != ROOT / "benchbench" / "python" or ast.get_docstring(function) is None:
        return lines
    assert first.end_lineno is not None
    return lines - (first.end_lineno - first.lineno + 1)


def test_few_imports_hide_in_functions_and_each_file_says_why() -> None:
    """One for each eighth file: a new command may import what is slow inside its function, as the others do."""
    found = {path: len(lines) for path in FILES if (lines := hidden_imports(path))}
    assert sum(found.values()) <= len(FILES) / 8
    silent = [path.relative_to(ROOT) for path in found if "nside" not in (_docstring(path) or "")]
    assert silent == []


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
