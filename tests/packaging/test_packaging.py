"""The package in every form that a user gets: clone, zip, sdist, wheel, editable install, root without an install.

Each works on a copy of the source tree, in an environment that has the libraries but not benchbench.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.packaging.environment import install, run

pytestmark = pytest.mark.slow


def check_use(bench: list[object], folder: Path) -> None:
    """The commands that read entry points and package data."""
    methods = [line.split("\t")[0] for line in run(*bench, "list", "methods", cwd=folder).splitlines()]
    assert {"ddpo", "d3po", "tailorpo", "tailorpo-g"} <= set(methods)
    assert "prompts\t45" in run(*bench, "show", "prompts", "animals", cwd=folder)
    assert "train.lr" in run(*bench, "show", "preset", "ddpo", cwd=folder)
    assert "here\tyes" in run(*bench, "show", "model", "shapes", cwd=folder)
    published = "from benchbench.reproduce import spec; print(len(spec.load('tailorpo:2').published_lines()))"
    assert run(Path(str(bench[0])).parent / "python", "-c", published, cwd=folder) == "28\n"
    assert "every method, reward and prompt set loads" in run(*bench, "doctor", cwd=folder)


def package_files(tree: Path) -> set[str]:
    """Every file under benchbench/, through the symlinks."""
    found = set()
    for folder, folders, files in os.walk(tree / "benchbench", followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        found |= {str((Path(folder) / name).relative_to(tree)) for name in files}
    return found


def unzipped(source: Path, folder: Path) -> Path:
    """The source tree as Python's zipfile unpacks it: a link is a small text file that holds where it led."""
    with zipfile.ZipFile(folder / "clone.zip", "w") as archive:
        for path in sorted(source.rglob("*")):
            if path.is_symlink():
                entry = zipfile.ZipInfo(str(path.relative_to(source)))
                entry.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(entry, os.readlink(path))
            elif path.is_file():
                archive.write(path, path.relative_to(source))
    with zipfile.ZipFile(folder / "clone.zip") as archive:
        archive.extractall(folder / "unzipped")
    assert (folder / "unzipped" / "benchbench" / "methods").read_text() == "../methods"
    return folder / "unzipped"


def sdist(source: Path, folder: Path) -> Path:
    """The source distribution of a tree."""
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    run(sys.executable, "-c", build, cwd=source)
    [made] = folder.glob("benchbench-*.tar.gz")
    return made


def wheel(source: Path, folder: Path) -> Path:
    """The wheel of a tree or of a source distribution."""
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--quiet")
    run(sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, source, cwd=folder.parent)
    [made] = folder.glob("benchbench-*.whl")
    return made


def members(archive: Path) -> dict[str, bytes]:
    """The files of a wheel by name, without RECORD, which holds their hashes."""
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist() if not name.endswith("/RECORD")}


def test_clone_zip_and_sdist_give_one_wheel_that_holds_every_file(source: Path, python: Path, tmp_path: Path) -> None:
    expected = package_files(source)  # before a build leaves anything there
    without_links = unzipped(source, tmp_path)
    made = {
        "zip": members(wheel(without_links, tmp_path / "of-zip")),
        "sdist": members(wheel(sdist(without_links, tmp_path), tmp_path / "of-sdist")),
        "clone": members(built := wheel(source, tmp_path / "of-clone")),
    }
    for form, files in made.items():
        assert {name for name in files if ".dist-info/" not in name} == expected, form
        assert files == made["clone"], form
    assert not [name for name in made["clone"] if "test" in name.lower()]
    [entries] = [text.decode() for name, text in made["clone"].items() if name.endswith("/entry_points.txt")]
    assert entries.split() == ["[console_scripts]", "bench", "=", "benchbench.__main__:main"]
    install(python, built, cwd=tmp_path)
    check_use([python.parent / "bench"], tmp_path)
    check_types_of_a_plugin(python, tmp_path)


def check_types_of_a_plugin(python: Path, folder: Path) -> None:
    """mypy reads the types of the installed package, which py.typed permits."""
    lines = [
        "from benchbench.api import PromptSet, Reward",
        'reveal_type(PromptSet("weather", ("sun",), origin="", licence="").prompts)',
        "reveal_type(Reward.version)",
        'PromptSet("weather", 3, origin="", licence="")',
    ]
    (folder / "plugin.py").write_text("\n".join(lines) + "\n")
    skipped = ("torch", "numpy", "PIL", "huggingface_hub", "transformers", "diffusers", "peft")  # minutes of reading
    config = "[mypy]\nfollow_imports = silent\n" + "".join(
        f"[mypy-{name}.*]\nfollow_imports = skip\n" for name in skipped
    )
    (folder / "mypy.ini").write_text(config)
    mypy = [sys.executable, "-m", "mypy", "--python-executable", str(python), "plugin.py"]
    done = subprocess.run(mypy, cwd=folder, capture_output=True, text=True)
    assert 'type is "tuple[str, ...]"' in done.stdout and 'type is "str"' in done.stdout, done.stdout
    assert done.stdout.count("error:") == 1 and "plugin.py:4: error:" in done.stdout, done.stdout


def test_an_editable_install_works_and_follows_the_source(source: Path, python: Path, tmp_path: Path) -> None:
    install(python, "-e", source, cwd=tmp_path)
    check_use([python.parent / "bench"], tmp_path)
    (source / "methods" / "added.py").write_text("HERE = True\n")
    run(python, "-c", "from benchbench.methods.added import HERE", cwd=tmp_path)


def test_an_unpacked_zip_installs_as_editable_and_says_so_where_it_is_not(
    source: Path, python: Path, tmp_path: Path
) -> None:
    tree = unzipped(source, tmp_path)
    done = subprocess.run([python, "-m", "benchbench", "list", "methods"], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 2 and "pip install -e ." in done.stderr, done.stderr
    install(python, "-e", tree, cwd=tmp_path)
    check_use([python.parent / "bench"], tmp_path)
    (tree / "methods" / "added.py").write_text("HERE = True\n")
    run(python, "-c", "from benchbench.methods.added import HERE", cwd=tmp_path)


def test_the_repository_root_works_without_an_install(source: Path, python: Path) -> None:
    check_use([python, "-m", "benchbench"], source)


def test_the_type_checker_follows_the_links(source: Path) -> None:
    lines = [
        "from benchbench import prompts",
        "from benchbench.methods.ddpo import DDPO",
        "from benchbench.reward_models._jpeg import kilobytes",
        "reveal_type(prompts.load)",
        "reveal_type(DDPO().state)",
        "reveal_type(kilobytes)",
    ]
    (source / "look.py").write_text("\n".join(lines) + "\n")
    out = run(sys.executable, "-m", "mypy", "--follow-imports=silent", "look.py", cwd=source)
    for said in ("benchbench.prompt_set.PromptSet", "def () -> ", "-> float", "no issues found"):
        assert said in out
