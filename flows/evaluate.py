"""The Prefect flow ``evaluate``: one task run, throttled progress, the table as an artifact."""

from collections.abc import Callable

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.artifacts import progress_artifact
from flows.evaluate_config import EvaluateRunConfig
from flows.run_evaluate import run_evaluate
from spatialdreamer_core.evaluate.run import Progress, Report

Listener = Callable[[Progress], None]


@task(cache_policy=NO_CACHE, name="measure-clips")
def measure_clips(config: EvaluateRunConfig, listener: Listener | None) -> Report:
    """The whole evaluation in one task run: what is measured is kept, so running it again goes on."""
    return run_evaluate(config, _artifact_progress(listener))


@flow(name="evaluate", validate_parameters=False)
def evaluate(config: EvaluateRunConfig, listener: Listener | None = None) -> Report:
    """Hold made right views against true ones.

    Args:
        config: What to evaluate and how; a dict of the same shape when started from a deployment.
        listener: Told of progress when called from the command line.
    """
    config = EvaluateRunConfig.model_validate(config)
    report = measure_clips(config, listener)
    get_run_logger().info("%d clips, %d rows made in %.1f s", report.clips, report.rows_made, report.seconds)
    create_markdown_artifact(report.table, key="evaluate-table")
    return report


def _artifact_progress(listener: Listener | None) -> Listener:
    show = progress_artifact("evaluate-progress")

    def tell(progress: Progress) -> None:
        if listener is not None:
            listener(progress)
        show(progress.clips_done / max(progress.clips, 1), progress.clips_done == progress.clips)

    return tell
