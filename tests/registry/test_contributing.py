"""The examples of CONTRIBUTING.md, put together as a plug-in package and trained with."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import torch
from PIL import Image

from benchbench import api, config, presets, prompts, registry
from benchbench.rewards import lookup
from tests.registry.plugin import write_plugin
from tests.tiny import write_tiny_sd

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", TEXT, re.DOTALL))
[ENTRIES] = re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)
STDLIB = {*sys.stdlib_module_names, "collections.abc"}
PLUGIN = tomllib.loads(ENTRIES)["project"]["entry-points"]


def imported(text: str) -> set[str]:
    """The modules that a file imports, in functions too."""
    nodes = list(ast.walk(ast.parse(text)))
    names = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    return names | {f"{'.' * n.level}{n.module or ''}" for n in nodes if isinstance(n, ast.ImportFrom)}


@pytest.mark.parametrize("file", FILES)
def test_an_example_imports_nothing_of_ours_but_the_api(file: str) -> None:
    assert imported(FILES[file]) <= {"benchbench.api", "torch", "pydantic", "numpy", *STDLIB}


@pytest.mark.parametrize("tool", [["ruff", "check", "--no-cache", "--config"], ["mypy", "--config-file"]], ids=" ".join)
def test_the_examples_pass_the_checks_of_this_repository(tool: list[str], tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    words = [sys.executable, "-m", *tool, "pyproject.toml", *(str(tmp_path / name) for name in FILES)]
    ran = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_preset_example_is_a_sound_file_of_known_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [text] = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    path = tmp_path / "reinforce.yaml"
    path.write_text(text)
    monkeypatch.setattr(presets, "preset_file", lambda method: path)
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", "my_bench", FILES, PLUGIN))
    assert config.load("reinforce", "shapes", "shapes-colour", "shapes-simple", 4, 0).train.lr == 1e-3
    assert config.load("reinforce", "sd15", "shapes-colour", "animals", 4, 0).preset == "released"
    for name in presets.PRESETS:
        assert f"`{name}`" in TEXT


@pytest.mark.parametrize("path", sorted([*ROOT.glob("methods/*.py"), *ROOT.glob("reward_models/*.py")]), ids=str)
def test_our_own_files_import_from_the_api_what_it_has(path: Path) -> None:
    ours = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.ImportFrom)]
    names = {name.name for node in ours for name in node.names if (node.module or "").startswith("benchbench.")}
    through_api = {name.name for node in ours if node.module == "benchbench.api" for name in node.names}
    assert names & set(api.__all__) <= through_api


@pytest.fixture
def _plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", "my_bench", FILES, PLUGIN))


@pytest.mark.usefixtures("_plugin")
def test_the_examples_are_found_and_described() -> None:
    assert "reinforce" in registry.names("methods")
    assert registry.summary("rewards", "brightness") == "Mean brightness in percent; the prompt plays no part."
    assert prompts.load("weather").prompts == ("sun", "rain", "snow")
    assert registry.broken() == []


@pytest.mark.usefixtures("_plugin")
def test_the_reward_example_gives_the_same_on_both_paths() -> None:
    reward = lookup.get("brightness")()
    images = [Image.new("RGB", (8, 8), (shade, shade, shade)) for shade in (0, 51, 255)]
    pixels = torch.tensor([0, 51, 255]).view(3, 1, 1, 1).expand(3, 3, 8, 8) / 255
    torch.testing.assert_close(reward.score(images, ["x"] * 3), torch.tensor([0.0, 20.0, 100.0]))
    torch.testing.assert_close(reward.score_differentiable(pixels, ["x"] * 3), torch.tensor([0.0, 20.0, 100.0]))


@pytest.mark.usefixtures("_plugin")
def test_a_run_with_all_three_examples(tmp_path: Path) -> None:
    from benchbench.train import loop

    model = write_tiny_sd(tmp_path / "sd")
    overrides = ["train.batch=2", "sampler.steps=4", "method.scale=2", "train.eval_every=0"]
    run = config.load("reinforce", str(model), "brightness", "weather", 4, 0, overrides=overrides)
    out = loop.train(run, tmp_path / "run", device="cpu", log=lambda line: None)
    assert json.loads((out / "done.json").read_text())["samples"] == 4


@pytest.mark.usefixtures("_plugin")
def test_a_run_of_the_offline_example(tmp_path: Path) -> None:
    from benchbench.train import loop
    from tests.pairs.pair_folders import rows, write_parquet

    model, pairs = write_tiny_sd(tmp_path / "sd"), write_parquet(tmp_path / "pairs.parquet", rows(4))
    overrides = ["train.batch=4", "method.margin=0.2", "train.eval_every=0"]
    run = config.load("hinge", str(model), "brightness", "weather", 8, 0, overrides=overrides, pairs=str(pairs))
    out = loop.train(run, tmp_path / "run", device="cpu", log=lambda line: None)
    assert json.loads((out / "done.json").read_text())["samples"] == 8
