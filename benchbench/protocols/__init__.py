"""What is measured, and how it becomes a table: one file a protocol, each frozen and named by a digest.

``reward_table`` makes tables of score rows. The others measure something of their own; they are found by name:

    frame = PROTOCOLS["jensen-gap"].measure("shapes", None, prompts, "shapes-colour", settings, store=store)
    table = PROTOCOLS["jensen-gap"].table({"base": frame}, settings)

Imports no torch until a protocol is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from benchbench import registry

if TYPE_CHECKING:
    from benchbench.protocols.measurement import Measurement

WHERE = {
    "win-rate": "win_rate:WinRate",
    "jensen-gap": "jensen_gap:JensenGap",
    "guidance-ratio": "guidance_ratio:GuidanceRatio",
    "preference-order": "preference_order:PreferenceOrder",
    "gradient-direction": "gradient_direction:GradientDirection",
    "cost": "cost:TrainingCost",
    "reward-hacking": "reward_hacking:RewardHacking",
}


class _Protocols(Mapping[str, "Measurement[Any]"]):
    """Measurements by name, imported when asked for."""

    def __getitem__(self, name: str) -> Measurement[Any]:
        if name not in WHERE:
            raise registry.unknown("protocol", name, WHERE, "`bench measure --help` lists every name")
        module, _, cls = WHERE[name].partition(":")
        made: Measurement[Any] = getattr(importlib.import_module(f"benchbench.protocols.{module}"), cls)()
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(WHERE)

    def __len__(self) -> int:
        return len(WHERE)


PROTOCOLS = _Protocols()
