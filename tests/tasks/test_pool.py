import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from ray import cloudpickle

from spatialdreamer_core.errors import ClipError, ConfigError, StoreError
from tasks.executors import InProcessExecutor, RayExecutor
from tasks.jobs import Job, Outcome
from tasks.pool import FailureBudget, Pool, RunStoppedError

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's processes cannot import a test file


class Arithmetic:
    """A worker of integers: 13 is bad input, 66 kills the process, 77 hangs, 88 is a bug."""

    def __init__(self) -> None:
        self._flaky = 2

    def run(self, kind: str, payload: Any) -> Any:
        if payload == 13:
            raise ClipError("13: unlucky; use another number")
        if payload == 66:
            os._exit(1)
        if payload == 77:
            time.sleep(600)
        if payload == 88:
            return 1 // 0
        if payload == 99 and self._flaky:
            self._flaky -= 1
            raise StoreError("99: the store is away")
        return payload * 2 if kind == "double" else payload + 1


def jobs(*numbers: int, kind: str = "double", deadline_s: float = 60.0) -> list[Job]:
    return [Job(f"{kind}-{n}", kind, n, deadline_s=deadline_s) for n in numbers]


def collect(executor: Any, first: list[Job], **settings: Any) -> dict[str, Outcome]:
    outcomes: dict[str, Outcome] = {}

    def on_outcome(outcome: Outcome) -> Iterable[Job]:
        assert outcome.job.key not in outcomes, "each job ends once"
        outcomes[outcome.job.key] = outcome
        return ()

    Pool(executor, on_outcome, sleep=lambda _: None, **settings).run(first)
    return outcomes


def test_every_job_ends_once_and_bad_input_carries_its_reason() -> None:
    ended = collect(InProcessExecutor(Arithmetic), jobs(1, 13, 3, 88))
    assert ended["double-3"].value == 6
    assert ended["double-13"].failure is not None
    assert ended["double-13"].failure.reason == "bad_clip"
    assert "use another number" in ended["double-13"].failure.message
    assert ended["double-88"].failure is not None
    assert ended["double-88"].failure.reason == "unexpected"
    assert "ZeroDivisionError" in ended["double-88"].failure.detail


def test_an_outcome_may_bring_new_jobs_and_the_smaller_priority_goes_first() -> None:
    order: list[str] = []

    def on_outcome(outcome: Outcome) -> Iterator[Job]:
        order.append(outcome.job.key)
        if outcome.job.kind == "plan":
            yield Job("late", "double", 1, priority=(2,))
            yield Job("soon", "double", 1, priority=(1,))

    Pool(InProcessExecutor(Arithmetic), on_outcome).run(jobs(1, kind="plan"))
    assert order == ["plan-1", "soon", "late"]


def test_storage_trouble_is_tried_again() -> None:
    assert collect(InProcessExecutor(Arithmetic), jobs(99))["double-99"].value == 198


def test_a_row_of_equal_failures_stops_the_run() -> None:
    same = [Job(f"clip-{n}", "double", 13) for n in range(10)]
    with pytest.raises(RunStoppedError, match="5 clips in a row failed with 'bad_clip'"):
        collect(InProcessExecutor(Arithmetic), same, budget=FailureBudget(in_a_row=5))


def test_a_large_share_of_failures_stops_the_run() -> None:
    mixed = [Job(f"clip-{n}", "double", 13 if n % 4 else 1) for n in range(40)]
    with pytest.raises(RunStoppedError, match="of 20 clips failed"):
        collect(InProcessExecutor(Arithmetic), mixed, budget=FailureBudget(at_least=20))


@pytest.mark.ray
def test_a_killer_and_a_hanging_clip_are_tried_again_alone_then_set_aside(ray_session: None) -> None:
    executor = RayExecutor(Arithmetic, slots=2, cpus=0.5)
    ended = collect(executor, [*jobs(1, 2, 66, 3, 13, 4), *jobs(77, deadline_s=3), *jobs(5, 6)])
    executor.close()
    assert [ended[f"double-{n}"].value for n in (1, 2, 3, 4, 5, 6)] == [2, 4, 6, 8, 10, 12]
    killer, hung, bad = (ended[f"double-{n}"].failure for n in (66, 77, 13))
    assert killer is not None
    assert (killer.reason, killer.attempts) == ("worker_died", 2)
    assert hung is not None
    assert (hung.reason, hung.attempts) == ("hung", 2)
    assert bad is not None
    assert (bad.reason, bad.attempts) == ("bad_clip", 1)


class CannotStart:
    def __init__(self) -> None:
        raise ConfigError("depth 'nothing' is unknown; choose cues")

    def run(self, kind: str, payload: Any) -> Any:
        raise AssertionError("never built")


@pytest.mark.ray
def test_a_worker_that_cannot_be_built_stops_the_run_with_its_own_words(ray_session: None) -> None:
    executor = RayExecutor(CannotStart, slots=1, cpus=0.5)
    with pytest.raises(ConfigError, match="depth 'nothing' is unknown"):
        collect(executor, jobs(1))
    executor.close()


@pytest.mark.ray
def test_actors_are_replaced_after_their_share_of_jobs(ray_session: None) -> None:
    executor = RayExecutor(Arithmetic, slots=1, cpus=0.5, max_jobs=2)
    assert len(collect(executor, jobs(*range(5)))) == 5
    executor.close()
