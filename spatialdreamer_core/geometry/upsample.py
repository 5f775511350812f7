"""Bring a low-resolution disparity to the size of the picture, with its edges on the edges of the luma plane."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.video.frames import Plane

# Disparity range among four neighbouring low samples, full-size px: bilinear below, one side or the other above.
SMOOTH_PX, STEP_PX = 0.75, 1.5
DRAWN_SPAN = 0.06
"""Share of the width that inverse depth spans while it is brought to full size: how much of a step is an edge is
counted in pixels of disparity."""
COLOUR_SIGMA = 8.0
"""Difference of luma, in 8-bit levels, at which a low sample's weight has fallen to 1 / e."""


def upsample_disparity(
    disparity_low: NDArray[np.float32],
    guide_low: Plane,
    luma: Plane,
    *,
    foreground_dilation_px: int = 2,
) -> NDArray[np.float32]:
    """Interpolate disparity to the luma plane's size.

    Where the four low samples around a pixel nearly agree the result is bilinear, so slopes have no stairs. Where
    they do not, the samples vote for the nearer or the farther side, weighted by closeness and by likeness of
    luma, and the pixel takes the winner's disparity: a step, without values between that belong to no surface.
    At last the nearer side of every step grows, so that the antialiased fringe of an object moves with it.

    The low grid covers the same picture: low column = (x + 0.5) * w / W - 0.5, rows likewise.

    Args:
        disparity_low: [h, w] disparity in pixels of the full width.
        guide_low: [h, w] the luma plane reduced to the low size (area average), of ``luma``'s sample type.
        luma: [H, W].
        foreground_dilation_px: Columns by which the nearer side of a step grows to both sides, and it grows by one row
            up and down as well; 0 leaves it.

    Returns:
        [H, W] float32 px.

    Raises:
        ValueError: If the guide's size or sample type does not fit.
    """
    if guide_low.shape != disparity_low.shape:
        raise ValueError(f"guide_low must be {disparity_low.shape} like the disparity, got {guide_low.shape}")
    if guide_low.dtype != luma.dtype:
        raise ValueError(f"guide_low must hold {luma.dtype} samples like the luma plane, got {guide_low.dtype}")
    low = np.ascontiguousarray(disparity_low, np.float32)
    shift = 0 if luma.dtype == np.uint8 else 2  # 10 bit to 8
    likeness = np.exp(-np.arange(256) / COLOUR_SIGMA).astype(np.float32)
    out = np.empty(luma.shape, np.float32)
    taps = (*_taps(luma.shape[1], low.shape[1]), *_taps(luma.shape[0], low.shape[0]))
    _upsample((low, guide_low, luma), taps, (likeness, shift), out)
    if foreground_dilation_px > 0:
        _grow(out, foreground_dilation_px)
    return out


def upsample_inverse_depth(
    inverse_depth_low: NDArray[np.float32], guide_low: Plane, luma: Plane
) -> NDArray[np.float32]:
    """Bring inverse depth to the luma plane's size as ``upsample_disparity`` does, without growing what is near.

    Args:
        inverse_depth_low: [h, w] in [0, 1].
        guide_low: [h, w] the luma plane reduced to the low size, of ``luma``'s sample type.
        luma: [H, W].

    Returns:
        [H, W] float32 in [0, 1].
    """
    if inverse_depth_low.shape == luma.shape:
        return np.asarray(inverse_depth_low, np.float32)
    span = np.float32(max(DRAWN_SPAN * luma.shape[1], 1))
    full = upsample_disparity(inverse_depth_low * span, guide_low, luma, foreground_dilation_px=0)
    return np.asarray(np.clip(full / span, 0, 1), np.float32)


def grow_nearer(disparity: NDArray[np.float32], columns_px: int) -> NDArray[np.float32]:
    """Widen the nearer side of every step by ``columns_px`` columns to both sides and one row up and down.

    Args:
        disparity: [H, W] float32 px.
        columns_px: 0 changes nothing.

    Returns:
        A new [H, W] map.
    """
    out = np.array(disparity, np.float32, order="C")
    if columns_px > 0:
        _grow(out, columns_px)
    return out


def _taps(full: int, low: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Left low sample and weight of the right one, per full-size sample."""
    place = np.clip((np.arange(full) + 0.5) * (low / full) - 0.5, 0, low - 1)
    first = np.minimum(place.astype(np.int32), max(low - 2, 0))
    return first.astype(np.int32), (place - first).astype(np.float32)


@njit(cache=True, nogil=True)
def _upsample(images: Any, taps: Any, colour: Any, out: Any) -> None:
    low, guide, luma = images
    x0, along, y0, down = taps
    likeness, shift = colour
    height, width = out.shape
    low_height, low_width = low.shape
    blended = np.empty(low_width, np.float32)
    spread = np.zeros(low_width, np.float32)  # range of the four samples of a cell
    for y in range(height):
        top = y0[y]
        bottom = min(top + 1, low_height - 1)
        t = down[y]
        a, b = low[top], low[bottom]
        for u in range(low_width):
            blended[u] = a[u] + t * (b[u] - a[u])
        if y == 0 or top != y0[y - 1]:
            for u in range(low_width - 1):
                high = max(a[u], a[u + 1], b[u], b[u + 1])
                spread[u] = high - min(a[u], a[u + 1], b[u], b[u + 1])
            spread[low_width - 1] = abs(a[low_width - 1] - b[low_width - 1])
        for x in range(width):
            u = x0[x]
            right = min(u + 1, low_width - 1)
            smooth = blended[u] + along[x] * (blended[right] - blended[u])
            if spread[u] > SMOOTH_PX:
                smooth = _choose(
                    low, guide, (top, bottom, u, right, t, along[x]), (likeness, shift, luma[y, x]), smooth
                )
            out[y, x] = smooth


@njit(cache=True, nogil=True)
def _choose(low: Any, guide: Any, cell: Any, colour: Any, smooth: Any) -> Any:
    """Take the nearer or the farther of the four samples, whichever the pixel looks more like."""
    top, bottom, left, right, t, s = cell
    likeness, shift, here = colour
    d00, d01, d10, d11 = low[top, left], low[top, right], low[bottom, left], low[bottom, right]
    nearest = max(d00, d01, d10, d11)
    farthest = min(d00, d01, d10, d11)
    middle = np.float32(0.5) * (nearest + farthest)
    near_votes = far_votes = np.float32(1e-6)
    near_sum = near_votes * nearest
    far_sum = far_votes * farthest
    for k in range(4):
        v = top if k < 2 else bottom
        u = left if k % 2 == 0 else right
        closeness = ((np.float32(1.0) - t) if k < 2 else t) * ((np.float32(1.0) - s) if k % 2 == 0 else s)
        weight = (closeness + np.float32(0.02)) * likeness[abs(np.int32(guide[v, u]) - np.int32(here)) >> shift]
        d = low[v, u]
        if d >= middle:
            near_votes += weight
            near_sum += weight * d
        else:
            far_votes += weight
            far_sum += weight * d
    chosen = near_sum / near_votes if near_votes >= far_votes else far_sum / far_votes
    amount = min((nearest - farthest - np.float32(SMOOTH_PX)) / np.float32(STEP_PX - SMOOTH_PX), np.float32(1.0))
    return smooth + amount * (chosen - smooth)


@njit(cache=True, nogil=True)
def _grow(disparity: Any, radius: int) -> None:
    """Widen the nearer side of every step, in place: one row up and down, ``radius`` columns to both sides."""
    height, width = disparity.shape
    row = np.empty(width, np.float32)
    above, here, below = disparity[0].copy(), disparity[0].copy(), np.empty(width, np.float32)
    for y in range(height):
        below[:] = disparity[min(y + 1, height - 1)]
        _grow_down(above, here, below, row)
        out = disparity[y]
        out[:] = row
        if _steepest(row) > STEP_PX:
            _grow_along(row, out, radius)
        above, here, below = here, below, above


@njit(cache=True, nogil=True)
def _grow_down(above: Any, here: Any, below: Any, row: Any) -> None:
    """Take the row above or below where it is nearer by a step; without branches, so that it runs in lanes."""
    step = np.float32(STEP_PX)
    for x in range(here.shape[0]):
        highest = max(above[x], below[x])
        row[x] = highest if highest > here[x] + step else here[x]


@njit(cache=True, nogil=True)
def _steepest(row: Any) -> Any:
    most = np.float32(0.0)
    for x in range(row.shape[0] - 1):
        most = max(most, abs(row[x + 1] - row[x]))
    return most


@njit(cache=True, nogil=True)
def _grow_along(row: Any, out: Any, radius: int) -> None:
    width, step = row.shape[0], np.float32(STEP_PX)
    for x in range(width - 1):
        left, right = row[x], row[x + 1]
        if abs(right - left) <= step:
            continue
        if right > left:
            for k in range(max(x - radius + 1, 0), x + 1):
                out[k] = right if right > out[k] + step else out[k]
        else:
            for k in range(x + 1, min(x + 1 + radius, width)):
                out[k] = left if left > out[k] + step else out[k]
