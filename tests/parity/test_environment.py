"""The environment is whole or made anew. The base interpreter here is a script that makes an environment of scripts."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from benchbench.errors import RunError
from benchbench.parity import environment, pins
from tests.parity.conftest import script

PIP = """
case "$*" in *ensurepip*) echo 3.10; exit;; esac
echo "$PYTHONPATH|$*" >> {calls}
sleep 0.05
{body}
"""


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    return tmp_path / "calls"


def base(tmp_path: Path, body: str = "") -> Path:
    """An interpreter whose ``-m venv PLACE`` makes PLACE/bin/python, and the folders that pip would make."""
    pip = tmp_path / "pip"
    pip.write_text("#!/bin/sh" + PIP.format(calls=tmp_path / "calls", body=body))
    packages = f"$place/lib/python{pins.PYTHON}/site-packages"
    source, target, name = pins.VOCABULARY
    return script(
        tmp_path / "base",
        f"""for place; do :; done
        echo "base|$*" >> {tmp_path / "calls"}
        mkdir -p $place/bin {packages}/{source} {packages}/{target}
        echo words > {packages}/{source}/{name}
        cp {pip} $place/bin/python; chmod 755 $place/bin/python""",
    )


def make(python: Path) -> Path:
    return environment.make(python, lambda line: None)


def test_it_installs_every_pin_in_order_and_is_found_then(
    tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    assert environment.find() is None
    python = make(base(tmp_path))
    first, *installs = calls.read_text().splitlines()
    assert first.endswith(f"-m venv {environment.folder()}")
    words = [f"|-I -m pip install --no-input {' '.join([*step.options, *step.packages])}" for step in pins.STEPS]
    assert installs == words, "each call without PYTHONPATH"
    assert environment.find() == python == environment.folder() / "bin" / "python"
    _, target, name = pins.VOCABULARY
    packages = environment.folder() / "lib" / f"python{pins.PYTHON}" / "site-packages"
    assert (packages / target / name).read_text() == "words\n"


def test_what_is_whole_is_not_made_again(tmp_path: Path, calls: Path) -> None:
    make(base(tmp_path))
    before = calls.read_text()
    make(base(tmp_path))
    assert calls.read_text() == before


def test_a_half_made_one_is_never_taken_and_made_anew(tmp_path: Path) -> None:
    python = make(base(tmp_path))
    (environment.folder() / environment.MARKER).unlink()
    (environment.folder() / "half").write_text("x")
    assert environment.find() is None
    assert make(base(tmp_path)) == python
    assert not (environment.folder() / "half").exists() and environment.find()


def test_one_whose_interpreter_is_gone_is_made_anew(tmp_path: Path) -> None:
    script(make(base(tmp_path)), "exit 127")
    assert environment.find() is None
    assert environment.find() is None
    make(base(tmp_path))
    assert environment.find()


def test_pips_own_reason_is_told_and_the_next_call_succeeds(tmp_path: Path) -> None:
    failing = "case \"$*\" in *torch*) echo 'ERROR: No matching distribution found for torch==2.2.2'; exit 1;; esac"
    with pytest.raises(RunError, match="could not be made") as raised:
        make(base(tmp_path, failing))
    assert raised.value.cause == "ERROR: No matching distribution found for torch==2.2.2"
    record = raised.value.remedy.split()[1].rstrip(";")
    assert "No matching distribution" in Path(record).read_text()
    assert environment.find() is None
    make(base(tmp_path))
    assert environment.find()


def test_an_interruption_leaves_nothing_that_breaks_the_next_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, count = environment._run, [0]

    def interrupted(command: list[str], record: Path) -> None:
        count[0] += 1
        if count[0] == 3:
            raise KeyboardInterrupt
        run(command, record)

    monkeypatch.setattr(environment, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(base(tmp_path))
    assert environment.find() is None
    make(base(tmp_path))
    assert environment.find()


def test_two_at_once_make_it_once(tmp_path: Path, calls: Path) -> None:
    python = base(tmp_path)
    made: list[Path] = []
    threads = [threading.Thread(target=lambda: made.append(make(python))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 1 and len(made) == 2
    assert len(calls.read_text().splitlines()) == 1 + len(pins.STEPS)


def test_other_pins_have_another_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    before = environment.folder()
    assert before.parent.name == "parity" and before.name == pins.key()
    changed = pins.Step("torch", ("torch==2.2.1",))
    monkeypatch.setattr(pins, "STEPS", (changed, *pins.STEPS[1:]))
    assert environment.folder() != before


def test_every_package_is_pinned_to_one_version() -> None:
    packages = [pin for step in pins.STEPS for pin in step.packages]
    assert all(pin.count("==") == 1 and not pin.endswith("==") for pin in packages)
    versions = {pin.partition("==")[0]: pin for pin in packages}
    assert len(set(packages)) == len(versions)
    assert pins.version("hpsv2") == "hpsv2 1.2.0"
