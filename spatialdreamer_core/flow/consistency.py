"""Which flow vectors to believe: forward-backward agreement, the pictures' agreement, and pulling along the flow."""

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

_grids: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}


def pixel_grid(h: int, w: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the x and the y of each pixel, [h, w] each; centres are integers. Read-only, kept between calls."""
    grid = _grids.get((h, w))
    if grid is None:
        y, x = np.mgrid[:h, :w].astype(np.float32)
        x.setflags(write=False)
        y.setflags(write=False)
        if len(_grids) > 8:  # a worker sees few sizes; a caller with many must not grow
            _grids.clear()
        grid = _grids[h, w] = (x, y)
    return grid


def warp_by_flow(
    picture: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32], flow: NDArray[np.float32]
) -> NDArray[Any]:
    """Pull a picture along the flow, so that it lies on the grid the flow starts from.

    Bilinear at 1/32 pixel (``cv2.remap``); what lies outside is the nearest border pixel.

    Args:
        picture: [h, w] or [h, w, C] of time b; uint8, uint16 or float32.
        flow: [h, w, 2] pixels from time a to time b, dx first.

    Returns:
        The shape and type of ``picture``: time b seen from the pixels of time a.
    """
    x, y = pixel_grid(*flow.shape[:2])
    return np.asarray(
        cv2.remap(picture, x + flow[..., 0], y + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    )


def inside(flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell [h, w] where the flow ends within the picture (half a pixel beyond the outer centres counts)."""
    h, w = flow.shape[:2]
    x, y = pixel_grid(h, w)
    end_x, end_y = x + flow[..., 0], y + flow[..., 1]
    return np.asarray((end_x >= -0.5) & (end_x <= w - 0.5) & (end_y >= -0.5) & (end_y <= h - 0.5))


def forward_backward_confidence(
    flow_ab: NDArray[np.float32], flow_ba: NDArray[np.float32], *, share: float = 0.01, slack_px2: float = 0.5
) -> NDArray[np.bool_]:
    """Tell where going along the flow and back ends where it began.

    ``|f + b|^2 <= share * (|f|^2 + |b|^2) + slack``, with b the backward flow pulled to where f points; a vector
    that leaves the picture is never confident.

    Args:
        flow_ab: [h, w, 2] pixels, a to b.
        flow_ba: [h, w, 2] pixels, b to a.
        share: Part of the motion that may be missing.
        slack_px2: What may be missing without motion, squared pixels of this size.

    Returns:
        [h, w] on the grid of a; False means occluded in b, or a flow not to be believed.

    Source: Sundaram et al., "Dense Point Trajectories by GPU-accelerated Large Displacement Optical Flow", ECCV 2010,
    with the constants that video metrics use since Lai et al., ECCV 2018.
    """
    back = warp_by_flow(flow_ba, flow_ab)
    gap = _squared(flow_ab + back)
    allowed = share * (_squared(flow_ab) + _squared(back)) + np.float32(slack_px2)
    return np.asarray((gap <= allowed) & inside(flow_ab))


def photometric_confidence(
    grey_a: NDArray[np.uint8], grey_b: NDArray[np.uint8], flow_ab: NDArray[np.float32], *, sigma: float = 12.0
) -> NDArray[np.float32]:
    """Tell how well picture b, pulled along the flow, looks like picture a.

    The difference is averaged over 3x3 pixels first, so that grain does not count as disagreement.

    Args:
        grey_a: [h, w].
        grey_b: [h, w].
        flow_ab: [h, w, 2] pixels, a to b.
        sigma: Grey levels of difference at which the confidence has fallen to 0.61.

    Returns:
        [h, w] in (0, 1]; 0 where the flow leaves the picture.
    """
    pulled = warp_by_flow(grey_b, flow_ab)
    difference = cv2.subtract(grey_a, np.asarray(pulled, np.uint8), dtype=cv2.CV_32F)
    smooth = np.asarray(cv2.blur(difference, (3, 3), borderType=cv2.BORDER_REPLICATE), np.float32)
    confidence = np.exp(smooth * smooth * np.float32(-0.5 / sigma**2))
    confidence[~inside(flow_ab)] = 0.0
    return np.asarray(confidence, np.float32)


def flow_confidence(
    grey_a: NDArray[np.uint8],
    grey_b: NDArray[np.uint8],
    flow_ab: NDArray[np.float32],
    flow_ba: NDArray[np.float32],
    *,
    slack_px2: float = 0.5,
) -> NDArray[np.float32]:
    """Join both checks: the pictures' agreement where forward and backward flow agree, 0 elsewhere.

    Args:
        grey_a: [h, w].
        grey_b: [h, w].
        flow_ab: [h, w, 2] pixels, a to b.
        flow_ba: [h, w, 2] pixels, b to a.
        slack_px2: See ``forward_backward_confidence``.

    Returns:
        [h, w] in [0, 1] on the grid of a.
    """
    agree = forward_backward_confidence(flow_ab, flow_ba, slack_px2=slack_px2)
    return np.asarray(photometric_confidence(grey_a, grey_b, flow_ab) * agree, np.float32)


def trusted_flow(
    grey_a: NDArray[np.uint8],
    grey_b: NDArray[np.uint8],
    flow_ab: NDArray[np.float32],
    flow_ba: NDArray[np.float32] | None,
    *,
    still_below_px: float = 1.0,
    slack_px2: float = 0.5,
    sigma: float = 12.0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the flow and its confidence in one go, with noise on a still scene not taken for motion.

    The confidence is that of ``flow_confidence``. Small motion becomes none where the pictures agree as well without
    it: on a still scene flow follows the grain, and would shake whatever is carried along it.

    Args:
        grey_a: [h, w].
        grey_b: [h, w].
        flow_ab: [h, w, 2] pixels, a to b.
        flow_ba: [h, w, 2] pixels, b to a; None looks at the pictures alone, in half the time.
        still_below_px: Only shorter vectors may become none.
        slack_px2: See ``forward_backward_confidence``.
        sigma: See ``photometric_confidence``.

    Returns:
        [h, w, 2] pixels, and [h, w] in [0, 1].
    """
    pulled = warp_by_flow(grey_b, flow_ab)
    back = -flow_ab if flow_ba is None else warp_by_flow(flow_ba, flow_ab)
    slack = np.float32(slack_px2)
    moved, rest, agree = _compare(grey_a, grey_b, pulled, flow_ab, back, slack)
    border = cv2.BORDER_REPLICATE
    bias = np.asarray(cv2.blur(moved, (3, 3), borderType=border), np.float32)
    bias_rest = np.asarray(cv2.blur(rest, (3, 3), borderType=border), np.float32)
    apart = np.asarray(cv2.blur(np.abs(moved), (5, 5), borderType=border), np.float32)
    apart_rest = np.asarray(cv2.blur(np.abs(rest), (5, 5), borderType=border), np.float32)
    return _decide(
        flow_ab, agree, bias, bias_rest, apart, apart_rest, np.float32(still_below_px**2), np.float32(-0.5 / sigma**2)
    )


@njit(cache=True, nogil=True)
def _compare(
    grey_a: NDArray[np.uint8],
    grey_b: NDArray[np.uint8],
    pulled: NDArray[np.uint8],
    flow: NDArray[np.float32],
    back: NDArray[np.float32],
    slack: np.float32,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Differences of the pictures with and without the flow, and whether the flow comes back."""
    h, w = grey_a.shape
    moved, rest = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
    agree = np.empty((h, w), np.bool_)
    for i in range(h):
        for j in range(w):
            moved[i, j] = np.float32(grey_a[i, j]) - np.float32(pulled[i, j])
            rest[i, j] = np.float32(grey_a[i, j]) - np.float32(grey_b[i, j])
            fx, fy, bx, by = flow[i, j, 0], flow[i, j, 1], back[i, j, 0], back[i, j, 1]
            gap = (fx + bx) * (fx + bx) + (fy + by) * (fy + by)
            allowed = np.float32(0.01) * (fx * fx + fy * fy + bx * bx + by * by) + slack
            x, y = j + fx, i + fy
            agree[i, j] = gap <= allowed and -0.5 <= x <= w - 0.5 and -0.5 <= y <= h - 0.5
    return moved, rest, agree


@njit(cache=True, nogil=True)
def _decide(
    flow: NDArray[np.float32],
    agree: NDArray[np.bool_],
    bias: NDArray[np.float32],
    bias_rest: NDArray[np.float32],
    apart: NDArray[np.float32],
    apart_rest: NDArray[np.float32],
    still_px2: np.float32,
    exponent: np.float32,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    h, w = agree.shape
    given, trust = np.empty((h, w, 2), np.float32), np.empty((h, w), np.float32)
    for i in range(h):
        for j in range(w):
            fx, fy, wrong = flow[i, j, 0], flow[i, j, 1], bias[i, j]
            # a quarter and one grey level: what flow gains by following grain alone
            if fx * fx + fy * fy < still_px2 and apart_rest[i, j] <= np.float32(1.25) * apart[i, j] + np.float32(1):
                fx, fy, wrong = np.float32(0), np.float32(0), bias_rest[i, j]
            given[i, j, 0], given[i, j, 1] = fx, fy
            trust[i, j] = np.exp(wrong * wrong * exponent) if agree[i, j] else np.float32(0)
    return given, trust


def _squared(flow: NDArray[np.float32]) -> NDArray[np.float32]:
    x, y = flow[..., 0], flow[..., 1]
    return x * x + y * y
