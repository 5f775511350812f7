"""Turn the soft ramps that estimated depth shows at silhouettes into steps on the picture's own edges."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

REACH_PX = 7
"""How far from a pixel, along the gradient, the plateaus on both sides of a ramp are looked for."""
VOTE_RADIUS_PX = 4

# Height of a ramp below which it is relief and stays, and from which on it is a silhouette.
RELIEF, SILHOUETTE = 0.03, 0.07
# A walk up or down a ramp ends where the slope falls below this share of the steepest step on the way.
FLAT_SHARE = 0.4
# Slopes whose quarters differ by less than this share are even.
EVEN_SHARE = 0.25
# Length of a ramp up to which it is a silhouette, and from which on it is a slope.
RAMP_PX, SLOPE_PX = 9.0, 12.0
# Unlike colours keep a little weight and the old value a share of the vote: texture alone must not fray an edge.
COLOUR_SIGMA, UNLIKE = 15.0, 0.05
OWN_SHARE = 0.5
SHARPNESS = 8.0
_PAD = REACH_PX + 4  # a walk and its foot may go this far beyond the picture
# Places on a ramp (0 its far side, 1 its near one) whose pixels vote for either side.
_FAR_FROM, _FAR_TO, _NEAR_FROM, _NEAR_TO = -0.3, 0.2, 0.8, 1.3


def _kernel(function: Callable[..., Any]) -> Any:
    """Compile, releasing the GIL; divisions are as numpy's."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)


def snap_edges(inverse_depth: NDArray[np.float32], guide: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Move every pixel on a ramp to the near or the far side, to the one whose pixels it looks like.

    From a pixel on a ramp we walk up and down the gradient to the plateaus on both sides. Neighbours that lie on one
    of the two then vote by likeness of colour, and the pixel's own place on the ramp counts as well; the winner's mean
    becomes the new value. A walk that finds no end within reach is a slope, not a silhouette, and stays as it is, as
    does everything on a plateau, also on one between two others.

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
    out = depth.copy()
    _snap(depth, np.pad(depth, _PAD, mode="edge"), colour, out)
    return out


@_kernel
def _ramp_up(value: float, low: float, high: float) -> Any:
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


@_kernel
def _distance(a: Any, b: Any) -> Any:
    return abs(np.int32(a) - np.int32(b))  # int() of an unsigned sample would stay unsigned and wrap


@_kernel
def _sample(padded: Any, x: Any, y: Any) -> Any:
    """Bilinear; ``padded`` reaches ``_PAD`` beyond the picture on every side, so no place needs a test."""
    left, above = np.int32(x), np.int32(y)
    s, t = x - np.float32(left), y - np.float32(above)
    x0, y0, one = np.uint64(left), np.uint64(above), np.uint64(1)  # a signed index would be tested for its sign
    a, b = padded[y0, x0], padded[y0, x0 + one]
    c, d = padded[y0 + one, x0], padded[y0 + one, x0 + one]
    top, bottom = a + s * (b - a), c + s * (d - c)
    return top + t * (bottom - top)


@_kernel
def _is_slope(padded: Any, place: Any, step: Any) -> Any:
    """Tell whether depth changes evenly as far as a walk would go both ways: then no walk would find an end."""
    x, y = place
    dx, dy, slope = step
    half = np.float32(0.5 * REACH_PX)
    even = np.float32(EVEN_SHARE) * half * slope
    last = _sample(padded, x - np.float32(2) * half * dx, y - np.float32(2) * half * dy)
    for k in range(-1, 3):
        far = np.float32(k) * half
        there = _sample(padded, x + far * dx, y + far * dy)
        if abs(there - last - half * slope) > even:
            return False
        last = there
    return True


@_kernel
def _walk(padded: Any, place: Any, step: Any, steepest: Any) -> Any:
    """Go along ``step`` while depth keeps changing in its direction; give the last value and the way in px."""
    x, y = place
    dx, dy, sign = step
    flat = np.float32(FLAT_SHARE)
    value = _sample(padded, x, y)
    for k in range(1, REACH_PX + 1):
        x, y = x + dx, y + dy
        there = _sample(padded, x, y)
        change = sign * (there - value)
        if change < flat * steepest:
            for _ in range(3):  # the foot of the ramp still belongs to it
                if change <= np.float32(0.0) or change >= flat * steepest:
                    break
                value = there
                x, y = x + dx, y + dy
                there = _sample(padded, x, y)
                change = sign * (there - value)
            return value, np.float32(k - 1)
        steepest = max(steepest, change)
        value = there
    return value, np.float32(2 * REACH_PX)  # no end in sight


@_kernel
def _vote(depth: Any, colour: Any, place: Any, sides: Any, tables: Any) -> Any:
    """Likeness of a pixel to the neighbours on either side, and their mean depths."""
    x, y = place
    near, far = sides
    by_distance, by_colour = tables
    height, width = depth.shape
    per_span = np.float32(1.0) / (near - far)
    coloured = colour.shape[2] == 3
    first, second, third = colour[y, x, 0], colour[y, x, -1], colour[y, x, -1]
    if coloured:
        second = colour[y, x, 1]
    near_like = near_weight = near_sum = np.float32(0.0)
    far_like = far_weight = far_sum = np.float32(0.0)
    none, one, every_other = np.float32(0.0), np.uint64(1), np.uint64(2)
    top, bottom = np.uint64(max(y - VOTE_RADIUS_PX, 0)), np.uint64(min(y + VOTE_RADIUS_PX + 1, height))
    left, right = np.uint64(max(x - VOTE_RADIUS_PX, 0)), np.uint64(min(x + VOTE_RADIUS_PX + 1, width))
    to_row, to_column = np.uint64(VOTE_RADIUS_PX - y), np.uint64(VOTE_RADIUS_PX - x)  # modulo 2**64, as are the sums
    for v in range(top, bottom):
        # Every other pixel, as on a chessboard, is enough.
        shift = (v + to_row + left + to_column) & one
        for u in range(left + shift, right, every_other):
            d = depth[v, u]
            rank = (d - far) * per_span  # 0 far, 1 near
            difference = _distance(colour[v, u, 0], first)
            if coloured:
                difference += _distance(colour[v, u, 1], second) + _distance(colour[v, u, 2], third)
            weight = by_distance[v + to_row] * by_distance[u + to_column]
            # The ramp itself has no opinion, and other surfaces have no vote; chosen without branches, which would
            # be guessed wrong half of the time.
            to_near = weight if (rank >= np.float32(_NEAR_FROM)) & (rank <= np.float32(_NEAR_TO)) else none
            to_far = weight if (rank >= np.float32(_FAR_FROM)) & (rank <= np.float32(_FAR_TO)) else none
            like = by_colour[difference]
            near_weight, far_weight = near_weight + to_near, far_weight + to_far
            near_like, far_like = near_like + to_near * like, far_like + to_far * like
            near_sum, far_sum = near_sum + to_near * like * d, far_sum + to_far * like * d
    if near_like == 0.0 or far_like == 0.0:
        return np.float32(0.5), near, far
    # Means, not sums: a thin thing has few pixels, and they look like it.
    to_near, to_far = near_like / near_weight, far_like / far_weight
    return to_near / (to_near + to_far), near_sum / near_like, far_sum / far_like


@_kernel
def _snap(depth: Any, padded: Any, colour: Any, out: Any) -> None:
    height, width = depth.shape
    channels = colour.shape[2]
    likeness = np.exp(-np.arange(256 * channels) / (COLOUR_SIGMA * channels))
    by_colour = (UNLIKE + (1.0 - UNLIKE) * likeness).astype(np.float32)
    reach = np.arange(-VOTE_RADIUS_PX, VOTE_RADIUS_PX + 1)
    by_distance = np.exp(-0.5 * (reach / (0.5 * VOTE_RADIUS_PX)) ** 2).astype(np.float32)
    for y in range(height):
        up, down = max(y - 1, 0), min(y + 1, height - 1)
        for x in range(width):
            gx = np.float32(0.5) * (depth[y, min(x + 1, width - 1)] - depth[y, max(x - 1, 0)])
            gy = np.float32(0.5) * (depth[down, x] - depth[up, x])
            slope = np.sqrt(gx * gx + gy * gy)
            if slope * RAMP_PX < RELIEF:
                continue
            dx, dy = gx / slope, gy / slope
            place = np.float32(x + _PAD), np.float32(y + _PAD)
            if _is_slope(padded, place, (dx, dy, slope)):
                continue
            near, way_up = _walk(padded, place, (dx, dy, np.float32(1.0)), slope)
            if way_up >= SLOPE_PX:
                continue
            far, way_down = _walk(padded, place, (-dx, -dy, np.float32(-1.0)), slope)
            amount = 1.0 - _ramp_up(way_up + way_down, RAMP_PX, SLOPE_PX)
            amount *= _ramp_up(near - far, RELIEF, SILHOUETTE)
            if amount <= 0.0:
                continue
            share, near, far = _vote(depth, colour, (x, y), (near, far), (by_distance, by_colour))
            own = min(max((depth[y, x] - far) / max(near - far, np.float32(1e-6)), 0.0), 1.0)
            share = OWN_SHARE * own + (1.0 - OWN_SHARE) * share
            side = _ramp_up(share, 0.5 - 0.5 / SHARPNESS, 0.5 + 0.5 / SHARPNESS)
            out[y, x] = depth[y, x] + amount * (far + side * (near - far) - depth[y, x])
