"""Paint what the made eye uncovers: inside the holes only, from the background's side, plane by plane."""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.geometry.holes import HoleRuns, find_hole_runs, hole_pixels
from spatialdreamer_core.geometry.reveal import Reveal, blend_reveal, trace_reveal
from spatialdreamer_core.video.frames import Frame, PixelFormat, Plane

INPAINT_RADIUS_PX = 3
SAME_SURFACE_PX = 1.5
"""Neighbouring samples whose disparities differ by no more than this lie on one surface."""
_FLAGS = {"telea": cv2.INPAINT_TELEA, "ns": cv2.INPAINT_NS}

# The mixture, chosen on real stereo pairs: a plain row smear keeps no texture, a plain mirror shows doubled things
# and streaks from row to row. Averaging down the columns, more so deeper in the hole, removes the streaks.
MIRROR_SHARE = 0.5
DETAIL_SHARE = 0.15
AVERAGED_PX = 3
SIGMA_AT_EDGE_ROWS = 0.7
SIGMA_PER_COLUMN = 0.25
SIGMA_MAX_ROWS = 4.0


class Filled(NamedTuple):
    """A painted frame, and what its holes were painted from.

    Attributes:
        frame: The made eye without holes.
        runs: The holes on the luma grid.
        revealed: [P] float32 in [0, 1], over the pixels of ``runs`` run after run: the share of what stands there that
            neighbouring frames showed; 0 where all of it was made up.
    """

    frame: Frame
    runs: HoleRuns
    revealed: NDArray[np.float32]


def fill_holes(
    splat_frame: Frame,
    source_x: NDArray[np.float32],
    config: FillConfig,
    reveals: Sequence[Reveal] = (),
) -> Frame:
    """Paint the holes: the frame of ``fill_and_tell``."""
    return fill_and_tell(splat_frame, source_x, config, reveals).frame


def fill_and_tell(
    splat_frame: Frame,
    source_x: NDArray[np.float32],
    config: FillConfig,
    reveals: Sequence[Reveal] = (),
    runs: HoleRuns | None = None,
) -> Filled:
    """Paint every hole sample of every plane and leave every other sample as it is.

    The end of a hole with the smaller disparity is background, and only that end gives colour, so nothing of the
    foreground is smeared. Holes at the left or right edge of the picture are continued by mirroring. A chroma
    sample is a hole where the luma sample that it is sited on is one.

    Args:
        splat_frame: The made eye with anything in its holes.
        source_x: [H, W] source luma column shown by each target pixel, NaN in holes.
        config: ``row`` repeats the background's colour along the row, ``background`` mixes it with the mirrored
            background and smooths across rows, ``telea`` and ``ns`` are OpenCV's. ``temporal`` False ignores
            ``reveals``.
        reveals: Neighbouring frames of the same shot that may show what is hidden here, the best first.
        runs: All holes of ``source_x``, if they have been found already.

    Returns:
        A new frame, and where its colours come from; the given one is not written to.

    Raises:
        ValueError: If ``source_x`` is not of the frame's size, or a reveal does not fit the frame.
    """
    if source_x.shape != splat_frame.y.shape:
        raise ValueError(f"source_x must be {splat_frame.y.shape} like the luma plane, got {source_x.shape}")
    layout = splat_frame.format
    grids = _grids(source_x, layout, runs)
    luma = grids[0]
    traces = [trace_reveal(splat_frame, source_x, luma.runs, r) for r in reveals] if config.temporal else []
    planes = []
    for index, grid in enumerate(grids):
        plane = splat_frame.planes[index]
        paint = _spatial(plane, grid, config.name, layout.bits)
        # The best reveal is laid on last: it covers the others instead of being averaged with them.
        for reveal, trace in reversed(list(zip(reveals, traces, strict=False))):
            blend_reveal(paint, reveal.frame.planes[index], luma.runs, trace, sub_x=grid.sub_x, sub_y=grid.sub_y)
        out = plane.copy()
        _write(out, paint, grid.runs, float((1 << layout.bits) - 1))
        planes.append(out)
    made_up = np.ones(hole_pixels(luma.runs), np.float32)
    for trace in traces:
        made_up *= 1 - trace.weight
    return Filled(Frame(planes[0], planes[1], planes[2], layout, splat_frame.pts), luma.runs, 1 - made_up)


def mirror_background(splat_frame: Frame, source_x: NDArray[np.float32]) -> Frame:
    """Paint every hole sample with the background mirrored at the hole's end: all its texture, and nothing averaged.

    Args:
        splat_frame: The made eye with anything in its holes.
        source_x: [H, W] source luma column shown by each target pixel, NaN in holes.

    Returns:
        A new frame.
    """
    layout = splat_frame.format
    grey, white = float(1 << (layout.bits - 1)), float((1 << layout.bits) - 1)
    planes = []
    for plane, grid in zip(splat_frame.planes, _grids(source_x, layout), strict=True):
        paint, behind = np.empty(plane.shape, np.float32), np.empty(plane.shape, np.float32)
        _paint_rows(plane, grid, paint, behind, (1.0, 1, grey))
        out = plane.copy()
        _write(out, paint, grid.runs, white)
        planes.append(out)
    return Frame(planes[0], planes[1], planes[2], layout, splat_frame.pts)


class _Grid(NamedTuple):
    """One plane's sampling of the map: every ``sub_x``-th column and ``sub_y``-th row of luma."""

    source_x: NDArray[np.float32]
    runs: HoleRuns
    sub_x: int
    sub_y: int


def _grids(
    source_x: NDArray[np.float32], layout: PixelFormat, runs: HoleRuns | None = None
) -> tuple[_Grid, _Grid, _Grid]:
    luma = _Grid(source_x, find_hole_runs(source_x) if runs is None else runs, 1, 1)
    if layout.sub_x == 1 and layout.sub_y == 1:
        return luma, luma, luma
    coarse = np.ascontiguousarray(source_x[:: layout.sub_y, :: layout.sub_x])
    chroma = _Grid(coarse, find_hole_runs(coarse, column_step=layout.sub_x), layout.sub_x, layout.sub_y)
    return luma, chroma, chroma


def _spatial(plane: Plane, grid: _Grid, method: str, bits: int) -> NDArray[np.float32]:
    """Give [H, W] float32 colour, meaningful at hole samples only."""
    grey = float(1 << (bits - 1))
    if method in _FLAGS:
        hole = np.isnan(grid.source_x)
        if hole.all():
            return np.full(plane.shape, grey, np.float32)
        painted: NDArray[Any] = cv2.inpaint(plane, hole.astype(np.uint8), INPAINT_RADIUS_PX, _FLAGS[method])
        return painted.astype(np.float32)
    share, averaged = (0.0, 1) if method == "row" else (MIRROR_SHARE, AVERAGED_PX)
    paint = np.empty(plane.shape, np.float32)
    behind = np.empty(plane.shape, np.float32)
    _paint_rows(plane, grid, paint, behind, (share, averaged, grey))
    if method == "background":
        paint = cast(NDArray[np.float32], _smooth_down(paint, behind, grid, _weights(grid.sub_y), DETAIL_SHARE))
    _paint_empty_rows(paint, plane, grid, grey)
    return paint


@cache
def _weights(sub_y: int) -> NDArray[np.float32]:
    """[depth in the hole, rows away] Gaussian weights; the sigma grows with depth up to its limit. Read-only."""
    deepest = int(np.ceil((SIGMA_MAX_ROWS - SIGMA_AT_EDGE_ROWS) / SIGMA_PER_COLUMN)) + 1
    sigma = np.minimum(SIGMA_AT_EDGE_ROWS + SIGMA_PER_COLUMN * np.arange(deepest), SIGMA_MAX_ROWS) / sub_y
    rows = np.arange(int(2 * SIGMA_MAX_ROWS / sub_y) + 1)
    weights: NDArray[np.float32] = np.exp(-0.5 * (rows[None, :] / sigma[:, None]) ** 2).astype(np.float32)
    weights.setflags(write=False)
    return weights


@njit(cache=True, nogil=True)
def _paint_rows(plane: Any, grid: Any, paint: Any, behind: Any, options: Any) -> None:
    """Continue each run from its background end: colour of the row mixed with the mirrored row."""
    source_x, runs, sub_x, _ = grid
    mirror_share, averaged, grey = options
    mixed = mirror_share > 0
    known = np.empty(plane.shape[1], np.float32)
    for i in range(runs.row.size):
        y, first, stop, toward = runs.row[i], runs.start[i], runs.stop[i], runs.side[i]
        if toward == 0:
            for x in range(first, stop):
                paint[y, x] = grey
                behind[y, x] = np.inf  # nobody's surface
            continue
        share = 1.0 if runs.border[i] and mixed else mirror_share
        tolerance = 1e9 if runs.border[i] else SAME_SURFACE_PX
        wanted = stop - first + 1 + averaged
        end = stop if toward == 1 else first - 1
        begin, m = _collect(plane[y], source_x[y], (end, toward, wanted, tolerance, sub_x), known)
        flat = _average(known, begin, min(averaged, m))
        for x in range(first, stop):
            k = _mirrored(stop - 1 - x if toward == 1 else x - first, m)
            paint[y, x] = (1 - share) * flat + share * known[begin + k]
            behind[y, x] = runs.disparity[i]
        if not mixed or runs.border[i] or runs.contrast[i] > SAME_SURFACE_PX:
            continue
        # Both ends are background (it shows again on the other side of a thin object): pass from one to the other.
        end = first - 1 if toward == 1 else stop
        begin, m = _collect(plane[y], source_x[y], (end, -toward, wanted, tolerance, sub_x), known)
        flat = _average(known, begin, min(averaged, m))
        for x in range(first, stop):
            near_end = stop - 1 - x if toward == 1 else x - first
            k = _mirrored(stop - first - 1 - near_end, m)
            other = (1 - share) * flat + share * known[begin + k]
            weight = np.float32(near_end + 1) / np.float32(stop - first + 1)
            paint[y, x] += weight * (other - paint[y, x])


@njit(cache=True, nogil=True)
def _collect(row: Any, shown: Any, walk: Any, known: Any) -> Any:
    """Gather the background's samples, walking away from a hole until they end; tell where to begin and how many."""
    x, toward, wanted, tolerance, sub_x = walk
    n = 0
    last = np.float32(0.0)
    while 0 <= x < row.size and n < wanted:
        disparity = shown[x] - np.float32(x * sub_x)
        # Compared from sample to sample, because a slanted background drifts.
        if np.isnan(disparity) or (n > 0 and abs(disparity - last) > tolerance):
            break
        known[n] = row[x]
        last = disparity
        n += 1
        x += toward
    begin = 1 if n > 1 else 0  # the first may hold the fringe of what stood in front
    return begin, n - begin


@njit(cache=True, nogil=True)
def _average(known: Any, begin: int, count: int) -> Any:
    total = np.float32(0.0)
    for k in range(begin, begin + count):
        total += known[k]
    return total / np.float32(count)


@njit(cache=True, nogil=True)
def _mirrored(k: int, m: int) -> int:
    """Go to and fro over m samples."""
    k %= max(2 * m - 2, 1)
    return k if k < m else 2 * m - 2 - k


@njit(cache=True, nogil=True)
def _smooth_down(paint: Any, behind: Any, grid: Any, weights: Any, detail: float) -> Any:
    """Average hole samples with those above and below that were painted from the same surface."""
    source_x, runs = grid.source_x, grid.runs
    height = paint.shape[0]
    out = np.empty_like(paint)
    deepest = weights.shape[0] - 1
    reach = weights.shape[1] - 1
    for i in range(runs.row.size):
        y = runs.row[i]
        if runs.side[i] == 0 or runs.border[i]:
            for x in range(runs.start[i], runs.stop[i]):
                out[y, x] = paint[y, x]
            continue
        alike = max(2.0, 0.6 * runs.contrast[i])
        for x in range(runs.start[i], runs.stop[i]):
            k = runs.stop[i] - 1 - x if runs.side[i] == 1 else x - runs.start[i]
            if runs.contrast[i] <= SAME_SURFACE_PX:
                k = min(k, runs.stop[i] - runs.start[i] - 1 - k)
            k = min(k, deepest)
            total = paint[y, x]
            weight = np.float32(1.0)
            for direction in (-1, 1):
                for q in range(1, reach + 1):
                    w = weights[k, q]
                    yy = y + direction * q
                    if w < 0.02 or yy < 0 or yy >= height or not np.isnan(source_x[yy, x]):
                        break
                    if abs(behind[yy, x] - runs.disparity[i]) > alike:
                        break
                    total += w * paint[yy, x]
                    weight += w
            smooth = total / weight
            out[y, x] = smooth + detail * (paint[y, x] - smooth)
    return out


@njit(cache=True, nogil=True)
def _paint_empty_rows(paint: Any, plane: Any, grid: Any, grey: float) -> None:
    """Rows without a known pixel repeat the nearest row that has one."""
    source_x, runs = grid.source_x, grid.runs
    height, width = paint.shape
    empty = np.zeros(height, np.bool_)
    for i in range(runs.row.size):
        if runs.side[i] == 0:
            empty[runs.row[i]] = True
    for y in range(height):
        if not empty[y]:
            continue
        nearest = -1
        for q in range(1, height):
            if y - q >= 0 and not empty[y - q]:
                nearest = y - q
                break
            if y + q < height and not empty[y + q]:
                nearest = y + q
                break
        for x in range(width):
            if nearest < 0:
                paint[y, x] = grey
            elif np.isnan(source_x[nearest, x]):
                paint[y, x] = paint[nearest, x]
            else:
                paint[y, x] = plane[nearest, x]


@njit(cache=True, nogil=True)
def _write(out: Any, paint: Any, runs: Any, white: float) -> None:
    for i in range(runs.row.size):
        for x in range(runs.start[i], runs.stop[i]):
            out[runs.row[i], x] = int(min(max(paint[runs.row[i], x] + 0.5, 0.0), white))
