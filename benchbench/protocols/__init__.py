"""The protocols of the papers, found by name: each measures something and makes a table of it. One file per protocol.

    frame = PROTOCOLS["jensen-gap"].measure("shapes", None, prompts, "shapes-colour", settings, store=store)
    table = PROTOCOLS["jensen-gap"].table({"base": frame}, settings)

Tables of mean rewards are made by ``benchbench.evaluate``. Importing this package imports no torch; looking a protocol
up may.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from benchbench import registry

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


PROTOCOLS = _Protocols()
