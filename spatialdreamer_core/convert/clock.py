"""Where the time of one clip goes, by stage."""

import os
import resource
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any


class StageClock:
    """Adds up seconds per stage; stages do not nest."""

    def __init__(self) -> None:
        self._begin, self._started = time.monotonic(), datetime.now(UTC)
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside the block to a stage."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begin

    @property
    def total_s(self) -> float:
        """Seconds since the clock was made."""
        return time.monotonic() - self._begin

    def cost_row(self, stages: Sequence[str], frames: int) -> dict[str, Any]:
        """The columns of a manifest row that say what it took, until now.

        Args:
            stages: Those that have a column.
            frames: Frames of the clip.
        """
        total = self.total_s
        # ru_maxrss is the worker's peak so far, in KiB on Linux and bytes on macOS
        unit = 1 if sys.platform == "darwin" else 1024
        return {f"{stage}_s": self.seconds.get(stage, 0.0) for stage in stages} | {
            "total_s": total,
            "fps": frames / total,
            "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20,
            "worker": f"{socket.gethostname()}:{os.getpid()}",
            "host": socket.gethostname(),
            "started_at": self._started.isoformat(),
            "ended_at": datetime.now(UTC).isoformat(),
        }
