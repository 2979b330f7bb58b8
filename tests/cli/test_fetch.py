"""``bench fetch``, with a hub that is a folder."""

from __future__ import annotations

import fnmatch
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchbench import prompts
from benchbench.prompt_set import sources
from benchbench.runtime.files import cache_folder
from benchbench.runtime.pictures import read_picture
from tests.cli.conftest import Bench
from tests.runtime.picture_files import saved

PICKAPIC = "pickapic-anonymous/pickapic_v1"


class Hub:
    """Makes repositories as folders; ``sha`` is the revision of each."""

    def __init__(self, root: Path) -> None:
        self.root, self.sha, self.asked = root, "a" * 40, []  # type: ignore[var-annotated]

    def write(self, repo: str, name: str) -> Path:
        path = self.root / repo / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def repo_info(self, repo: str, repo_type: str, revision: str) -> Any:
        self.asked.append(repo)
        if not (self.root / repo).is_dir():
            raise OSError(f"404: {repo} is not here\nand more lines")
        files = [path for path in (self.root / repo).rglob("*") if path.is_file()]
        names = [SimpleNamespace(rfilename=str(path.relative_to(self.root / repo))) for path in files]
        return SimpleNamespace(sha=self.sha, siblings=names)

    def snapshot_download(self, repo: str, allow_patterns: list[str], **_: Any) -> str:
        out = self.root / "cache" / repo
        for path in (self.root / repo).rglob("*"):
            name = str(path.relative_to(self.root / repo))
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (out / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, out / name)
        return str(out)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


def write_pickapic(hub: Hub, texts: list[str], repo: str = PICKAPIC) -> None:
    path = hub.write(repo, "data/validation_unique-00000-of-00001-ab.parquet")
    pd.DataFrame({"caption": texts, "other": 1}).to_parquet(path)
    hub.write(repo, "data/train-00000-of-00001-cd.parquet").write_text("200 GB that nobody asked for")


def test_prompts_are_fetched_once_and_then_a_set_like_any(bench: Bench, hub: Hub) -> None:
    write_pickapic(hub, [f"prompt {i}" for i in range(500)])
    ran = bench("fetch", "--prompts", "pickapic")
    assert ran.code == 0, ran.err
    assert "500 prompts are here" in ran.out
    assert prompts.load("pickapic").prompts[7] == "prompt 7"
    assert not list(hub.root.glob("cache/**/train-*"))
    asked = len(hub.asked)
    assert bench("fetch", "--prompts", "pickapic").code == 0
    assert len(hub.asked) == asked


def test_the_next_repository_is_asked_where_the_first_is_gone(bench: Bench, hub: Hub) -> None:
    write_pickapic(
        hub, [f"prompt {i}" for i in range(500)], prompts.index()["pickapic_v1.validation_unique"].fetch.repos[1]
    )  # type: ignore[union-attr]
    assert bench("fetch", "--prompts", "pickapic").code == 0
    assert len(hub.asked) == 2


def test_other_prompts_than_expected_are_refused(bench: Bench, hub: Hub) -> None:
    write_pickapic(hub, ["only one"])
    ran = bench("fetch", "--prompts", "pickapic")
    assert ran.code == 4
    assert "1 prompts" in ran.err
    assert bench("fetch", "--prompts", "pickapik").code == 2


@pytest.mark.parametrize("what", ["revision", "prompts"])
def test_a_change_on_the_hub_is_refused(bench: Bench, hub: Hub, what: str) -> None:
    write_pickapic(hub, [f"prompt {i}" for i in range(500)])
    assert bench("fetch", "--prompts", "pickapic").code == 0
    (cache_folder() / "prompts" / "pickapic_v1.validation_unique.jsonl").unlink()
    if what == "revision":
        hub.sha = "b" * 40
    else:
        write_pickapic(hub, [f"another {i}" for i in range(500)])
    ran = bench("fetch", "--prompts", "pickapic")
    assert ran.code == 4
    assert "has changed since it was first fetched" in ran.err
    assert "lock.json" in ran.err


def test_json_and_tab_separated_sets(bench: Bench, hub: Hub) -> None:
    path = hub.write("ymhao/HPDv2", "test.json")
    path.write_text(json.dumps([{"prompt": f"photo {i % 300}", "rank": []} for i in range(400)]))  # repeats are kept
    lines = ["Prompt\tCategory", *(f"parti {i}\tArts" for i in range(1632))]
    hub.write("nateraw/parti-prompts", "PartiPrompts.tsv").write_text("\n".join(lines) + "\n")
    ran = bench("fetch", "--prompts", "hpdv2.test400,parti")
    assert ran.code == 0, ran.err
    assert prompts.load("hpdv2.test400").prompts[301] == "photo 1"
    assert prompts.load("parti").prompts[-1] == "parti 1631"


def test_a_file_with_another_hash_than_the_known_one_is_refused(bench: Bench, hub: Hub) -> None:
    path = hub.write("zhwang/HPDv2", "benchmark/photo.json")
    path.write_text(json.dumps([f"photo {i}" for i in range(800)]))
    ran = bench("fetch", "--prompts", "hpdv2.photo")
    assert ran.code == 4
    assert "does not begin with 92a3c9a0" in ran.err
    path.write_text(json.dumps([f"photo {i}" for i in range(800)]))
    prompts.index()["hpdv2.photo"].fetch.sha256, known = "", "92a3c9a0"  # type: ignore[union-attr]
    try:
        assert bench("fetch", "--prompts", "hpdv2.photo").code == 0
    finally:
        prompts.index()["hpdv2.photo"].fetch.sha256 = known  # type: ignore[union-attr]


def test_prompts_that_are_not_on_the_hub(bench: Bench, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """SPO's prompts come from its repository at one commit; an offline command asks no network."""
    from benchbench.fetch import files as fetch

    assert "HF_HUB_OFFLINE" in bench("fetch", "--prompts", "spo-4k").err
    asked: list[str] = []
    rows = json.dumps([{"caption": f"prompt {i}", "trainset_idx": i} for i in range(4000)])
    monkeypatch.setattr(fetch, "_get", lambda url: asked.append(url) or rows.encode())  # type: ignore[func-returns-value]
    ran = bench("fetch", "--prompts", "spo-4k")
    assert ran.code == 0, ran.err
    assert "34d343b9ee8a2e52b1be46c2a487b903bcfbda50" in asked[0]
    assert prompts.load("spo-4k").prompts[3999] == "prompt 3999"


IP2P = "fusing/instructpix2pix-1000-samples"


def write_edits(hub: Hub, first: int = 0, count: int = 1000, pictures: bool = True) -> None:
    """Pictures in the data set's own form: a struct of bytes and path."""
    images = [Image.fromarray(np.full((4, 4, 3), [i % 256, i // 256, first], np.uint8)) for i in range(count)]
    rows = [{"bytes": saved(image), "path": None} if pictures or i else None for i, image in enumerate(images)]
    frame = pd.DataFrame({"input_image": rows, "edit_prompt": [f"make it {i % 900}" for i in range(count)]})
    frame.assign(edited_image=rows).to_parquet(hub.write(IP2P, "data/train-00000-of-00001-ab.parquet"))


def test_a_set_of_edits_is_fetched_with_its_pictures(bench: Bench, hub: Hub) -> None:
    """Two pictures may have one instruction. What is fetched is the input, and not the edited picture."""
    write_edits(hub)
    ran = bench("fetch", "--prompts", "instructpix2pix-1000")
    assert ran.code == 0, ran.err
    assert "1000 prompts are here" in ran.out
    found = prompts.load("instructpix2pix-1000")
    assert found.prompts[901] == found.prompts[1] == "make it 1" and len(found) == 1000
    pictures = [source for source in sources(found.prompts) if source]
    assert len(pictures) == 1000 and len({source.sha256 for source in pictures}) == 1000
    image = read_picture(pictures[901].read(), "").image
    assert image.getpixel((0, 0)) == (901 % 256, 901 // 256, 0)
    assert json.loads((cache_folder() / "lock.json").read_text())["prompts instructpix2pix-1000"] == found.hash
    assert "1000; see docs/editing.md" in bench("show", "prompts", "instructpix2pix-1000").out


def test_other_pictures_than_those_fetched_first_are_refused(bench: Bench, hub: Hub) -> None:
    write_edits(hub)
    assert bench("fetch", "--prompts", "instructpix2pix-1000").code == 0
    before = prompts.load("instructpix2pix-1000").hash
    (cache_folder() / "prompts" / "instructpix2pix-1000.jsonl").rename(cache_folder() / "aside")
    write_edits(hub, first=1)
    ran = bench("fetch", "--prompts", "instructpix2pix-1000")
    assert ran.code == 4 and "has changed since it was first fetched" in ran.err
    (cache_folder() / "aside").rename(cache_folder() / "prompts" / "instructpix2pix-1000.jsonl")
    assert prompts.load("instructpix2pix-1000").hash == before  # nothing was overwritten


@pytest.mark.parametrize(("options", "said"), [({"count": 2}, "2 prompts in"), ({"pictures": False}, "has no picture")])
def test_another_set_of_edits_than_expected_is_refused(
    bench: Bench, hub: Hub, options: dict[str, Any], said: str
) -> None:
    write_edits(hub, **options)
    ran = bench("fetch", "--prompts", "instructpix2pix-1000")
    assert ran.code == 4 and said in ran.err and len(ran.err.splitlines()) == 3


@pytest.mark.parametrize("split", ["validation_unique", "test_unique"])
@pytest.mark.parametrize("version", ["v1", "v2"])
def test_each_split_of_pickapic_is_a_set_of_its_own(bench: Bench, hub: Hub, version: str, split: str) -> None:
    """A prompt set's own file is fetched, and no other."""
    repo = {"v1": PICKAPIC, "v2": "liuhuohuo2/pick-a-pic-v2"}[version]
    for other in ("train", "validation", "validation_unique", "test", "test_unique"):
        texts = [f"{version} {other} {i}" for i in range(500)]
        pd.DataFrame({"caption": texts}).to_parquet(hub.write(repo, f"data/{other}-00000-of-00001-ab.parquet"))
    name = f"pickapic_{version}.{split}"
    ran = bench("fetch", "--prompts", name)
    assert ran.code == 0, ran.err
    assert set(prompts.load(name).prompts) == {f"{version} {split} {i}" for i in range(500)}
    assert len(list((hub.root / "cache").rglob("*.parquet"))) == 1
    assert sum(prompts.missing(n) is None for n in prompts.index() if n.startswith("pickapic")) == 1


def test_offline_says_so_once_for_models_and_prompts(bench: Bench) -> None:
    for what, name in (("--models", "sd15"), ("--prompts", "pickapic")):
        ran = bench("fetch", what, name)
        assert ran.code == 3
        assert "HF_HUB_OFFLINE" in ran.err
        assert len(ran.err.splitlines()) == 3


def test_a_model_is_fetched_without_what_it_does_not_need(bench: Bench, hub: Hub, tiny_sd: Path) -> None:
    repo = "stable-diffusion-v1-5/stable-diffusion-v1-5"
    shutil.copytree(tiny_sd, hub.root / repo)
    for name in (
        "v1-5-pruned.ckpt",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.fp16.safetensors",
    ):
        hub.write(repo, name).write_bytes(b"large")
    ran = bench("fetch", "--models", "sd15")
    assert ran.code == 0, ran.err
    got = {str(path.relative_to(hub.root / "cache" / repo)) for path in (hub.root / "cache" / repo).rglob("*.*")}
    wanted = {str(path.relative_to(tiny_sd)) for path in tiny_sd.rglob("*.*")}
    assert got == wanted
    lock = json.loads((cache_folder() / "lock.json").read_text())
    assert lock == {f"model {repo} main": "a" * 40}


def test_what_is_shipped_is_here_already(bench: Bench) -> None:
    assert bench("fetch", "--rewards", "jpeg_compressibility").out == "jpeg_compressibility: here\n"
    assert "45 prompts are here" in bench("fetch", "--prompts", "animals").out
    assert bench("fetch", "--rewards", "hpsv2").code == 2
