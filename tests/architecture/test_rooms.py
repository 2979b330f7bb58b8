"""Every package imports only from packages to its left: docs/architecture.md draws the same order."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINKED = ("methods", "reward_models", "prompts")  # folders of the repository that are packages of benchbench
ORDER = (
    "errors noise defaults version",
    "runtime",
    "hub prompt_set",
    "types",
    "reward_calls",
    "store stats",
    "shapes diffusion",
    "losses",
    "api",
    "registry",
    "methods reward_models prompts",
    "rewards presets setting_errors samplers",
    "config choice",
    "pairs",
    "report",
    "evaluate",
    "study",
    "train",
    "protocols",
    "contract parity reproduce shapes_build fetch",
    "tune",
    "python",
    "cli",
    "__main__",
)
"""From left to right; packages in one line do not import each other."""
RANK = {room: place for place, rooms in enumerate(ORDER) for room in rooms.split()}


def modules(root: Path) -> dict[str, Path]:
    """Every module of the package by its name, those in linked folders included."""
    found = {}
    for folder, package in [("benchbench", "benchbench"), *((name, f"benchbench.{name}") for name in LINKED)]:
        for path in (root / folder).rglob("*.py"):
            inside = path.relative_to(root / folder).with_suffix("").parts
            if folder == "benchbench" and inside[0] in LINKED:
                continue  # the link; the folder itself is read below
            found[".".join([package, *(word for word in inside if word != "__init__")])] = path
    return found


def imports(module: str, path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yields the names a module imports from this package, also in functions and for type checkers, made absolute."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            for name in node.names:
                yield f"{origin}.{name.name}" if f"{origin}.{name.name}" in known else origin


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def wrong_arrows(root: Path) -> list[str]:
    """Every import that does not go to the left."""
    known, found = modules(root), []
    for module, path in known.items():
        if not room(module):
            continue  # benchbench/__init__.py only exports
        for target in imports(module, path, known):
            if target.partition(".")[0] != "benchbench" or room(target) == room(module):
                continue
            if room(target) not in RANK or RANK[room(target)] >= RANK[room(module)]:
                found.append(f"{module} imports {target}")
    return found


def test_every_import_goes_to_the_left() -> None:
    assert {room(name) for name in modules(ROOT)} - {""} == set(RANK)
    assert wrong_arrows(ROOT) == []


@pytest.mark.parametrize(
    "line",
    [
        "from benchbench.evaluate import measure",
        "def f():\n    import benchbench.evaluate.measure",
        "if TYPE_CHECKING:\n    from benchbench.evaluate.measure import Measured",
        "from ..evaluate.measure import Measured",
        "from benchbench import __version__",
    ],
)
def test_a_planted_circle_is_found(tmp_path: Path, line: str) -> None:
    for folder in ("benchbench/evaluate", "benchbench/report", *LINKED):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "benchbench" / "evaluate" / "measure.py").write_text("from benchbench.report import table\n")
    (tmp_path / "benchbench" / "report" / "table.py").write_text(line + "\n")
    assert [arrow.partition(" ")[0] for arrow in wrong_arrows(tmp_path)] == ["benchbench.report.table"]


def test_a_folder_behind_a_link_is_read_too(tmp_path: Path) -> None:
    for folder in ("benchbench", *LINKED):
        (tmp_path / folder).mkdir(parents=True)
    for folder in LINKED:
        (tmp_path / "benchbench" / folder).symlink_to(tmp_path / folder)
    (tmp_path / "methods" / "ddpo.py").write_text("from benchbench.report.table import Table\n")
    assert wrong_arrows(tmp_path) == ["benchbench.methods.ddpo imports benchbench.report.table"]


def test_the_page_draws_the_same_order() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    assert tuple(page.split("```")[1].split("\n")[1:-1]) == ORDER
    rows = [
        line.split("|")[1]
        for line in page.split("## The packages")[1].split("## What is on disk")[0].splitlines()
        if "|" in line
    ]
    assert {name.strip("`") for row in rows[2:] for name in row.split()} == set(RANK) - {"__main__"}
