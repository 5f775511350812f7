"""How far the two eyes differ where they should not: in brightness, colour, sharpness and height.

Levels are always 8-bit levels: samples of 10 bit are divided by 4.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.video.frames import Frame, Plane

MATCH_WIDTH = 1280
"""Vertical disparity is matched on pictures halved until they are no wider than this."""
_POINTS = 64
_RETURN_PX = 0.3  # a point that does not come back this close, of the matched size, was not found
_FLAT = 1e-6


@dataclass(frozen=True, slots=True)
class VerticalDisparity:
    """Heights of matched points, left minus right, in rows of the full picture.

    Attributes:
        median_px: The offset of the whole picture; positive if the right eye's picture stands higher.
        mean_abs_px: Mean distance in height.
        p95_abs_px: 95th percentile of the distance in height.
        points: How many points were matched both ways.
    """

    median_px: float
    mean_abs_px: float
    p95_abs_px: float
    points: int


def luma_difference(left: Frame, right: Frame) -> float:
    """Mean luma of the right eye minus that of the left, in 8-bit levels, over every sample of the picture."""
    return (_mean(right.y) - _mean(left.y)) / levels_per_8_bit(left)


def chroma_difference(left: Frame, right: Frame) -> float:
    """Distance of the eyes' mean (u, v), in 8-bit levels, >= 0, over every sample."""
    blue, red = _mean(right.u) - _mean(left.u), _mean(right.v) - _mean(left.v)
    return float(np.hypot(blue, red)) / levels_per_8_bit(left)


def sharpness(luma: Plane) -> float:
    """Variance of the Laplacian (the 3x3 cross) over all but the border samples, in squared levels as stored.

    Source: Pech-Pacheco et al., "Diatom autofocusing in brightfield microscopy", ICPR 2000.

    Args:
        luma: [H, W] at full size; 0 if it has no inside.
    """
    count = (luma.shape[0] - 2) * (luma.shape[1] - 2)
    if min(luma.shape) < 3:
        return 0.0
    total, squares = _laplacian_sums(luma)
    return float(squares / count - (total / count) ** 2)


def sharpness_ratio(left: Plane, right: Plane) -> float | None:
    """Sharpness of the right eye over that of the left; 1 is the same, below 1 the right eye is softer.

    Returns:
        None where the left eye is flat, since nothing can be softer than that.
    """
    of_left = sharpness(left)
    return sharpness(right) / of_left if of_left > _FLAT else None


def vertical_disparity(left: Plane, right: Plane) -> VerticalDisparity | None:
    """Match corners of the left eye in the right one and tell how far they differ in height.

    Up to 64 corners (Shi and Tomasi) are followed with pyramidal Lucas-Kanade into the right eye and back; those that
    return to within 0.3 px count. Works for any stereo pair; one made by moving pixels within their rows is at 0, up
    to a few hundredths of a pixel of matching error.

    Args:
        left: [H, W] luma.
        right: [H, W] luma.

    Returns:
        None if fewer than 8 points could be matched: a flat or black picture.

    Source: Shi and Tomasi, "Good features to track", CVPR 1994; Bouguet's pyramidal Lucas-Kanade as in OpenCV.
    """
    a, b = (halve_until(to_8_bit(plane), MATCH_WIDTH) for plane in (left, right))
    quarter = halve_until(a, max(64, a.shape[1] // 2))  # seeking corners costs more than following them
    corners = cv2.goodFeaturesToTrack(quarter, _POINTS, 0.02, max(3.0, quarter.shape[1] / 24), blockSize=5)
    if corners is None:
        return None
    scale = np.array([a.shape[1] / quarter.shape[1], a.shape[0] / quarter.shape[0]], np.float32)
    start = np.asarray((corners + 0.5) * scale - 0.5, np.float32)
    there, found = _follow(a, b, start)
    back, found_back = _follow(b, a, there)
    good = found & found_back & (np.abs(back - start).max(axis=(1, 2)) < _RETURN_PX)
    if good.sum() < 8:
        return None
    rows = (start[good, 0, 1] - there[good, 0, 1]).astype(np.float64) * (left.shape[0] / a.shape[0])
    distance = np.abs(rows)
    return VerticalDisparity(
        float(np.median(rows)), float(distance.mean()), float(np.percentile(distance, 95)), int(good.sum())
    )


def levels_per_8_bit(frame: Frame) -> float:
    """How many stored levels make one 8-bit level: 1 for 8 bit, 4 for 10 bit."""
    return float(1 << (frame.format.bits - 8))


def to_8_bit(plane: Plane) -> NDArray[np.uint8]:
    """Give the plane's upper 8 bits; uint16 holds 10."""
    return np.asarray(plane if plane.dtype == np.uint8 else plane >> 2, np.uint8)


def halve_until(picture: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Average 2 x 2 samples again and again until the picture is at most ``width`` wide.

    Halving in steps is OpenCV's fast case: 1280 to 320 columns takes 0.1 ms, in one step 0.5 ms.
    """
    while picture.shape[1] > width:
        h, w = picture.shape
        picture = np.asarray(cv2.resize(picture, ((w + 1) // 2, (h + 1) // 2), interpolation=cv2.INTER_AREA), np.uint8)
    return picture


def _follow(
    a: NDArray[np.uint8], b: NDArray[np.uint8], points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 20, 0.01)
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        a, b, points, None, winSize=(15, 15), maxLevel=4, criteria=stop, minEigThreshold=1e-3
    )  # type: ignore[call-overload]
    return np.asarray(there, np.float32), found.ravel() == 1


def _mean(plane: Plane) -> float:
    return float(cv2.mean(plane)[0])


@njit(cache=True, nogil=True)
def _laplacian_sums(luma: Any) -> tuple[int, int]:
    """Sum and sum of squares of the Laplacian, exact in integers."""
    h, w = luma.shape
    total, squares = 0, 0
    for y in range(1, h - 1):
        for x in range(1, w - 1):
            around = np.int32(luma[y - 1, x]) + np.int32(luma[y + 1, x])
            around += np.int32(luma[y, x - 1]) + np.int32(luma[y, x + 1])
            value = int(around - 4 * np.int32(luma[y, x]))
            total += value
            squares += value * value
    return total, squares
