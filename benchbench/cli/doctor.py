"""``bench doctor``."""

from __future__ import annotations

from typing import Annotated

import typer

from benchbench.cli import doctor_checks
from benchbench.cli.options import Store
from benchbench.cli.ui import log, table
from benchbench.store import root

Memory = Annotated[
    bool, typer.Option("--memory", help="Also count the memory that training sd15 takes; this takes minutes.")
]


def doctor(store: Store = None, memory: Memory = False) -> None:
    """Check this machine. Prints versions, device, disk, caches, missing files and plug-ins that do not load."""
    log("checking this machine; nothing is changed")
    table(["what", "state"], doctor_checks.machine(root(store)))
    log("")
    table(["model, checkpoint, reward or prompts", "state"], doctor_checks.assets())
    log("")
    _print_plugins()
    if doctor_checks.broken_torch():
        return
    if memory:
        log("\ncounting the memory that training sd15 takes, on " + doctor_checks.card_names())
        table(doctor_checks.MEMORY, doctor_checks.memory())
    else:
        log("\nthe memory that training sd15 takes: bench doctor --memory, which counts for minutes")
    log("for other methods, models and settings: bench train --method METHOD --model MODEL --dry-run")


def _print_plugins() -> None:
    broken, unused = doctor_checks.plugins(), doctor_checks.unused_plugins()
    for kind, name, error in broken:
        log(f"the {kind} {name!r} does not load: {error}")
    for kind, name, plugin in unused:
        log(f"the {kind} {name!r} of {plugin} is not used: benchbench has a {kind} of this name itself")
    if not broken and not unused:
        log("every method, reward and prompt set loads")
