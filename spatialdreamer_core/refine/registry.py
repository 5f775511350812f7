"""Refiners by name. Importing this imports neither ONNX Runtime nor torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spatialdreamer_core.config import RefineConfig
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.refine import mini
from spatialdreamer_core.refine.protocol import Refiner

Found = Literal["none", "mini"]


@dataclass(frozen=True, slots=True)
class RefinerName:
    """One line of help about a refiner.

    Attributes:
        name: What goes into ``RefineConfig.name``.
        about: What it is and under which licence.
        state: ``present``, or what to do to get it.
    """

    name: str
    about: str
    state: str


def list_refiners() -> list[RefinerName]:
    """List the refiners, with what is missing on this machine. Loads nothing."""
    state = "present" if mini.present() else "its weights are not in this package; convert goes without"
    return [RefinerName("mini", "our own small network, its weights ship with the package (Apache-2.0)", state)]


def found_name(config: RefineConfig) -> Found:
    """Tell which refiner the settings come to on this machine."""
    if config.name == "auto":
        return "mini" if config.weights or mini.present() else "none"
    return config.name


def create_refiner(config: RefineConfig) -> Refiner | None:
    """Make the refiner that the settings come to; loads its weights. None if there is none to be used.

    Raises:
        ConfigError: If weights are missing, damaged or others, or a library is not installed.
    """
    if found_name(config) == "none":
        return None
    if config.weights is None and not mini.present():
        raise ConfigError(
            "refine mini: this package holds no weights of it; name a folder of them with --refine-weights, or use "
            "--refine none"
        )
    if config.weights is not None and not Path(config.weights).is_dir():
        raise ConfigError(
            f"refine weights {config.weights}: no such folder; give one with {mini.LOOK} and {mini.PAINT}"
        )
    return mini.MiniRefiner(Path(config.weights) if config.weights else None)
