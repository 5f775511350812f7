"""The steps of a conversion run, without Prefect: the flow and the plain command take the same ones."""

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from uuid import uuid4

from flows.config import RunConfig
from infra.ray_session import ray_session
from spatialdreamer_core import geometry
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.report.page import write_report
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.manifest import compact, read_fragment, table_bytes
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.video.media import list_sources
from tasks.convert_library import FRAGMENTS, ConvertLibrary, LibraryReport, Progress
from tasks.convert_worker import ConvertWorker
from tasks.executors import InProcessExecutor, RayExecutor
from tasks.pool import Executor
from tasks.stems import output_stems

log = logging.getLogger(__name__)

MANIFEST = "manifest.parquet"
REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A run about to start.

    Attributes:
        config: Its settings.
        run_id: Its name: time and a few random digits.
        stems: Output path without suffix for every source found.
        started: ``time.monotonic()`` when it began.
    """

    config: RunConfig
    run_id: str
    stems: dict[str, str]
    started: float


def prepare(config: RunConfig) -> Prepared:
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
    return Prepared(config, run_id, output_stems(config.sources, uris), started)


def convert_sources(run: Prepared, on_progress: Callable[[Progress], None]) -> LibraryReport:
    """Convert every source that is not done yet; rows and files appear as they are made."""
    config, place = run.config, Place(run.config.output)
    place.sweep_scratch()
    if not config.resume:
        place.remove_folder(".spatialdreamer/work")
    library = ConvertLibrary(config.convert, place, run.stems, run.run_id, on_progress)
    if kernels_are_new():
        note = "first run: the kernels are being compiled, which takes about a minute and is kept for later runs"
        on_progress(Progress(len(run.stems), message=note))
    with workers(config, run.run_id) as executor:
        return library.run(executor, started=run.started)


def kernels_are_new() -> bool:
    """Tell whether numba has to compile first: no compiled kernel lies beside the code, though it could."""
    folder = Path(geometry.__file__).parent
    return os.access(folder, os.W_OK) and not any(folder.glob("__pycache__/*.nbi"))


@contextmanager
def workers(config: RunConfig, run_id: str) -> Iterator[Executor]:
    """The processes that do the work."""
    device = "cuda" if config.gpus else "cpu"
    make_worker = partial(ConvertWorker, config.convert, config.output, run_id, device)
    if config.executor == "in-process":
        yield InProcessExecutor(make_worker)
        return
    slots = config.workers or config.gpus or len(os.sched_getaffinity(0))
    with ray_session(config.ray_address, cpus=max(slots, 1), gpus=config.gpus):
        executor = RayExecutor(make_worker, slots=slots, gpus=config.gpus / slots if config.gpus else 0)
        try:
            executor.warm()
            yield executor
        finally:
            executor.close()


def publish_manifest(output: str) -> int:
    """Compact the fragments of all runs into one file; gives its number of rows."""
    place = Place(output)
    fragments = [(key, place.read(key)) for key in place.keys(FRAGMENTS)]
    table = compact([read_fragment(data, key) for key, data in fragments if data is not None])
    place.publish(MANIFEST, table_bytes(table))
    return int(table.num_rows)


def publish_report(output: str) -> None:
    """Write the page to look at, from the manifest alone."""
    place = Place(output)
    data = place.read(MANIFEST)
    assert data is not None, "the manifest is published before the page"
    table = read_fragment(data, MANIFEST)
    with place.scratch(".html") as path:
        write_report(table, lambda row: place.read(row["sheet"]) if row.get("sheet") else None, path)
        place.publish_file(path, REPORT)


def record_run(run: Prepared, report: LibraryReport) -> None:
    """Keep the run's settings and figures with the output."""
    record = {"settings": json.loads(run.config.model_dump_json()), "report": asdict(report) | {"fps": report.fps}}
    Place(run.config.output).publish(f".spatialdreamer/runs/{run.run_id}.json", canonical_json(record))


def run_convert(config: RunConfig, on_progress: Callable[[Progress], None]) -> LibraryReport:
    """Do a whole run without Prefect. The manifest and the page are written even if it stops early."""
    run = prepare(config)
    with exclusive_run(Place(config.output)):
        try:
            report = convert_sources(run, on_progress)
        finally:
            publish_manifest(config.output)
            publish_report(config.output)
        record_run(run, report)
    return report
