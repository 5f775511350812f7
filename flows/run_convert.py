"""The steps of a conversion run, without Prefect: the flow and the plain command take the same ones."""

from collections.abc import Callable
from functools import partial

from flows.config import RunConfig
from flows.report import publish_manifest, publish_report
from flows.session import COMPILING, Prepared, device, kernels_are_new, prepare, record_run, workers
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import Place
from tasks.convert_library import ConvertLibrary, LibraryReport
from tasks.convert_worker import ConvertWorker
from tasks.progress import Progress
from tasks.stems import output_stems


def convert_sources(run: Prepared[RunConfig], on_progress: Callable[[Progress], None]) -> LibraryReport:
    """Convert every source that is not done yet; rows and files appear as they are made."""
    config, place = run.config, Place(run.config.output)
    place.sweep_scratch()
    if not config.resume:
        place.remove_folder(".spatialdreamer/work")
    stems = output_stems(config.sources, run.uris)
    library = ConvertLibrary(config.convert, place, stems, run.run_id, on_progress, config.gate)
    if kernels_are_new():
        on_progress(Progress(len(run.uris), message=COMPILING))
    make_worker = partial(ConvertWorker, config.convert, config.output, run.run_id, device(config))
    with workers(config, make_worker) as executor:
        return library.run(executor, started=run.started)


def run_convert(config: RunConfig, on_progress: Callable[[Progress], None]) -> LibraryReport:
    """Do a whole run without Prefect. The manifest and the page of what was done are written even if it stops early."""
    run = prepare(config)
    with exclusive_run(Place(config.output)):
        try:
            report = convert_sources(run, on_progress)
        finally:
            if publish_manifest(config.output):
                publish_report(config.output)
        record_run(run, report)
    return report
