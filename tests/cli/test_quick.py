"""The quick commands do not import libraries that cost as much as the rest of the command, or far more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


WRONG = """\
train --method nope
train --method ddpo --reward nope
train --method ddpo --set train.lrr=1
train --method ddpo --set sampler.steps=0
train --method ddpo --prompts nope
train --method ddpo --model ./nope
train --method ddpo --preset nope
train --method ddpo --samples 0
train --method ddpo --device nope
train --method ddpo --out FILE
train --method ddpo --set method.x=1
train --method tailorpo-g --set method.bbeta=1 train.lr=1e-4
train --method ddpo --set method.clip=bad
train --method d3po --set method.beta=-1 method.x=1
train --method d3po --set method.votes=nope
train --method diffusion-dpo --pairs nope
eval --prompts nope --rewards shapes-clip
eval --prompts shapes-simple --rewards nope
eval --prompts shapes-simple --rewards shapes-clip --checkpoint nope
eval --prompts shapes-simple --rewards shapes-clip --row a=nope
eval --prompts shapes-simple --rewards shapes-clip --model nope
eval --prompts shapes-simple --rewards shapes-clip --device nope
compare nope nope
compare base base --rewards nope
grid nope
grid --rewards nope
score --images nope --rewards nope
measure nope
measure jensen-gap nope
measure jensen-gap --reward nope
measure jensen-gap --prompts nope
measure jensen-gap --set nope=1
measure cost --set nope
pairs check nope
pairs make --prompts nope
study new x --row base --question q --raters 2 --prompts nope
study new x --row a=nope --question q --raters 2
study status nope
study results nope
study export nope
study simulate nope --reward nope
reproduce nope:2
reproduce tailorpo:2 --track nope
reproduce tailorpo:2 --rows nope
reproduce tailorpo:2 --rewards nope
reproduce tailorpo:2 --on nope
reproduce tailorpo:2 --set train.lrr=1
sweep nope.yaml
sweep SWEEP
report nope
list nope
show method nope
show reward nope
show prompts nope
show run nope
status nope:2
fetch --rewards nope
store verify --store nope
check nope
nope"""


def test_a_wrong_word_is_told_before_a_slow_library_is_loaded(tmp_path: Path) -> None:
    """One process runs all commands, and says after which of them one of the libraries was loaded."""
    (tmp_path / "file").write_text("")
    sweep = "model: shapes\nmethods: [ddpo, nope]\nrewards: [shapes-clip]\nprompts: {shapes-simple: 1}\nseeds: [0]\n"
    (tmp_path / "sweep.yaml").write_text(sweep)
    words = WRONG.replace("FILE", str(tmp_path / "file")).replace("SWEEP", str(tmp_path / "sweep.yaml"))
    code = (
        "import json, sys; from benchbench.cli.main import main; found = {}\n"
        f"for words in {words.splitlines()!r}:\n"
        f"    found[words] = [main(words.split()), *(m for m in {sorted(NEVER)!r} if m in sys.modules)]\n"
        "print(json.dumps(found))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    found = json.loads(done.stdout.splitlines()[-1])
    assert {words: result for words, result in found.items() if result not in ([2], [3])} == {}
    assert "Traceback" not in done.stderr


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
        *("benchbench.cli.commands", "benchbench.cli.examples", "benchbench.cli.main", "benchbench.cli.ui")
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
