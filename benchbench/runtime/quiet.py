"""Keeps the progress bars and warnings of other libraries out of our output: our own lines and errors say the same."""

from __future__ import annotations

import sys
from importlib import import_module


def silence_libraries() -> None:
    """Switches off the bars and warnings of diffusers and transformers, where they are imported already."""
    for library in ("diffusers", "transformers"):
        if library in sys.modules:
            log = import_module(f"{library}.utils.logging")
            log.disable_progress_bar()
            log.set_verbosity_error()
