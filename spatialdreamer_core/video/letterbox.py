"""Black bars that are the same all through a film."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bars = tuple[int, int, int, int]
"""Rows or columns of black at (top, bottom, left, right)."""

_STEP = 4  # every fourth sample of a line is looked at
_SHARE = 0.95  # so much of a line must be black: subtitles may stand in a bar
_ABOVE_BLACK = 5  # grey levels (of 8 bit) over black that count as black: the noise of the codec
_MIN_SHARE = 0.01  # thinner bars are left alone
_MAX_SHARE = 0.4  # a darker picture than this says nothing
_AGREEING = 0.9  # share of shots that must show the bars


@dataclass(slots=True)
class BarFinder:
    """Collect bars from single pictures and agree on those that belong to the film.

    Attributes:
        black: Luma of black, in 8-bit grey levels: 16 for limited, 0 for full range.
    """

    black: int = 16
    _seen: list[tuple[int, Bars]] = field(init=False, default_factory=list)
    _size: tuple[int, int] = field(init=False, default=(0, 0))

    def push(self, index: int, luma: NDArray[np.uint8] | NDArray[np.uint16], bits: int) -> None:
        """Look at one picture.

        Args:
            index: Its frame number.
            luma: [H, W] luma at full size.
            bits: Bits per sample.
        """
        self._size = luma.shape[0], luma.shape[1]
        bars = picture_bars(luma, (self.black + _ABOVE_BLACK) << (bits - 8))
        if bars is not None:
            self._seen.append((index, bars))

    def finish(self, shot_starts: NDArray[np.int64]) -> Bars:
        """Give the bars that nearly all shots have; zeros where there are none or they change.

        Args:
            shot_starts: [S] frame number where each shot begins.

        Returns:
            (top, bottom, left, right) in samples.
        """
        if not self._seen:
            return 0, 0, 0, 0
        shots = np.searchsorted(shot_starts, [index for index, _ in self._seen], side="right")
        bars = np.array([found for _, found in self._seen])
        # Dark pictures only make bars wider, so the narrow end of a shot's bars is the true one.
        per_shot = np.array([np.percentile(bars[shots == shot], 20, axis=0) for shot in np.unique(shots)])
        found = np.percentile(per_shot, 100 * (1 - _AGREEING), axis=0, method="lower").astype(int)
        top, bottom = _pair(found[:2].tolist(), self._size[0])
        left, right = _pair(found[2:].tolist(), self._size[1])
        return top, bottom, left, right


def picture_bars(luma: NDArray[np.uint8] | NDArray[np.uint16], limit: int) -> Bars | None:
    """Measure the black bars of one picture; None if it is too dark to say."""
    rows = _black_lines(luma[:, ::_STEP], limit, axis=1)
    top, bottom = _run(rows), _run(rows[::-1])
    if top + bottom >= 2 * _MAX_SHARE * len(rows):
        return None
    columns = _black_lines(luma[top : len(rows) - bottom : _STEP], limit, axis=0)
    left, right = _run(columns), _run(columns[::-1])
    if left + right >= 2 * _MAX_SHARE * len(columns):
        return None
    return top, bottom, left, right


def _black_lines(luma: NDArray[np.uint8] | NDArray[np.uint16], limit: int, axis: int) -> NDArray[np.bool_]:
    return np.asarray((luma <= limit).mean(axis=axis) >= _SHARE)


def _run(black: NDArray[np.bool_]) -> int:
    """Count the black lines from the edge."""
    return int(len(black) if black.all() else np.argmin(black))


def _pair(bars: Sequence[int], size: int) -> tuple[int, int]:
    """Keep two bars if they are wide enough and alike: a dark floor or sky has no twin on the other side."""
    first, second = bars
    alike = abs(first - second) <= max(2, 0.02 * size)
    return (first, second) if alike and min(first, second) >= max(2, _MIN_SHARE * size) else (0, 0)
