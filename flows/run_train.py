"""The steps of a training run, without Prefect: the flow and the plain command take the same ones."""

from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from uuid import uuid4

from flows.train_config import TrainRunConfig
from flows.weights import weights_provider
from infra.threads import wait_quietly
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.store.lock import exclusive_run
from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.training.stereo.progress import TrainProgress, TrainReport


def run_train(config: TrainRunConfig, on_progress: Callable[[TrainProgress], None]) -> TrainReport:
    """Train until the steps are done, the minutes are up or somebody asks to stop.

    Raises:
        ConfigError: If torch is missing, or settings and data do not fit.
        TrainingError: If a loss is not finite.
        StoreError: If the output cannot be written.
    """
    wait_quietly()
    try:
        import torch
    except ImportError as error:
        raise ConfigError("training needs torch; pip install 'spatialdreamer[train]'") from error
    from spatialdreamer_core.training.stereo.checkpoints import FOLDER
    from spatialdreamer_core.training.stereo.device import training_device
    from spatialdreamer_core.training.stereo.loop import Loop
    from spatialdreamer_core.training.stereo.peers import Peers
    from spatialdreamer_core.training.stereo.sizes import create_recipe, with_weights
    from spatialdreamer_core.training.stereo.stopping import asked_to_stop

    if config.ray_address is None:  # a cluster's GPUs are not this machine's
        device = training_device("cuda" if config.gpus else config.device, config.train.size)
    config = config.model_copy(update={"train": with_weights(config.train, weights_provider().find)})
    recipe = create_recipe(config.train)
    place = Place(config.output)
    place.prepare()
    with exclusive_run(place), asked_to_stop() as stop:
        place.sweep_scratch()
        if not config.resume:
            place.remove_folder(FOLDER)
        if config.on_ray:
            report = _on_ray(config, on_progress, stop)
        else:
            if config.threads is not None:
                torch.set_num_threads(config.threads)
            peers = Peers(rank=0, world=1, device=device)
            report = Loop(recipe, config.train, config.pace, place, peers, on_progress, stop).run()
        record_training(config, report)
    return report


def _on_ray(
    config: TrainRunConfig, on_progress: Callable[[TrainProgress], None], stop: Callable[[], bool]
) -> TrainReport:
    from infra.ray_session import ray_session
    from spatialdreamer_core.training.stereo.sizes import create_recipe
    from tasks.train_ray import Training, train_on_ray

    threads = config.threads or 1
    training = Training(
        create_recipe, config.train, config.pace, config.output, config.processes, bool(config.gpus), threads
    )
    with ray_session(config.ray_address, cpus=config.processes * threads, gpus=config.gpus):
        return train_on_ray(training, on_progress, stop)


def record_training(config: TrainRunConfig, report: TrainReport) -> None:
    """Keep the run's settings and figures with the output."""
    settings = config.model_dump(mode="json")
    record = {"settings": settings, "report": asdict(report) | {"samples_s": report.samples_s}}
    key = f".spatialdreamer/runs/{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}.json"
    patiently(lambda: Place(config.output).publish(key, canonical_json(record)))
