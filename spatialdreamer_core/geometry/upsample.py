"""Bring a low-resolution disparity to the size of the picture, with its edges on the edges of the luma plane."""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
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
    columns, rows = _taps(luma.shape[1], low.shape[1]), _taps(luma.shape[0], low.shape[0])
    begins = np.searchsorted(columns[0], np.arange(low.shape[1] + 1, dtype=np.uint32)).astype(np.int32)
    images = (low, np.ascontiguousarray(guide_low), np.ascontiguousarray(luma))
    _upsample(images, (*columns, *rows, begins), (likeness, shift), max(0, foreground_dilation_px), out)
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
        _grow_rows(np.ascontiguousarray(disparity, np.float32), columns_px, out)
    return out


def _taps(full: int, low: int) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """Left low sample and weight of the right one, per full-size sample."""
    place = np.clip((np.arange(full) + 0.5) * (low / full) - 0.5, 0, low - 1)
    first = np.minimum(place.astype(np.uint32), max(low - 2, 0))
    return first.astype(np.uint32), (place - first).astype(np.float32)


def _kernel(function: Callable[..., Any]) -> Any:
    """Compile, releasing the GIL."""
    return numba.njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})(function)


@_kernel
def _upsample(images: Any, taps: Any, colour: Any, radius: int, out: Any) -> None:
    """Three rows are known at a time: a row is grown, and written, once the row below it is known."""
    low = images[0]
    height, width = out.shape
    ring, wide = np.empty((3, width), np.float32), np.empty((2, width), np.float32)
    grown, flags = np.empty(width, np.float32), np.zeros((width + 7) // 8, np.uint64)
    spread, steep = np.empty(low.shape[1], np.float32), np.empty(low.shape[1], np.int32)
    count, known = 0, -2
    for y in range(height + 1):
        if y < height:
            top = int(taps[2][y])
            if top != known:
                bottom = min(top + 1, low.shape[0] - 1)
                if top != known + 1:  # else the bottom of the row before
                    _widen_row(low[top], taps, wide[top % 2])
                if bottom != top:
                    _widen_row(low[bottom], taps, wide[bottom % 2])
                known, count = top, _list_steep(low, top, spread, steep)
            row = ring[y % 3]
            _blend_rows(wide[top % 2], wide[min(top + 1, low.shape[0] - 1) % 2], taps[3][y], row)
            _choose_steep(images, taps, colour, y, steep[:count], spread, row)
        if y > 0:
            above, here, below = ring[max(y - 2, 0) % 3], ring[(y - 1) % 3], ring[min(y, height - 1) % 3]
            _grow(above, here, below, radius, grown, flags, out[y - 1])


@_kernel
def _grow_rows(disparity: Any, radius: int, out: Any) -> None:
    height, width = disparity.shape
    grown, flags = np.empty(width, np.float32), np.zeros((width + 7) // 8, np.uint64)
    for y in range(height):
        above, below = disparity[max(y - 1, 0)], disparity[min(y + 1, height - 1)]
        _grow(above, disparity[y], below, radius, grown, flags, out[y])


@_kernel
def _list_steep(low: Any, top: int, spread: Any, steep: Any) -> int:
    """Measure the range of each cell's four samples; list the cells where it is not smooth."""
    n = low.shape[1]
    bottom = min(top + 1, low.shape[0] - 1)
    a, b = low[top], low[bottom]
    count = 0
    for u in range(n):
        v = min(u + 1, n - 1)
        spread[u] = max(a[u], a[v], b[u], b[v]) - min(a[u], a[v], b[u], b[v])
        steep[count] = u
        count += spread[u] > np.float32(SMOOTH_PX)
    return count


# Indexes are unsigned below: a signed one might count from the end, which numba must test and so cannot vectorise.


@_kernel
def _widen_row(low: Any, taps: Any, row: Any) -> None:
    """Interpolate one low row along the columns; the columns' taps are gathered, so it is done once per low row."""
    x0, along = taps[0], taps[1]
    one = np.uint64(1) if low.shape[0] > 1 else np.uint64(0)
    for x in range(np.uint64(0), np.uint64(row.shape[0])):
        at = np.uint64(x0[x])
        left = low[at]
        row[x] = left + along[x] * (low[at + one] - left)


@_kernel
def _blend_rows(above: Any, below: Any, share: Any, row: Any) -> None:
    """Interpolate between two rows of full width."""
    for x in range(np.uint64(0), np.uint64(row.shape[0])):
        row[x] = above[x] + share * (below[x] - above[x])


@_kernel
def _choose_steep(images: Any, taps: Any, colour: Any, y: int, steep: Any, spread: Any, row: Any) -> None:
    """Give pixels of steep cells to the nearer or the farther of the four samples, whichever they look more like."""
    low, guide, luma = images
    _, along, y0, down, begins = taps
    likeness, shift = colour
    top, t = y0[y], down[y]
    bottom = min(top + 1, low.shape[0] - 1)
    half, one, little = np.float32(0.5), np.float32(1), np.float32(0.02)
    for i in range(steep.shape[0]):
        u = steep[i]
        v = min(u + 1, low.shape[1] - 1)
        d00, d01, d10, d11 = low[top, u], low[top, v], low[bottom, u], low[bottom, v]
        g00, g01 = np.int32(guide[top, u]), np.int32(guide[top, v])
        g10, g11 = np.int32(guide[bottom, u]), np.int32(guide[bottom, v])
        nearest, farthest = max(d00, d01, d10, d11), min(d00, d01, d10, d11)
        middle = half * (nearest + farthest)
        n00, n01, n10, n11 = d00 >= middle, d01 >= middle, d10 >= middle, d11 >= middle
        amount = min((spread[u] - np.float32(SMOOTH_PX)) / np.float32(STEP_PX - SMOOTH_PX), one)
        for x in range(begins[u], begins[u + 1]):
            here, s = np.int32(luma[y, x]), along[x]
            w00 = ((one - t) * (one - s) + little) * likeness[abs(g00 - here) >> shift]
            w01 = ((one - t) * s + little) * likeness[abs(g01 - here) >> shift]
            w10 = (t * (one - s) + little) * likeness[abs(g10 - here) >> shift]
            w11 = (t * s + little) * likeness[abs(g11 - here) >> shift]
            near = far = np.float32(1e-6)
            near_sum, far_sum = near * nearest, far * farthest
            near += (w00 if n00 else 0) + (w01 if n01 else 0) + (w10 if n10 else 0) + (w11 if n11 else 0)
            near_sum += (w00 * d00 if n00 else 0) + (w01 * d01 if n01 else 0)
            near_sum += (w10 * d10 if n10 else 0) + (w11 * d11 if n11 else 0)
            far += (0 if n00 else w00) + (0 if n01 else w01) + (0 if n10 else w10) + (0 if n11 else w11)
            far_sum += (0 if n00 else w00 * d00) + (0 if n01 else w01 * d01)
            far_sum += (0 if n10 else w10 * d10) + (0 if n11 else w11 * d11)
            chosen = near_sum / near if near >= far else far_sum / far
            row[x] += amount * (chosen - row[x])


@_kernel
def _grow(above: Any, here: Any, below: Any, radius: int, row: Any, flags: Any, out: Any) -> None:
    """Widen the nearer side of every step: one row up and down, then ``radius`` columns to both sides."""
    step, one, n = np.float32(STEP_PX), np.uint64(1), np.uint64(here.shape[0])
    if radius == 0:
        for x in range(np.uint64(0), n):
            out[x] = here[x]
        return
    for x in range(np.uint64(0), n):
        highest = above[x] if above[x] > below[x] else below[x]
        value = highest if highest > here[x] + step else here[x]
        row[x] = value
        out[x] = value
    steps = flags.view(np.uint8)
    for x in range(np.uint64(0), n - one):
        steps[x] = abs(row[x + one] - row[x]) > step
    for word in range(flags.shape[0]):
        if flags[word] != 0:  # eight at a time: steps are rare
            for x in range(8 * word, min(8 * word + 8, row.shape[0] - 1)):
                if steps[x]:
                    _grow_step(row[x], row[x + 1], x, radius, out)


@_kernel
def _grow_step(left: Any, right: Any, x: int, radius: int, out: Any) -> None:
    """Let the nearer side of the step between columns x and x + 1 reach over the other."""
    nearer = max(left, right)
    first, stop = (x - radius + 1, x + 1) if right > left else (x + 1, x + 1 + radius)
    for k in range(max(first, 0), min(stop, out.shape[0])):
        out[k] = nearer if nearer > out[k] + np.float32(STEP_PX) else out[k]
