"""The Prefect flow ``make_pairs``: a few task runs, throttled progress, a summary artifact. Storage holds the truth."""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows import run_pairs
from flows.artifacts import Listener, artifact_progress
from flows.config import PairsRunConfig
from flows.report import publish_report
from flows.session import Prepared, prepare, record_run
from spatialdreamer_core.pairs.naming import MANIFEST
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import Place
from tasks.pairs_library import PairsReport


@task(cache_policy=NO_CACHE, name="make-pairs-of-sources")
def make_all(run: Prepared[PairsRunConfig], listener: Listener | None) -> PairsReport:
    """The whole wave in one task run: the pool inside it has its own retries and blame."""
    return run_pairs.make_all(run, artifact_progress(listener, "make-pairs-progress"))


@task(cache_policy=NO_CACHE, name="publish-pairs-manifest", retries=2, retry_delay_seconds=5)
def publish_manifest(output: str) -> int:
    """Compact the rows; safe to repeat."""
    return run_pairs.publish_manifest(output)


@task(cache_policy=NO_CACHE, name="publish-pairs-report", retries=2, retry_delay_seconds=5)
def write_page(output: str) -> None:
    """Write the page; safe to repeat."""
    publish_report(output)


@flow(name="make_pairs", validate_parameters=False)
def make_pairs(config: PairsRunConfig, listener: Listener | None = None) -> PairsReport:
    """Make training pairs of a corpus. Failed clips do not fail the flow: they are in its report and manifest.

    Args:
        config: What to make them of and how; a dict of the same shape when started from a deployment.
        listener: Told of progress when called from the command line.
    """
    config = PairsRunConfig.model_validate(config)
    run = prepare(config)
    logger = get_run_logger()
    logger.info("run %s: %d sources to %s", run.run_id, len(run.uris), config.output)
    with exclusive_run(Place(config.output)):
        try:
            report = make_all(run, listener)
        finally:
            rows = publish_manifest(config.output)
            if rows:
                write_page(config.output)
        record_run(run, report)
    create_markdown_artifact(summary(report, config.output, rows), key="make-pairs-summary")
    return report


def summary(report: PairsReport, output: str, rows: int) -> str:
    """The run in a few lines of Markdown."""
    return (
        f"# Run {report.run_id}\n\n| | |\n|---|---|\n"
        f"| sources, failed | {report.files}, {report.files_failed} |\n"
        f"| clips done / filtered / failed | {report.clips_done} / {report.clips_filtered} / {report.clips_failed} |\n"
        f"| shards | {report.shards} below `{output}/shards/{report.work_key}` |\n"
        f"| frames made | {report.frames_made} at {report.fps:.1f} frames/s |\n"
        f"| start-up, looking, work | {report.start_s:.1f} s, {report.look_s:.1f} s, {report.work_s:.1f} s |\n"
        f"| manifest | `{output}/{MANIFEST}`, {rows} rows |\n"
    )
