"""What one training run depends on, all of it: checked once, before anything starts."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from flows.config import checked
from spatialdreamer_core.training.stereo.config import DEFAULTS, Device, Pace, TrainConfig


class TrainRunConfig(BaseModel):
    """One training run.

    Attributes:
        output: Folder or fsspec URL for weights, curve, pictures and checkpoints.
        train: What the weights depend on.
        pace: When checkpoints and the rest are due.
        device: ``auto`` takes a GPU where there is one.
        threads: Threads of torch on a CPU, of each worker; None leaves it to torch, or is one of many workers.
        workers: Processes that train together by Ray Train, each with its own batches; 1 trains without Ray.
        gpus: GPUs to train on, each by one worker; 0 leaves it to ``device``.
        ray_address: A Ray cluster to join; None starts one on this machine if more than one worker is wanted.
        prefect: ``auto`` records the run with Prefect where ``PREFECT_API_URL`` is set; ``on``, ``off``.
        resume: Whether the training that lies in the output is gone on with; otherwise its checkpoints are removed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str = Field(min_length=1)
    train: TrainConfig = TrainConfig()
    pace: Pace = Pace()
    device: Device = "auto"
    threads: int | None = Field(default=None, ge=1, le=1024)
    workers: int | None = Field(default=None, ge=1, le=4096)
    gpus: int = Field(default=0, ge=0, le=4096)
    ray_address: str | None = None
    prefect: Literal["auto", "on", "off"] = "auto"
    resume: bool = True

    @model_validator(mode="after")
    def _each_gpu_has_a_worker(self) -> "TrainRunConfig":
        if self.gpus and self.device == "cpu":
            raise ValueError("gpus: device is cpu; give one or the other")
        if self.gpus and self.workers not in (None, self.gpus):
            raise ValueError(f"gpus: each is used by one worker, got {self.gpus} GPUs and {self.workers} workers")
        return self

    @property
    def processes(self) -> int:
        """Workers that train together."""
        return self.gpus or self.workers or 1

    @property
    def on_ray(self) -> bool:
        """Whether Ray Train runs the workers, or this process is the only one."""
        return self.processes > 1 or self.ray_address is not None


def train_run_config(settings: dict[str, Any], where: str) -> TrainRunConfig:
    """Check settings, laid over the defaults of their size and stage.

    Raises:
        ConfigError: Naming each mistake and where it is.
    """
    train = settings.get("train")
    if isinstance(train, dict):
        wanted = train.get("size"), train.get("stage", 1)
        usual = next((values for names, values in DEFAULTS.items() if names == wanted), {})
        settings = settings | {"train": usual | train}
    return checked(TrainRunConfig, settings, where)
