"""Settings of the full-size network at work: all that its colours depend on."""

from dataclasses import dataclass, field
from typing import Literal

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.models.svd.frames import InteractionConfig
from spatialdreamer_core.models.svd.injection import Reach
from spatialdreamer_core.models.svd.load import SvdWeights
from spatialdreamer_core.models.svd.sampler import SamplerConfig
from spatialdreamer_core.models.svd.unet import StrengthKind

Precision = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SvdConfig:
    """How the full-size network paints.

    Attributes:
        weights: Which.
        sampler: Steps and guidance.
        interaction: Among frames of the left view.
        reach: What of the left view a place sees; trained weights bring their own.
        strength: Which deviation strength the network is told; trained weights bring their own.
        window: Frames that are made together; shorter shots are one window.
        window_overlap: Frames that two windows share at least, cross-faded.
        tile_rows: Pixels of a tile, a multiple of 64; smaller pictures are one tile.
        tile_columns: The same.
        tile_overlap: Pixels that two tiles share at least, blended in latent space, a multiple of 64.
        decode_at_once: Frames that the autoencoder decodes together, and smooths over time.
        precision: Of weights and arithmetic; ``auto`` is bfloat16 on a GPU and float32 on a CPU.
        seed: Of the noise.
    """

    weights: SvdWeights = field(default_factory=SvdWeights)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    interaction: InteractionConfig = field(default_factory=InteractionConfig)
    reach: Reach = "full"
    strength: StrengthKind = "latent"
    window: int = 14
    window_overlap: int = 4
    tile_rows: int = 576
    tile_columns: int = 1024
    tile_overlap: int = 128
    decode_at_once: int = 7
    precision: Precision = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.window < 1 or not 0 <= self.window_overlap < self.window or self.decode_at_once < 1:
            raise ConfigError(
                f"svd: a window of {self.window} frames cannot share {self.window_overlap} and be decoded "
                f"{self.decode_at_once} at once; give a larger window or a smaller overlap"
            )
        for name in ("tile_rows", "tile_columns", "tile_overlap"):
            if getattr(self, name) % 64 or getattr(self, name) < 0:
                raise ConfigError(f"svd: {name} must be a multiple of 64 pixels, got {getattr(self, name)}")
        if not self.tile_overlap < min(self.tile_rows, self.tile_columns):
            raise ConfigError(
                f"svd: tiles of {self.tile_columns}x{self.tile_rows} cannot share {self.tile_overlap} pixels; "
                "give larger tiles or a smaller overlap"
            )
