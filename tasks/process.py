"""What a worker process sets for itself before it works."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
KEPT_BYTES = 1 << 28


def keep_freed_memory() -> None:
    """Let the allocator reuse freed pictures instead of giving them back to the system.

    Every frame needs the same dozen arrays of some megabytes. By default glibc maps and unmaps each of them, and the
    system clears their pages every time. Elsewhere than on glibc nothing happens.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, KEPT_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
