"""`bench new`: each of the three packages is installed and works as it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchbench.cli.main import main
from benchbench.contract import new_package
from tests.packaging.environment import ROOT, install, run

NAMES = {"method": "snow-method", "reward": "snow", "prompts": "snow_prompts"}


def made(folder: Path) -> list[Path]:
    """The folders of three new packages."""
    for kind, name in NAMES.items():
        assert main(["new", kind, name, "--in", str(folder)]) == 0
    return [folder / name for name in NAMES.values()]


@pytest.mark.slow
def test_each_package_installs_and_passes_its_own_tests(python: Path, tmp_path: Path) -> None:
    [site] = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (site / "benchbench.pth").write_text(f"{ROOT}\n")
    folders = made(tmp_path)
    install(python, *(word for folder in folders for word in ("-e", folder)), cwd=tmp_path)
    passed = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", tmp_path, *folders, cwd=tmp_path)
    assert "5 passed" in passed
    listed = run(python, "-m", "benchbench", "show", "preset", "snow-method", cwd=tmp_path)
    assert "shapes\ttrain.batch\t16" in listed


def test_the_files_are_sound_and_formatted(tmp_path: Path) -> None:
    folders = made(tmp_path)
    for words in (["check", "--no-cache", "--ignore=D103,I001"], ["format", "--check", "--no-cache"]):
        command = [sys.executable, "-m", "ruff", *words, "--config", ROOT / "pyproject.toml", *folders]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout
    text = "".join(path.read_text() for folder in folders for path in folder.rglob("*") if path.is_file())
    assert "$" not in text and "[build-system]" in text


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made(tmp_path)
    file = tmp_path / "snow" / "snow" / "reward.py"
    file.write_text("mine")
    assert main(["new", "reward", "snow", "--in", str(tmp_path)]) == 2
    assert "is there already" in capsys.readouterr().err and file.read_text() == "mine"


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("method", "ddpo", "is taken"),
        ("prompts", "pickapic_v2.test_unique", "cannot be a name"),
        ("reward", "numpy", "already finds a module"),
        ("reward", "../up", "cannot be a name"),
        ("reward", "class", "cannot be a name"),
        ("method", "My Method", "cannot be a name"),
    ],
)
def test_a_wrong_name_writes_nothing(
    kind: str, name: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", kind, name, "--in", str(tmp_path / "in")]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "in").exists()


def test_a_class_does_not_hide_what_its_file_imports(tmp_path: Path) -> None:
    files = new_package.write("method", "policy", tmp_path)
    assert "class PolicyMethod(Method[PolicyMethodConfig]):" in next(
        f.read_text() for f in files if f.name == "method.py"
    )
