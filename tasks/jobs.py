"""What the pool handles: a job goes in, an outcome comes out; both are plain data."""

from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Job:
    """One unit of work: what one worker takes, what is retried, what a crash costs.

    Attributes:
        key: Unique name within a run, for logs and blame.
        kind: Which method of the worker: ``worker.run(kind, payload)``.
        payload: Argument; plain picklable data, never frames.
        priority: Smaller goes first.
        deadline_s: Wall time after which the worker counts as hung.
    """

    key: str
    kind: str
    payload: Any
    priority: tuple[int, ...] = (0,)
    deadline_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job did not end well.

    Attributes:
        reason: Code for the manifest: the error class's ``reason``, or ``worker_died``, ``hung``, ``unexpected``.
        message: One sentence.
        attempts: How often it was tried.
        detail: Traceback or exit note, for the quarantine record.
    """

    reason: str
    message: str
    attempts: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended: ``failure`` is None and ``value`` is what the worker returned, or the other way round."""

    job: Job
    value: Any = None
    failure: Failure | None = None
    held_s: float = field(default=0.0, compare=False)


class Worker(Protocol):
    """What runs in a worker process: built once, then asked for one job at a time."""

    def ready(self) -> None:
        """Load or compile now what the first job would have to: that is start-up, not work; may fail."""
        ...

    def run(self, kind: str, payload: Any) -> Any:
        """Do one job and return plain data; raise ``ClipError`` for bad input."""
        ...
