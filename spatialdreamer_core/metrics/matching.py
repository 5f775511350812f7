"""Disparity of a finished pair by an independent stereo matcher, and what it tells: agreement, and the eyes' order.

The matcher is OpenCV's semi-global matching, or optical flow between the eyes; neither knows how a view was made.

Source: Hirschmueller, "Stereo Processing by Semiglobal Matching and Mutual Information", TPAMI 2008, as in OpenCV.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.flow.consistency import warp_by_flow
from spatialdreamer_core.flow.dis import FlowEstimator
from spatialdreamer_core.metrics.fidelity import Mask, Picture, check_pair

F32 = NDArray[np.float32]

BAD_PX, BAD_SHARE = 3.0, 0.05
AGREE_PX = 1.0
_BLOCK = 5


@dataclass(frozen=True, slots=True)
class Matched:
    """What a matcher found.

    Attributes:
        disparity: [H, W] float32 px, ``x_left - x_right``, on the left view's grid.
        known: [H, W], True where matching from the right view leads back to within a pixel.
    """

    disparity: F32
    known: Mask


@dataclass(frozen=True, slots=True)
class DisparityAgreement:
    """How far the disparity of a made pair is from the true one.

    Attributes:
        epe: Mean distance, px (end-point error).
        d1: Share of pixels off by more than 3 px and more than 5 % of the true disparity (KITTI's D1), in [0, 1].
        coverage: Share of the truly known pixels that could be matched in the made pair, in [0, 1].
    """

    epe: float
    d1: float
    coverage: float


def match(left: Picture, right: Picture, lowest_px: float, highest_px: float) -> Matched:
    """Find the disparity of a rectified pair.

    Args:
        left: [H, W, 3] uint8 RGB.
        right: [H, W, 3] uint8 RGB.
        lowest_px: Least disparity that may occur.
        highest_px: Most disparity that may occur; the cost grows with the distance of the two.

    Raises:
        ValueError: If the sizes differ or the range is empty.
    """
    check_pair(left, right)
    if not highest_px >= lowest_px:
        raise ValueError(f"the disparity range is empty: {lowest_px:g} to {highest_px:g} px")
    low = int(np.floor(lowest_px)) - 1
    count = -(-(int(np.ceil(highest_px)) + 2 - low) // 16) * 16
    a, b = (_grey(picture, low, count) for picture in (left, right))
    forward = _sgm(a, b, low, count)
    backward = _sgm(b[:, ::-1], a[:, ::-1], low, count)[:, ::-1]
    before, _ = _margins(low, count)
    keep = slice(before, before + left.shape[1])
    forward, backward = forward[:, keep], backward[:, keep]
    columns = np.arange(forward.shape[1])[None] - np.rint(forward).astype(int)
    inside = (columns >= 0) & (columns < forward.shape[1])
    there = np.take_along_axis(backward, np.clip(columns, 0, forward.shape[1] - 1), axis=1)
    known = (forward >= low) & inside & (np.abs(there - forward) < AGREE_PX)
    return Matched(np.ascontiguousarray(forward, np.float32), np.asarray(known, bool))


def match_by_flow(left: Picture, right: Picture, estimator: FlowEstimator) -> Matched:
    """Find the disparity of a rectified pair by optical flow from the left view to the right one, and back.

    No range is needed, and none is respected.

    Args:
        left: [H, W, 3] uint8 RGB.
        right: [H, W, 3] uint8 RGB.
        estimator: One that sees colour and is good at large motion, such as GMFlow.

    Raises:
        ValueError: If the sizes differ.
    """
    check_pair(left, right)
    there, back = estimator.estimate(left, right), estimator.estimate(right, left)
    known = np.hypot(*np.moveaxis(there + warp_by_flow(back, there), 2, 0)) < AGREE_PX
    return Matched(np.ascontiguousarray(-there[..., 0], np.float32), np.asarray(known, bool))


def agreement(made: Matched, true: F32, known: Mask, *, offset_px: float = 0.0) -> DisparityAgreement | None:
    """Compare the disparity matched in a made pair with the true one.

    Args:
        made: Of the left view and the made one.
        true: [H, W] float32 px, true disparity on the left view's grid.
        known: [H, W], where that is known.
        offset_px: What the made pair's disparity is expected to have more everywhere (another convergence).

    Returns:
        None where nothing can be compared.
    """
    both = made.known & known
    if not both.any():
        return None
    error = np.abs(made.disparity[both] - np.float32(offset_px) - true[both])
    bad = (error > BAD_PX) & (error > BAD_SHARE * np.abs(true[both]))
    return DisparityAgreement(
        float(error.mean(dtype=np.float64)), float(bad.mean()), float(both.sum() / np.count_nonzero(known))
    )


def _grey(picture: Picture, low: int, count: int) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.copyMakeBorder(grey, 0, 0, *_margins(low, count), cv2.BORDER_REPLICATE), np.uint8)


def _sgm(base: NDArray[np.uint8], other: NDArray[np.uint8], low: int, count: int) -> F32:
    smooth = _BLOCK * _BLOCK
    matcher = cv2.StereoSGBM.create(
        minDisparity=low,
        numDisparities=count,
        blockSize=_BLOCK,
        P1=8 * smooth,
        P2=32 * smooth,
        preFilterCap=31,
        uniquenessRatio=5,
        mode=cv2.STEREO_SGBM_MODE_SGBM_3WAY,
    )
    found = matcher.compute(np.ascontiguousarray(base), np.ascontiguousarray(other))
    return np.asarray(found, np.float32) / np.float32(16)


def _margins(low: int, count: int) -> tuple[int, int]:
    """Columns to add on the left and right, since OpenCV leaves out what might look beyond the other picture."""
    return max(0, low + count), max(0, -low)
