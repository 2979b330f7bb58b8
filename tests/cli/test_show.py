"""``bench list``, ``show`` and ``doctor``."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench import registry
from benchbench.cli import doctor_checks, ui
from benchbench.rewards import lookup
from tests.cli.conftest import Bench
from tests.registry.plugin import write_plugin


@pytest.mark.parametrize("what", ["methods", "rewards", "prompts", "models", "runs"])
def test_lists_into_a_pipe_are_tab_separated(bench: Bench, what: str) -> None:
    ran = bench("list", what)
    assert ran.code == 0
    assert len({line.count("\t") for line in ran.out.splitlines()}) == 1


def test_lists_on_a_terminal_are_tables(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    ui.table(["name", "what"], [["a", "[cyan] is text, not markup"]])
    out = capsys.readouterr().out
    assert "\t" not in out
    assert "[cyan] is text" in out


@pytest.mark.parametrize("name", registry.names("methods"))
def test_a_method_shows_every_setting_with_its_origin(bench: Bench, name: str) -> None:
    out = bench("show", "method", name).out
    cls = registry.get("methods", name)
    assert cls.paper in out
    rows = {line.split("\t")[0]: line.split("\t") for line in out.splitlines() if line.count("\t") == 2}
    for key, field in cls.Config.model_fields.items():
        assert field.description, f"{name}: {key} has no description"
        assert rows[f"method.{key}"][2] == field.description
    assert "train.lr" in rows and "sampler.steps" in rows
    assert bench("show", "preset", name).code == 0


@pytest.mark.parametrize("name", registry.names("rewards"))
def test_a_reward_shows_unit_range_version(bench: Bench, name: str) -> None:
    out = bench("show", "reward", name).out
    cls = lookup.get(name)
    assert f"version\t{cls.version}" in out
    assert f"unit\t{cls.unit}" in out
    assert f"reads the prompt\t{'yes' if cls.reads_prompt else 'no'}" in out
    assert all(f"note\t{note}" in out for note in cls.notes)


def test_units_and_limits_that_users_meet_elsewhere_are_shown(bench: Bench) -> None:
    for name, said in (("pickscore", "over 26"), ("imagereward", "first 35 tokens"), ("hpsv2.1", "first 77 tokens")):
        assert said in bench("show", "reward", name).out
    out = bench("show", "reward", "aesthetic").out
    assert "improved-aesthetic-predictor" in out and "ddpo-pytorch" in out


def test_prompts_show_count_origin_licence_hash_and_a_few(bench: Bench) -> None:
    out = bench("show", "prompts", "animals").out
    for said in ("prompts\t45", "licence\tMIT", "DDPO", "f6775ca7", "\tcat", "\trabbit"):
        assert said in out
    assert "bench fetch --prompts pickapic" in bench("show", "prompts", "pickapic").out


@pytest.mark.parametrize("kind", ["method", "reward", "prompts", "model", "preset"])
def test_showing_what_is_not_there_ends_with_2(bench: Bench, kind: str) -> None:
    assert bench("show", kind, "no-such-thing").code == 2


def test_a_run_that_is_not_there_ends_with_3(bench: Bench) -> None:
    assert bench("show", "run", "nothing").code == 3


def test_a_model_shows_its_ids_and_what_is_missing(bench: Bench, tiny_sd: Path) -> None:
    assert "bench fetch --models sd15" in bench("show", "model", "sd15").out
    assert "content hash\t" in bench("show", "model", tiny_sd).out


def test_the_doctor_names_device_disk_and_how_to_get_what_is_missing(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"reward.py": "import no_such_library\n"}
    site = write_plugin(tmp_path / "site", "sick", files, {"benchbench.rewards": {"sick": "sick.reward:Sick"}})
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(doctor_checks, "memory", lambda: pytest.fail("it takes minutes and was not asked for"))
    ran = bench("doctor")
    assert ran.code == 0
    for said in (
        "torch\t",
        "device\t",
        "GB free",
        "model sd15\t",
        "bench fetch --models sd15",
        "prompts parti\tnot fetched",
    ):
        assert said in ran.out
    assert "the reward 'sick' does not load" in ran.out and "bench fetch --rewards sick" not in ran.out
    assert "bench doctor --memory" in ran.out
    assert "no_such_library" in ran.out


@pytest.mark.long
def test_the_doctor_counts_the_memory_of_an_adapter_and_of_every_weight() -> None:
    rows = doctor_checks.memory()
    assert [row[0] for row in rows] == ["tailorpo"] * 3 + ["diffusion-dpo"] * 3
    fits = doctor_checks.MEMORY.index("fits")
    assert all(len(row) == len(doctor_checks.MEMORY) and row[fits] == "yes" for row in rows)


def test_a_preset_shows_what_it_leaves_out(bench: Bench) -> None:
    out = bench("show", "preset", "spo").out
    assert "released-sdxl leaves out or does otherwise:\n- gradients are clipped" in out
    assert "shapes leaves out" not in out and "deviations\t" not in out
