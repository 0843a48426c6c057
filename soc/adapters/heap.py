"""The C library's heap of a process that runs the pipeline."""

from __future__ import annotations

import ctypes
import os

GIVEN_BACK_FROM = 131_072
"""Bytes: what glibc begins with. Smaller blocks are too many for each to be asked of the system."""
_M_MMAP_THRESHOLD = -3


def give_large_blocks_back() -> bool:
    """Let large blocks go back to the system as soon as they are freed; False where the C library cannot, or the environment says how it is to be.

    glibc goes over to keeping blocks of the size of the largest one freed so far (up to 32 MiB). Batches then leave their largest
    texts as holes between what stays, a tenth of the pipeline's memory, and ever more of them. Cost: 1 to 2 µs of CPU a line, for pages that are taken anew.
    Source: mallopt(3), M_MMAP_THRESHOLD.
    """
    if "MALLOC_MMAP_THRESHOLD_" in os.environ or "malloc.mmap_threshold" in os.environ.get("GLIBC_TUNABLES", ""):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # another C library
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, GIVEN_BACK_FROM))
