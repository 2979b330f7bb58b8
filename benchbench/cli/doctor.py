"""``bench doctor``."""

from __future__ import annotations

from benchbench.cli.options import Store
from benchbench.cli.ui import log, table


def doctor(store: Store = None) -> None:
    """Check this machine: versions, device, disk, caches, what is missing, and plug-ins that do not load."""
    from benchbench.cli import doctor_checks
    from benchbench.store import root

    log("checking this machine; nothing is changed")
    table(["what", "state"], doctor_checks.machine(root(store)))
    log("")
    table(["model, checkpoint, reward or prompts", "state"], doctor_checks.assets())
    problems = doctor_checks.plugins()
    log("")
    for kind, name, error in problems:
        log(f"the {kind} plug-in {name!r} does not load: {error}")
    unused = doctor_checks.unused_plugins()
    for kind, name, plugin in unused:
        log(f"the {kind} {name!r} of {plugin} is not used: the name belongs to one of benchbench's own")
    if not problems and not unused:
        log("every plug-in loads")
    if doctor_checks.broken_torch():
        return
    log("\ncounting the memory that training sd15 takes, on " + doctor_checks.where())
    table(doctor_checks.MEMORY, doctor_checks.memory())
    log("for other methods, models and settings: bench train --method METHOD --model MODEL --dry-run")
