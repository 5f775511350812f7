"""Weights of a mini network on disk: safetensors, and beside it a JSON file that says what network they are of."""

import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file

from spatialdreamer_core.errors import ConfigError, WeightsError
from spatialdreamer_core.models.mini.config import MiniConfig, mini_config
from spatialdreamer_core.models.mini.net import MiniNet

FILE = "mini.safetensors"
DESCRIPTION = "mini.json"
SHIPPED = Path(__file__).parents[2] / "weights" / FILE


def save_mini(net: MiniNet, folder: Path, *, half: bool = False) -> Path:
    """Write ``mini.safetensors`` and ``mini.json`` into a folder.

    Args:
        net: The network.
        folder: Exists.
        half: Store weights in float16, as they ship.

    Returns:
        The weights' file.
    """
    path = folder / FILE
    kind = torch.float16 if half else torch.float32
    kinds = {name: kind for name, _ in net.named_parameters()}  # statistics have wider ranges than half has
    tensors = {
        name: value.detach().to("cpu", kinds.get(name, torch.float32)) for name, value in net.state_dict().items()
    }
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    values = {"size": "mini", "network": net.config.as_json(), "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (folder / DESCRIPTION).write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")
    return path


def load_mini(where: Path, wanted: MiniConfig | None = None) -> MiniNet:
    """Read a network, on the CPU and in float32.

    Args:
        where: The weights' file, or the folder that holds it and its description.
        wanted: What it is to be; parts that only this has (such as temporal attention) stay as they begin. None takes
            what the description says.

    Raises:
        WeightsError: If files are missing, cut short, or of another network.
    """
    path = where / FILE if where.is_dir() else where
    described = _description(path.with_name(DESCRIPTION) if path.name == FILE else path.with_suffix(".json"))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"weights {path}: cannot be read ({error.strerror}); give a folder with {FILE}") from error
    if hashlib.sha256(data).hexdigest() != described["sha256"]:
        raise WeightsError(f"weights {path}: not the file that its {DESCRIPTION} describes; copy both again")
    try:
        tensors = {name: value.float() for name, value in load_file(path).items()}
        net = MiniNet(wanted or mini_config(described["network"]))
    except (safetensors.SafetensorError, ConfigError) as error:
        raise WeightsError(f"weights {path}: {error}") from error
    own = net.state_dict()
    other = [name for name, value in tensors.items() if name not in own or own[name].shape != value.shape]
    if other:
        raise WeightsError(
            f"weights {path}: {len(other)} tensors are of another network, such as {other[0]}; "
            "give the settings that they were trained with"
        )
    net.load_state_dict(tensors, strict=wanted is None)
    return net


def _description(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise WeightsError(f"weights: {path} is missing or damaged; it says what network the weights are of") from error
    if values.get("size") != "mini" or not isinstance(values.get("network"), dict) or "sha256" not in values:
        raise WeightsError(f"weights: {path} does not describe a mini network")
    return values
