"""A record says what ran, and never a secret."""

import json
import subprocess
from pathlib import Path

import pytest

from benchbench.runtime import provenance as module
from benchbench.runtime.provenance import HIDDEN, record, redact, redact_argv


def test_a_record_is_json_and_names_what_decides() -> None:
    made = record({"lr": 1e-4}, {"shapes": "ab"}, "cpu", ["/somewhere/bin/bench", "eval"])
    json.dumps(made)
    assert made["command"] == ["bench", "eval"] and made["config"] == {"lr": 1e-4}
    assert made["weights"] == {"shapes": "ab"} and "torch" in made["packages"] and made["device"].startswith("cpu")


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["--hf-token", "abc"], ["--hf-token", HIDDEN]),
        (["--hf-token=abc"], [f"--hf-token={HIDDEN}"]),
        (["--set", "hub.api_key=abc"], ["--set", f"hub.api_key={HIDDEN}"]),
        (["--password", "x", "y"], ["--password", HIDDEN, "y"]),
        (["--note", "hf_abcdefghijkl"], ["--note", HIDDEN]),
        (["https://me:pw@host/x"], [f"https://{HIDDEN}@host/x"]),
        (["--tokenizer", "clip", "--max-tokens", "77"], ["--tokenizer", "clip", "--max-tokens", "77"]),
        (["--prompts", "a key=b"], ["--prompts", "a key=b"]),
    ],
)
def test_secrets_are_hidden_and_nothing_else(words: list[str], shown: list[str]) -> None:
    assert redact_argv(["bench", *words])[1:] == shown


def test_secrets_in_settings_are_hidden() -> None:
    value = {"a": [{"access_token": "x", "tokens": 3}], "token": None, "lr": 0.1}
    assert redact(value) == {"a": [{"access_token": HIDDEN, "tokens": 3}], "token": None, "lr": 0.1}


def test_the_environment_is_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_averysecretvalue")
    assert "averysecret" not in json.dumps(record({}, {}, "cpu"))


def test_git_knows_commit_and_dirt_and_hides_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        options = ["-c", "user.name=a", "-c", "user.email=b", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", *options, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "record.py").write_text("1")
    monkeypatch.setattr(module, "__file__", str(tmp_path / "record.py"))
    assert module.git() is None
    git("init")
    assert module.git() is None  # in a checkout, but no file of it
    git("add", ".")
    git("commit", "-m", "x")
    git("remote", "add", "origin", "https://me:secret@example.org/r.git")
    found = module.git()
    assert found is not None and len(found["commit"]) == 40 and not found["dirty"]
    assert found["origin"] == f"https://{HIDDEN}@example.org/r.git"
    (tmp_path / "record.py").write_text("2")
    assert module.git() == found | {"dirty": True}
