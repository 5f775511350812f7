"""The bounded pool: at most one job in flight per worker, blame for every failure, retries that end.

Failure policy:

* bad input (``ClipError``): final at once; the same input would fail the same way;
* storage trouble (``StoreError``, ``OSError``): tried again after a pause, three times; a full disk stops the run;
* a worker process that dies or hangs: the job is put on probation and tried once more, alone, in a fresh process,
  when nothing else runs; a second death is final;
* anything else (a bug, a missing file of ours): final for this job, with its traceback;
* too many failures of one kind in a row stop the run: then a model or a setting is broken, not the clips.
"""

import heapq
import logging
import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from spatialdreamer_core.errors import ClipError, ConfigError, SpatialDreamerError, StoreError
from spatialdreamer_core.store.place import FullDiskError
from tasks.jobs import Failure, Job, Outcome

log = logging.getLogger(__name__)

STORE_RETRIES = 3
FIRST_PAUSE_S = 1.0


class Executor(Protocol):
    """Where jobs run: this process, or Ray actors."""

    @property
    def slots(self) -> int:
        """How many jobs run at once."""
        ...

    @property
    def busy(self) -> int:
        """How many jobs run now."""
        ...

    def start(self, job: Job) -> None:
        """Give a job to a free slot."""
        ...

    def wait(self, timeout_s: float) -> "list[Finished]":
        """Jobs that ended since the last call; waits up to ``timeout_s`` for the first."""
        ...

    def close(self) -> None:
        """Stop every worker."""
        ...


@dataclass(frozen=True, slots=True)
class Finished:
    """One ended call: a value, the error that the job raised, or the way its process went (``lost``)."""

    job: Job
    value: object = None
    error: BaseException | None = None
    lost: str = ""
    held_s: float = 0.0


class RunStoppedError(SpatialDreamerError):
    """The run stops early, on purpose: going on would not help. What is done stays done."""

    reason = "stopped"


@dataclass(slots=True)
class FailureBudget:
    """Stops a run in which the model or the settings are broken rather than the clips.

    Attributes:
        in_a_row: Failures with the same reason, without a success between, that stop the run.
        share: Failed share that stops the run, once ``at_least`` jobs have ended.
        at_least: How many ended jobs the share needs.
    """

    in_a_row: int = 20
    share: float = 0.5
    at_least: int = 50
    _ended: int = 0
    _failed: int = 0
    _row: int = 0
    _reason: str = ""

    def record(self, failure: Failure | None) -> None:
        """Count one ended job.

        Raises:
            RunStoppedError: When the budget is spent.
        """
        self._ended += 1
        if failure is None:
            self._row = 0
            return
        self._failed += 1
        self._row = self._row + 1 if failure.reason == self._reason else 1
        self._reason = failure.reason
        if self._row >= self.in_a_row:
            raise RunStoppedError(
                f"{self._row} clips in a row failed with {failure.reason!r} (last: {failure.message}); "
                "this looks like a broken model or setting: mend it and run the same command again"
            )
        if self._ended >= self.at_least and self._failed > self.share * self._ended:
            raise RunStoppedError(
                f"{self._failed} of {self._ended} clips failed (last: {failure.message}); "
                "see `spatialdreamer quarantine ls` and run the same command again when it is mended"
            )


@dataclass(slots=True)
class Pool:
    """Runs jobs until none is left; outcomes may bring new jobs.

    Attributes:
        executor: Where jobs run.
        on_outcome: Told each outcome, in the driver; returns jobs that have become possible.
        budget: Stops a hopeless run.
        sleep: Replaced in tests.
    """

    executor: Executor
    on_outcome: Callable[[Outcome], Iterable[Job]]
    budget: FailureBudget = field(default_factory=FailureBudget)
    sleep: Callable[[float], None] = time.sleep
    _waiting: list[tuple[tuple[int, ...], int, Job]] = field(default_factory=list)
    _probation: list[Job] = field(default_factory=list)
    _attempts: dict[str, int] = field(default_factory=dict)
    _count: int = 0

    def run(self, jobs: Iterable[Job]) -> None:
        """Do the jobs and whatever their outcomes bring.

        Raises:
            RunStoppedError: When the failure budget is spent.
            StoreError: When the disk is full or storage stays away after the retries.
            ConfigError: When a worker finds that the settings cannot work.
        """
        self._add(jobs)
        while self._waiting or self._probation or self.executor.busy:
            self._start_what_fits()
            for finished in self.executor.wait(1.0):
                self._add(self._settle(finished))

    def _add(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._count += 1
            heapq.heappush(self._waiting, (job.priority, self._count, job))

    def _start_what_fits(self) -> None:
        while self._waiting and self.executor.busy < self.executor.slots:
            self._start(heapq.heappop(self._waiting)[2])
        if not self._waiting and not self.executor.busy and self._probation:
            self._start(self._probation.pop(0))  # alone: nothing else runs, so blame is certain

    def _start(self, job: Job) -> None:
        self._attempts[job.key] = self._attempts.get(job.key, 0) + 1
        self.executor.start(job)

    def _settle(self, finished: Finished) -> Iterable[Job]:
        job, attempts = finished.job, self._attempts[finished.job.key]
        if finished.lost and attempts == 1:
            log.warning("%s: its worker %s; it will be tried once more, alone", job.key, finished.lost)
            self._probation.append(job)
            return ()
        if isinstance(finished.error, FullDiskError | ConfigError):
            raise finished.error
        if isinstance(finished.error, StoreError | OSError):
            if attempts > STORE_RETRIES:
                raise finished.error
            log.warning("%s: %s; trying again", job.key, finished.error)
            self.sleep(FIRST_PAUSE_S * 2 ** (attempts - 1))
            return (job,)
        failure = _failure(finished, attempts)
        self.budget.record(failure)
        return self.on_outcome(Outcome(job, finished.value, failure, finished.held_s))


def _failure(finished: Finished, attempts: int) -> Failure | None:
    if finished.lost:
        reason = "hung" if finished.lost.startswith("hung") else "worker_died"
        message = f"{finished.job.key}: the worker {finished.lost}, twice; the clip is set aside"
        return Failure(reason, message, attempts)
    if finished.error is None:
        return None
    detail = "".join(traceback.format_exception(finished.error))[-4000:]
    if isinstance(finished.error, ClipError):
        return Failure(finished.error.reason, str(finished.error), attempts, detail)
    message = f"{finished.job.key}: {type(finished.error).__name__}: {finished.error}"
    return Failure("unexpected", message[:500], attempts, detail)
