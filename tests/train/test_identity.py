"""A run is continued, and counts as complete, only on the inputs that it was trained on; the error names the others."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchbench.config import RunConfig, load
from benchbench.errors import CorruptError, UsageError
from benchbench.methods.diffusion_dpo import DiffusionDPO
from benchbench.rewards import mix
from benchbench.runtime.json_files import write_json
from benchbench.runtime.sealed import FIELD, read_sealed, write_sealed
from benchbench.train.identity import differences
from benchbench.train.loop import train
from benchbench.train.run_folder import is_complete
from tests.registry.plugin import write_plugin
from tests.tiny import write_tiny_sd

REWARD = '''"""Brightness."""
import numpy as np
import torch

from benchbench.api import Reward


class Bright(Reward):
    name = "u-bright"
    version = "1"
    unit = "grey levels"
    range = (0.0, 255.0)
    differentiable = False
    weights = "none"

    def score(self, images, prompts):
        return torch.tensor([float(np.asarray(image).mean()) for image in images])
'''
SETTINGS = ["train.batch=2", "train.eval_every=0", "train.lora_rank=2", "sampler.steps=2"]


@dataclass(frozen=True)
class Trained:
    """A complete run of two pairs, with every kind of input in files below ``root``."""

    root: Path
    config: RunConfig

    @property
    def out(self) -> Path:
        return self.root / "run"

    def train(self, **options: bool) -> list[str]:
        """Runs the same command again and returns what it logs."""
        lines: list[str] = []
        train(self.config, self.out, device="cpu", log=lines.append, store=self.root / "store", **options)
        return lines


def write_pairs(folder: Path) -> None:
    folder.mkdir()
    for name, value in (("w", 200), ("l", 20)):
        Image.fromarray(np.full((16, 16, 3), value, np.uint8)).save(folder / f"{name}.png")
    row = {"caption": "cat", "winner": "w.png", "loser": "l.png"}
    (folder / "pairs.jsonl").write_text(json.dumps(row) + "\n")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    root = tmp_path_factory.mktemp("identity")
    write_plugin(
        root / "site", "ubright", {"bright.py": REWARD}, {"benchbench.rewards": {"u-bright": "ubright.bright:Bright"}}
    )
    write_tiny_sd(root / "model")
    shutil.copytree(root / "model" / "vae", root / "vae")
    write_pairs(root / "pairs")
    (root / "words.txt").write_text("cat\ndog\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_CACHE", str(root / "cache"))
        patch.syspath_prepend(root / "site")
        model, reward = f"{root / 'model'}+vae={root / 'vae'}", "u-bright=1,shapes-aesthetic=1"
        words, pairs = str(root / "words.txt"), str(root / "pairs")
        config = load("diffusion-dpo", model, reward, words, 4, 0, "shapes", SETTINGS, pairs)
        run = Trained(root, config)
        run.train()
        yield run
    mix.mix_class.cache_clear()
    sys.modules.pop("ubright.bright", None)


def append(file: str) -> Callable[[Trained], Path]:
    """Returns the change that adds a line to a text file."""

    def change(run: Trained) -> Path:
        path = run.root / file
        path.write_text(path.read_text() + ("# newer\n" if file.endswith(".py") else "dog\n"))
        return path

    return change


def flip(file: str) -> Callable[[Trained], Path]:
    """Returns the change that flips a bit in the last byte but two of a file."""

    def change(run: Trained) -> Path:
        path, raw = run.root / file, bytearray((run.root / file).read_bytes())
        raw[-3] ^= 1
        path.write_bytes(raw)
        return path

    return change


def recaption(run: Trained) -> Path:
    path = run.root / "pairs" / "pairs.jsonl"
    path.write_text(path.read_text().replace("cat", "dog"))
    return path


CHANGES: dict[str, tuple[Callable[[Trained], Path], str]] = {
    "prompts": (append("words.txt"), "prompts ("),
    "model": (flip("model/unet/diffusion_pytorch_model.safetensors"), "model ("),
    "VAE": (flip("vae/diffusion_pytorch_model.safetensors"), "model ("),
    "captions": (recaption, "content of the pairs ("),
    "picture of a pair": (flip("pairs/l.png"), "content of the pairs ("),
    "code of a plug-in": (append("site/ubright/bright.py"), "code of the reward u-bright ("),
}


@contextmanager
def changed(run: Trained, change: Callable[[Trained], Path]) -> Iterator[None]:
    """Changes a file for the block."""
    before = {path: path.read_bytes() for path in run.root.rglob("*") if path.is_file() and "run" not in path.parts}
    path = change(run)
    try:
        yield
    finally:
        path.write_bytes(before[path])


@contextmanager
def unfinished(run: Trained) -> Iterator[None]:
    """Makes the run look interrupted for the block."""
    done = (run.out / "done.json").read_bytes()
    (run.out / "done.json").unlink()
    try:
        yield
    finally:
        (run.out / "done.json").write_bytes(done)


def refused(run: Trained, part: str) -> None:
    """Checks that neither completion nor resumption takes the run for the one of this command."""
    for options in ({}, {"resume": True}):
        with pytest.raises(UsageError, match="run of other inputs") as error:
            run.train(**options)
        assert error.value.cause.startswith(f"since it started, these have changed: {part}")
        assert " then, " in error.value.cause and "--out" in error.value.remedy
    with unfinished(run), pytest.raises(UsageError, match="run of other inputs"):
        run.train(resume=True)
    assert not is_complete(run.config, run.out)


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_file_is_named(name: str, trained: Trained) -> None:
    change, part = CHANGES[name]
    with changed(trained, change):
        refused(trained, part)
    assert "complete already" in trained.train()[-1] and is_complete(trained.config, trained.out)


def test_versions_and_weights_are_named(trained: Trained, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plug-in raises its version, a member of the mix has other weights, a method has a version of its own."""
    member = mix.mix_class(trained.config.reward).reward_classes["u-bright"]
    with monkeypatch.context() as patch:
        patch.setattr(member, "version", "2")
        refused(trained, "version of the reward u-bright (1 then, 2 now)")
    other = mix.mix_class(trained.config.reward).reward_classes["shapes-aesthetic"]
    with monkeypatch.context() as patch:
        patch.setattr(other, "weight_files", lambda: [trained.root / "words.txt"])
        refused(trained, "weights of the reward shapes-aesthetic (")
    with monkeypatch.context() as patch:
        patch.setattr(DiffusionDPO, "version", "2", raising=False)
        refused(trained, "version of the method diffusion-dpo (none then, 2 now)")


def test_a_checkpoint_names_the_input_where_run_json_is_lost(trained: Trained) -> None:
    """run.json is written again from the checkpoint of the same inputs, and not from one of other prompts."""
    file = trained.out / "run.json"
    before = file.read_bytes()
    file.unlink()
    with pytest.raises(CorruptError, match=r"run\.json is missing"):
        trained.train()
    with changed(trained, append("words.txt")), pytest.raises(CorruptError, match="run of other inputs") as error:
        trained.train(resume=True)
    assert "prompts (" in error.value.cause
    assert not file.exists()
    trained.train(resume=True)
    assert json.loads(file.read_bytes()) == json.loads(before)
    assert "complete already" in trained.train()[-1]


def test_a_run_of_an_earlier_version_says_what_cannot_be_compared(trained: Trained) -> None:
    """The run.json of an earlier version has the hashes of model and pairs alone, and no checksum."""
    file = trained.out / "run.json"
    before = file.read_bytes()
    write_json(file, {name: value for name, value in json.loads(before).items() if name not in ("inputs", FIELD)})
    try:
        said = trained.train()
        assert "complete already" in said[-1]
        assert (
            "cannot compare: prompts, version of the reward" in said[0] and "model" not in said[0].split("compare:")[1]
        )
        with changed(trained, CHANGES["model"][0]), pytest.raises(UsageError, match="run of other inputs"):
            trained.train()
        with changed(trained, CHANGES["captions"][0]), pytest.raises(UsageError, match="run of other inputs"):
            trained.train()
    finally:
        file.write_bytes(before)


def test_settings_that_were_edited_are_refused(trained: Trained) -> None:
    """A new checksum does not help: the digest is not that of the settings."""
    file = trained.out / "run.json"
    before = file.read_bytes()
    run = read_sealed(file, "")
    run["config"]["sampler"]["guidance_scale"] = 7.0
    try:
        for write in (write_json, write_sealed):
            write(file, run)
            with pytest.raises(CorruptError, match=r"run\.json is damaged"):
                trained.train()
        file.write_text(before.decode().replace('"guidance_scale": 5.0', '"guidance_scale": 7.0'))
        assert file.read_bytes() != before
        with pytest.raises(CorruptError, match=r"run\.json is damaged"):
            trained.train()
    finally:
        file.write_bytes(before)


def test_complete_means_that_the_weights_are_there(trained: Trained) -> None:
    """Lost, damaged and unrecorded weights are made again from the last checkpoint; without one the run is refused."""
    adapter, done = trained.out / "pytorch_lora_weights.safetensors", trained.out / "done.json"
    before = adapter.read_bytes()
    damaged = bytearray(before)
    damaged[-3] ^= 1
    for damage in (adapter.unlink, lambda: adapter.write_bytes(damaged), lambda: done.write_text("{")):
        damage()
        assert not is_complete(trained.config, trained.out)
        said = trained.train()
        assert any("finished again from its last checkpoint" in line for line in said)
        assert adapter.read_bytes() == before and is_complete(trained.config, trained.out)
    adapter.unlink()
    (trained.out / "checkpoints").rename(trained.out / "away")
    try:
        with pytest.raises(CorruptError, match="is damaged"):
            trained.train()
    finally:
        (trained.out / "away").rename(trained.out / "checkpoints")
    trained.train()


def test_differences_by_hand() -> None:
    old, new = {"model": "a" * 64, "version": "1"}, {"model": "b" * 64, "version": "1", "code": "c"}
    assert differences(old, new) == ["model (aaaaaaaaaaaa then, bbbbbbbbbbbb now)", "code (none then, c now)"]
    assert differences(old, new, complete=False) == ["model (aaaaaaaaaaaa then, bbbbbbbbbbbb now)"]
    assert differences(old | {"code": "c"}, new | {"model": "a" * 64}) == []
