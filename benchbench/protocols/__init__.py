"""The protocols of the papers, found by name: each measures something and makes a table of it. One file per protocol.

    frame = PROTOCOLS["jensen-gap"].measure("shapes", None, prompts, "shapes-colour", settings, store=store)
    table = PROTOCOLS["jensen-gap"].table({"base": frame}, settings)

Tables of mean rewards are made by ``benchbench.evaluate``. Importing this package imports no torch; looking a protocol
up may.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchbench import registry
from benchbench.errors import UsageError
from benchbench.registry.declared import declared_settings
from benchbench.setting_errors import no_such_setting

if TYPE_CHECKING:
    from benchbench.protocols.base import PaperProtocol

WHERE = {
    "win-rate": "win_rate:WinRate",
    "jensen-gap": "jensen_gap:JensenGap",
    "guidance-ratio": "guidance_ratio:GuidanceRatio",
    "preference-order": "preference_order:PreferenceOrder",
    "gradient-direction": "gradient_direction:GradientDirection",
    "cost": "cost:TrainingCost",
    "reward-hacking": "reward_hacking:RewardHacking",
    "editing": "editing:Editing",
}


class _Protocols(Mapping[str, "PaperProtocol[Any]"]):
    """Protocols by name, imported when they are looked up."""

    def __getitem__(self, name: str) -> PaperProtocol[Any]:
        if name not in WHERE:
            raise registry.unknown("protocol", name, WHERE, "`bench measure --help` lists every name")
        module, _, class_name = WHERE[name].partition(":")
        protocol: PaperProtocol[Any] = getattr(importlib.import_module(f"benchbench.protocols.{module}"), class_name)()
        return protocol

    def __iter__(self) -> Iterator[str]:
        return iter(WHERE)

    def __len__(self) -> int:
        return len(WHERE)


def check_setting_names(name: str, words: Sequence[str]) -> None:
    """Raises UsageError where none of the words ``key=value`` names a setting of a protocol, before it is imported.

    Where one of them does, ``parse_settings`` tells all that is wrong.
    """
    module, _, class_name = WHERE[name].partition(":")
    known = declared_settings(Path(__file__).with_name(f"{module}.py"), class_name, "Settings")
    keys = [word.partition("=")[0].strip() for word in words]
    if not words or known is None or set(keys) & set(known):
        return
    errors = [
        no_such_setting(key, known) if "=" in word else f"{word!r} is not of the form key=value"
        for key, word in zip(keys, words, strict=True)
    ]
    raise UsageError(f"settings are wrong for {name}", "; ".join(errors), f"its settings: {', '.join(known)}")


PROTOCOLS = _Protocols()
