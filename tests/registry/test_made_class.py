"""The class of a method's settings, made of its source, is the one that its module has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from benchbench import registry
from benchbench.registry.made_class import made_class

BASE = """
from __future__ import annotations

import no_such_library
from typing import Annotated

from pydantic import AfterValidator, Field, field_validator

from benchbench.api import MethodConfig, Policy

LARGEST = 3


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


Odd = Annotated[int, AfterValidator(_odd)]


class Base(MethodConfig):
    beta: float = Field(0.1, le=LARGEST, description="strength")
    count: Odd = 1

    @field_validator("beta")
    @classmethod
    def _not_two(cls, value: float) -> float:
        assert value != 2, "two is taken"
        return value


class Unused(no_such_library.Thing):
    pass
"""
MINE = """
import no_such_library

from .base import Base as Shared


class MyConfig(Shared):
    gamma: int = 2


class Mine(no_such_library.Method):
    name = "mine"
    Config = MyConfig
"""


@pytest.mark.parametrize("name", registry.names("methods"))
def test_a_method_s(name: str) -> None:
    """Names, defaults, descriptions, types and bounds are those of the module's own class."""
    made, own = registry.settings_class(name), registry.get("methods", name).Config
    assert made is not None and made is not own and list(made.model_fields) == list(own.model_fields)
    assert made.model_json_schema() == own.model_json_schema()
    assert made().model_dump() == own().model_dump()
    assert set(made.__pydantic_decorators__.field_validators) == set(own.__pydantic_decorators__.field_validators)


def test_no_method_s_needs_torch() -> None:
    code = (
        "import sys; from benchbench import registry\n"
        "assert all(registry.settings_class(name) for name in registry.names('methods'))\n"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_a_plug_in_s_of_two_files_keeps_its_bounds_and_checks(tmp_path: Path) -> None:
    """A library that is not there is not asked for, since no setting needs it."""
    (tmp_path / "base.py").write_text(BASE)
    (tmp_path / "mine.py").write_text(MINE)
    made = made_class(tmp_path / "mine.py", "Mine", "Config")
    assert made is not None and made().model_dump() == {"beta": 0.1, "count": 1, "gamma": 2}
    for wrong, said in (({"beta": 4}, "less than or equal to 3"), ({"beta": 2}, "two is taken"), ({"count": 2}, "odd")):
        with pytest.raises(ValueError, match=said):
            made.model_validate(wrong)


@pytest.mark.parametrize(
    ("base", "mine"),
    [
        (BASE.replace("(MethodConfig)", "(made())"), MINE),
        (BASE.replace("benchbench.api", "nowhere_at_all"), MINE),
        (BASE.replace("LARGEST = 3", "LARGEST = no_such_library.LARGEST"), MINE),
        (BASE.replace("LARGEST = 3", "LARGEST = exit(1)"), MINE),
        (BASE.replace("class Base(MethodConfig)", "class Base"), MINE),
        (BASE, MINE.replace("Config = MyConfig", "Config = made()")),
        (BASE, MINE.replace("(no_such_library.Method):", "")),
        (BASE, MINE.replace(".base", ".")),
    ],
)
def test_what_cannot_be_made_is_left_to_the_import(base: str, mine: str, tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(base)
    (tmp_path / "mine.py").write_text(mine)
    assert made_class(tmp_path / "mine.py", "Mine", "Config") is None
