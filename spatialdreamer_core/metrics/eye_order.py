"""Are the eyes of a stereo pair in their right order? Told by who owns what only one eye sees."""

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.metrics.fidelity import Picture
from spatialdreamer_core.metrics.matching import Matched, match

Order = Literal["right", "swapped", "unknown"]

RANGE_SHARE = 0.12
"""Disparities sought on either side of 0, as a share of the width, where nothing better is known."""
_WIDTH = 640
_LEAST_VOTES, _LEAST_SHARE = 40, 0.6
_LEAST_JUMP_PX = 3.0
_REACH_PX = 5
_LEAST_CONTRAST = 10.0  # levels, summed over three channels


@dataclass(frozen=True, slots=True)
class EyeOrder:
    """The verdict on one pair.

    Attributes:
        order: ``swapped`` if the picture on the left is the right eye's; ``unknown`` where too little speaks.
        votes_right: Half-hidden runs that say the order is right.
        votes_swapped: Those that say it is swapped.
    """

    order: Order
    votes_right: int
    votes_swapped: int


def eye_order(left: Picture, right: Picture, *, range_share: float = RANGE_SHARE) -> EyeOrder:
    """Tell whether the two eyes of a rectified pair are swapped.

    The sign of disparity cannot tell: convergence moves it at will, and swapping negates it. But what only one eye sees
    is always background: beside each jump of disparity lies a run without a partner, whose colour continues on its
    background's side. In the right order that is the side of less disparity, in a swapped pair the side of more. Every
    such run of both views votes; 40 votes and 60 % of them decide.

    Args:
        left: [H, W, 3] uint8 RGB, said to be the left eye.
        right: [H, W, 3] uint8 RGB.
        range_share: Disparities sought on either side of 0, as a share of the width.

    Raises:
        ValueError: If the sizes differ.
    """
    small_left, small_right = (_shrink(eye) for eye in (left, right))
    reach = max(8.0, range_share * small_left.shape[1])
    votes = _votes(small_left, match(small_left, small_right, -reach, reach))
    mirrored = np.ascontiguousarray(small_right[:, ::-1]), np.ascontiguousarray(small_left[:, ::-1])
    votes += _votes(mirrored[0], match(*mirrored, -reach, reach))
    agreeing, against = int(votes[0]), int(votes[1])
    total = agreeing + against
    if total < _LEAST_VOTES or max(agreeing, against) < _LEAST_SHARE * total:
        return EyeOrder("unknown", agreeing, against)
    return EyeOrder("right" if agreeing > against else "swapped", agreeing, against)


def _shrink(picture: Picture) -> Picture:
    h, w = picture.shape[:2]
    if w <= _WIDTH:
        return picture
    return np.asarray(cv2.resize(picture, (_WIDTH, round(h * _WIDTH / w)), interpolation=cv2.INTER_AREA), np.uint8)


def _votes(picture: Picture, matched: Matched) -> NDArray[np.int64]:
    """[2]: runs whose colour continues on the side of less disparity, and on the other."""
    known, disparity = matched.known, matched.disparity
    w = known.shape[1]
    after = np.minimum.accumulate(np.where(known, np.arange(w), w)[:, ::-1], axis=1)[:, ::-1]
    row, start = np.nonzero(known[:, :-1] & ~known[:, 1:])
    stop = after[row, start + 1]
    row, start, stop = (values[stop < w] for values in (row, start, stop))
    jump = disparity[row, stop] - disparity[row, start]
    length = stop - start - 1
    # what one eye alone sees is as wide as the jump
    fits = (jump >= _LEAST_JUMP_PX) & (length >= _LEAST_JUMP_PX) & (np.abs(length - jump) <= 0.5 * jump + 2)
    fits &= (start - 1 - _REACH_PX >= 0) & (stop + 2 + _REACH_PX <= w)
    row, start, stop = row[fits], start[fits], stop[fits]
    lab = cv2.cvtColor(picture, cv2.COLOR_RGB2LAB)
    sums = np.zeros((known.shape[0], w + 1, 3))
    np.cumsum(lab, axis=1, dtype=np.float64, out=sums[:, 1:])

    def mean(first: NDArray[np.int64], end: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.asarray((sums[row, end] - sums[row, first]) / (end - first)[:, None], np.float64)

    run = mean(start + 1, stop)
    # a pixel at each end is left out: it may hold both sides' colour
    far = np.abs(run - mean(start - 1 - _REACH_PX, start - 1)).sum(axis=1)
    near = np.abs(run - mean(stop + 2, stop + 2 + _REACH_PX)).sum(axis=1)
    clear = np.abs(far - near) >= _LEAST_CONTRAST
    return np.array([np.count_nonzero(clear & (far < near)), np.count_nonzero(clear & (far > near))])
