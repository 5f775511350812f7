"""Bring the soft, misplaced edges of estimated depth onto the picture's edges."""

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.depth.edges import snap_edges

Map = NDArray[np.float32]

RADIUS_PX = 8
"""Window of the guided filter at full size: as far as a network's edge may lie beside the picture's."""
EPSILON = 1e-3
"""Colour variance, of colours in [0, 1], below which a window counts as flat and depth is only smoothed."""
MEDIAN_PX = 5
"""Specks and frayed edges narrower than half of this go; so do thin things, which a soft map does not have."""
SUBSAMPLING = 2


def sharpen_depth(inverse_depth: Map, picture: NDArray[np.uint8]) -> Map:
    """Make soft estimated depth follow the picture: guided filter, then steps instead of ramps, then no specks.

    Args:
        inverse_depth: [h, w] in [0, 1], 1 nearest.
        picture: [h, w, 3] uint8 RGB.

    Returns:
        [h, w] float32 in [0, 1].
    """
    followed = np.clip(guided_filter(inverse_depth, picture), 0, 1)
    return np.asarray(cv2.medianBlur(snap_edges(followed, picture), MEDIAN_PX), np.float32)


def guided_filter(values: Map, picture: NDArray[np.uint8], radius: int = RADIUS_PX, epsilon: float = EPSILON) -> Map:
    """Smooth ``values`` so that their edges are those of the picture: locally a linear function of its colours.

    Args:
        values: [h, w].
        picture: [h, w, 3] uint8, the guide.
        radius: Of the window, pixels.
        epsilon: Regularisation, in squared units of colours in [0, 1].

    Returns:
        [h, w] float32.

    Source: He, Sun, Tang, "Guided Image Filtering", TPAMI 2013, eq. 19 to 21 (colour guide); statistics on every
    second pixel as in He, Sun, "Fast Guided Filter", arXiv 1505.00996.
    """
    h, w = values.shape
    guide = picture.astype(np.float32) / np.float32(255)
    size = (max(1, w // SUBSAMPLING), max(1, h // SUBSAMPLING))
    small_guide = cv2.resize(guide, size, interpolation=cv2.INTER_AREA)
    small = cv2.resize(values, size, interpolation=cv2.INTER_AREA)
    window = (2 * max(1, radius // SUBSAMPLING) + 1,) * 2
    lines = _fit(np.asarray(small_guide, np.float32), np.asarray(small, np.float32), window, epsilon)
    out = np.empty((h, w), np.float32)
    _apply(cv2.resize(lines, (w, h), interpolation=cv2.INTER_LINEAR), guide, out)
    return out


def guided_by_grey(values: Map, picture: NDArray[np.uint8], radius: int, epsilon: float) -> Map:
    """The same with a grey guide: locally a linear function of its luma.

    Args:
        values: [h, w], or on a coarser grid over the same extent.
        picture: [h, w] uint8, the guide.
        radius: Of the window, pixels.
        epsilon: Regularisation, squared grey levels.

    Returns:
        [h, w] float32.

    Source: as ``guided_filter``, eq. 5, 6 and 8.
    """
    h, w = picture.shape
    size = (max(1, w // SUBSAMPLING), max(1, h // SUBSAMPLING))
    guide = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    small = np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), np.float32)
    window = (2 * max(1, radius // SUBSAMPLING) + 1,) * 2
    mean, mean_guide = cv2.blur(small, window), cv2.blur(guide, window)
    variance = cv2.blur(guide * guide, window) - mean_guide * mean_guide
    slope = (cv2.blur(guide * small, window) - mean_guide * mean) / (variance + epsilon)
    offset = mean - slope * mean_guide
    slopes, offsets = (
        cv2.resize(cv2.blur(part, window), (w, h), interpolation=cv2.INTER_LINEAR) for part in (slope, offset)
    )
    return np.asarray(slopes * picture + offsets, np.float32)


def _fit(guide: Map, values: Map, window: tuple[int, int], epsilon: float) -> Map:
    """Slopes and offset [h, w, 4] of the local linear functions, averaged over the windows of each pixel."""
    h, w = values.shape
    products, lines = np.empty((4, h, w, 4), np.float32), np.empty((h, w, 4), np.float32)
    _multiply(guide, values, products)
    # cv2.blur takes at most four channels at once
    means = np.stack([cv2.blur(four, window) for four in products])
    _solve(means, np.float32(epsilon), lines)
    return np.asarray(cv2.blur(lines, window), np.float32)


@njit(cache=True, nogil=True)
def _multiply(guide: Any, values: Any, products: Any) -> None:
    """Write colours and value, squares of colours, products of colours, and colours times value: [4, h, w, 4]."""
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            r, g, b, v = guide[i, j, 0], guide[i, j, 1], guide[i, j, 2], values[i, j]
            one, squares, mixed, valued = products[0, i, j], products[1, i, j], products[2, i, j], products[3, i, j]
            one[0], one[1], one[2], one[3] = r, g, b, v
            squares[0], squares[1], squares[2], squares[3] = r * r, g * g, b * b, 0
            mixed[0], mixed[1], mixed[2], mixed[3] = r * g, r * b, g * b, 0
            valued[0], valued[1], valued[2], valued[3] = r * v, g * v, b * v, 0


@njit(cache=True, nogil=True)
def _solve(means: Any, epsilon: Any, lines: Any) -> None:
    """Write the slopes and the offset that fit each window best, from the means over it."""
    for i in range(lines.shape[0]):
        for j in range(lines.shape[1]):
            one, squares, mixed, valued = means[0, i, j], means[1, i, j], means[2, i, j], means[3, i, j]
            r, g, b, v = one[0], one[1], one[2], one[3]
            rr, gg, bb = squares[0] - r * r + epsilon, squares[1] - g * g + epsilon, squares[2] - b * b + epsilon
            rg, rb, gb = mixed[0] - r * g, mixed[1] - r * b, mixed[2] - g * b
            rv, gv, bv = valued[0] - r * v, valued[1] - g * v, valued[2] - b * v
            # the inverse of a symmetric 3x3 matrix by its cofactors
            c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
            c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
            determinant = rr * c_rr + rg * c_rg + rb * c_rb
            slope_r = (c_rr * rv + c_rg * gv + c_rb * bv) / determinant
            slope_g = (c_rg * rv + c_gg * gv + c_gb * bv) / determinant
            slope_b = (c_rb * rv + c_gb * gv + c_bb * bv) / determinant
            line = lines[i, j]
            line[0], line[1], line[2] = slope_r, slope_g, slope_b
            line[3] = v - slope_r * r - slope_g * g - slope_b * b


@njit(cache=True, nogil=True)
def _apply(lines: Any, guide: Any, out: Any) -> None:
    """Write each pixel's value on its own line."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            line, colour = lines[i, j], guide[i, j]
            out[i, j] = line[0] * colour[0] + line[1] * colour[1] + line[2] * colour[2] + line[3]
