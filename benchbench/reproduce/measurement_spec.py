"""From a planned measurement to all that its process has to know."""

from __future__ import annotations

from benchbench import registry
from benchbench.reproduce.measurement_job import IMAGE_PROTOCOLS, MeasurementSpec
from benchbench.reproduce.plan import Plan, PlannedMeasurement


def measurement_spec(
    plan: Plan, like: PlannedMeasurement, rows: dict[str, list[str]], rewards: list[str]
) -> MeasurementSpec:
    """Returns rows on one prompt set under the table's protocol; images are always scored by the gold reward too."""
    protocol, gold = plan.spec.protocol, plan.track.gold
    cost_settings: dict[str, str | None] = {}
    if protocol == "cost":
        method = plan.spec.rows[like.row].method or ""
        cost_settings = {"method": method}
        if registry.get("methods", method).data == "offline":
            cost_settings["pairs"] = plan.track.pairs
    with_gold = gold and protocol in IMAGE_PROTOCOLS and gold not in rewards
    return MeasurementSpec(
        protocol=protocol,
        model=plan.track.model,
        rows=rows,
        prompts=like.prompts,
        images=like.block.images,
        rewards=[*rewards, gold] if gold and with_gold else rewards,
        sampler=plan.track.sampler,
        settings={**plan.track.settings, **cost_settings},
        quick=plan.quick,
        dtype=plan.dtype,
    )
