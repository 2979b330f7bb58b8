"""``bench fetch --checkpoints``, with a hub that is a folder, and where released checkpoints are named."""

from __future__ import annotations

import fnmatch
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file

from benchbench.store import runs
from tests.cli.conftest import Bench
from tests.evaluate.released import WEIGHTS, merged, write_lora
from tests.tiny import write_tiny_sd

SHA = "a" * 40


class Hub:
    """Makes repositories as folders, and another folder for what is fetched, where offline commands find it."""

    def __init__(self, root: Path) -> None:
        self.root, self.fetched = root / "hub", root / "cache"

    def repo_info(self, repo: str, repo_type: str, revision: str) -> Any:
        if not (self.root / repo).is_dir():
            raise OSError(f"404: {repo} is not here")
        return SimpleNamespace(sha=SHA, siblings=[])

    def snapshot_download(self, repo: str, local_files_only: bool = False, **patterns: Any) -> str:
        folder = self.fetched / f"models--{repo.replace('/', '--')}"  # as huggingface_hub lays its cache out
        out = folder / "snapshots" / SHA
        if local_files_only and not out.is_dir():
            raise LocalEntryNotFoundError(repo)
        for path in () if local_files_only else (self.root / repo).rglob("*"):
            name = str(path.relative_to(self.root / repo))
            allowed = any(fnmatch.fnmatch(name, pattern) for pattern in patterns["allow_patterns"])
            if path.is_file() and allowed and not any(fnmatch.fnmatch(name, p) for p in patterns["ignore_patterns"]):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, out / name)
                (folder / "refs").mkdir(exist_ok=True)
                (folder / "refs" / "main").write_text(SHA)
        return str(out)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub.fetched))
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")


def test_a_lora_is_fetched_listed_and_found(bench: Bench, hub: Hub, base: Path, tmp_path: Path) -> None:
    repo = hub.root / "SPO-Diffusion-Models" / "SPO-SD-v1-5_4k-p_10ep_LoRA"
    file = write_lora(base, repo, "diffusers") / "pytorch_lora_weights.safetensors"
    file.rename(repo / "spo-sd-v1-5_4k-p_10ep_lora_diffusers.safetensors")
    (repo / "spo-sd-v1-5_4k-p_10ep_lora_webui.safetensors").write_bytes(b"a copy for other programs")
    words = ["--model", str(base), "--checkpoint", "spo-sd15", "--prompts", "animals"]
    offline = bench("eval", *words, "--rewards", "jpeg_compressibility")
    assert offline.code == 3 and "bench fetch --checkpoints spo-sd15" in offline.err
    ran = bench("fetch", "--checkpoints", "spo-sd15")
    assert ran.code == 0, ran.err
    found = runs.find_adapter(tmp_path, "spo-sd15")
    assert found.weights.path.name == "spo-sd-v1-5_4k-p_10ep_lora_diffusers.safetensors"
    assert not list(hub.fetched.rglob("*webui*"))
    rows = {line.split()[0]: line for line in bench("list", "checkpoints").out.splitlines() if line.strip()}
    assert "spo-sd15" in rows and "mapo-sdxl" in rows
    samplers = {"diffusion-kto-sd15": "50 steps, guidance 7\t", "mapo-sdxl": "30 steps", "spo-sdxl": "guidance 5"}
    assert all(sampler in rows[name] for name, sampler in samplers.items())
    assert "creativeml-openrail-m" in rows["ddpo-alignment-sd14"] and ".bin" in rows["ddpo-alignment-sd14"]
    shutil.rmtree(hub.root)  # what is here is not asked for again
    assert bench("fetch", "--checkpoints", "spo-sd15").code == 0


def test_a_pickle_is_fetched_only_where_there_is_nothing_else(
    bench: Bench, hub: Hub, base: Path, tmp_path: Path
) -> None:
    for repo, safe in (("owner/both", True), ("owner/pickle", False)):
        folder = hub.root / repo / "unet"
        folder.mkdir(parents=True)
        whole = merged(base, tmp_path / repo.replace("/", "-"), 1.0) / "unet"
        shutil.copy(whole / "config.json", folder)
        torch.save(load_file(whole / WEIGHTS), folder / "diffusion_pytorch_model.bin")
        if safe:
            shutil.copy(whole / WEIGHTS, folder)
        ran = bench("fetch", "--checkpoints", repo)
        assert ran.code == 0, ran.err
        assert bool(list((hub.fetched / f"models--{repo.replace('/', '--')}").rglob("*.bin"))) != safe
        assert runs.find_adapter(tmp_path, repo).weights.kind == "unet"


def test_what_cannot_be_fetched(bench: Bench, hub: Hub) -> None:
    gone = bench("fetch", "--checkpoints", "mapo-sdxl")
    assert gone.code == 3 and "mapo-t2i/mapo-beta" in gone.err
    wrong = bench("fetch", "--checkpoints", "mapo-sdx")
    assert wrong.code == 2 and "mapo-sdxl" in wrong.err
    (hub.root / "owner" / "flax" / "unet").mkdir(parents=True)
    (hub.root / "owner" / "flax" / "unet" / "diffusion_flax_model.msgpack").write_bytes(b"x")
    empty = bench("fetch", "--checkpoints", "owner/flax")
    assert empty.code == 4 and "no weights in a known layout" in empty.err
