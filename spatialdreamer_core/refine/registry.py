"""Refiners by name. Importing this imports neither ONNX Runtime nor torch."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from spatialdreamer_core.config import RefineConfig
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.refine import mini
from spatialdreamer_core.refine.protocol import Refiner

Found = Literal["none", "mini", "svd"]
SVD_FILE = "svd.json"
"""What a folder with weights of the full-size network has."""


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
    return [
        RefinerName("mini", "our own small network, its weights ship with the package (Apache-2.0)", state),
        RefinerName("svd", "the full-size network, for GPUs, trained by yourself (docs/svd.md)", _svd_state()),
    ]


def found_name(config: RefineConfig) -> Found:
    """Tell which refiner the settings come to on this machine."""
    if config.name != "auto":
        return config.name
    if config.weights is not None:
        return "svd" if Path(config.weights, SVD_FILE).is_file() else "mini"
    return "mini" if mini.present() else "none"


def create_refiner(config: RefineConfig, device: str = "cpu") -> Refiner | None:
    """Make the refiner that the settings come to; loads its weights. None if there is none to be used.

    Args:
        config: Settings.
        device: ``cpu``, ``cuda`` or ``cuda:N``; only ``svd`` looks at it.

    Raises:
        ConfigError: If weights are missing, damaged or others, a library is not installed, or ``svd`` has no GPU.
        WeightsError: If weights of ``svd`` are missing, damaged or of another size.
    """
    name = found_name(config)
    if name == "none":
        return None
    if name == "svd":
        return _svd(config, device)
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


def frame_deadline_s(config: RefineConfig) -> float:
    """Seconds that a refiner may take for a frame, and per million samples of it: far beyond honest work."""
    name = found_name(config)
    if name != "svd":
        return 0.0 if name == "none" else 6.0
    return 7200.0 if config.svd.on_cpu else 120.0


def _svd(config: RefineConfig, device: str) -> Refiner:
    if config.weights is None:
        raise ConfigError(
            "refine svd: none of its weights ship; name a folder that `spatialdreamer train --size svd` wrote with "
            "--refine-weights, or use --refine mini"
        )
    if _svd_state() != SVD_STATE:
        raise ConfigError(f"refine svd: {_svd_state()}")
    from spatialdreamer_core.models.svd.load import SvdWeights
    from spatialdreamer_core.refine.svd import SvdRefiner

    return SvdRefiner(SvdWeights(name=config.weights), config.svd, device)


SVD_STATE = "give trained weights with --refine-weights"


def _svd_state() -> str:
    missing = [name for name in ("torch", "diffusers", "transformers", "safetensors") if find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed; pip install 'spatialdreamer[models]'"
    return SVD_STATE
