"""The steps of a conversion run, without Prefect: the flow and the plain command take the same ones."""

import logging
from collections.abc import Callable
from functools import partial

from flows.config import RunConfig
from flows.session import COMPILING, Prepared, device, kernels_are_new, prepare, record_run, workers
from spatialdreamer_core.report.page import write_report
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.manifest import compact, read_fragment, table_bytes
from spatialdreamer_core.store.place import Place
from tasks.convert_library import FRAGMENTS, ConvertLibrary, LibraryReport
from tasks.convert_worker import ConvertWorker
from tasks.progress import Progress
from tasks.stems import output_stems

log = logging.getLogger(__name__)

MANIFEST = "manifest.parquet"
REPORT = "report.html"


def convert_sources(run: Prepared[RunConfig], on_progress: Callable[[Progress], None]) -> LibraryReport:
    """Convert every source that is not done yet; rows and files appear as they are made."""
    config, place = run.config, Place(run.config.output)
    place.sweep_scratch()
    if not config.resume:
        place.remove_folder(".spatialdreamer/work")
    stems = output_stems(config.sources, run.uris)
    library = ConvertLibrary(config.convert, place, stems, run.run_id, on_progress)
    if kernels_are_new():
        on_progress(Progress(len(run.uris), message=COMPILING))
    make_worker = partial(ConvertWorker, config.convert, config.output, run.run_id, device(config))
    with workers(config, make_worker) as executor:
        return library.run(executor, started=run.started)


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
