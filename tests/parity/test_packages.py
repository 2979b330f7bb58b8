"""Our rewards equal the authors' packages at their real sizes, with random weights in the released layouts.

``make test-parity``: installs the packages, writes 4 GB of weights at a time, and scores 32 pictures on each side.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchbench.parity import environment, interpreter
from benchbench.rewards import lookup
from tests.cli.conftest import Bench
from tests.parity import full_size

TENTH_OF_RANGE = 0.1
"""About the released models' deviation over pictures, as a share of the usual range (of ImageReward it is a fifth)."""
SEEDS = {name: seed for seed, name in enumerate(full_size.WRITERS, 10)}

pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(not full_size.DATA.is_dir(), reason="the released vocabularies are not here: ../shared/data"),
]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The cache folder with the packages' environment, and beside it the tokenizers."""
    folder = tmp_path_factory.mktemp("parity")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(folder / "cache"))
        python = environment.make(interpreter.find(None), print)
    (folder / "weights").mkdir()
    full_size.write_tokenizers(python, folder / "weights")
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def machine(installed: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of weights, with the packages at hand. Weights are deleted after each test."""
    monkeypatch.setenv("BENCH_CACHE", str(installed / "cache"))
    monkeypatch.setenv("BENCH_WEIGHTS", str(installed / "weights"))
    (installed / "cache" / "lock.json").unlink(missing_ok=True)  # another test's weights had the same name
    yield installed / "weights"
    for file in (installed / "weights").rglob("*"):
        if file.suffix in (".safetensors", ".pt", ".pth"):
            file.unlink()


@pytest.mark.parametrize(
    ("mistake", "value", "code"),
    [("cleans", True, 0), ("cleans", False, 5), ("transform", "transformers", 5), ("family", "laion", 5)],
    ids=["none", "prompts are not cleaned", "an odd margin is floored", "wrong activation and heads"],
)
def test_a_mistake_of_ours_is_told(
    bench: Bench, machine: Path, monkeypatch: pytest.MonkeyPatch, mistake: str, value: object, code: int
) -> None:
    """At a small width, which OpenAI's class can be given."""
    full_size.write_small_openai(machine)
    monkeypatch.setattr(lookup.get("clip_l14"), mistake, value)
    ran = bench("parity", "--rewards", "clip_l14", "--yes")
    assert ran.code == code and ("DIFFERENT" in ran.out) is bool(code), ran.err


@pytest.mark.parametrize("name", full_size.WRITERS)
def test_scores_equal_the_authors(
    bench: Bench, machine: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = lookup.get(name)
    monkeypatch.setattr(cls, "assets", tuple(replace(asset, sha256={}) for asset in cls.assets))
    full_size.write_weights(name, machine, SEEDS[name])
    ran = bench("parity", "--rewards", name, "--yes", "--out", tmp_path / "table.json")
    assert ran.code in (0, 5), ran.err
    (row,) = json.loads((tmp_path / "table.json").read_text())["rewards"]
    print(
        f"{name}: {row['largest difference']:.1e}, {row['in SDs']:.1e} SD; mean {row['mean']:.4g}, SD {row['SD']:.3g}"
    )
    released = TENTH_OF_RANGE * (cls.range[1] - cls.range[0])
    assert row["SD"] > 0.01 * released, "an equality of constants would say nothing"
    assert row["pictures"] == 32 and row["in SDs"] < 1e-4 and ran.code == 0, ran.err
