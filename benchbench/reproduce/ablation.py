"""Checks that the rows of a table are different trainings, and that those of an ablation differ as the table says."""

from __future__ import annotations

from collections.abc import Mapping

from benchbench.config import RunConfig
from benchbench.errors import UsageError
from benchbench.reproduce.spec import Spec

SECTIONS = {"settings": "method", "train": "train", "sampler": "sampler"}
"""The parts of a run's identity that hold settings, by the section's name in ``--set``."""


def check_rows(spec: Spec, trainings: Mapping[str, RunConfig], *, rounded: bool = False) -> None:
    """Raises UsageError where two rows are one training, or a row of an ablation differs in a setting it does not name.

    ``trainings`` are the settings by row, with one seed and the reward of one column. With ``rounded`` their numbers of
    images may differ: a user asked for so few that one row's whole rollouts are more than another's.
    """
    rows_by_digest: dict[str, str] = {}
    for row, config in trainings.items():
        twin = rows_by_digest.setdefault(config.digest, row)
        if twin != row:
            raise _wrong(spec, f"the rows {twin} and {row} are one and the same training")
    reference = trainings.get(spec.ablation.of) if spec.ablation else None
    if spec.ablation is None or reference is None:
        return
    for row, named in spec.ablation.varies.items():
        if row not in trainings:
            continue
        differing = differences(trainings[row], reference) - ({"samples"} if rounded else set())
        if not differing <= set(named):
            more = ", ".join(sorted(differing - set(named)))
            raise _wrong(spec, f"the row {row} differs from {spec.ablation.of} in {more}, which it does not name")


def differences(one: RunConfig, other: RunConfig) -> set[str]:
    """Returns the names of the settings in which two runs differ, as ``method.eta``, ``reward`` or ``samples``."""
    left, right = _flat(one), _flat(other)
    return {name for name in left.keys() | right.keys() if left.get(name) != right.get(name)}


def _flat(config: RunConfig) -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in config.identity.items():
        if name in SECTIONS:
            flat |= {f"{SECTIONS[name]}.{key}": setting for key, setting in value.items()}
        else:
            flat[name] = value
    return flat


def _wrong(spec: Spec, cause: str) -> UsageError:
    return UsageError(
        f"the table {spec.id} compares what it does not say",
        cause,
        f"correct the settings in {spec.file}"
        if spec.file
        else f"correct rows and ablation in benchbench/reproduce/{spec.id.replace(':', '-')}.yaml",
    )
