"""Where a training computes."""

import torch

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.training.stereo.config import Device, Size


def training_device(name: Device, size: Size) -> torch.device:
    """Choose the device.

    Raises:
        ConfigError: If there is no GPU where one is asked for, or where the size needs one.
    """
    if name == "cpu":
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    if name == "cuda":
        raise ConfigError("device cuda: torch finds no GPU here; give --device cpu, or install a torch built for yours")
    if size == "svd":
        raise ConfigError(
            "size svd needs a GPU and torch finds none here; train --size mini, or give --device cpu to wait minutes "
            "for every step"
        )
    return torch.device("cpu")
