"""Settings: defaults, presets, overrides, and every error at once."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchbench import config, presets, registry
from benchbench.cli.main import main
from benchbench.config import RunConfig, TrainConfig
from benchbench.errors import UsageError
from benchbench.samplers import SamplerConfig
from benchbench.store.run_file import NOT_IDENTITY


def load(method: str = "tailorpo", model: str = "sd15", *overrides: str, preset: str | None = None) -> config.RunConfig:
    return config.load(method, model, "shapes-colour", "animals", 16, 0, preset, overrides)


def test_released_defaults_are_the_specification_s() -> None:
    """D3PO's released values, to which TailorPO's paper refers, and its own T = 20, eta = 1, five trained steps."""
    c = load()
    assert c.preset == "released"
    train = (c.train.lr, c.train.weight_decay, c.train.betas, c.train.grad_clip, c.train.lora_rank, c.train.lora_alpha)
    assert train == (3e-5, 1e-4, (0.9, 0.999), 1.0, 4, 4.0) and c.train.batch == 2
    assert (c.sampler.steps, c.sampler.eta, c.sampler.guidance_scale) == (20, 1.0, 5.0)
    assert c.settings["steps"] == [20, 16, 12, 8, 4] and (c.settings["beta"], c.settings["clip"]) == (0.1, 0.1)
    assert not c.settings["guidance"]
    g = load("tailorpo-g").settings
    assert g["guidance"] and g["eta"] == [0.1, 0.2] and g["delta"] == 0.5
    ddpo = load("ddpo")
    assert (ddpo.settings["clip"], ddpo.settings["advantage_clip"], ddpo.settings["buffer"]) == (1e-4, 5.0, 16)


def test_presets_and_overrides_in_order() -> None:
    assert load(model="shapes").preset == "shapes"
    assert load("tailorpo", "sd15", preset="paper").settings["update"] == "step"
    c = load("tailorpo", "shapes", "train.lr=1e-4", "method.steps=[20, 4]", "method.clip=null", "sampler.steps=50")
    assert (c.train.lr, c.settings["steps"], c.settings["clip"], c.sampler.steps) == (1e-4, [20, 4], None, 50)


@pytest.mark.parametrize("method", ["ddpo", "d3po", "tailorpo", "tailorpo-g"])
@pytest.mark.parametrize("preset", presets.PRESETS)
def test_every_value_of_every_preset_is_a_setting_with_an_origin(method: str, preset: str) -> None:
    try:
        values = presets.preset_values(method, preset)
    except UsageError:
        assert (method, preset) not in {(method, "shapes"), (method, "released")}
        return
    assert values and all(set(entry) == {"value", "origin"} and entry["origin"] for entry in values.values())
    load(method, "sd35m" if preset == "sd35m" else "sd15", preset=preset)


def test_a_preset_of_the_other_kind_of_model_is_refused() -> None:
    """And the model's own is taken where none is named, also with settings of its sampler."""
    with pytest.raises(UsageError, match="the preset sd35m does not fit sd15") as error:
        load("ddpo", "sd15", preset="sd35m")
    assert "sampler.noise_level" in error.value.cause and "flow-matching" in error.value.cause
    run = load("tailorpo", "sd35m", "sampler.grid=plain", "sampler.shift=2.5")
    assert (run.preset, run.train.lora_rank, run.train.lora_alpha, run.train.lr) == ("sd35m", 32, 64, 3e-4)
    assert run.sampler.making == {
        "steps": 10,
        "guidance_scale": 4.5,
        "dynamics": "flow-sde",
        "noise_level": 0.7,
        "grid": "plain",
        "shift": 2.5,
        "draw_time": "uniform",
    }
    assert (run.sampler.evaluation.steps, run.sampler.evaluation.making["dynamics"]) == (40, "ode")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("released: {", "it is not YAML"),
        ("- released", "it needs presets by name"),
        ("relased:", "relased: no such preset"),
        ("released: 3", "released: it needs lines as"),
        ("released:\n  train.lr: 1.0e-4", "train.lr needs {value: ..., origin: ...}, not 0.0001"),
        ("released:\n  train.lr: {value: 1.0e-4}", "train.lr needs {value: ..., origin: ...}"),
        ("released:\n  train.lr: {value: 1.0e-4, origin: ' '}", "train.lr has an empty origin"),
        ("released:\n  optim.lr: {value: 1.0e-4, origin: ours}", "optim.lr is neither samples nor"),
        ("released:\n  lr: {value: 1.0e-4, origin: ours}", "lr is neither samples nor"),
        ("released:\n  deviations: none", "released: deviations needs a list of texts, not 'none'"),
        ("released:\n  deviations: [' ']", "deviations needs a list of texts"),
        ("released:\n  samples: {value: many, origin: ours}", "samples must be a positive whole number"),
        ("released:\n  train.lrr: {value: 1.0e-4, origin: ours}", "released: train.lrr: no such setting"),
        ("released:\n  train.lr: {value: -1, origin: ours}", "released: train.lr=-1: input should be greater"),
    ],
)
def test_a_malformed_preset_file_is_named(
    text: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tailorpo.yaml").write_text(text)
    monkeypatch.setattr(presets, "preset_file", lambda method: tmp_path / "tailorpo.yaml")
    for words in (["show", "preset", "tailorpo"], ["train", "--method", "tailorpo", "--preset", "released"]):
        assert main(words) == 2
        err = capsys.readouterr().err
        assert len(err.splitlines()) == 3 and said in err and "methods/presets/tailorpo.yaml" in err


def test_all_errors_at_once_with_the_nearest_names() -> None:
    with pytest.raises(UsageError) as error:
        wrong = ["method.beeta=1", "train.learning_rate=1", "trian.lr=1", "train.lr=-1", "lr", "method.beta=x"]
        load("tailorpo", "sd15", *wrong)
    text = str(error.value)
    for part in (
        "method.beeta: no such setting, did you mean 'beta'?",
        "train.learning_rate: no such setting",
        "no section 'trian', did you mean 'train'?",
        "train.lr=-1: input should be greater than 0",
        "'lr' is not of the form section.key=value",
        "method.beta='x'",
    ):
        assert part in text
    assert error.value.code == 2


def test_unknown_method_has_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="tailorpo") as error:
        load("tailrpo")
    assert "did you mean tailorpo" in error.value.cause


def test_digest_changes_with_what_decides_the_result_only() -> None:
    assert load().digest == load().digest != load("tailorpo", "sd15", "train.lr=1e-4").digest


def test_every_setting_is_dumped_and_decides_the_digest() -> None:
    """But for those that change memory or files alone; what was dumped is read again as it was."""
    run = load()
    dumped = run.model_dump(mode="json")
    assert dumped["schema"] == 1 and dumped["pairs"] is None and dumped["train"]["finetune"] == "lora"
    assert set(dumped["train"]) == set(TrainConfig.model_fields) - {"ema"}  # which is left out where it is 0
    assert set(run.identity["train"]) == set(TrainConfig.model_fields) - {"ema"} - NOT_IDENTITY
    assert RunConfig.model_validate_json(run.model_dump_json()) == run
    assert load("tailorpo", "shapes", "train.save_every=5").digest == load("tailorpo", "shapes").digest


@pytest.mark.parametrize("model", ["shapes", "sdxl", "sd15"])
def test_another_vae_changes_no_default(model: str) -> None:
    """Preset, pairs and all settings but the model's name are those of the model without it."""
    for method in ("tailorpo", "diffusion-dpo"):
        pairs = None if method == "tailorpo" or model == "shapes" else "pickapic_v2"
        plain, other = (
            config.load(method, name, "shapes-colour", "animals", 16, 0, pairs=pairs)
            for name in (model, f"{model}+vae=x")
        )
        assert other.model == f"{model}+vae=x" and other.model_copy(update={"model": model}) == plain


@pytest.mark.parametrize("method", registry.names("methods"))
def test_presets_named_after_code_or_a_paper_list_what_they_do_otherwise(method: str) -> None:
    """Every preset but ours of the embedded models; the list is no setting, and `bench show preset` prints it."""
    named = [preset for preset in presets.all_presets(method) or {} if not preset.startswith("shapes")]
    for preset in named:
        listed = presets.deviations(method, preset)
        assert listed and len(set(listed)) == len(listed)
        assert presets.DEVIATIONS not in presets.preset_values(method, preset)
    assert presets.deviations(method, "shapes") == []


def test_deviations_that_were_met_in_the_authors_code_are_named() -> None:
    def said(method: str, preset: str) -> str:
        return " ".join(presets.deviations(method, preset))

    for method, preset in (("mapo", "released-sdxl"), ("diffusion-dpo", "hf-sdxl")):
        assert "own size and crop" in said(method, preset) and "8" in said(method, preset)
        assert "sdxl-vae-fp16-fix" in said(method, preset)
    assert "draws uniformly within a class" in said("diffusion-kto", "released")
    assert "8 bits before they are resized" in said("spo", "released") and "clipped" in said("spo", "released-sdxl")
    assert "training has 1000" in said("dspo", "paper")
    assert "ties are left out" in said("diffusion-dpo", "hf")


def test_presets_do_what_they_name() -> None:
    """Algorithm 1 takes the guided winner where its reward rose; diffusers' SDXL script flips images jointly."""
    paper = load("tailorpo-g", "sd15", preset="paper").settings
    assert (paper["update"], paper["accept"]) == ("step", "better")
    assert load("tailorpo-g", "sd15", preset="released").settings["accept"] == "always"
    flips = {
        p: presets.preset_values("diffusion-dpo", p).get("method.flip", {}).get("value") for p in ("hf", "hf-sdxl")
    }
    assert flips == {"hf": None, "hf-sdxl": "joint"}


NAMES = registry.names("methods")
KEYS = sorted(
    {f"train.{key}" for key in TrainConfig.model_fields}
    | {f"sampler.{key}" for key in SamplerConfig.model_fields}
    | {f"method.{key}" for name in NAMES for key in registry.get("methods", name).Config.model_fields}
)
ODD = [
    *(".inf", "-.inf", ".nan", "inf", "nan", "1e400", "-1e400", "1e-400", "0", "-0.0", "1", "-1", "1.5", "1e-4", "1e5"),
    *("true", "no", "null", "~", "", " ", "'", '"', "[", "]", "{", "}", "[1, 2]", "[20, 4]", "[.inf, 1]", "[[1]]"),
    *("{a: 1}", "all", "mean", "sum", "on", "off", "auto", "lora", "full", "2001-01-01", "12:30:45", "0x1e", "1_000"),
    *("!!python/name:os.system", "&a [*a]", "*a", "<<: 1", "=", "%", "@", "`", "9" * 400, "9" * 5000, "[" * 500),
    *("\x1b[31m", "\x00", "a\nb", "é", "\ud800", "1e", "e", "+e1", "1e1e1", "999", "1000", "1001", "2147483648"),
]
WORDS = st.one_of(
    st.sampled_from(ODD),
    st.text(max_size=12),
    st.floats().map(repr),
    st.integers().map(str),
    st.lists(st.floats(allow_nan=False), max_size=3).map(repr),
)
ASSIGNMENTS = st.lists(
    st.one_of(st.tuples(st.sampled_from(KEYS), WORDS).map("=".join), st.text(max_size=20)), min_size=1, max_size=3
)


def check_fuzzed(method: str, words: list[str]) -> None:
    """Any words give settings that are finite and can be read again, or an error of three lines."""
    refused: UsageError | None = None
    try:
        run = load(method, "shapes", *words)
    except UsageError as error:
        refused = error
    if refused:
        told = "wrong for" in refused.problem or f"{method} cannot be trained with sampler.eta=0" == refused.problem
        assert refused.code == 2 and len(str(refused)) < 20_000 and told
        return
    text = json.dumps(run.model_dump(mode="json"), allow_nan=False)
    assert RunConfig.model_validate_json(text) == run == RunConfig.model_validate_json(run.model_dump_json())
    assert run.method_config.model_dump(mode="json") == run.settings
    assert len(run.digest) == 16


@hypothesis.settings(max_examples=200)
@given(st.sampled_from(NAMES), ASSIGNMENTS)
def test_any_setting_is_right_or_refused_by_name(method: str, words: list[str]) -> None:
    check_fuzzed(method, words)


@pytest.mark.long
@hypothesis.settings(max_examples=2000)
@given(st.sampled_from(NAMES), ASSIGNMENTS)
def test_very_many_settings_are_right_or_refused_by_name(method: str, words: list[str]) -> None:
    check_fuzzed(method, words)


@pytest.mark.parametrize("key", [key for key in KEYS if key != "method.votes"])
@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "inf", "nan", "1e999"])
def test_no_setting_is_infinite(key: str, value: str) -> None:
    """Whichever method has the setting: an infinite number cannot be written as JSON."""
    section, _, name = key.partition(".")
    methods = [m for m in NAMES if section != "method" or name in registry.get("methods", m).Config.model_fields]
    with pytest.raises(UsageError, match="wrong for"):
        load(methods[0], "shapes", f"{key}={value}")


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("train.grad_clip=.inf", "train.grad_clip=inf: input should be a finite number"),
        ("train.lr=yes", "train.lr=True: input should be a number, not yes or no"),
        ("train.batch=true", "train.batch=True: input should be a number"),
        ("method.steps=true", "method.steps=True: input should be a number"),
        ("train.eval_images=99999999999", "train.eval_images=99999999999: input should be at most 2147483647"),
        ("train.betas=[0.9, 1.0]", "train.betas=1.0: input should be less than 1"),
        ("sampler.steps=1000", "sampler.steps=1000: input should be less than or equal to 999"),
        ("train.lr=&a [*a, *a]", "train.lr="),
    ],
)
def test_a_value_that_no_run_can_use_is_refused(word: str, said: str) -> None:
    with pytest.raises(UsageError) as error:
        load("tailorpo", "shapes", word)
    assert said in error.value.cause


def test_a_switch_may_still_be_yes_or_no() -> None:
    run = load("tailorpo", "shapes", "method.guidance=yes", "train.compile=on", "train.gradient_checkpointing=off")
    assert run.settings["guidance"] is True and run.train.compile and run.train.gradient_checkpointing == "off"


@pytest.mark.parametrize("scale", ["inf", "nan", "-inf"])
def test_a_guidance_scale_is_finite(scale: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--model", "shapes", "--prompts", "shapes-simple", "--rewards", "shapes-colour"]
    assert main([*words, f"--guidance-scale={scale}"]) == 2
    assert "guidance-scale" in capsys.readouterr().err


def test_files_and_folders_are_named_alike_from_every_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run, and one digest, by ./mine.txt, mine.txt and the whole path; names of sets and models are no paths."""
    (tmp_path / "mine.txt").write_text("a red circle\n")
    for name in ("model", "shapes", "animals"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)

    def configured(model: str, prompts: str, pairs: str | None = None) -> RunConfig:
        method = "ddpo" if pairs is None else "dspo"
        return config.load(method, model, "shapes-colour", prompts, 8, 0, preset="shapes", pairs=pairs)

    whole = configured(f"{tmp_path}/model", f"{tmp_path}/mine.txt")
    for model, prompts in (
        ("model", "mine.txt"),
        ("./model", "./mine.txt"),
        ("../" + tmp_path.name + "/model", "mine.txt"),
    ):
        assert configured(model, prompts) == whole and configured(model, prompts).digest == whole.digest
    names = configured("shapes+vae=model", "animals", "made:animals:shapes-pref:2")
    assert (names.model, names.prompts) == (f"shapes+vae={tmp_path}/model", "animals")
    assert names.pairs == "made:animals:shapes-pref:2"
    assert configured("sd15", "animals", "model/*.parquet").pairs == f"{tmp_path}/model/*.parquet"
