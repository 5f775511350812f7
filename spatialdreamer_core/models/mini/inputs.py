"""What the mini network is shown: maps of a whole frame with holes, and tiles cut out of them.

All is on the grid of a right eye that is made from the left one. A left eye is mirrored first; mirrored, it is a right
eye (see ``dvg.render``).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.geometry.fill import mirror_background
from spatialdreamer_core.geometry.holes import HoleRuns, continued_disparity, find_hole_runs
from spatialdreamer_core.models.mini.config import TILE
from spatialdreamer_core.video.rgb_planes import rgb_frame, rgb_picture

DEPTH_UNIT_PX = 16.0
"""Disparities and depths inside holes are told in units of this many pixels, and cut where they become large."""
RELATIVE_LIMITS = (-1.0, 4.0)
DEEPEST = 4.0


@dataclass(frozen=True, slots=True)
class HoleMaps:
    """One frame of a made right eye; [H, W] all, pictures RGB.

    Attributes:
        filled: [H, W, 3] uint8, holes filled by ``geometry.fill``.
        mirrored: [H, W, 3] uint8, holes filled with the mirrored background.
        hole: bool.
        disparity: float32 px, ``x_left - x_right``; holes continue their background.
        depth: float32 px, how far a hole's pixel is from the background's end of its run, 0.5 beside it; 0 elsewhere.
        runs: The holes.
    """

    filled: NDArray[np.uint8]
    mirrored: NDArray[np.uint8]
    hole: NDArray[np.bool_]
    disparity: NDArray[np.float32]
    depth: NDArray[np.float32]
    runs: HoleRuns


def hole_maps(filled: NDArray[np.uint8], source_x: NDArray[np.float32]) -> HoleMaps:
    """Describe a frame's holes.

    Args:
        filled: [H, W, 3] uint8 RGB, the made eye, its holes filled.
        source_x: [H, W] float32 column of the left eye that each pixel shows; NaN in holes.
    """
    runs = find_hole_runs(source_x)
    hole = np.isnan(source_x)
    depth = np.zeros(source_x.shape, np.float32)
    depth[hole] = _depths(runs)
    mirrored = rgb_picture(mirror_background(rgb_frame(filled, 0), source_x))
    return HoleMaps(filled, mirrored, hole, continued_disparity(source_x, runs), depth, runs)


def _depths(runs: HoleRuns) -> NDArray[np.float32]:
    length = runs.stop - runs.start
    first = np.repeat(np.cumsum(length) - length, length)
    from_start = np.arange(int(length.sum())) - first
    from_stop = np.repeat(length, length) - 1 - from_start
    return np.asarray(np.where(np.repeat(runs.side, length) == 1, from_stop, from_start) + 0.5, np.float32)


def tile_shift(maps: HoleMaps, top: int, left: int) -> int:
    """Disparity of the background of a tile, whole px: the median over its holes, or over all of it without holes.

    The reference tile is cut this far to the right in the left eye.
    """
    rows, columns = slice(max(top, 0), top + TILE), slice(max(left, 0), left + TILE)
    disparity, hole = maps.disparity[rows, columns], maps.hole[rows, columns]
    return round(float(np.median(disparity[hole] if hole.any() else disparity)))


def tile_inputs(maps: HoleMaps, top: int, left: int, shift: int) -> NDArray[np.float32]:
    """Cut a tile.

    Args:
        maps: Of the frame.
        top: First row; it may lie outside, then the border is repeated.
        left: First column.
        shift: From ``tile_shift``.

    Returns:
        [9, 128, 128] float32: filled RGB and mirrored RGB in [-1, 1], hole 0 or 1, disparity less ``shift`` and depth
        in the hole, both in units of 16 px and cut to [-1, 4] and [0, 4].
    """
    rows, columns = _reach(top, maps.hole.shape[0]), _reach(left, maps.hole.shape[1])
    at = np.ix_(rows, columns)
    out = np.empty((9, TILE, TILE), np.float32)
    out[0:3] = maps.filled[at].transpose(2, 0, 1) * np.float32(2 / 255) - 1
    out[3:6] = maps.mirrored[at].transpose(2, 0, 1) * np.float32(2 / 255) - 1
    out[6] = maps.hole[at]
    out[7] = np.clip((maps.disparity[at] - shift) / DEPTH_UNIT_PX, *RELATIVE_LIMITS)
    out[8] = np.minimum(maps.depth[at] / DEPTH_UNIT_PX, DEEPEST)
    return out


def tile_picture(picture: NDArray[np.uint8], top: int, left: int) -> NDArray[np.float32]:
    """Cut [3, 128, 128] float32 in [0, 1] of [H, W, 3] uint8; beyond the border it is repeated."""
    at = np.ix_(_reach(top, picture.shape[0]), _reach(left, picture.shape[1]))
    return np.asarray(picture[at].transpose(2, 0, 1) * np.float32(1 / 255), np.float32)


def _reach(first: int, size: int) -> NDArray[np.intp]:
    return np.clip(np.arange(first, first + TILE), 0, size - 1)
