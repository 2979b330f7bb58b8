"""Parts of the recipe that have a right answer, and the build's bookkeeping."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchbench.errors import BenchError
from benchbench.runtime.hashing import file_sha256
from benchbench.shapes import WEIGHTS
from benchbench.shapes.captions import stated_attributes
from benchbench.shapes.drawing import Scene
from benchbench.shapes_build import build as building
from benchbench.shapes_build import clip, data, flow, plan, pref, stage, taste, text
from tests.forked import forked_jobs

__all__ = ["forked_jobs"]


def test_contrastive_loss_by_hand() -> None:
    """Two pairs with orthogonal unit vectors and scale 1: each row's logits are (1, 0), so the loss is
    log(e + 1) - 1 = .313262.
    """
    eye = torch.eye(2)
    assert text.contrastive(eye, eye, torch.tensor(0.0)).item() == pytest.approx(math.log(math.e + 1) - 1, abs=1e-6)


def test_altered_captions_differ_in_one_thing() -> None:
    """Exactly one stated value changes, and nothing is added or dropped."""
    rng = np.random.default_rng(0)
    for _ in range(100):
        caption = "a small red circle on the left on a blue background"
        before, after = stated_attributes(caption), stated_attributes(clip.alter(caption, rng))
        assert list(before) == list(after)
        assert sum(before[name] != after[name] for name in before) == 1


def test_agreement_of_a_scene_with_a_prompt() -> None:
    """Of red, circle and blue background, a red square on blue has two: 2/3."""
    scene = Scene("red", "square", "small", "left", "blue")
    assert pref.shown(scene, "a red circle on a blue background") == pytest.approx(2 / 3)


def test_variants_stay_visible() -> None:
    """Object and background keep different colours."""
    rng = np.random.default_rng(1)
    scene = Scene("red", "square", "small", "left", "blue")
    assert all(v.colour != v.background for v in (pref.variant(scene, rng) for _ in range(200)))


def test_taste_of_uniform_grey() -> None:
    """Chroma, spread, warmth and busyness are 0: 5 + 1.1 tanh(-2) + tanh(-.28/.12) + 0 - .7 tanh(-1.4)."""
    expected = 5 + 1.1 * math.tanh(-2) + math.tanh(-0.28 / 0.12) - 0.7 * math.tanh(-1.4)
    assert taste.rule(torch.full((2, 3, 32, 32), 0.5)).tolist() == pytest.approx([expected] * 2, abs=1e-4)


def test_batches_visit_everything_equally() -> None:
    """Ten items in four batches of five: each item twice."""
    torch.manual_seed(0)
    seen = torch.cat(data.batches(10, 5, 4))
    assert torch.bincount(seen).tolist() == [2] * 10


def test_schedule_rises_stays_and_falls() -> None:
    """100 steps, warm-up 10: 1/10 at first, 1 in the middle, 50 % at step 70 (30/60), 2 % at the end."""
    optimiser = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    rate = data.schedule(optimiser, 100, warm_up=10)
    seen = []
    for _ in range(101):
        seen.append(rate.get_last_lr()[0])
        optimiser.step()
        rate.step()
    assert [seen[i] for i in (0, 30, 70, 100)] == pytest.approx([0.1, 1.0, 0.5, 0.02])


def test_stages_are_in_an_order_that_works() -> None:
    """Each stage comes after those it waits for."""
    names = list(plan.STAGES)
    assert all(names.index(need) < names.index(stage) for stage, needs in plan.STAGES.items() for need in needs)


def test_half_a_stage_is_no_stage(tmp_path: Path) -> None:
    """A stage that dies leaves nothing under its final name; the next try starts it afresh."""

    def dies(task: stage.Stage) -> stage.Facts:
        (task.folder / "half").write_text("x")
        raise RuntimeError("power cut")

    threads = torch.get_num_threads()
    try:
        with pytest.raises(RuntimeError):
            stage.run_stage(dies, tmp_path, "vae", 0, True)
        assert not stage.is_done(tmp_path, "vae")
        stage.run_stage(lambda task: {"files": len(list(task.folder.iterdir()))}, tmp_path, "vae", 0, True, print)
    finally:
        torch.set_num_threads(threads)
    assert stage.is_done(tmp_path, "vae") and stage.facts(tmp_path, "vae")["files"] == 0


def test_build_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    """A folder of something else, and a build of another seed."""
    (tmp_path / "letter.txt").write_text("keep me")
    with pytest.raises(BenchError, match="not empty"):
        building.build(tmp_path, log=lambda _: None)
    other = tmp_path / "other"
    other.mkdir()
    (other / "build.json").write_text(json.dumps({"recipe": 1, "seed": 1, "quick": False}))
    with pytest.raises(BenchError, match="another build"):
        building.build(other, seed=0, log=lambda _: None)
    assert (tmp_path / "letter.txt").read_text() == "keep me"


def test_stages_keep_their_seeds() -> None:
    """The first ones made what is shipped: a stage's seed depends on its position, so that new stages come last."""
    first = ["features", "vae", "text", "latents", "unet", "clip", "pref", "aesthetic", "ship", "measure", "spm"]
    assert list(plan.STAGES) == [*first, *plan.FLOW]


def test_a_build_of_shapes_flow_starts_from_the_installed_world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only its three stages run, they read what is installed, and another kind of build of that folder is refused.

    After an interruption it continues.
    """
    ran: list[str] = []

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    def pretend(stages: list[str], work: Path, *_: object) -> None:
        ran.extend(stages)
        assert file_sha256(work / "ship" / "pref" / "model.safetensors") == file_sha256(
            WEIGHTS / "pref" / "model.safetensors"
        )
        for name in building.SHAPES_FLOW.shipped:
            (work / building.SHAPES_FLOW.shipped[name] / name).mkdir(parents=True)
        for name in stages:
            stage.write_json(work / name / stage.FACTS, {"seconds": 1.0, "cpu_seconds": 2.0, "parameters": {}})

    monkeypatch.setattr(building, "_run_stages", interrupted)
    with pytest.raises(KeyboardInterrupt):
        building.build(tmp_path / "world", log=lambda _: None, flow_only=True)
    monkeypatch.setattr(building, "_run_stages", pretend)
    record = building.build(tmp_path / "world", log=lambda _: None, flow_only=True)
    assert ran == [*plan.FLOW] and record["cpu_seconds"] == 6.0 and record["seconds"].keys() == {*ran}
    assert file_sha256(tmp_path / "world" / "record.json") == file_sha256(WEIGHTS / "record.json")
    with pytest.raises(BenchError, match="another build"):
        building.build(tmp_path / "world", log=lambda _: None)


def test_latents_are_noised_as_flow_matching_does() -> None:
    """A latent of 2 with noise -2 becomes 2 at sigma 0, 1 at 1/4 and -2 at 1."""
    x0, sigma = torch.full((3, 4, 8, 8), 2.0), torch.tensor([0.0, 0.25, 1.0])
    assert flow.noised(x0, -x0, sigma)[:, 0, 0, 0].tolist() == [2.0, 1.0, -2.0]


@pytest.mark.slow
@pytest.mark.usefixtures("forked_jobs")
def test_quick_build_end_to_end(tmp_path: Path) -> None:
    """A smoke-size build has every part, its record's hashes hold, and asking again changes nothing."""
    record = building.build(tmp_path / "world", jobs=2, log=lambda _: None, quick=True)
    world = tmp_path / "world"
    assert {p.name for p in world.iterdir()} == {*building.WORLD.shipped, "record.json", "build.json", "flow"}
    second = json.loads((world / "flow" / "record.json").read_text())
    assert {*building.SHAPES_FLOW.shipped} == {f"flow/{p.name}" for p in (world / "flow").iterdir()} - {
        "flow/record.json"
    }
    assert all(file_sha256(world / name) == value for name, value in (record["files"] | second["files"]).items())
    stamp = (world / "record.json").stat().st_mtime_ns
    assert building.build(world, log=lambda _: None, quick=True) == record
    assert (world / "record.json").stat().st_mtime_ns == stamp
