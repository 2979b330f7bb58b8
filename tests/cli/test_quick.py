"""What the quick commands do not import: each of these costs as much as the rest of the command, or far more."""

from __future__ import annotations

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


def imported(words: list[str]) -> set[str]:
    """The modules that a process has after a command, which must succeed."""
    code = f"import sys; from benchbench.cli.main import main; c = main({words!r}); print(*sys.modules, c, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *modules, status = done.stdout.splitlines()
    assert status == "0"
    return set(modules)
