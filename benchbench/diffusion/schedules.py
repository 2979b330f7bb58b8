"""Makes the schedule of a model from its scheduler's config and the settings of a sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchbench.diffusion import flow_schedule
from benchbench.diffusion.diffusion_schedule import DiffusionSchedule
from benchbench.diffusion.flow_schedule import FlowSchedule
from benchbench.diffusion.schedule import Schedule
from benchbench.errors import UsageError

OF_DIFFUSION = ("eta",)
OF_FLOW = ("dynamics", "noise_level", "grid", "shift", "draw_time")


def make_schedule(config: Mapping[str, Any], steps: int, **sampler: Any) -> Schedule:
    """Returns the FlowSchedule of a flow-matching model's scheduler config, or the DiffusionSchedule of any other.

    Raises UsageError for settings of the other kind, and for a scheduler that neither supports.
    """
    flow = config.get("_class_name") == flow_schedule.SCHEDULER
    kind, other = ("flow matching", "diffusion") if flow else ("diffusion", "flow matching")
    wrong = [name for name in sampler if name not in (OF_FLOW if flow else OF_DIFFUSION)]
    if wrong:
        raise UsageError(
            f"this model's sampler has no {', '.join(wrong)}",
            f"it is a {kind} model, and these are settings of {other}",
            "leave them out, or use trainings of this model",
        )
    return (FlowSchedule if flow else DiffusionSchedule).from_config(config, steps, **sampler)
