"""What a mini network is made of; the switches are those of the paper's ablation."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from spatialdreamer_core.errors import ConfigError

TILE = 128
"""Rows and columns of the pictures that the network works on; its column embeddings are made for them."""
PATCH = 4
"""Rows and columns of a picture that become one token of the finest level."""
INPUTS = 9
"""Channels of a tile; see ``models.mini.inputs``."""
OTHERS = "others_"
"""Of an exported graph: the inputs whose names begin so are what other frames share."""
PAINTED = ("patches", "finish_weight", "finish_bias", "last_weight", "last_bias")
"""What the exported graph ``paint`` gives: what the last two convolutions see beside the tile, [1, 64, 32, 32], and
those convolutions, which are computed in holes alone (``refine.last_layers``)."""
GATE_AT_START = -2.0
"""Logit of the share of the mirrored background, before training."""

Reference = Literal["none", "concat", "refiner"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MiniConfig:
    """Shape of a mini network.

    Attributes:
        widths: Channels at a quarter, an eighth and a sixteenth of the size.
        heads: Attention heads; they divide the widths of the two coarser levels.
        embedding: Channels of the embedding of timestep and deviation strength.
        reference: What is made of the reference view: nothing, channels of the input, or RefinerNet.
        strength: Whether the deviation strength is told.
        til: Whether RefinerNet asks other frames (temporal interaction learning).
        temporal: Whether the U-Net attends to the same place in other frames.
        own_share: Lambda of temporal interaction learning, [0, 1].
        offsets: Distances in frames of the others, neighbours and distant ones; a frame that the shot lacks is
            replaced by the frame itself.
    """

    widths: tuple[int, int, int] = (48, 96, 192)
    heads: int = 4
    embedding: int = 64
    reference: Reference = "refiner"
    strength: bool = True
    til: bool = True
    temporal: bool = True
    own_share: float = 0.7
    offsets: tuple[int, ...] = (-6, -1, 1, 6)

    def __post_init__(self) -> None:
        if any(width % self.heads for width in self.widths[1:]) or any(width % 2 for width in self.widths):
            raise ConfigError(f"widths {self.widths} must be even, and {self.heads} heads must divide the coarser two")
        if not 0 <= self.own_share <= 1:
            raise ConfigError(f"own_share must lie in [0, 1], got {self.own_share:g}")
        if 0 in self.offsets:
            raise ConfigError("offsets name other frames, so 0 cannot be one of them")

    def as_json(self) -> dict[str, Any]:
        """Plain values, as ``mini_config`` reads them."""
        return asdict(self)


def mini_config(values: dict[str, Any]) -> MiniConfig:
    """Read what ``MiniConfig.as_json`` wrote.

    Raises:
        ConfigError: If there is a name that this version does not know, or a value is wrong.
    """
    unknown = sorted(set(values) - {one.name for one in fields(MiniConfig)})
    if unknown:
        raise ConfigError(f"mini: settings {', '.join(unknown)} are unknown; the weights are of another version")
    tuples = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return MiniConfig(**(values | tuples))
