"""Keeps the memory of freed CPU tensors in the process for the next ones."""

from __future__ import annotations

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # parameters of mallopt(3)
LARGEST_HEAP_BLOCK = 32 * 2**20  # bytes; larger blocks are few
MAX_FREE = 512 * 2**20  # free bytes at the end of the heap, above which glibc returns them to the system


def keep_freed_memory() -> bool:
    """Makes glibc keep freed blocks; returns False where the C library is another one.

    By default glibc returns each activation of some megabytes to the system and asks for it again at the next layer,
    and the system clears it page by page.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # macOS, musl; Windows
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST_HEAP_BLOCK)) and bool(mallopt(TRIM_THRESHOLD, MAX_FREE))
