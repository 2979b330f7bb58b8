"""From a planned measurement to the MeasurementSpec that its process reads."""

from __future__ import annotations

from typing import Any

from benchbench import registry
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS, MeasurementSpec
from benchbench.reproduce.plan import Plan, PlannedMeasurement
from benchbench.samplers import default_sampler


def measurement_spec(
    plan: Plan, measurement: PlannedMeasurement, rows: dict[str, list[str]], rewards: list[str]
) -> MeasurementSpec:
    """Returns the spec of rows and rewards on a measurement's prompt set; the gold reward scores images too."""
    protocol, gold = plan.spec.protocol, plan.track.gold
    cost_settings: dict[str, str | None] = {}
    if protocol == "cost":
        method = plan.spec.rows[measurement.row].method or ""
        cost_settings = {"method": method}
        if registry.get("methods", method).data == "offline":
            cost_settings["pairs"] = plan.track.pairs
    with_gold = gold and protocol in IMAGE_PROTOCOLS and gold not in rewards
    return MeasurementSpec(
        protocol=protocol,
        model=plan.track.model,
        rows=rows,
        prompts=measurement.prompts,
        images=measurement.images_per_prompt,
        rewards=[*rewards, gold] if gold and with_gold else rewards,
        sampler=plan.track.sampler or _of_trainings(plan),
        settings={**plan.track.settings, **cost_settings},
        quick=plan.quick,
        dtype=plan.dtype,
    )


def _of_trainings(plan: Plan) -> dict[str, Any] | None:
    """Returns the sampler of all trainings where it is not the default: the base model is sampled alike."""
    used = [training.config.sampler.evaluation for training in plan.trainings]
    if not used or any(sampler != used[0] for sampler in used) or used[0] == default_sampler(plan.track.model):
        return None
    return used[0].model_dump(mode="json")
