"""Reads the words of ``--slurm`` and turns them into the parameters of submitit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchbench.errors import UsageError

SIGNAL_DELAY = 90
"""Seconds before the time limit at which a job is asked to save."""
RESERVED = (
    "array",
    "chdir",
    "error",
    "job_name",
    "nodes",
    "ntasks",
    "ntasks_per_node",
    "open_mode",
    "output",
    "signal",
)
"""Options of sbatch that would break what the backend relies on."""
NUMBERS = ("cpus_per_task", "cpus_per_gpu", "gpus_per_node", "gpus_per_task", "signal_delay_s")
DIRECT = {
    "partition",
    "qos",
    "mem",
    "mem_per_gpu",
    "mem_per_cpu",
    "comment",
    "constraint",
    "exclude",
    "account",
    "gres",
}
DIRECT |= {"mail_type", "mail_user", "nodelist", "dependency", "exclusive", "array_parallelism", *NUMBERS}
"""Options that submitit has a parameter for, by its name."""
SHORT = {"cpus": "cpus_per_task", "gpus": "gpus_per_node", "signal_delay": "signal_delay_s"}
TIME = re.compile(r"(?:(?P<days>\d+)-(?P<rest>\d+(?::\d+){0,2})|(?P<short>\d+(?::\d+){0,2}))")


def parameters(words: Mapping[str, str]) -> dict[str, Any]:
    """Returns the parameters of submitit for options of sbatch; ``time`` is needed.

    Names are those of sbatch without its dashes, ``cpus`` and ``gpus`` for those of a job, and ``signal-delay``.
    Options that submitit does not know are given to sbatch as they are. Errors: UsageError.
    """
    options = {SHORT.get(name := key.strip("-").replace("-", "_"), name): value for key, value in words.items()}
    for name in options:
        if name in RESERVED:
            raise UsageError(
                f"--slurm {name.replace('_', '-')} cannot be chosen", "the backend sets it itself", "leave it out"
            )
    if "time" not in options:
        raise UsageError(
            "--slurm has no time limit",
            "Slurm plans by it, and a job is asked to save before it",
            "--slurm time=8:00:00",
        )
    found: dict[str, Any] = {"time": minutes(options.pop("time")), "signal_delay_s": SIGNAL_DELAY}
    found |= {
        name: _number(name, value) if name in NUMBERS else value for name, value in options.items() if name in DIRECT
    }
    found["additional_parameters"] = {
        "requeue": True,
        **{name.replace("_", "-"): value or True for name, value in options.items() if name not in DIRECT},
    }
    if "cpus_per_task" in found:  # srun does not inherit it since Slurm 22.05
        found["srun_args"] = [f"--cpus-per-task={found['cpus_per_task']}"]
    return found


def minutes(text: str) -> int:
    """Returns the minutes of a time limit of Slurm, rounded up: ``90``, ``8:00:00``, ``1-12``. Errors: UsageError."""
    match = TIME.fullmatch(text)
    if not match:
        raise UsageError(
            f"--slurm time={text} is not a time limit",
            "Slurm writes days-hours:minutes:seconds",
            "--slurm time=8:00:00",
        )
    if match["days"]:
        hours, minute, second, *_ = *map(int, match["rest"].split(":")), 0, 0
        total = ((int(match["days"]) * 24 + hours) * 60 + minute) * 60 + second
    else:
        numbers = [int(number) for number in match["short"].split(":")]
        numbers = [0, *numbers, 0][-3:] if len(numbers) == 1 else [0, *numbers][-3:]
        total = (numbers[0] * 60 + numbers[1]) * 60 + numbers[2]
    return max(1, -(-total // 60))


def _number(name: str, value: str) -> int:
    if not value.isdecimal():
        raise UsageError(
            f"--slurm {name.replace('_', '-')}={value} is not a number",
            "it counts",
            f"--slurm {name.replace('_', '-')}=4",
        )
    return int(value)
