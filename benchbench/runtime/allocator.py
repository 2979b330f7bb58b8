"""Keeps the memory that tensors on the CPU have freed, for the next ones."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # names of mallopt(3)
LARGEST = 32 * 2**20  # that glibc takes from the heap; larger blocks are few
KEPT = 512 * 2**20  # free at the heap's end before any of it goes back


def keep_freed_memory() -> bool:
    """Tells glibc to hold on to freed blocks; False where the C library is another one.

    A network's activations come and go by the megabyte. By default each is given back to the system and asked for
    again, and the system clears it page by page, at every layer.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST)) and bool(mallopt(TRIM_THRESHOLD, KEPT))
