"""The Prefect flow ``convert``: a few task runs, throttled progress, a summary artifact. Storage holds the truth."""

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.artifacts import Listener, artifact_progress
from flows.config import RunConfig
from flows.report import MANIFEST, REPORT, publish_manifest, publish_report
from flows.run_convert import convert_sources as convert_all
from flows.session import Prepared, prepare, record_run
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.place import Place
from tasks.convert_library import LibraryReport


@task(cache_policy=NO_CACHE, name="convert-sources")
def convert_sources(run: Prepared[RunConfig], listener: Listener | None) -> LibraryReport:
    """The whole wave in one task run: the pool inside it has its own retries and blame."""
    return convert_all(run, artifact_progress(listener, "convert-progress"))


@task(cache_policy=NO_CACHE, name="publish-manifest", retries=2, retry_delay_seconds=5)
def compact_manifest(output: str) -> int:
    """Compact the fragments; safe to repeat."""
    return publish_manifest(output)


@task(cache_policy=NO_CACHE, name="publish-report", retries=2, retry_delay_seconds=5)
def write_page(output: str) -> None:
    """Write the page; safe to repeat."""
    publish_report(output)


@flow(name="convert", validate_parameters=False)
def convert(config: RunConfig, listener: Listener | None = None) -> LibraryReport:
    """Convert a library to stereo. Failed clips do not fail the flow: they are in its report, summary and manifest.

    Args:
        config: What to convert and how; a dict of the same shape when started from a deployment.
        listener: Told of progress when called from the command line.
    """
    config = RunConfig.model_validate(config)
    run = prepare(config)
    logger = get_run_logger()
    logger.info("run %s: %d sources to %s", run.run_id, len(run.uris), config.output)
    with exclusive_run(Place(config.output)):
        try:
            report = convert_sources(run, listener)
        finally:
            rows = compact_manifest(config.output)
            if rows:
                write_page(config.output)
        record_run(run, report)
    create_markdown_artifact(summary(report, config.output, rows), key="convert-summary")
    return report


def summary(report: LibraryReport, output: str, rows: int) -> str:
    """The run in a few lines of Markdown."""
    return (
        f"# Run {report.run_id}\n\n| | |\n|---|---|\n"
        f"| files done / failed | {report.files_done} / {report.files_failed} of {report.files} |\n"
        f"| clips done / failed | {report.clips_done} / {report.clips_failed} |\n"
        f"| gate: pass / review / fail | {' / '.join(str(report.gate[name]) for name in ('pass', 'review', 'fail'))}; "
        f"{report.shots_retaken} shots made again |\n"
        f"| frames made | {report.frames_made} at {report.fps:.1f} frames/s |\n"
        f"| start-up, work | {report.start_s:.1f} s, {report.work_s:.1f} s |\n"
        f"| manifest | `{output}/{MANIFEST}`, {rows} rows |\n"
        f"| page | `{output}/{REPORT}` |\n"
    )
