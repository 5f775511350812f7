"""The steps of a make-pairs run, without Prefect: the flow and the plain command take the same ones."""

from collections.abc import Callable
from functools import partial

from flows.config import PairsRunConfig
from flows.report import publish_report
from flows.session import COMPILING, Prepared, device, kernels_are_new, prepare, record_run, workers
from spatialdreamer_core.pairs.compaction import publish_pairs
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import Place
from tasks.pairs_library import PairsLibrary, PairsReport
from tasks.pairs_worker import PairsWorker
from tasks.progress import Progress


def make_all(run: Prepared[PairsRunConfig], on_progress: Callable[[Progress], None]) -> PairsReport:
    """Make every pair that is not made yet; shards appear as they are packed."""
    config, place = run.config, Place(run.config.output)
    place.sweep_scratch()
    library = PairsLibrary(
        config.pairs, place, run.uris, run.run_id, config.shard_mb * 1e6, on_progress, resume=config.resume
    )
    if kernels_are_new():
        on_progress(Progress(len(run.uris), message=COMPILING))
    make_worker = partial(PairsWorker, config.pairs, config.output, run.run_id, device(config))
    with workers(config, make_worker) as executor:
        return library.run(executor, started=run.started)


def publish_manifest(output: str) -> int:
    """Compact plans, rows and failures into one file; gives its number of rows, 0 where there is nothing to write."""
    return publish_pairs(Place(output))


def run_pairs(config: PairsRunConfig, on_progress: Callable[[Progress], None]) -> PairsReport:
    """Do a whole run without Prefect. The manifest and the page of what was done are written even if it stops early."""
    run = prepare(config)
    with exclusive_run(Place(config.output)):
        try:
            report = make_all(run, on_progress)
        finally:
            if publish_manifest(config.output):
                publish_report(config.output)
        record_run(run, report)
    return report
