"""The symlinked layout in its four lives: wheel, editable install, repository root without an install, type checker.

Each works on a copy of the source tree, in an environment that has the libraries but not benchbench.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
LEFT_OUT = (".git", ".venv", "bench-store", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", ".hypothesis")
LINKS = ("methods", "reward_models", "prompts", "papers/published")


def run(*command: object, cwd: Path) -> str:
    """Standard output of a command that must succeed, with nothing of this process's Python in its environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_"))}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """The source tree as a clone has it."""
    tree = tmp_path / "clone"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(*LEFT_OUT))
    return tree


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """A new environment that sees every installed library except benchbench."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv", cwd=tmp_path)
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    libraries = tmp_path / "libraries"
    libraries.mkdir()
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if "benchbench" not in entry.name and entry.suffix != ".pth":
            (libraries / entry.name).symlink_to(entry)
    (site / "libraries.pth").write_text(f"{libraries}\n")
    return tmp_path / "venv" / "bin" / "python"


def install(python: Path, *what: object, cwd: Path) -> None:
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet"]
    run(sys.executable, "-m", "pip", "--python", python, "install", *options, *what, cwd=cwd)


def check_use(bench: list[object], folder: Path) -> None:
    """The commands that read entry points and package data."""
    methods = [line.split("\t")[0] for line in run(*bench, "list", "methods", cwd=folder).splitlines()]
    assert {"ddpo", "d3po", "tailorpo", "tailorpo-g"} <= set(methods)
    assert "prompts\t45" in run(*bench, "show", "prompts", "animals", cwd=folder)
    assert "train.lr" in run(*bench, "show", "preset", "ddpo", cwd=folder)
    assert "here\tyes" in run(*bench, "show", "model", "shapes", cwd=folder)
    assert "every plug-in loads" in run(*bench, "doctor", cwd=folder)


def package_files(tree: Path) -> set[str]:
    """Every file under benchbench/, through the symlinks."""
    found = set()
    for folder, folders, files in os.walk(tree / "benchbench", followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found |= {str((Path(folder) / name).relative_to(tree)) for name in files}
    return found


def test_the_links_are_relative_and_lead_to_the_top_level() -> None:
    for name in LINKS:
        link = ROOT / "benchbench" / name
        assert link.is_symlink() and not os.path.isabs(os.readlink(link))
        assert link.resolve().is_relative_to(ROOT) and not link.resolve().is_relative_to(ROOT / "benchbench")


def test_a_wheel_holds_every_file_and_works(source: Path, python: Path, tmp_path: Path) -> None:
    expected = package_files(source)  # before the build leaves anything there
    run(
        *(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--quiet"),
        *("--wheel-dir", tmp_path / "dist", source),
        cwd=tmp_path,
    )
    [wheel] = (tmp_path / "dist").glob("benchbench-*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    install(python, wheel, cwd=tmp_path)
    check_use([python.parent / "bench"], tmp_path)


def test_an_editable_install_works_and_follows_the_source(source: Path, python: Path, tmp_path: Path) -> None:
    install(python, "-e", source, cwd=tmp_path)
    check_use([python.parent / "bench"], tmp_path)
    (source / "methods" / "added.py").write_text("HERE = True\n")
    run(python, "-c", "from benchbench.methods.added import HERE", cwd=tmp_path)


def test_the_repository_root_works_without_an_install(source: Path, python: Path) -> None:
    check_use([python, "-m", "benchbench"], source)


def test_the_type_checker_follows_the_links(source: Path) -> None:
    lines = [
        "from benchbench import prompts",
        "from benchbench.methods.ddpo import DDPO",
        "from benchbench.reward_models.jpeg import kilobytes",
        "reveal_type(prompts.load)",
        "reveal_type(DDPO().state)",
        "reveal_type(kilobytes)",
    ]
    (source / "look.py").write_text("\n".join(lines) + "\n")
    out = run(sys.executable, "-m", "mypy", "--follow-imports=silent", "look.py", cwd=source)
    for said in ("benchbench.api.PromptSet", "def () -> ", "-> float", "no issues found"):
        assert said in out
