"""Training on several processes with Ray Train: the core's loop in each, checkpoints in the output place as always.

Ray Train brings the processes up, joins them for torch.distributed (gloo, or nccl where each has a GPU) and starts them
anew if one dies; the loop then goes on from the last checkpoint by itself.
"""

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import fsspec

from spatialdreamer_core.errors import SpatialDreamerError, TrainingError
from spatialdreamer_core.store.place import WORK_FOLDER, Place
from spatialdreamer_core.training.stereo.config import Pace, TrainConfig
from spatialdreamer_core.training.stereo.progress import TrainProgress, TrainReport
from spatialdreamer_core.training.stereo.recipe import Recipe

POLL_S = 0.5
RESTARTS = 2
"""How often the processes are started anew after one of them died."""


@dataclass(frozen=True, slots=True)
class Training:
    """What the processes are told.

    Attributes:
        create_recipe: Makes the recipe in each process; must be picklable.
        config: What the weights depend on.
        pace: When checkpoints and the rest are due.
        output: Where all goes; every process must reach it.
        workers: Processes.
        gpus: Whether each has a GPU.
        threads: Threads of torch in each.
    """

    create_recipe: Callable[[TrainConfig], Recipe]
    config: TrainConfig
    pace: Pace
    output: str
    workers: int
    gpus: bool
    threads: int


class Mailbox:
    """Carries what processes have to say to the one that waits for them, and its wish to stop back. A Ray actor."""

    def __init__(self) -> None:
        self._events: list[TrainProgress] = []
        self._stop = False
        self._report: TrainReport | None = None
        self._error: SpatialDreamerError | None = None

    def tell(self, event: TrainProgress) -> None:
        """Leave a moment of progress."""
        self._events.append(event)

    def asked(self) -> bool:
        """Whether to stop."""
        return self._stop

    def end(self, report: TrainReport) -> None:
        """Leave what came of it."""
        self._report = report

    def fail(self, error: SpatialDreamerError) -> None:
        """Leave an error that another try would meet again; the first counts."""
        self._error = self._error or error

    def failed(self) -> bool:
        """Whether such an error is known."""
        return self._error is not None

    def collect(self, stop: bool) -> list[TrainProgress]:
        """Take what was told since, and say whether to stop."""
        self._stop = self._stop or stop
        events, self._events = self._events, []
        return events

    def result(self) -> tuple[TrainReport | None, SpatialDreamerError | None]:
        """What came of it."""
        return self._report, self._error


def train_on_ray(
    training: Training, on_progress: Callable[[TrainProgress], None], stop: Callable[[], bool]
) -> TrainReport:
    """Train on the Ray that is initialised, and wait for the end.

    Raises:
        SpatialDreamerError: What one of the processes raised.
        TrainingError: If processes died again and again.
    """
    import ray

    _tell_if_short(training, on_progress)
    mailbox: Any = ray.remote(num_cpus=0)(Mailbox).remote()
    failure: list[BaseException] = []
    fitting = threading.Thread(target=_fit, args=(training, mailbox, failure), daemon=True)
    fitting.start()
    try:
        while fitting.is_alive():
            fitting.join(POLL_S)
            for event in ray.get(mailbox.collect.remote(stop())):
                on_progress(event)
        for event in ray.get(mailbox.collect.remote(False)):
            on_progress(event)
        ended: tuple[TrainReport | None, SpatialDreamerError | None] = ray.get(mailbox.result.remote())
        ray.kill(mailbox)
    except ray.exceptions.RayError as error:
        raise TrainingError(
            f"training in {training.output}: Ray's processes went away ({type(error).__name__}); what was saved is in "
            "checkpoints/, so run the same command again"
        ) from error
    report, raised = ended
    if raised is not None:
        raise raised
    if report is None:
        reason = " ".join(str(failure[0] if failure else "no report").split())[-300:]
        raise TrainingError(
            f"training in {training.output}: its processes died {RESTARTS + 1} times ({reason}); what is done is in "
            "checkpoints/, so give them more memory or fewer --workers and run the same command again"
        ) from (failure[0] if failure else None)
    return report


def _tell_if_short(training: Training, on_progress: Callable[[TrainProgress], None]) -> None:
    """Say what a cluster lacks: it may grow, but nobody shall wait without knowing for what."""
    import ray

    wanted = {"CPU": training.workers * training.threads} | ({"GPU": training.workers} if training.gpus else {})
    there = ray.cluster_resources()  # type: ignore[no-untyped-call]
    short = [f"{n} {name}s, it has {there.get(name, 0):g}" for name, n in wanted.items() if there.get(name, 0) < n]
    if short:
        message = f"waiting for the Ray cluster to grow: the training needs {' and '.join(short)}"
        on_progress(TrainProgress(0, training.config.steps, message=message))


def _fit(training: Training, mailbox: Any, failure: list[BaseException]) -> None:
    """Run Ray Train to its end, in a thread, so that signals reach the main one."""
    os.environ.setdefault("RAY_CHDIR_TO_TRIAL_DIR", "0")  # paths in settings are meant from where the command was given
    import pyarrow.fs
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    folder = f"{WORK_FOLDER}/ray-train"
    store, root = fsspec.core.url_to_fs(training.output)
    try:
        TorchTrainer(
            _one_process,
            train_loop_config={"training": training, "mailbox": mailbox},
            scaling_config=ScalingConfig(
                num_workers=training.workers,
                use_gpu=training.gpus,
                resources_per_worker={"CPU": training.threads} | ({"GPU": 1} if training.gpus else {}),
            ),
            run_config=RunConfig(
                name="run",
                storage_path=f"{root}/{folder}",
                storage_filesystem=pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(store)),
                failure_config=FailureConfig(max_failures=RESTARTS),
            ),
        ).fit()
    except BaseException as error:  # told by the main thread
        failure.append(error)
    finally:
        Place(training.output).remove_folder(folder)


def _one_process(settings: dict[str, Any]) -> None:
    """What every process does."""
    import ray
    import ray.train
    import torch
    from ray.train.torch import get_device

    from spatialdreamer_core.training.stereo.loop import Loop
    from spatialdreamer_core.training.stereo.peers import Peers

    training: Training = settings["training"]
    mailbox, context = settings["mailbox"], ray.train.get_context()
    if ray.get(mailbox.failed.remote()):
        return  # another try would meet the same
    torch.set_num_threads(training.threads)
    peers = Peers(context.get_world_rank(), context.get_world_size(), get_device())
    asked, looked = False, time.monotonic()

    def stop() -> bool:
        nonlocal asked, looked
        if peers.writes and not asked and time.monotonic() - looked > POLL_S:
            asked, looked = ray.get(mailbox.asked.remote()), time.monotonic()
        return asked

    def tell(event: TrainProgress) -> None:
        mailbox.tell.remote(event)

    try:
        recipe = training.create_recipe(training.config)
        place = Place(training.output)
        report = Loop(recipe, training.config, training.pace, place, peers, tell, stop).run()
    except SpatialDreamerError as error:
        ray.get(mailbox.fail.remote(error))
        if isinstance(error, TrainingError):
            return  # every process knows of it and leaves
        raise  # the others may wait for this one: Ray Train ends them
    if peers.writes:
        ray.get(mailbox.end.remote(report))
