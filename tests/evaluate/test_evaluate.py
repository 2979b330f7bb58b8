"""A whole evaluation on a tiny random Stable Diffusion, twice."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from benchbench.api import PromptSet
from benchbench.diffusion import backbones
from benchbench.diffusion.lora import add_lora, save_adapter
from benchbench.errors import CorruptError, UsageError
from benchbench.evaluate.measure import measure
from benchbench.evaluate.report import EvalResult, evaluate
from benchbench.hub import models
from benchbench.report.folder import PAGE_DATA
from benchbench.report.sections import Page
from benchbench.rewards import lookup
from benchbench.runtime.hashing import file_sha256
from benchbench.samplers import SamplerConfig
from tests.tiny import write_tiny_sd

PROMPTS = PromptSet("letters", ("a cat", "a dog", "an <b>eel</b>"), "made here", "none")
SAMPLER = {"steps": 2, "eta": 1.0, "guidance_scale": 2.0}
REWARD = "jpeg_compressibility"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_sd(tmp_path_factory.mktemp("tiny") / "tiny-sd"))


def write_run(store: Path, model: str, name: str = "ddpo-1", seed: int = 1, sampler: Any = None) -> Path:
    """Writes a finished run without training: an adapter with some weights."""
    folder = store / "runs" / name
    folder.mkdir(parents=True)
    backbone = backbones.load(model, "cpu")
    add_lora(backbone.network, 2, 2.0, seed)
    for parameter in backbone.network.parameters():
        if parameter.requires_grad:
            parameter.data += 0.5
    save_adapter(backbone.network, folder)
    config = {"method": "ddpo", "model": model, "reward": REWARD, "seed": seed, "sampler": sampler or SAMPLER}
    (folder / "run.json").write_text(json.dumps({"id": name, "model_hash": backbone.hash, "config": config}))
    rows = [{"samples": s, "eval.reward": -s, "reward_calls": s, "nfe": s, "seconds": s} for s in range(3)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    adapter = file_sha256(folder / "pytorch_lora_weights.safetensors")
    (folder / "done.json").write_text(json.dumps({"samples": 2, "adapter_sha256": adapter}))
    return folder


def run(model: str, store: Path, adapters: list[str], **options: Any) -> EvalResult:
    settings = {"images_per_prompt": 2, "device": "cpu", "log": lambda _: None} | options
    return evaluate(model, adapters, PROMPTS, [REWARD], store=store, **settings)


def test_from_weights_to_a_report_and_then_for_nothing(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluates two rows of six images. The second time nothing is computed, and the log says so."""
    write_run(tmp_path, model)
    said: list[str] = []
    first = run(model, tmp_path, ["ddpo-1"], log=said.append)
    assert re.fullmatch(
        r"made 12 images \(\S+ a second\) with 24 network evaluations, and 12 reward calls \(\S+ a second\)", said[-1]
    )
    assert first.table.rows == ("base", "ddpo-1") and len(first.frames["ddpo-1"]) == 6
    assert first.frames["base"].score.tolist() != first.frames["ddpo-1"].score.tolist()
    page = (first.folder / "report.html").read_text()
    assert "an &lt;b&gt;eel&lt;/b&gt;" in page and "<b>eel" not in page
    assert "Training on jpeg_compressibility" in page and first.table.protocol in page

    kind = lookup.require(REWARD)
    monkeypatch.setattr(backbones, "load", lambda *_: pytest.fail("the model was loaded"))
    monkeypatch.setattr(kind, "__init__", lambda *_: pytest.fail("the reward was loaded"))
    again = run(model, tmp_path, ["ddpo-1"], log=said.append)
    assert said[-1].startswith("made 0 images (0 a second) with 0 network evaluations, and 0 reward calls")
    assert again.folder == first.folder and again.table == first.table


def test_the_base_is_the_base_also_after_an_adapter(model: str, tmp_path: Path) -> None:
    write_run(tmp_path, model)
    options: dict[str, Any] = {"store": tmp_path, "images_per_prompt": 1, "device": "cpu", "log": lambda _: None}
    options["sampler"] = SamplerConfig(**SAMPLER)
    together = measure(model, {"ddpo": ["ddpo-1"], "base": []}, PROMPTS, [REWARD], **options)
    alone = measure(model, {"base": []}, PROMPTS, [REWARD], **(options | {"store": tmp_path / "other"}))
    assert together.frames["base"].image_sha256.tolist() == alone.frames["base"].image_sha256.tolist()
    assert together.frames["ddpo"].image_sha256.tolist() != alone.frames["base"].image_sha256.tolist()
    assert set(together.frames["ddpo"].train_seed) == {1}


def test_the_sampler_is_the_one_of_the_trainings(model: str, tmp_path: Path) -> None:
    write_run(tmp_path, model)
    assert "steps 2," in run(model, tmp_path, ["ddpo-1"]).table.caption
    write_run(tmp_path, model, "ddpo-2", 2, SAMPLER | {"steps": 3})
    with pytest.raises(UsageError, match="one sampler"):
        run(model, tmp_path, ["ddpo-1", "ddpo-2"])
    assert "steps 4," in run(model, tmp_path, ["ddpo-1", "ddpo-2"], sampler={"steps": 4}).table.caption


def test_an_adapter_of_another_model_is_refused(model: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path, model)
    other = str(write_tiny_sd(tmp_path / "other", seed=1))
    assert models.content_hash(Path(other)) != json.loads((folder / "run.json").read_text())["model_hash"]
    with pytest.raises(CorruptError, match="is not one of"):
        run(other, tmp_path, [str(folder)])


def test_one_training_twice_in_a_row_is_refused(model: str, tmp_path: Path) -> None:
    write_run(tmp_path, model)
    with pytest.raises(UsageError, match="two trainings of seed 1"):
        measure(model, {"ddpo": ["ddpo-1", "ddpo-1"]}, PROMPTS, [REWARD], store=tmp_path, device="cpu")


def test_two_rows_of_one_name_are_refused(model: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path, model)
    with pytest.raises(UsageError, match="two rows would be called ddpo-1"):
        run(model, tmp_path, ["ddpo-1", str(folder)])


def test_a_row_of_several_trainings(model: str, tmp_path: Path) -> None:
    """Two trainings are one row, whose interval is over both; its curve has the row's label."""
    for seed in (1, 2):
        write_run(tmp_path, model, f"ddpo-{seed}", seed)
    result = run(model, tmp_path, [], rows={"ours": ["ddpo-1", "ddpo-2"]})
    assert result.table.rows == ("base", "ours") and set(result.frames["ours"].train_seed) == {1, 2}
    assert result.table.cells["ours"][REWARD].seeds == 2
    page = Page.model_validate_json((result.folder / PAGE_DATA).read_text())
    curves = [section for section in page.sections if section.kind == "curves"]
    assert page.intro.startswith("The base model and 1 row, 6 images for each training.")
    assert "mean over 2 training seeds" in curves[0].caption
    assert [curve.label for curve in curves[0].panels[0].lines] == ["ours"]
    with pytest.raises(UsageError, match="two rows would be called ddpo-1"):
        run(model, tmp_path, ["ddpo-1"], rows={"ddpo-1": ["ddpo-2"]})
    with pytest.raises(UsageError, match="two rows would be called base"):
        run(model, tmp_path, [], rows={"base": ["ddpo-2"]})


def test_nothing_to_evaluate_is_said(model: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing to evaluate"):
        run(model, tmp_path, [], images_per_prompt=0)


def test_an_image_that_rotted_is_made_again_in_the_same_command(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image's size and times are those of the index, so that only reading it for a new reward finds it."""
    options: dict[str, Any] = {"store": tmp_path, "images_per_prompt": 1, "device": "cpu"}
    first = measure(model, {"base": []}, PROMPTS, [REWARD], log=lambda _: None, **options)
    monkeypatch.setattr("benchbench.store.images.file_state", lambda file: (file.stat().st_size, 1, 1, 1))
    measure(model, {"base": []}, PROMPTS, [REWARD], log=lambda _: None, **options)  # the index takes these times
    path = sorted(tmp_path.rglob("*.webp"))[1]
    content = path.read_bytes()
    path.write_bytes(content[:80] + bytes([content[80] ^ 1]) + content[81:])
    said: list[str] = []
    again = measure(model, {"base": []}, PROMPTS, ["jpeg_incompressibility"], log=said.append, **options)
    assert path.read_bytes() == content
    assert again.frames["base"].image_sha256.tolist() == first.frames["base"].image_sha256.tolist()
    assert sum("is damaged" in line for line in said) == 2  # found on reading, then deleted by the scan
