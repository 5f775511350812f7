"""Turn the soft ramps that estimated depth shows at silhouettes into steps on the picture's own edges."""

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

RADIUS_PX = 6
"""Ramps up to 12 px wide, at the size of the depth map, are turned into steps."""

# Local range of inverse depth below which a change is relief, not a silhouette; and from which on it is one.
RELIEF, SILHOUETTE = 0.03, 0.07
# Share of the range over twice the radius that the radius itself sees: 0.5 on a plane, 1 on a step.
PLANE_SHARE, STEP_SHARE = 0.62, 0.78
# Unlike colours keep a little weight and the old value a share of the vote: texture alone must not fray an edge.
COLOUR_SIGMA, UNLIKE = 15.0, 0.1
OWN_SHARE = 0.3
SHARPNESS = 5.0


def snap_edges(inverse_depth: NDArray[np.float32], guide: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Move every pixel on a ramp to the near or the far side, to the one whose pixels it looks like.

    Around a ramp pixel, neighbours that clearly belong to one side vote with a weight that falls with distance and
    with the difference of colour. The pixel then takes the mean inverse depth of the winners. How much of this is
    done depends on how step-like the place is, so that slopes stay as they are: over twice the radius a plane
    spans twice the range, a ramp between two plateaus no more than before.

    Args:
        inverse_depth: [h, w] in [0, 1], 1 nearest.
        guide: [h, w] grey or [h, w, 3] colour of the same size.

    Returns:
        [h, w] float32; no value leaves the range of its surroundings.

    Raises:
        ValueError: If the sizes differ.
    """
    if guide.shape[:2] != inverse_depth.shape or guide.ndim not in (2, 3):
        raise ValueError(f"guide must be {inverse_depth.shape} or with 3 channels, got {guide.shape}")
    depth = np.ascontiguousarray(inverse_depth, np.float32)
    colour = np.ascontiguousarray(guide if guide.ndim == 3 else guide[:, :, None])
    far, near = _extent(depth, RADIUS_PX)
    wide_far, wide_near = _extent(depth, 2 * RADIUS_PX)
    close_far, close_near = _extent(depth, 2)
    out = depth.copy()
    _snap(depth, colour, (far, near, wide_near - wide_far, close_near - close_far), out)
    return out


def _extent(depth: NDArray[np.float32], radius: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smallest and largest value within ``radius`` rows and columns."""
    window = np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)
    return cv2.erode(depth, window).astype(np.float32), cv2.dilate(depth, window).astype(np.float32)


@njit(cache=True, nogil=True)
def _ramp_up(value: float, low: float, high: float) -> Any:
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@njit(cache=True, nogil=True)
def _distance(a: Any, b: Any) -> Any:
    return abs(np.int32(a) - np.int32(b))  # int() of an unsigned sample would stay unsigned and wrap


@njit(cache=True, nogil=True)
def _snap(depth: Any, colour: Any, extents: Any, out: Any) -> None:
    far, near, wide_range, close_range = extents
    height, width = depth.shape
    channels = colour.shape[2]
    by_colour = np.exp(-np.arange(256 * channels) / (COLOUR_SIGMA * channels))
    by_colour = (UNLIKE + (1.0 - UNLIKE) * by_colour).astype(np.float32)
    reach = np.arange(-RADIUS_PX, RADIUS_PX + 1)
    by_distance = np.exp(-0.5 * (reach / (0.5 * RADIUS_PX)) ** 2).astype(np.float32)
    for y in range(height):
        for x in range(width):
            span = near[y, x] - far[y, x]
            if span <= RELIEF:
                continue
            # Off the ramp there is nothing to move, and a plateau between near and far stays in the middle.
            amount = _ramp_up(close_range[y, x] / span, 0.1, 0.25)
            amount *= _ramp_up(span, RELIEF, SILHOUETTE) * _ramp_up(span / wide_range[y, x], PLANE_SHARE, STEP_SHARE)
            if amount <= 0.01:
                continue
            near_votes, near_sum, far_votes, far_sum = 1e-6, 1e-6 * near[y, x], 1e-6, 1e-6 * far[y, x]
            for v in range(max(y - RADIUS_PX, 0), min(y + RADIUS_PX + 1, height)):
                # Every other pixel, as on a chessboard, is enough.
                for u in range(max(x - RADIUS_PX + (v - y + RADIUS_PX) % 2, 0), min(x + RADIUS_PX + 1, width), 2):
                    place = 2.0 * (depth[v, u] - far[y, x]) / span - 1.0  # -1 far, 1 near
                    if abs(place) < 0.4:
                        continue  # on the ramp itself: no opinion
                    difference = 0
                    for c in range(channels):
                        difference += _distance(colour[v, u, c], colour[y, x, c])
                    weight = by_distance[v - y + RADIUS_PX] * by_distance[u - x + RADIUS_PX] * by_colour[difference]
                    weight *= abs(place) - 0.4
                    if place > 0.0:
                        near_votes += weight
                        near_sum += weight * depth[v, u]
                    else:
                        far_votes += weight
                        far_sum += weight * depth[v, u]
            own = (depth[y, x] - far[y, x]) / span
            share = OWN_SHARE * own + (1.0 - OWN_SHARE) * near_votes / (near_votes + far_votes)
            side = _ramp_up(share, 0.5 - 0.5 / SHARPNESS, 0.5 + 0.5 / SHARPNESS)
            moved = side * near_sum / near_votes + (1.0 - side) * far_sum / far_votes
            out[y, x] = depth[y, x] + amount * (moved - depth[y, x])
