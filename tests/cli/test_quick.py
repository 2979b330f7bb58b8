"""The quick commands do not import libraries that cost as much as the rest of the command, or far more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NEVER = {"torch", "diffusers", "transformers", "pandas", "huggingface_hub.file_download", "huggingface_hub.hf_api"}
HELP = {"pydantic", "yaml", "huggingface_hub", "importlib.metadata", "rich.markdown", "numpy"}


@pytest.mark.parametrize("words", [["--help"], ["--version"]], ids=" ".join)
def test_help_imports_only_what_prints_it(words: list[str]) -> None:
    assert not imported(words) & (NEVER | HELP)


@pytest.mark.parametrize("kind", ["methods", "rewards", "prompts", "models", "checkpoints", "tables", "runs"])
def test_a_list_imports_no_torch_and_no_network_client(kind: str) -> None:
    assert not imported(["list", kind]) & NEVER


@pytest.mark.parametrize("kind", ["methods", "rewards"])
def test_methods_and_rewards_are_listed_without_numpy(kind: str) -> None:
    assert "numpy" not in imported(["list", kind])


def imported(words: list[str]) -> set[str]:
    """Returns the modules that a process has loaded after a command, which must succeed."""
    code = f"import sys; from benchbench.cli.main import main; c = main({words!r}); print(*sys.modules, c, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *modules, status = done.stdout.splitlines()
    assert status == "0"
    return set(modules)


def test_help_of_a_command_imports_no_torch() -> None:
    assert not imported(["train", "--help"]) & NEVER


@pytest.mark.parametrize(
    ("typed", "completions"),
    [
        ("bench tr", ["train", "train-spm"]),
        ("bench pairs ", ["make", "check"]),
        ("bench train --method tailo", ["tailorpo", "tailorpo-g"]),
        ("bench list ch", ["checkpoints"]),
    ],
)
def test_the_shell_completes_commands_and_names(typed: str, completions: list[str]) -> None:
    assert completed(typed)[0] == completions


def test_completing_a_command_imports_no_command() -> None:
    _, modules = completed("bench tr")
    assert {name for name in modules if name.startswith("benchbench.cli.")} == {
        *("benchbench.cli.commands", "benchbench.cli.main")
    }


def completed(typed: str) -> tuple[list[str], set[str]]:
    """Returns bash's completions of a line, and the modules that were imported for them; none may be torch."""
    code = (
        "import sys; from benchbench.cli.main import main; status = main([]);"
        "print(); print(*sys.modules); sys.exit(status)"
    )
    request = {"_BENCH_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    environment = {**os.environ, **request}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    *completions, modules = done.stdout.split("\n")[:-1]
    assert not NEVER & set(modules.split())
    return [word for word in completions if word], set(modules.split())
