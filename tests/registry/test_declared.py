"""Settings as the source of a method or a protocol declares them are those of its class."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchbench.protocols import PROTOCOLS, WHERE
from benchbench.registry.declared import class_named, declared_settings
from docs_build.links import ROOT

BASE = """
from typing import ClassVar

from pydantic import Field

from benchbench.api import MethodConfig


class Base(MethodConfig):
    kind: ClassVar[int] = 1
    beta: float = Field(0.1, description="strength")
"""
MINE = """
from .base import Base


class MyConfig(Base):
    gamma: int = 2


class Mine:
    name = "mine"
    Config = MyConfig
"""


@pytest.mark.parametrize("name", WHERE)
def test_a_protocol_s(name: str) -> None:
    module, _, class_name = WHERE[name].partition(":")
    fields = PROTOCOLS[name].Settings.model_fields
    found = declared_settings(ROOT / "benchbench" / "protocols" / f"{module}.py", class_name, "Settings")
    assert found == {key: field.description or "" for key, field in fields.items()}


@pytest.mark.parametrize(
    ("base", "mine", "found"),
    [
        (BASE, MINE, {"beta": "strength", "gamma": ""}),
        (BASE.replace("(MethodConfig)", "(made())"), MINE, None),
        (BASE.replace("benchbench.api", "nowhere_at_all"), MINE, None),
        (BASE.replace('Field(0.1, description="strength")', 'Field(0.1, alias="b")'), MINE, None),
        (BASE + '    model_config = ConfigDict(extra="allow")\n', MINE, None),
        (BASE, MINE.replace("Config = MyConfig", "Config = made()"), None),
        (BASE, MINE.replace("Mine:", "Mine"), None),
    ],
)
def test_a_plug_in_s_or_nothing_where_its_source_does_not_tell(
    base: str, mine: str, found: dict[str, str] | None, tmp_path: Path
) -> None:
    (tmp_path / "base.py").write_text(base)
    (tmp_path / "mine.py").write_text(mine)
    assert declared_settings(tmp_path / "mine.py", "Mine", "Config") == found
    assert class_named(tmp_path / "mine.py", "mine") == (None if "class Mine\n" in mine else "Mine")
