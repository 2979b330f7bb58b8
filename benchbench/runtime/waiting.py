"""Threads that wait for each other on a CPU give their core back soon: several commands share a machine."""

from __future__ import annotations

import os

SPINS = "10000"
"""About a tenth of a millisecond, longer than a layer's threads wait for each other on cores of their own."""


def wait_briefly() -> None:
    """Limits how long a waiting thread of OpenMP stays on its core, unless the user has said it.

    GNU's OpenMP spins for milliseconds before it sleeps. Where two commands have as many threads each as there are
    cores, these spins take the cores from the threads that are waited for. Must run before torch is imported.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
