"""What one training run depends on, all of it: checked once, before anything starts."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from flows.config import checked
from spatialdreamer_core.training.stereo.config import DEFAULTS, Device, Pace, TrainConfig


class TrainRunConfig(BaseModel):
    """One training run.

    Attributes:
        output: Folder or fsspec URL for weights, curve, pictures and checkpoints.
        train: What the weights depend on.
        pace: When checkpoints and the rest are due.
        device: ``auto`` takes a GPU where there is one.
        threads: Threads of torch on a CPU; None leaves it to torch.
        resume: Whether the training that lies in the output is gone on with; otherwise its checkpoints are removed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: str = Field(min_length=1)
    train: TrainConfig = TrainConfig()
    pace: Pace = Pace()
    device: Device = "auto"
    threads: int | None = Field(default=None, ge=1, le=1024)
    resume: bool = True


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
