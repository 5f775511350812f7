"""The depth range of a shot and normalised inverse depth in [0, 1]; never per frame, which makes depth flicker."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KNEE = 0.9
"""Normalised inverse depth above which the near end is compressed instead of cut."""
FLAT_SHARE = 1e-5
"""A range narrower than this part of its own magnitude is rounding noise: the shot is flat."""


@dataclass(frozen=True, slots=True)
class DepthRange:
    """Raw inverse depth at the far and the near end of one shot.

    Attributes:
        low: Becomes 0, the farthest.
        high: Becomes about 1, the nearest.
    """

    low: float
    high: float

    @property
    def is_flat(self) -> bool:
        """Whether the shot has no depth to speak of."""
        return not self.high - self.low > FLAT_SHARE * max(abs(self.low), abs(self.high), 1e-30)


def shot_range(raw: Sequence[NDArray[np.float32]], *, low_pct: float = 2.0, high_pct: float = 98.0) -> DepthRange:
    """Find the range of one shot from sampled key frames: percentiles over all of them together.

    Args:
        raw: [h, w] raw inverse depth of each sampled frame; at least one.
        low_pct: Percentile that becomes 0.
        high_pct: Percentile that becomes 1 before the soft clip; not the maximum, which one hand near the lens moves.
    """
    if not raw:
        raise ValueError("the range of a shot needs at least one frame")
    values = np.concatenate([frame.ravel() for frame in raw])
    low, high = np.percentile(values, (low_pct, high_pct))
    return DepthRange(float(low), float(high))


def normalise(raw: NDArray[np.float32], depth_range: DepthRange) -> NDArray[np.float32]:
    """Bring raw inverse depth to [0, 1] by the shot's range, 1 nearest; 0.5 everywhere if the shot is flat.

    Args:
        raw: Any shape.
        depth_range: Of the shot.

    Returns:
        float32 of the same shape: straight from 0 to ``KNEE``, bending towards 1 above it.
    """
    return soft_clip(scale(raw, depth_range))


def scale(raw: NDArray[np.float32], depth_range: DepthRange) -> NDArray[np.float32]:
    """Bring raw inverse depth to the shot's range in a straight line, without cutting it at 0 and 1 yet."""
    if depth_range.is_flat:
        return np.full(raw.shape, 0.5, np.float32)
    per_unit = np.float32(1 / (depth_range.high - depth_range.low))
    # three ranges away is a broken value, and must not pull a least-squares fit with it
    return np.asarray(np.clip((raw - np.float32(depth_range.low)) * per_unit, -1, 3), np.float32)


def soft_clip(scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut at 0 and bend towards 1 above ``KNEE``, so that what stands nearest keeps its order and its shape."""
    room = np.float32(1 - KNEE)
    over = np.maximum(scaled - np.float32(KNEE), np.float32(0))
    bent = np.float32(KNEE) + room * (1 - np.exp(-over / room))
    return np.asarray(np.where(scaled > KNEE, bent, np.maximum(scaled, np.float32(0))), np.float32)
