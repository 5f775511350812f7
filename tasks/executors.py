"""Where the pool's jobs run: in this process, or in Ray actors behind a process wall."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spatialdreamer_core.errors import ConfigError
from tasks.jobs import Job, Worker
from tasks.pool import Finished

log = logging.getLogger(__name__)

WorkerFactory = Callable[[], Worker]


class InProcessExecutor:
    """Runs each job here, one after the other: for debugging and small runs; a crash takes the run with it."""

    def __init__(self, make_worker: WorkerFactory) -> None:
        self._worker = make_worker()
        self._ended: list[Finished] = []

    @property
    def slots(self) -> int:
        """Always one."""
        return 1

    @property
    def busy(self) -> int:
        """Ended jobs that have not been asked for yet."""
        return len(self._ended)

    def start(self, job: Job) -> None:
        """Do the job now."""
        begin = time.monotonic()
        try:
            value, error = self._worker.run(job.kind, job.payload), None
        except Exception as raised:
            value, error = None, raised
        self._ended.append(Finished(job, value, error, held_s=time.monotonic() - begin))

    def wait(self, timeout_s: float) -> list[Finished]:
        """What has ended; never waits."""
        ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Nothing to stop."""


@dataclass(slots=True)
class _Call:
    job: Job
    actor: Any
    begin: float


class RayExecutor:
    """One Ray actor per slot, one call in flight each; we restart actors ourselves, so that blame is exact.

    Args:
        make_worker: Builds the worker inside the actor; must be picklable.
        slots: Number of actors.
        cpus: Cores that Ray reserves per actor.
        gpus: GPU share that Ray reserves per actor.
        max_jobs: Jobs after which an actor is replaced, against slow leaks in native decoders.
    """

    def __init__(
        self, make_worker: WorkerFactory, *, slots: int, cpus: float = 1, gpus: float = 0, max_jobs: int = 500
    ) -> None:
        import ray

        class Host:
            def __init__(self, factory: WorkerFactory) -> None:
                self._factory = factory
                self._worker: Worker | None = None

            def run(self, kind: str, payload: Any) -> Any:
                if self._worker is None:  # here, not in __init__: an error of ours then arrives as itself
                    self._worker = self._factory()
                if kind:
                    return self._worker.run(kind, payload)
                try:
                    self._worker.ready()
                except Exception as error:  # the first job will tell what is wrong, with its source's name
                    log.debug("rehearsal failed: %s", error)
                return None

        self._ray = ray
        self._factory = make_worker
        self._slots = slots
        self._max_jobs = max_jobs
        self._host: Any = ray.remote(num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0)(Host)
        self._idle: list[Any] = [self._host.remote(make_worker) for _ in range(slots)]
        self._done: dict[Any, int] = {}
        self._calls: dict[Any, _Call] = {}

    @property
    def slots(self) -> int:
        """Number of actors."""
        return self._slots

    @property
    def busy(self) -> int:
        """Calls in flight."""
        return len(self._calls)

    def warm(self) -> None:
        """Wait until every worker has been built and is ready: that is start-up, not work.

        Raises:
            Exception: What building a worker raised.
        """
        for job in [Job(f"worker {number}", "", None) for number in range(self._slots)]:
            self.start(job)
        while self._calls:
            for finished in self.wait(1.0):
                if finished.error is not None:
                    raise finished.error

    def start(self, job: Job) -> None:
        """Hand the job to an idle actor."""
        actor = self._idle.pop() if self._idle else self._host.remote(self._factory)
        self._calls[actor.run.remote(job.kind, job.payload)] = _Call(job, actor, time.monotonic())

    def wait(self, timeout_s: float) -> list[Finished]:
        """Ended calls, deaths and calls over their deadline."""
        if not self._calls:
            return []
        ready, _ = self._ray.wait(list(self._calls), num_returns=1, timeout=timeout_s)
        ended = [self._collect(reference) for reference in ready]
        now = time.monotonic()
        for reference, call in list(self._calls.items()):
            if now - call.begin > call.job.deadline_s:
                del self._calls[reference]
                self._ray.kill(call.actor)
                held = now - call.begin
                lost = f"hung: no result after {held:.0f} s, limit {call.job.deadline_s:.0f} s"
                ended.append(Finished(call.job, lost=lost, held_s=held))
        return ended

    def _collect(self, reference: Any) -> Finished:
        call = self._calls.pop(reference)
        held = time.monotonic() - call.begin
        errors = self._ray.exceptions
        try:
            value = self._ray.get(reference)
        except errors.RayTaskError as error:
            self._retire_or_keep(call.actor)
            return Finished(call.job, error=error.cause or error, held_s=held)
        except (errors.RayActorError, errors.OutOfMemoryError, errors.WorkerCrashedError) as error:
            if getattr(error, "_actor_init_failed", False):  # our code cannot be loaded over there
                return Finished(call.job, error=ConfigError(f"a worker process cannot start: {error}"), held_s=held)
            memory = isinstance(error, errors.OutOfMemoryError)
            lost = "was killed for lack of memory" if memory else "process died"
            return Finished(call.job, lost=lost, held_s=held)
        self._retire_or_keep(call.actor)
        return Finished(call.job, value, held_s=held)

    def _retire_or_keep(self, actor: Any) -> None:
        self._done[actor] = self._done.get(actor, 0) + 1
        if self._done[actor] >= self._max_jobs:
            del self._done[actor]
            self._ray.kill(actor)
        else:
            self._idle.append(actor)

    def close(self) -> None:
        """Kill every actor; a job in flight loses nothing but itself."""
        for actor in [*self._idle, *(call.actor for call in self._calls.values())]:
            self._ray.kill(actor)
        self._idle.clear()
        self._calls.clear()
