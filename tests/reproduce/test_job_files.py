"""The files of the store that travel to a machine that does not see it."""

from __future__ import annotations

import json
from pathlib import Path

from benchbench.reproduce.job_files import measurement_files, training_files
from benchbench.reproduce.plan import make_plan
from benchbench.reproduce.plan_jobs import measurement_jobs, training_jobs
from benchbench.reproduce.spec import load, track_of
from benchbench.runtime.backends.sent_files import matches


def test_a_training_travels_with_its_folder_alone(tmp_path: Path) -> None:
    online = training_files(tmp_path / "runs" / "a", False, tmp_path)
    assert online.needs() == ["runs/a/**"] and online.makes == ["runs/a/**"]
    offline = training_files(tmp_path / "runs" / "a", True, tmp_path)
    assert offline.needs() == ["runs/a/**", "pairs/**"] and matches("images/g/record.json", offline.makes)


def test_a_measurement_travels_with_its_weights_and_images(tmp_path: Path) -> None:
    """One of three generations is of these weights and prompts; a checkpoint elsewhere does not travel."""
    for name, adapter, prompts in (("g", None, "shapes-simple"), ("h", "1f", "shapes-simple"), ("i", None, "animals")):
        (tmp_path / "images" / name).mkdir(parents=True)
        key = {"adapter_hash": adapter, "prompts_name": prompts}
        (tmp_path / "images" / name / "record.json").write_text(json.dumps({"key": key}))
    base = measurement_files("reward-table", [], "shapes-simple", tmp_path)
    assert base.needs() == ["images/g/*.webp", "images/g/record.json", "scores/g/**"]
    (tmp_path / "runs" / "a").mkdir(parents=True)
    run = measurement_files("jensen-gap", ["a", "/elsewhere"], "shapes-simple", tmp_path)
    assert run.needs() == ["runs/a/*", "runs/a/unet/**", "runs/a/kept/**", "measurements/**"]
    assert matches("scores/g/aesthetic-1.parquet", run.makes) and not matches("images/g/index.parquet", run.makes)


def test_weights_that_a_run_kept_travel_with_what_says_whose_they_are(tmp_path: Path) -> None:
    (tmp_path / "runs" / "a" / "kept" / "00000016").mkdir(parents=True)
    needs = measurement_files("reward-table", ["a/kept/00000016"], "shapes-simple", tmp_path).needs()
    assert matches("runs/a/run.json", needs) and not matches("runs/a/metrics.jsonl", needs)
    assert matches("runs/a/kept/00000016/pytorch_lora_weights.safetensors", needs)


def test_every_job_of_a_table_says_what_it_needs(tmp_path: Path) -> None:
    """A measurement's command names its runs by id: a path of this machine means nothing on another."""
    spec = load("tailorpo:2")
    plan = make_plan(spec, "shapes", track_of(spec, "shapes"), tmp_path, quick=True)
    trainings, measurements = training_jobs(plan, tmp_path), measurement_jobs(plan, tmp_path)
    assert trainings and measurements
    for job in (*trainings, *measurements):
        assert job.files is not None and job.files.store == tmp_path and job.files.makes
    assert not any(str(tmp_path) in job.command[-1] for job in measurements)
