"""Where the time of one segment goes, by stage."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Adds up seconds per stage; stages do not nest."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
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
