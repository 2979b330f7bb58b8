"""Measuring a real (tiny) pipeline: what is stored, what is made again, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchbench.api import PromptSet
from benchbench.errors import UsageError
from benchbench.protocols import PROTOCOLS, states
from benchbench.protocols.jensen_gap import JensenGap, JensenSettings
from tests.tiny import write_tiny_sd

PROMPTS = PromptSet("two", ("a cat", "a dog", "a fox"), "made here", "none")
SETTINGS: dict[str, dict[str, Any]] = {
    "jensen-gap": {"states": 3, "steps": (3, 1), "completions": 2},
    "guidance-ratio": {"states": 3, "steps": (4, 1)},
    "preference-order": {"states": 3, "steps": (4, 1), "completions": 2},
    "gradient-direction": {"states": 2, "steps": (4, 2), "method": "d3po"},
}


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sd(tmp_path_factory.mktemp("tiny") / "sd")


def measure(name: str, model: Path, store: Path, reward: str = "shapes-colour", **more: Any) -> pd.DataFrame:
    protocol = PROTOCOLS[name]
    settings = protocol.Settings.model_validate({"sampler": {"steps": 4}} | SETTINGS[name] | more)
    return protocol.measure(str(model), None, PROMPTS, reward, settings, store=store, device="cpu")


def test_steps_without_noise_are_not_measured(tiny_sd: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="steps of this run's sampler cannot be measured"):
        measure("jensen-gap", tiny_sd, tmp_path, sampler={"steps": 4, "eta": 0.0})


@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_there_is_not_measured_again(
    name: str, tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call loads no weights and gives the same rows, which make a table."""
    first = measure(name, tiny_sd, tmp_path)
    monkeypatch.setattr(states, "open_probe", lambda *args: pytest.fail("weights were loaded"))
    pd.testing.assert_frame_equal(measure(name, tiny_sd, tmp_path), first)
    protocol = PROTOCOLS[name]
    settings = protocol.Settings.model_validate(SETTINGS[name])
    table = protocol.table({"base": first}, settings, "Tiny", quick=True)
    assert {c.key for c in table.columns} <= {f"t={k}" for k in settings.steps}  # type: ignore[attr-defined]
    assert table.full_caption.startswith("QUICK") and "Tiny." in table.caption
    [folder] = (tmp_path / "measurements" / name).iterdir()
    assert (folder / "record.json").is_file()


def test_an_interruption_keeps_the_parts_that_were_done(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of one state: Ctrl-C in the second keeps the first; then two are made, and all is as in one go."""
    monkeypatch.setattr(JensenGap, "per_part", 1)
    looked: list[int] = []
    measure_states = JensenGap.measure_states

    def stop_at_second(self: JensenGap, probe: Any, samples: Any, settings: JensenSettings) -> pd.DataFrame:
        looked.append(samples[0].index)
        if len(looked) == 2:
            raise KeyboardInterrupt
        return measure_states(self, probe, samples, settings)

    monkeypatch.setattr(JensenGap, "measure_states", stop_at_second)
    with pytest.raises(KeyboardInterrupt):
        measure("jensen-gap", tiny_sd, tmp_path)
    frame = measure("jensen-gap", tiny_sd, tmp_path)
    assert looked == [looked[0], looked[1], looked[1], looked[3]] and len({*looked}) == 3
    pd.testing.assert_frame_equal(frame, measure("jensen-gap", tiny_sd, tmp_path / "other"))


def test_a_damaged_part_is_made_again(tiny_sd: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = measure("jensen-gap", tiny_sd, tmp_path)
    [part] = (tmp_path / "measurements").rglob("*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    pd.testing.assert_frame_equal(measure("jensen-gap", tiny_sd, tmp_path), first)
    assert "made again" in capsys.readouterr().out


def test_what_decides_the_rows_names_them(tiny_sd: Path, tmp_path: Path) -> None:
    """Another seed or reward is another measurement; relative and absolute errors are of the same rows."""
    measure("jensen-gap", tiny_sd, tmp_path)
    measure("jensen-gap", tiny_sd, tmp_path, kind="absolute")
    assert len(list((tmp_path / "measurements" / "jensen-gap").iterdir())) == 1
    measure("jensen-gap", tiny_sd, tmp_path, seed=1)
    measure("jensen-gap", tiny_sd, tmp_path, reward="shapes-aesthetic")
    assert len(list((tmp_path / "measurements" / "jensen-gap").iterdir())) == 3


def test_what_cannot_be_measured_is_refused_before_anything_is_loaded(
    tiny_sd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(states, "open_probe", lambda *args: pytest.fail("weights were loaded"))
    for name, more, said in (
        ("jensen-gap", {"reward": "shapes-clip"}, "crosses 0"),
        ("guidance-ratio", {"reward": "jpeg_compressibility"}, "gradient"),
        ("gradient-direction", {"method": "ddpo"}, "one pair"),
        ("gradient-direction", {"method": "tailorpo-g", "reward": "jpeg_compressibility"}, "gradient"),
        ("jensen-gap", {"steps": (5,)}, "from 4"),
        ("jensen-gap", {"reward": "shapes-colour=0.5,shapes-clip=0.5"}, "scale"),
    ):
        with pytest.raises(UsageError) as caught:
            measure(name, tiny_sd, tmp_path, **more)
        assert said in caught.value.cause, name
    assert not (tmp_path / "measurements").exists()


def test_an_unknown_protocol_is_named_with_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        PROTOCOLS["jensengap"]
    assert "jensen-gap" in caught.value.cause
