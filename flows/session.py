"""What every run of the engine begins and ends with: sources, output, worker processes, the record of the run."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic
from uuid import uuid4

import pyarrow as pa

from flows.config import Config, EngineConfig
from infra.ray_session import ray_session
from spatialdreamer_core import geometry
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.video.media import list_sources
from tasks.executors import InProcessExecutor, RayExecutor
from tasks.jobs import Worker
from tasks.pool import Executor

COMPILING = "first run: the kernels are being compiled, which takes about a minute and is kept for later runs"


@dataclass(frozen=True, slots=True)
class Prepared(Generic[Config]):
    """A run about to start.

    Attributes:
        config: Its settings.
        run_id: Its name: time and a few random digits.
        uris: Every source found.
        started: ``time.monotonic()`` when it began.
    """

    config: Config
    run_id: str
    uris: tuple[str, ...]
    started: float


def prepare(config: Config) -> Prepared[Config]:
    """List the sources and prove that the output can be written.

    Raises:
        ConfigError: If there is no source.
        StoreError: If the output cannot be written.
    """
    started = time.monotonic()
    uris = list_sources(config.sources, config.include, config.exclude)
    if Path(config.output).absolute() in {Path(source).absolute() for source in config.sources}:
        raise ConfigError(f"output {config.output} is a source folder itself; give a folder of its own for the results")
    Place(config.output).prepare()
    run_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}"
    return Prepared(config, run_id, tuple(uris), started)


def device(config: EngineConfig) -> str:
    """Where networks run."""
    return "cuda" if config.gpus else "cpu"


def kernels_are_new() -> bool:
    """Tell whether numba has to compile first: no compiled kernel lies beside the code, though it could."""
    folder = Path(geometry.__file__).parent
    return os.access(folder, os.W_OK) and not any(folder.glob("__pycache__/*.nbi"))


@contextmanager
def workers(config: EngineConfig, make_worker: Callable[[], Worker]) -> Iterator[Executor]:
    """The processes that do the work.

    Args:
        config: How many, and where.
        make_worker: Builds a worker inside its process; must be picklable.
    """
    if config.executor == "in-process":
        yield InProcessExecutor(make_worker)
        return
    slots = config.workers or config.gpus or len(os.sched_getaffinity(0))
    with ray_session(config.ray_address, cpus=max(slots, 1), gpus=config.gpus):
        executor = RayExecutor(make_worker, slots=slots, gpus=config.gpus / slots if config.gpus else 0)
        try:
            pa.array([0])  # imports pandas where it is installed: 0.3 s, better now than between two jobs
            executor.warm()
            yield executor
        finally:
            executor.close()


def record_run(run: Prepared[Any], report: Any) -> None:
    """Keep the run's settings and figures (a dataclass with ``fps``) with the output."""
    record = {"settings": json.loads(run.config.model_dump_json()), "report": asdict(report) | {"fps": report.fps}}
    key, data = f".spatialdreamer/runs/{run.run_id}.json", canonical_json(record)
    patiently(lambda: Place(run.config.output).publish(key, data))
