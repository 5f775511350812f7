"""The holes of a made view as runs: which columns of which row, and which end of each run is background."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class HoleRuns(NamedTuple):
    """Holes as horizontal runs of one plane's grid, in row order; a named tuple, which kernels take as it is.

    Attributes:
        row: [N] int32 row of each run.
        start: [N] int32 first column of the run.
        stop: [N] int32 column after the last.
        side: [N] int8 where the background lies: 1 right of the run, -1 left of it, 0 nowhere (a row without a
            known pixel).
        border: [N] bool, True where the run touches the left or right edge of the picture.
        disparity: [N] float32 luma pixels, disparity of the background end; 0 where ``side`` is 0.
        contrast: [N] float32 luma pixels >= 0, how much nearer the other end is; 0 where there is only one end.
    """

    row: NDArray[np.int32]
    start: NDArray[np.int32]
    stop: NDArray[np.int32]
    side: NDArray[np.int8]
    border: NDArray[np.bool_]
    disparity: NDArray[np.float32]
    contrast: NDArray[np.float32]


def find_hole_runs(source_x: NDArray[np.float32], *, column_step: int = 1) -> HoleRuns:
    """List the runs of NaN in ``source_x`` and say on which side of each the background continues.

    A nearer thing that moved away uncovers what stood behind it, so the end with the smaller disparity is the
    background.

    Args:
        source_x: [H, W] source luma column that each target sample shows, NaN in holes.
        column_step: Luma columns per column of this grid (``sub_x`` for chroma).
    """
    return HoleRuns(*_find_runs(source_x, column_step))


def hole_pixels(runs: HoleRuns) -> int:
    """Number of pixels in all runs."""
    return int((runs.stop - runs.start).sum(dtype=np.int64))


def continued_disparity(source_x: NDArray[np.float32], runs: HoleRuns) -> NDArray[np.float32]:
    """Give the disparity of the made eye's pixels: where a pixel shows column s of the source at t it is ``s - t``.

    Its holes continue the background beside them, as their colours do.

    Args:
        source_x: [H, W] float32 columns, NaN in holes.
        runs: All its holes, from ``find_hole_runs``.

    Returns:
        [H, W] float32 px, finite; 0 in a row that shows nothing.
    """
    disparity = np.asarray(source_x - np.arange(source_x.shape[1], dtype=np.float32), np.float32)
    disparity[np.isnan(source_x)] = np.repeat(runs.disparity, runs.stop - runs.start)  # both in row order
    return disparity


@njit(cache=True, nogil=True)
def _find_runs(source_x: Any, column_step: int) -> Any:
    height, width = source_x.shape
    most = 8 * height + width  # runs that there is room for
    row, start, stop = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    side, border = np.empty(most, np.int8), np.empty(most, np.bool_)
    disparity, contrast = np.empty(most, np.float32), np.empty(most, np.float32)
    flags = np.zeros(width + 8, np.uint8)  # padded to whole words of eight
    words = flags[: (width + 7) // 8 * 8].view(np.uint64)
    i = 0
    for y in range(height):
        shown = source_x[y]
        for x in range(np.uint64(0), np.uint64(width)):  # a signed index would be tested, and not vectorised
            flags[x] = shown[x] != shown[x]  # only NaN differs from itself
        if i + width > most:  # a row has at most half as many
            more = 2 * most
            row, start, stop = _grown(row, more), _grown(start, more), _grown(stop, more)
            side, border = _grown(side, more), _grown(border, more)
            disparity, contrast = _grown(disparity, more), _grown(contrast, more)
            most = more
        stop_before = 0
        for word in range(words.size):
            if words[word] == 0:  # holes are rare
                continue
            x = max(8 * word, stop_before)
            while x < min(8 * word + 8, width):
                if flags[x] == 0:
                    x += 1
                    continue
                first = x
                while x < width and flags[x] != 0:
                    x += 1
                stop_before = x
                row[i], start[i], stop[i] = y, first, x
                border[i] = first == 0 or x == width
                left = shown[first - 1] - (first - 1) * column_step if first > 0 else np.inf
                right = shown[x] - x * column_step if x < width else np.inf
                if first == 0 and x == width:
                    side[i], disparity[i], contrast[i] = 0, 0.0, 0.0
                else:
                    side[i] = 1 if right <= left else -1
                    disparity[i] = min(left, right)
                    contrast[i] = 0.0 if border[i] else abs(left - right)
                i += 1
    return (
        row[:i].copy(), start[:i].copy(), stop[:i].copy(), side[:i].copy(), border[:i].copy(),
        disparity[:i].copy(), contrast[:i].copy(),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _grown(values: Any, size: int) -> Any:
    out = np.empty(size, values.dtype)
    out[: values.size] = values
    return out
