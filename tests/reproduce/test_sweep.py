"""A sweep's file: the rows and trainings it stands for, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.errors import UsageError
from benchbench.reproduce import sweep
from benchbench.reproduce.estimate import unet_evaluations
from benchbench.reproduce.plan import Plan, make_plan
from benchbench.train.cost_estimate import rollout_cost

ROOT = Path(__file__).parents[2]
FILE = """
model: shapes
methods: [tailorpo, d3po]
rewards: [shapes-colour, shapes-aesthetic]
seeds: [0, 4]
set:
  train.lora_rank: [4, 16]
  train.lr: [1e-4]
samples: 15
prompts: {shapes-simple: 2}
"""


def planned(folder: Path, text: str) -> Plan:
    file = folder / "rank.yaml"
    file.write_text(text)
    found = sweep.load(file)
    return make_plan(found.spec, "shapes", found.track, folder / "store", seeds=found.seeds)


def test_each_combination_is_a_row_with_its_trainings(tmp_path: Path) -> None:
    """2 methods x 2 ranks x 2 rewards x 2 seeds; D3PO makes two images at a time, so that 15 become 16."""
    plan = planned(tmp_path, FILE)
    ranked = [f"{method}, lora_rank {rank}" for method in ("tailorpo", "d3po") for rank in (4, 16)]
    assert plan.rows == ("base", *ranked)
    settings = {
        (t.row, t.config.reward, t.config.seed): (t.config.train.lora_rank, t.config.train.lr, t.config.samples)
        for t in plan.trainings
    }
    assert len(settings) == len(plan.trainings) == 16
    assert all(
        value == (4 if row.endswith(" 4") else 16, 1e-4, 16 if "d3po" in row else value[2])
        for (row, _, _), value in settings.items()
    )
    assert {seed for _, _, seed in settings} == {0, 4}
    assert plan.report_name == "rank" and "train.lora_rank 4, 16" in plan.spec.about
    assert len(plan.measurements) == 2 * 5 and not plan.quick


def test_one_reward_of_all_trainings_leaves_the_others_as_columns(tmp_path: Path) -> None:
    plan = planned(tmp_path, FILE + "train_reward: shapes-clip\n")
    assert {t.config.reward for t in plan.trainings} == {"shapes-clip"} and len(plan.trainings) == 8
    assert plan.rewards == ("shapes-colour", "shapes-aesthetic") and len(plan.measurements) == 5


def test_what_a_method_refuses_is_left_out_and_said(tmp_path: Path) -> None:
    """DDPO has no guidance, and tailorpo-g follows a gradient that the compressibility of a JPEG file has not."""
    text = FILE.replace("d3po]", "ddpo, tailorpo-g]").replace("train.lora_rank: [4, 16]", "method.guidance: [0, 1]")
    plan = planned(tmp_path, text.replace("shapes-aesthetic", "jpeg_compressibility"))
    assert any("ddpo, guidance 1" in line and "no such setting" in line for line in plan.skipped)
    assert any("on jpeg_compressibility" in line and "gradient" in line for line in plan.skipped)
    assert not any(t.row.startswith("ddpo") for t in plan.trainings)
    assert any(t.row == "tailorpo, guidance 0" for t in plan.trainings)


def test_rows_with_different_samplers_are_measured_under_one(tmp_path: Path) -> None:
    plan = planned(tmp_path, FILE.replace("train.lora_rank: [4, 16]", "sampler.steps: [10, 20]"))
    assert {t.config.sampler.steps for t in plan.trainings} == {10, 20}
    assert plan.track.sampler == {"steps": 20, "eta": 1.0, "guidance_scale": 5.0}
    assert planned(tmp_path, FILE).track.sampler is None


def test_a_flow_matching_model_is_trained_and_evaluated_by_two_samplers(tmp_path: Path) -> None:
    """Three rows of 45 prompts with 2 images take 40 steps each, whatever the steps of the trainings."""
    text = FILE.replace("model: shapes", "model: shapes-flow").replace(
        "train.lora_rank: [4, 16]", "sampler.steps: [5, 9]"
    )
    text = text.replace("tailorpo, d3po", "ddpo").replace(", shapes-aesthetic", "").replace("[0, 4]", "[0]")
    file = tmp_path / "rank.yaml"
    file.write_text(text)
    found = sweep.load(file)
    plan = make_plan(found.spec, "shapes-flow", found.track, tmp_path / "store", seeds=found.seeds)
    assert {t.config.sampler.steps for t in plan.trainings} == {5, 9} and plan.rows[0] == "base"
    assert unet_evaluations(plan)[1] == 3 * 45 * 2 * 40


def test_two_rows_of_one_training_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        planned(tmp_path, FILE.replace("[4, 16]", "[4, 4.0]"))
    assert "one and the same training" in raised.value.cause and "rank.yaml" in raised.value.remedy


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model: shapes\n", "", "model: it is missing"),
        ("seeds: [0, 4]", "seed: [0]", "line 5, seed: there is no such field; did you mean seeds?"),
        ("seeds: [0, 4]", "seeds: [0, 0]", "line 5, seeds: 0 comes twice"),
        ("seeds: [0, 4]", "seeds: [yes]", "line 5, seeds, item 1: input should be a valid integer"),
        ("d3po]", "d3pi]", "line 3, methods, item 2: there is no method 'd3pi'; did you mean d3po?"),
        ("shapes-aesthetic]", "shapes-esthetic]", "line 4, rewards, item 2: there is no reward 'shapes-esthetic'"),
        ("shapes-aesthetic]", "colour]", "line 4, rewards, item 2: colour is shapes-colour, which comes twice"),
        ("shapes-aesthetic]", "shapes-oracle]", "line 4, rewards, item 2: shapes-oracle is a gold reward"),
        ("[4, 16]", "[4, -1]", "line 7, set, train.lora_rank, item 2: train.lora_rank=-1: input should be greater"),
        ("lora_rank", "lora_rnak", "line 7, set, train.lora_rnak, item 1: train.lora_rnak: no such setting, did you"),
        ("[4, 16]", "[]", "line 7, set, train.lora_rank: list should have at least 1 item"),
        ("shapes-simple: 2", "shapes-simpel: 2", "line 10, prompts, shapes-simpel: there is no prompt set"),
        ("model: shapes\n", "model: [\n", "while parsing"),
        ("model: shapes\n", "model: nowhere\n", "line 2, model: there is no model 'nowhere'"),
    ],
)
def test_a_wrong_file_is_refused_with_the_line_and_the_nearest_name(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in FILE
    with pytest.raises(UsageError) as raised:
        planned(tmp_path, FILE.replace(old, new))
    assert said in raised.value.cause


def test_the_example_is_sound(tmp_path: Path) -> None:
    assert len(planned(tmp_path, (ROOT / "examples" / "sweep.yaml").read_text()).trainings) == 8


def test_a_budget_is_the_same_work_for_each_method(tmp_path: Path) -> None:
    """A guided evaluation with gradient costs 2.2; TailorPO learns from fewer steps of an image, and looks ahead."""
    text = "model: shapes\nmethods: [ddpo, tailorpo, tailorpo-g]\nrewards: [shapes-colour]\nseeds: [0]\nbudget: 64\n"
    plan = planned(tmp_path, text + "prompts: {shapes-simple: 1}\n")
    samples = {t.row: t.config.samples for t in plan.trainings}
    assert samples["ddpo"] == 64 and 0 < samples["tailorpo-g"] < samples["tailorpo"] < 64
    for training in plan.trainings:
        assert (
            rollout_cost(training.config).nfe * training.config.samples
            <= 64 * rollout_cost(plan.trainings[0].config).nfe
        )
    assert "no more network evaluations than 64 images of ddpo" in plan.spec.about
    with pytest.raises(UsageError, match="is wrong") as error:
        planned(tmp_path, text + "samples: 16\nprompts: {shapes-simple: 1}\n")
    assert "leave one out" in error.value.cause


def test_a_budget_pays_for_the_pairs_that_it_makes(tmp_path: Path) -> None:
    """384 images of DDPO cost 11,904; of them 45 x 8 images of 20 steps take 7,200. SFT has one gradient an image.

    Its prediction takes no guidance, which counts as half: 1.1. (11,904 - 7,200) / 1.1 = 4,276.4.
    """
    text = "model: shapes\nmethods: [ddpo, sft]\nrewards: [shapes-colour]\nseeds: [0]\nbudget: 384\n"
    text += "prompts: {shapes-simple: 1}\npairs: made:shapes-simple:shapes-colour:"
    samples = {t.row: t.config.samples for t in planned(tmp_path, text + "8\n").trainings}
    assert samples == {"ddpo": 384, "sft": 4276}
    with pytest.raises(UsageError, match="the budget is too small") as error:
        planned(tmp_path, text + "32\n")
    assert "28,800 for the images of its pairs" in error.value.cause


def test_settings_of_one_method(tmp_path: Path) -> None:
    plan = planned(tmp_path, FILE + "of_method:\n  d3po: {train.lr: 2e-3, method.beta: 0.2}\n")
    by_method = {t.config.method: t.config for t in plan.trainings}
    assert by_method["tailorpo"].train.lr == 1e-4, "the sweep's own value comes last"
    assert by_method["d3po"].settings["beta"] == 0.2 and by_method["tailorpo"].settings["beta"] != 0.2
    with pytest.raises(UsageError) as error:
        planned(tmp_path, FILE + "of_method:\n  spo: {train.lr: 2e-3}\n")
    assert "the sweep has no method 'spo', but tailorpo, d3po" in error.value.cause


def test_a_method_that_trains_on_a_reward_of_its_own(tmp_path: Path) -> None:
    """SPO needs a step-aware reward: its row stands beside the others, which train on the reward of all."""
    text = FILE.replace("[tailorpo, d3po]", "[tailorpo, spo]") + "train_reward: shapes-pref\n"
    assert any("step-aware" in line for line in planned(tmp_path, text).skipped)
    plan = planned(tmp_path, text + "reward_of: {spo: shapes-spm}\n")
    assert not plan.skipped and "spo is trained on shapes-spm" in plan.spec.about
    by_method = {t.config.method: t.config.reward for t in plan.trainings}
    assert by_method == {"tailorpo": "shapes-pref", "spo": "shapes-spm"}
    assert {m.rewards for m in plan.measurements} == {("shapes-colour", "shapes-aesthetic")}
    with pytest.raises(UsageError) as error:
        planned(tmp_path, text + "reward_of: {d3po: shapes-spm, spo: shapes-oracle}\n")
    assert "the sweep has no method 'd3po'" in error.value.cause and "never trained on" in error.value.cause
