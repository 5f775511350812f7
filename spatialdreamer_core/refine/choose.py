"""Which shots a network paints: what holes a shot will have, told from a few depth maps before anything is made.

A hole opens in the right eye where depth falls from a near thing to a far one on its right; it is as wide as the fall
in disparity. How far depth falls is counted before a shot's range and stereo are known, in the estimator's own
numbers: so a look at a picture leaves a short histogram behind, and the share of the picture follows later.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.config import Quality, RefineConfig
from spatialdreamer_core.depth.normalise import DepthRange
from spatialdreamer_core.geometry.disparity import ShotStereo
from spatialdreamer_core.refine.protocol import LEAST_HOLE_PX, Refiner
from spatialdreamer_core.video.frames import PixelFormat

EARNS_FROM = 0.005
"""Share of the picture in wide holes from which a shot earns ``mini`` with quality ``fast``."""
WINDOW_BYTES = 4 << 30
"""Full-size frames that wait for a refiner stay below this; larger pictures go without."""

EDGE_PX = 4
"""Columns of a small depth map over which an edge falls: it is blurred until the full-size picture sharpens it."""
_PER_OCTAVE, _SMALLEST, _OCTAVES = 8, 2.0**-20, 36
_BINS = _PER_OCTAVE * _OCTAVES

Falls = NDArray[np.float32]
"""[288] falls of depth in a picture by their size (eight bins an octave), each counted as 1 / rows of the picture."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Whether a shot is refined.

    Attributes:
        refined: Whether.
        reason: In a few words, for the manifest.
    """

    refined: bool
    reason: str


def count_falls(depth: NDArray[np.float32]) -> Falls:
    """Count where raw inverse depth [h, w] falls from left to right, by how far; see ``Falls``."""
    falls = np.zeros(_BINS, np.float32)
    _count(np.ascontiguousarray(depth, np.float32), falls)
    return falls


def expected_hole_share(falls: Sequence[Falls], depth_range: DepthRange, stereo: ShotStereo, width_px: int) -> float:
    """Tell what share of the right eye's picture will lie in holes at least ``LEAST_HOLE_PX`` wide, in [0, 1].

    Only what opens between near and far things counts, not the strips that come in at the sides.

    Args:
        falls: Of some pictures of the shot; at least one.
        depth_range: Raw depth that becomes inverse depth 0 and 1.
        stereo: Of the shot.
        width_px: Luma columns of the full picture.
    """
    if depth_range.is_flat:
        return 0.0
    size = _SMALLEST * 2.0 ** ((np.arange(_BINS) + 0.5) / _PER_OCTAVE)
    share_of_range = np.minimum(size / (depth_range.high - depth_range.low), 1.0)
    gap = share_of_range * stereo.strength_pct / 100  # of the width
    wide = np.where(gap * width_px >= LEAST_HOLE_PX, gap, 0.0)
    return min(1.0, float(np.mean([count @ wide for count in falls])))


def least_hole_share(config: RefineConfig, quality: Quality) -> float:
    """From which expected share on a shot is refined."""
    if config.least_hole_share is not None:
        return config.least_hole_share
    return EARNS_FROM if _saves_time(config, quality) else 0.0


def paints_borders(config: RefineConfig, quality: Quality) -> bool:
    """Whether holes that touch the left or right side of the picture are painted."""
    return config.borders if config.borders is not None else not _saves_time(config, quality)


def _saves_time(config: RefineConfig, quality: Quality) -> bool:
    return config.name == "auto" and quality == "fast"


def choose(
    hole_share: float, config: RefineConfig, quality: Quality, refiner: Refiner | None, frame_bytes: float
) -> Choice:
    """Decide on a shot.

    Args:
        hole_share: From ``expected_hole_share``.
        config: Settings.
        quality: Decides what ``auto`` means.
        refiner: What there is to refine with.
        frame_bytes: From ``waiting_bytes``.
    """
    if refiner is None:
        return Choice(False, "not asked for" if config.name == "none" else "no weights")
    middle = 1 << 20
    first, stop = refiner.span(2 * middle, middle, middle + 1)
    if (stop - first) * frame_bytes > WINDOW_BYTES:
        return Choice(False, "pictures too large for its window")
    least = least_hole_share(config, quality)
    if least == 0:
        return Choice(True, "every shot")
    compared = f"holes {100 * hole_share:.2f} % of the picture, {100 * least:.2f} % earn it"
    return Choice(hole_share >= least, compared)


def waiting_bytes(width: int, height: int, layout: PixelFormat) -> float:
    """Bytes of one frame that waits for its refiner: both eyes, and the map from one to the other."""
    samples = width * height * (1 + 2 / (layout.sub_x * layout.sub_y))
    return 2 * samples * np.dtype(layout.dtype).itemsize + 4 * width * height


@njit(cache=True, nogil=True)
def _count(depth: Any, falls: Any) -> None:
    height, width = depth.shape
    part = np.float32(1.0) / np.float32(height)
    for y in range(height):
        row = depth[y]
        best_at, best = -1, np.float32(0.0)
        for x in range(width - EDGE_PX):
            fall = row[x] - row[x + EDGE_PX]
            # of falls less than an edge apart the largest counts, so that an edge counts once
            if best_at >= 0 and x - best_at >= EDGE_PX:
                _add(best, falls, part)
                best_at = -1
            if fall > 0 and (best_at < 0 or fall > best):
                best_at, best = x, fall
        if best_at >= 0:
            _add(best, falls, part)


@njit(cache=True, nogil=True)
def _add(fall: Any, falls: Any, part: Any) -> None:
    place = int(np.floor(_PER_OCTAVE * np.log2(fall / _SMALLEST)))
    if place >= 0:
        falls[min(place, _BINS - 1)] += part
