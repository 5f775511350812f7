"""The Prefect flow ``train``: one task run, throttled progress, a summary artifact. Storage holds the truth."""

import time

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from flows.artifacts import progress_artifact
from flows.run_train import run_train
from flows.train_config import TrainRunConfig
from flows.train_progress import Listener, told_speed
from spatialdreamer_core.training.stereo.progress import TrainProgress, TrainReport

LOG_EVERY_S = 60.0


@task(cache_policy=NO_CACHE, name="train-network")
def train_network(config: TrainRunConfig, listener: Listener | None) -> TrainReport:
    """The whole training in one task run: it goes on from its last checkpoint, so running it again is safe."""
    return run_train(config, _artifact_progress(listener))


@flow(name="train", validate_parameters=False)
def train(config: TrainRunConfig, listener: Listener | None = None) -> TrainReport:
    """Train the network that paints what the second eye uncovers.

    Args:
        config: What to train and how; a dict of the same shape when started from a deployment.
        listener: Told of progress when called from the command line.
    """
    config = TrainRunConfig.model_validate(config)
    report = train_network(config, listener)
    create_markdown_artifact(summary(report, config), key="train-summary")
    return report


def summary(report: TrainReport, config: TrainRunConfig) -> str:
    """The run in a few lines of Markdown."""
    loss = "" if report.loss is None else f"| loss | {report.loss:.4g} |\n"
    figures = "".join(f"| {name} | {value:.4g} |\n" for name, value in report.figures.items())
    return (
        f"# Training of {config.train.size}, stage {config.train.stage}\n\n| | |\n|---|---|\n"
        f"| step | {report.step} of {report.steps} ({report.stopped}) |\n"
        f"| this run | {report.steps_made} steps in {report.seconds:.0f} s, {report.samples_s:.3g} samples/s |\n"
        f"{loss}{figures}"
        f"| weights | `{config.output}/weights` |\n"
    )


def _artifact_progress(listener: Listener | None) -> Listener:
    show, logged = progress_artifact("train-progress"), time.monotonic()

    def tell(event: TrainProgress) -> None:
        nonlocal logged
        if listener is not None:
            listener(event)
        now = time.monotonic()
        if event.message:
            get_run_logger().info(event.message)
        elif now - logged >= LOG_EVERY_S:
            logged = now
            get_run_logger().info("step %d/%d, %s", event.step, event.steps, told_speed(event))
        show(event.step / event.steps, event.step == event.steps)

    return tell
