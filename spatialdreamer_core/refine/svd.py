"""``svd`` at work: the full-size network over overlapping windows of a shot, and over those tiles that have holes.

Windows and tiles lie at fixed places of the shot and of the picture, and the noise of a frame is drawn from its number
in the shot, so neither where a shot is cut nor how much memory there is changes a byte. Overlapping windows are
cross-faded in time and tiles in latent space; both begin with the same noise, so they agree to begin with. Windows are
not continued from the one before, as some do: then every frame would depend on all before it.
"""

import hashlib
import json
from dataclasses import asdict

import torch

from spatialdreamer_core.config import Precision, SvdConfig
from spatialdreamer_core.errors import ConfigError, RefineError
from spatialdreamer_core.models.svd.frames import Spans, overlapping_spans, window_reach
from spatialdreamer_core.models.svd.load import SvdWeights, load_network
from spatialdreamer_core.models.svd.memory import free_bytes, gib, memory_need
from spatialdreamer_core.models.svd.sampler import SamplerConfig
from spatialdreamer_core.refine.protocol import RefineShot
from spatialdreamer_core.refine.svd_stream import SvdStream, interaction_of
from spatialdreamer_core.refine.svd_tiles import SvdTiles

VERSION = 1
"""Raise when the code gives other colours for the same weights."""
SAME_BYTES = ("precision", "on_cpu", "gpu_memory_fraction")
"""Settings that change nothing that the digest does not name otherwise."""


class SvdRefiner:
    """The full-size network; see ``Refiner``.

    Args:
        weights: Which.
        config: How it paints.
        device: ``cuda``, ``cuda:N``, or ``cpu`` if the settings allow it.

    Raises:
        ConfigError: If there is no GPU, or the weights are not here.
        WeightsError: If weights are damaged or of another size.
    """

    name = "svd"

    def __init__(self, weights: SvdWeights, config: SvdConfig, device: str) -> None:
        self.config, self.interaction, self.device = config, interaction_of(config), _device(device, config.on_cpu)
        SamplerConfig(steps=config.steps, guidance=config.guidance)  # what cannot be is refused before weights load
        if self.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(config.gpu_memory_fraction, self.device)
        dtype = _dtype(config.precision, self.device)
        loaded = load_network(weights, dtype=dtype)
        self.network = loaded.network.to(self.device)
        settings = {key: value for key, value in asdict(config).items() if key not in SAME_BYTES}
        told = json.dumps([VERSION, loaded.digest, settings, str(dtype), self.device.type], sort_keys=True)
        self.digest = f"svd-{VERSION}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"

    def windows(self, length: int) -> Spans:
        """The windows of a shot of so many frames."""
        return overlapping_spans(length, self.config.window, self.config.window_overlap)

    def span(self, length: int, start: int, end: int) -> tuple[int, int]:
        """See ``Refiner.span``."""
        return window_reach(length, start, end, self.windows(length), self.interaction)

    def open(self, shot: RefineShot, start: int, end: int) -> "SvdStream":
        """See ``Refiner.open``."""
        grid = SvdTiles(shot.height, shot.width, self.config, self.network.sizes.picture_step)
        self._refuse_what_does_not_fit(shot, grid)
        return SvdStream(self.network, self.config, shot, grid, start, end)

    def _refuse_what_does_not_fit(self, shot: RefineShot, grid: "SvdTiles") -> None:
        frames = min(self.config.window, shot.length)
        rows, columns = grid.tile
        need = memory_need(
            self.network, frames=frames, reference_frames=min(shot.length, frames + self.config.keys),
            rows=rows, columns=columns, decode_at_once=min(self.config.decode_at_once, frames),
        )  # fmt: skip
        there = free_bytes(self.device, self.config.gpu_memory_fraction)
        if there is not None and need.window > there:
            of = f" within {self.config.gpu_memory_fraction:g} of this GPU" if self.device.type == "cuda" else ""
            raise RefineError(
                f"svd: {frames} frames in tiles of {columns}x{rows} need about {gib(need.window)} beside "
                f"{gib(need.weights)} of weights, {gib(there)} are free{of}; give smaller tiles, a shorter window or "
                "less decoded at once, or refine with mini"
            )


def _device(name: str, on_cpu: bool) -> torch.device:
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError("refine svd: no CUDA device here; use --refine mini, or another machine")
    if not name.startswith("cuda") and not on_cpu:
        raise ConfigError(
            "refine svd: this worker has no GPU; give it one with --gpus, use --refine mini, or allow the CPU with "
            "--refine-on-cpu (minutes for a frame)"
        )
    return torch.device(name)


def _dtype(precision: Precision, device: torch.device) -> torch.dtype:
    if precision == "auto":
        precision = "float32" if device.type == "cpu" else "bfloat16"
    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
