"""Where weights come from: a hub that is a folder, its cache, local copies; and never the network but for fetching."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file

from benchbench.cli import doctor_checks
from benchbench.cli.main import main
from benchbench.errors import CorruptError, MissingError
from benchbench.fetch import files as fetch
from benchbench.rewards import lookup
from benchbench.runtime.files import cache_folder
from tests.registry.plugin import write_plugin
from tests.reward_models.conftest import LEARNED, natural

REPOS = {
    "laion/CLIP-ViT-H-14-laion2B-s32B-b79K": "CLIP-ViT-H-14-laion2B-s32B-b79K",
    "openai/clip-vit-large-patch14": "clip-vit-large-patch14",
    "yuvalkirstain/PickScore_v1": "PickScore_v1",
    "krnl/PickScore_v1": "PickScore_v1",
    "xswu/HPSv2": "HPSv2",
    "google-bert/bert-base-uncased": "bert-base-uncased",
    "zai-org/ImageReward": "ImageReward.pt",
    "trl-lib/ddpo-aesthetic-predictor": "sac+logos+ava1-l14-linearMSE.pth",
}


class Hub:
    """Answers as the hub does and fills the cache as its library does: blobs named by hash, snapshots of links."""

    def __init__(self, files: Path, cache: Path) -> None:
        self.files, self.cache, self.sha, self.gone, self.got = files, cache, "a" * 40, set[str](), list[str]()

    def _of(self, repo: str) -> dict[str, Path]:
        if repo in self.gone or repo not in REPOS:
            raise OSError(f"404: {repo} is not here")
        path = self.files / REPOS[repo]
        found = {path.name: path} if path.is_file() else {p.name: p for p in path.iterdir()}
        if repo.startswith("trl-lib"):
            return {"aesthetic-model.pth": path}
        return found | {"README.md": Path(__file__)}

    def repo_info(self, repo: str, repo_type: str, revision: str) -> Any:
        return SimpleNamespace(sha=self.sha, siblings=[SimpleNamespace(rfilename=name) for name in self._of(repo)])

    def snapshot_download(
        self,
        repo: str,
        repo_type: str = "model",
        revision: str = "main",
        allow_patterns: Sequence[str] = (),
        local_files_only: bool = False,
        **_: Any,
    ) -> str:
        root = self.cache / f"models--{repo.replace('/', '--')}"
        snapshot = root / "snapshots" / self.sha
        if local_files_only and not snapshot.is_dir():
            raise LocalEntryNotFoundError(f"{repo} is not in the cache")
        for folder in (snapshot, root / "blobs", root / "refs"):
            folder.mkdir(parents=True, exist_ok=True)
        (root / "refs" / revision).write_text(self.sha)
        for name in allow_patterns:
            data = self._of(repo)[name].read_bytes()
            blob = root / "blobs" / hashlib.sha256(data).hexdigest()
            blob.write_bytes(data)
            (snapshot / name).unlink(missing_ok=True)
            (snapshot / name).symlink_to(blob)
            self.got.append(f"{repo}/{name}")
        return str(snapshot)


@pytest.fixture
def hub(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Nothing is here yet; everything can be fetched."""
    monkeypatch.delenv("BENCH_WEIGHTS")
    hub = Hub(weights, tmp_path / "hf")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub.cache))
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def score(name: str) -> list[float]:
    scores: list[float] = lookup.get(name)().score([natural(0, 40, 32)], ["a cat"]).tolist()
    return scores


@pytest.mark.parametrize("name", LEARNED)
def test_fetched_once_then_here_then_scores(name: str, hub: Hub) -> None:
    """Only the files that are needed are fetched, one of several formats, and none a second time."""
    cls = lookup.get(name)
    for asset in cls.assets:
        assert asset.title in cls.missing()
        assert asset.repos[0] in cls.missing()
    assert str(hub.cache) in cls.missing()
    assert fetch.fetch_reward(name) == "here"
    assert cls.missing() is None
    got = list(hub.got)
    assert not [file for file in got if file.endswith("README.md")]
    fetch.fetch_reward(name)
    assert hub.got == got
    assert len(score(name)) == 1
    lock = json.loads((cache_folder() / "lock.json").read_text())
    for file in got:
        repo, _, asset_name = file.rpartition("/")
        assert len(lock[f"file {repo} {asset_name}"]) == 64
        assert lock[f"model {repo} main"] == hub.sha


def test_the_next_id_is_asked_where_the_first_is_gone(hub: Hub) -> None:
    hub.gone.add("yuvalkirstain/PickScore_v1")
    fetch.fetch_reward("pickscore")
    assert "krnl/PickScore_v1/model.safetensors" in hub.got
    assert len(score("pickscore")) == 1


def test_a_file_that_changed_under_its_name_is_refused(hub: Hub) -> None:
    """The revision and each file's hash are those of the first fetch, or nothing is scored."""
    fetch.fetch_reward("imagereward")
    cached = next(hub.cache.rglob("ImageReward.pt"))
    other = cached.resolve().with_name("b" * 64)
    other.write_bytes(cached.read_bytes() + b"changed")
    cached.unlink()
    cached.symlink_to(other)
    with pytest.raises(CorruptError, match="has changed since"):
        score("imagereward")
    shutil.rmtree(hub.cache)
    hub.sha = "c" * 40
    with pytest.raises(CorruptError, match="has changed since"):
        fetch.fetch_reward("imagereward")


@pytest.mark.parametrize("name", ["aesthetic", "hpsv2.0", "hpsv2.1"])
def test_a_file_with_another_hash_than_the_known_one_is_refused(
    name: str, weights_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random weights are not the released ones, and the hashes in the code say so."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(weights_folder))
    with pytest.raises(CorruptError, match="is not the expected file") as caught:
        lookup.get(name)()
    assert "expected " in caught.value.cause


def test_a_damaged_file_is_named(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a file, a file of another model, and a value that is not a number."""
    copy = tmp_path / "weights"
    shutil.copytree(weights, copy)
    monkeypatch.setenv("BENCH_WEIGHTS", str(copy))
    path = copy / "ImageReward.pt"
    whole, state = path.read_bytes(), torch.load(path, weights_only=True)
    state["mlp.layers.0.bias"][3] = float("nan")
    for n, damage in enumerate(
        [
            lambda: path.write_bytes(whole[: len(whole) // 2]),
            lambda: shutil.copy(copy / "sac+logos+ava1-l14-linearMSE.pth", path),
            lambda: torch.save(state, path),
        ]
    ):
        damage()
        monkeypatch.setenv("BENCH_CACHE", str(tmp_path / f"cache{n}"))  # another lock: the change is not the point here
        with pytest.raises(CorruptError, match=r"ImageReward.pt") as caught:
            lookup.get("imagereward")()
        assert caught.value.code == 4


def test_a_pickle_that_would_run_code_is_refused(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path(tmp_path / "ran").write_text, ("it ran",))

    copy = tmp_path / "weights"
    shutil.copytree(weights, copy)
    torch.save({"state_dict": Evil()}, copy / "HPSv2" / "HPS_v2_compressed.pt")
    monkeypatch.setenv("BENCH_WEIGHTS", str(copy))
    with pytest.raises(CorruptError):
        lookup.get("hpsv2.0")()
    assert not (tmp_path / "ran").exists()


def test_missing_weights_end_in_one_message(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is missing, where it was looked for, the command that gets it; three lines, exit 3."""
    monkeypatch.setenv("BENCH_WEIGHTS", str(tmp_path / "mine"))
    with pytest.raises(MissingError) as caught:
        lookup.get("pickscore")()
    assert caught.value.remedy == "bench fetch --rewards pickscore"
    (tmp_path / "p.txt").write_text("a cat\n")
    (tmp_path / "images").mkdir()
    natural(0, 32, 32).save(tmp_path / "images" / "0.png")
    argv = ["score", "--images", tmp_path / "images", "--prompts", tmp_path / "p.txt", "--rewards", "pickscore"]
    capsys.readouterr()
    assert main([str(word) for word in argv]) == 3
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 3
    for said in ("PickScore v1", "yuvalkirstain/PickScore_v1", str(tmp_path / "mine"), "Hugging Face cache"):
        assert said in err
    assert "bench fetch --rewards pickscore" in err


def test_the_doctor_says_what_is_here(hub: Hub) -> None:
    fetch.fetch_reward("clip_l14")
    rows = {str(row[0]): str(row[1]) for row in doctor_checks.assets()}
    assert rows["reward clip_l14"] == "here"
    assert "bench fetch --rewards pickscore" in rows["reward pickscore"]


def test_nothing_but_fetch_touches_the_network(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every socket refused, weights from the cache load and score, and what is missing is a MissingError."""
    fetch.fetch_reward("hpsv2.1")
    fetch.fetch_reward("aesthetic")

    def refuse(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("the network was asked")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    for online in (True, False):  # whatever HF_HUB_OFFLINE says
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", not online)
        assert len(score("hpsv2.1")) == len(score("aesthetic")) == 1
        with pytest.raises(MissingError):
            score("pickscore")
        assert lookup.get("imagereward").missing()


def test_offline_fetching_asks_nobody(tmp_path: Path) -> None:
    """In a process of its own, with HF_HUB_OFFLINE=1 and sockets that end it: fetch fails in words."""
    code = (
        "import os, socket, sys\n"
        "os.environ['HF_HUB_OFFLINE'] = '1'\n"
        "def refuse(*a, **k): os._exit(99)\n"
        "socket.socket.connect = refuse; socket.create_connection = refuse; socket.getaddrinfo = refuse\n"
        "from benchbench.cli.main import main\n"
        "sys.exit(main(['fetch', '--rewards', 'aesthetic', '--prompts', 'spo-4k']))\n"
    )
    environment = {"HF_HOME": str(tmp_path / "hf"), "BENCH_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert ran.returncode == 3, ran.stderr
    assert "HF_HUB_OFFLINE" in ran.stderr


def test_a_known_hash_is_not_passed_by_another_name(
    weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HPSv2's other possible name, and the aesthetic head's, with random weights in them."""
    for folder, old, new in (
        ("HPSv2", "HPS_v2.1_compressed.pt", "HPS_v2.1_compressed.safetensors"),
        ("", "sac+logos+ava1-l14-linearMSE.pth", "aesthetic-model.pth"),
    ):
        copy = tmp_path / new
        shutil.copytree(weights_folder, copy)
        (copy / folder / old).rename(copy / folder / new)
        monkeypatch.setenv("BENCH_WEIGHTS", str(copy))
        with pytest.raises(CorruptError, match=re.escape(new)) as caught:
            lookup.get("hpsv2.1" if folder else "aesthetic")()
        assert "HPS_v2.1_compressed.pt only" in caught.value.cause if folder else "expected" in caught.value.cause


def test_other_weights_under_another_name_are_not_the_ones_of_the_first_use(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ImageReward has no known hash; the file of the first use is recorded."""
    copy = tmp_path / "weights"
    shutil.copytree(weights, copy)
    monkeypatch.setenv("BENCH_WEIGHTS", str(copy))
    assert len(score("imagereward")) == 1
    state = torch.load(copy / "ImageReward.pt", weights_only=True)
    state["mlp.layers.7.bias"] += 1
    save_file({name: value.contiguous() for name, value in state.items()}, copy / "ImageReward.safetensors")
    with pytest.raises(CorruptError, match=r"first used, as ImageReward\.pt") as caught:
        score("imagereward")
    assert "own name and version" in caught.value.remedy


def test_weights_of_ones_own_are_a_reward_of_their_own(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example of README.md as a plug-in: listed, scored and filed under its own name, beside the released one."""
    text = (Path(__file__).parents[2] / "reward_models" / "README.md").read_text(encoding="utf-8")
    [code] = re.findall(r"```python\n# my_pickscore\.py\n(.*?)```", text, re.DOTALL)
    entry = {"benchbench.rewards": {"my-pickscore": "ours.my_pickscore:MyPickScore"}}
    monkeypatch.syspath_prepend(write_plugin(tmp_path / "site", "ours", {"my_pickscore.py": code}, entry))
    assert "is neither in" in str(lookup.get("my-pickscore").missing())
    copy = tmp_path / "weights"
    shutil.copytree(weights, copy)
    state = load_file(copy / "PickScore_v1" / "model.safetensors")
    (copy / "my-pickscore").mkdir()
    state["logit_scale"] = state["logit_scale"] + math.log(2)
    save_file(state, copy / "my-pickscore" / "model.safetensors")
    monkeypatch.setenv("BENCH_WEIGHTS", str(copy))
    assert score("my-pickscore") == pytest.approx([2 * score("pickscore")[0]], rel=1e-5)
    assert (lookup.get("my-pickscore").version, lookup.get("pickscore").version) == ("2026-11", "v1")
