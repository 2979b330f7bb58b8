"""Every table's YAML file: its names exist, its published values meet it, and its plan can be made on every track."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchbench import prompts, registry
from benchbench.config import RunConfig
from benchbench.reproduce import estimate, spec, training_cost
from benchbench.reproduce.measurement_spec import measurement_spec
from benchbench.reproduce.missing import missing
from benchbench.reproduce.plan import Plan, make_plan, training_reward
from benchbench.reproduce.plan_jobs import measurement_jobs, training_jobs
from benchbench.train.cost_estimate import RolloutCost, fixed_evaluations, rollout_cost

TRACKS = [(name, track) for name in spec.names() for track in spec.load(name).tracks]
CHEAP = {("tailorpo:1", "shapes"), ("tailorpo:6", "sd15"), ("spo:3", "shapes"), ("dspo:3", "sd15"), ("dspo:5", "sd15")}
"""One of each kind of protocol; the others are the same code on other names."""
EACH = [pytest.param(*one, marks=[] if one in CHEAP else [pytest.mark.slow]) for one in TRACKS]


def make(name: str, track: str, store: Path) -> Plan:
    found = spec.load(name)
    return make_plan(found, track, spec.track_of(found, track), store)


@pytest.mark.parametrize("name", spec.names())
def test_every_table_is_sound(name: str) -> None:
    """Methods, rewards and prompts are registered; every published row and column is one of the table's."""
    found = spec.load(name)
    assert found.id == name and found.paper_track in found.tracks and "shapes" in found.tracks
    rows, columns = {r.partition(": ")[0] for r, _ in found.values()}, {c for _, c in found.values()}
    assert rows <= set(found.rows), "the paper has rows that the file does not name"
    for row in found.rows.values():
        assert row.method is None or row.method in registry.names("methods")
    for track in found.tracks.values():
        assert set(track.rewards.values()) <= columns or found.protocol != "reward-table" or not found.published
        assert set(track.quick_rewards) <= set(track.rewards) <= set(registry.names("rewards"))
        trained = [row for name, row in found.rows.items() if name not in track.unavailable]
        assert all(training_reward(row, track, "aesthetic") in registry.names("rewards") for row in trained)
        for block in track.blocks:
            assert prompts.find(block.prompts) and (block.published is None or found.values(block.published))
        assert prompts.find(track.train_prompts)
    own = found.tracks[found.paper_track]
    if found.protocol in ("reward-table", "win-rate") and found.published:
        assert columns == set(own.rewards.values()), "on the paper's own model every published column is made"


@pytest.mark.parametrize(("name", "track"), EACH)
def test_every_plan_can_be_made(name: str, track: str, tmp_path: Path) -> None:
    """Nothing is left out but what the file says or a reward cannot do, and the plan's parts fit together."""
    plan = make(name, track, tmp_path)
    assert {m.row for m in plan.measurements} == {*plan.rows} - {*plan.track.unavailable}
    outs = {str(t.out) for t in plan.trainings}
    assert {run for m in plan.measurements for run in m.runs} == outs
    jobs = [*training_jobs(plan, tmp_path), *measurement_jobs(plan, tmp_path)]
    assert len({job.log for job in jobs}) == len(jobs)
    assert all(job.exclusive == (plan.spec.protocol == "cost") for job in measurement_jobs(plan, tmp_path))
    assert (estimate.seconds(plan) > 0) == (plan.track.model == "shapes")
    train, measure = estimate.unet_evaluations(plan)
    assert (train > 0) == bool(plan.trainings) and (measure > 0) == (plan.spec.protocol != "curve")
    if track == "shapes":
        assert not list(missing(plan))


def test_tables_share_their_trainings(tmp_path: Path) -> None:
    """Of 60 trainings of Tables 2 to 10 with one seed, those with the same settings are one and the same run."""

    def outs(name: str) -> set[str]:
        return {training.out.name for training in make(name, "shapes", tmp_path).trainings}

    two = outs("tailorpo:2")
    assert outs("tailorpo:3") == two and outs("tailorpo:4") < two
    assert len(outs("tailorpo:10") - two) == 1  # ranking alone
    assert len(outs("tailorpo:8") - two) == 6 and len(outs("tailorpo:9") - two) == 9
    spo = {name: outs(f"spo:{name}") for name in (3, 5, 6, 7, 8)}
    (_,) = set.intersection(*spo.values())  # the default
    assert [len(found) - 1 for found in spo.values()] == [3, 2, 5, 3, 1]


def test_settings_of_a_row_reach_its_training(tmp_path: Path) -> None:
    """On shapes the strengths of Table 9 are five times those that name the rows; on SD 1.5 they are those."""
    for track, factor in (("shapes", 5.0), ("sd15", 1.0)):
        eta = {t.row: t.config.settings["eta"] for t in make("tailorpo:9", track, tmp_path).trainings}
        assert [eta[row] for row in ("eta-0.1", "eta-0.2", "eta-0.5")] == [0.1 * factor, 0.2 * factor, 0.5 * factor]
        assert eta["eta-cosine"] == [0.1 * factor, 0.2 * factor]


def test_a_precision_reaches_every_measurement_and_no_training(tmp_path: Path) -> None:
    plain = make("tailorpo:2", "shapes", tmp_path)
    half = replace(plain, dtype="bf16")
    for plan, word in ((plain, "auto"), (half, "bf16")):
        assert {measurement_spec(plan, one, {}, []).dtype for one in plan.measurements} == {word}
        assert {one.config.train.dtype for one in plan.trainings} == {"auto"}


def test_the_base_model_is_sampled_as_the_trainings_are(tmp_path: Path) -> None:
    """With another number of steps the base model's images are made once, as those that its rows are compared with."""
    found = spec.load("tailorpo:2")
    for words, steps in (([], {None}), (["sampler.steps=10"], {10})):
        plan = make_plan(found, "shapes", spec.track_of(found, "shapes"), tmp_path, overrides=words)
        specs = [measurement_spec(plan, one, {}, []) for one in plan.measurements]
        assert {one.sampler["steps"] if one.sampler else None for one in specs} == steps


def test_a_checkpoint_stands_in_for_a_training(tmp_path: Path) -> None:
    found = spec.load("tailorpo:10")
    plan = make_plan(found, "shapes", found.tracks["shapes"], tmp_path, checkpoints={"tailorpo-g": "some-run"})
    assert {t.config.method for t in plan.trainings} == {"tailorpo"}
    (one,) = (m for m in plan.measurements if m.row == "ranking+same-input+guidance")
    assert one.runs == ("some-run",)


def test_quick_is_a_few_rows_where_the_table_says_so(tmp_path: Path) -> None:
    """Of tailorpo:2 the four methods that train on its column; rows that are asked for are made all the same."""
    found = spec.load("tailorpo:2")
    track = found.tracks["shapes"]
    quick = make_plan(found, "shapes", track, tmp_path, quick=True)
    assert [training.row for training in quick.trainings] == ["ddpo", "d3po", "tailorpo", "tailorpo-g"]
    assert make_plan(found, "shapes", track, tmp_path, rows=["spo"], quick=True).rows == ("base", "spo")
    assert "spo" in make_plan(found, "shapes", track, tmp_path).rows


@pytest.mark.parametrize("name", ["spo:6", "spo:1"])
def test_any_table_can_be_made_smaller_and_is_then_no_result(name: str, tmp_path: Path) -> None:
    """Samples are rounded up to whole rollouts; a smaller training is another run, with its settings in its command."""
    found = spec.load(name)
    whole = make_plan(found, "sdxl", found.tracks["sdxl"], tmp_path)
    small = make_plan(
        found, "sdxl", found.tracks["sdxl"], tmp_path, samples=5, overrides=["sampler.steps=8", "train.lora_rank=2"]
    )
    assert len(small.trainings) == len(whole.trainings) and small.quick and not whole.quick
    for training, large in zip(small.trainings, whole.trainings, strict=True):
        images = training.config.method_class.images(training.config.method_config)
        assert training.config.samples == -(-5 // images) * images < large.config.samples
        assert training.config.sampler.steps == 8 and training.config.train.lora_rank == 2
        assert training.out != large.out
    for job, training in zip(training_jobs(small, tmp_path), small.trainings, strict=True):
        assert "sampler.steps=8" in job.command and str(training.config.samples) in job.command
    assert make_plan(found, "sdxl", found.tracks["sdxl"], tmp_path, samples=6).quick


def test_one_rollout_tells_the_price_of_a_method_on_every_reward(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trainings that differ in reward, prompts, seed and number of images alone cost the same per image."""
    priced: list[str] = []

    def count(config: RunConfig) -> RolloutCost:
        priced.append(config.method)
        return rollout_cost(config)

    monkeypatch.setattr(training_cost, "rollout_cost", count)
    training_cost._price.cache_clear()
    plan = make("tailorpo:2", "shapes", tmp_path)
    found = [training_cost.training_seconds(training.config) for training in plan.trainings]
    assert len(priced) == len({(t.config.method, str(t.config.settings), t.config.train) for t in plan.trainings})
    assert len(priced) <= len(plan.trainings) / (len(plan.rewards) - 1)
    last = plan.trainings[-1].config
    rollout = rollout_cost(last)
    seconds = (rollout.nfe * last.samples + fixed_evaluations(last, rollout)) * 0.0037
    assert found[-1] == pytest.approx(seconds)


def test_a_plan_counts_its_jobs_and_a_large_one_says_how_to_make_less(tmp_path: Path) -> None:
    """Table 9 has the base model's measurement once, though each of its three rewards needs it."""
    found = spec.load("tailorpo:9")
    plan = make_plan(found, "shapes", spec.track_of(found, "shapes"), tmp_path, seeds=(0, 1, 2))
    line = estimate.describe(plan, 2)[0]
    assert len(measurement_jobs(plan, tmp_path)) == 13 < len(plan.measurements)
    assert line.startswith("36 trainings (36 left) and 13 measurements, 2 at a time, about ")
    assert "--quick, --train-seeds 0" in estimate.smaller_line(plan)
    assert estimate.smaller_line(replace(plan, trainings=plan.trainings[:12])) == ""
    assert estimate.smaller_line(replace(plan, quick=True)) == ""
