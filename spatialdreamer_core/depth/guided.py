"""Bring the soft, misplaced edges of estimated depth onto the picture's edges."""

import cv2
import numpy as np
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
    slopes, offset = _fit(np.asarray(small_guide, np.float32), np.asarray(small, np.float32), window, epsilon)
    spread = cv2.resize(np.dstack([slopes, offset]), (w, h), interpolation=cv2.INTER_LINEAR)
    return np.asarray((spread[..., :3] * guide).sum(axis=2) + spread[..., 3], np.float32)


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


def _fit(guide: Map, values: Map, window: tuple[int, int], epsilon: float) -> tuple[Map, Map]:
    """Slopes [h, w, 3] and offset [h, w] of the local linear functions, averaged over the windows of each pixel."""
    red, green, blue = (guide[..., c] for c in range(3))
    products = np.dstack(
        [guide, values, red * red, red * green, red * blue, green * green, green * blue, blue * blue]
        + [channel * values for channel in (red, green, blue)]
    )
    # cv2.blur takes at most four channels at once
    means = np.dstack([cv2.blur(products[..., c : c + 4], window) for c in range(0, products.shape[2], 4)])
    r, g, b, v, rr, rg, rb, gg, gb, bb, rv, gv, bv = (means[..., c] for c in range(13))
    rr, gg, bb = rr - r * r + epsilon, gg - g * g + epsilon, bb - b * b + epsilon
    rg, rb, gb = rg - r * g, rb - r * b, gb - g * b
    rv, gv, bv = rv - r * v, gv - g * v, bv - b * v
    # the inverse of a symmetric 3x3 matrix by its cofactors
    c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * c_rr + rg * c_rg + rb * c_rb
    slope_r = (c_rr * rv + c_rg * gv + c_rb * bv) / determinant
    slope_g = (c_rg * rv + c_gg * gv + c_gb * bv) / determinant
    slope_b = (c_rb * rv + c_gb * gv + c_bb * bv) / determinant
    offset = v - slope_r * r - slope_g * g - slope_b * b
    averaged: Map = np.asarray(cv2.blur(np.dstack([slope_r, slope_g, slope_b, offset]), window), np.float32)
    return averaged[..., :3], averaged[..., 3]
