"""Black bars that are the same all through a film."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bars = tuple[int, int, int, int]
"""Rows or columns of black at (top, bottom, left, right)."""

_STEP = 4  # every fourth sample of a line is looked at
_SHARE = 0.95  # so much of a line must be black
_ABOVE_BLACK = 5  # grey levels (of 8 bit) over black that count as black: the noise of the codec
_MIN_SHARE = 0.01  # thinner bars are left alone
_MAX_SHARE = 0.4  # a darker picture than this says nothing
_AGREEING = 0.9  # share of shots that must show the bars
_USUAL = 0.3  # share of pictures that must have the usual width


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
        top, bottom, left, right = (_usual(bars[:, side], shots) for side in range(4))
        return paired_bars((top, bottom, left, right), *self._size)


def paired_bars(bars: Bars, height: int, width: int) -> Bars:
    """Keep the bars of a picture of that size that are wide enough and have a twin on the other side."""
    top, bottom, left, right = bars
    return *_pair(top, bottom, height), *_pair(left, right, width)


def _usual(widths: NDArray[np.int64], shots: NDArray[np.int64]) -> int:
    """Give the width that is seen most often, if nearly all shots show it; else 0.

    A subtitle makes a bar narrower for a while and a dark picture makes it wider, so the usual width is the true
    one; a shot that fills the picture never shows it.
    """
    values, counts = np.unique(widths, return_counts=True)
    usual = int(values[::-1][np.argmax(counts[::-1])])  # the wider one of two that are as frequent
    if np.mean(np.abs(widths - usual) <= 1) < _USUAL:
        return 0
    showing = [bool((widths[shots == shot] >= usual - 1).any()) for shot in np.unique(shots)]
    return usual if np.mean(showing) >= _AGREEING else 0


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


def _pair(first: int, second: int, size: int) -> tuple[int, int]:
    """Keep two bars if they are wide enough and alike: a dark floor or sky has no twin on the other side."""
    alike = abs(first - second) <= max(2, 0.02 * size)
    return (first, second) if alike and min(first, second) >= max(2, _MIN_SHARE * size) else (0, 0)
