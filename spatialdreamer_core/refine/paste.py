"""Put what a network painted into the made eye: inside the holes alone, matched in colour to what is seen beside them.

Nothing that was splatted is ever written to. Within a hole the painting is faded in from its rim, over the classical
fill, which meets the rim by construction; where a neighbouring frame showed the real background, that is kept; and
runs narrower than ``LEAST_HOLE_PX`` keep their fill. A painting that is softer than the fill may have to earn its
place (``Earned``): where the two tell the same the sharper one is kept, and a flat fill is most likely right.

Colour: a network may be off by a little, all over. What is painted within ``MATCH_PX`` of the background's end of a run
is compared with what is seen within as many pixels outside; the mean over the runs of the same hole within
``MATCH_ROWS`` rows is added to the run, as far as it is not small. It is bounded, and a hole of few rows is moved by
less, so it cannot flicker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.errors import RefineError
from spatialdreamer_core.geometry.fill import SAME_SURFACE_PX
from spatialdreamer_core.geometry.holes import HoleRuns, hole_pixels
from spatialdreamer_core.refine.protocol import LEAST_HOLE_PX, Earned, Painted, Patch, RefineFrame
from spatialdreamer_core.video.colour import rgb_matrix
from spatialdreamer_core.video.frames import Frame
from spatialdreamer_core.video.source import ColourInfo

PASTE_VERSION = 4
"""Raise when pasting gives other bytes for the same patches."""
FEATHER_PX = 2
"""Pixels from the rim, city block, over which the painting is faded in."""
MATCH_PX = 3
MATCH_ROWS = 24
MATCH_PRIOR_ROWS = 8.0
"""So many rows without a difference are added to the mean."""
MATCH_FREE, MATCH_MOST = 2.0, 8.0
"""Smallest difference that is mended, to that much, and largest change of a colour; 8-bit levels. Smaller differences
are of what is shown there: to take them out as well costs a tenth of a decibel on real pairs."""
AROUND_PX = 9
"""Side of the square over which painting and fill are compared and the fill's steps are counted."""
_OUTLIER = 24.0  # a difference larger than this is of things, not of colour; 8-bit levels


@dataclass(frozen=True, slots=True)
class Pasted:
    """A refined frame.

    Attributes:
        frame: The made eye; outside the holes byte for byte what it was.
        share: Painted part of the picture, in [0, 1]: pixels weighted by how much of them the network gave.
    """

    frame: Frame
    share: float


def paste(frame: RefineFrame, painted: Painted, colour: ColourInfo, *, borders: bool = True) -> Pasted:
    """Write what was painted into the holes of a frame.

    Args:
        frame: Not written to.
        painted: Patches within the picture; their weighted mean counts where they overlap.
        colour: Decides matrix and range of the frame.
        borders: Whether holes that touch the left or right side of the picture are painted.

    Raises:
        ValueError: If a patch leaves the picture.
        RefineError: If a patch holds NaN or infinity.
    """
    right, runs, patches = frame.right, frame.holes, painted.patches
    if not patches or runs.row.size == 0:
        return Pasted(right, 0.0)
    pixels = _gather(frame, patches)
    layout = right.format
    matrix, offset = rgb_matrix(layout.bits, colour, right.height)
    _to_yuv(pixels.colour, np.linalg.inv(matrix).astype(np.float32), offset.astype(np.float32))
    kept = _kept_in(runs, borders)
    alpha = _alpha(frame.source_x, kept, pixels, frame.revealed)
    levels = np.float32(1 << (layout.bits - 8))
    _match(right.planes, frame.source_x, runs, pixels, (layout.sub_x, layout.sub_y, levels))
    alpha *= np.float32(painted.share)
    if painted.earned is not None:
        alpha *= _earned(right, kept, pixels, alpha, painted.earned)
    y, u, v = (plane.copy() for plane in right.planes)
    peak = np.float32((1 << layout.bits) - 1)
    _write_luma(y, runs, pixels, alpha, peak)
    if layout.sub_x == 1 and layout.sub_y == 1:
        _write_full_chroma(u, v, runs, pixels, alpha, peak)
    else:
        _write_chroma(u, v, frame.source_x, (runs, pixels, alpha), (layout.sub_x, layout.sub_y, peak))
    return Pasted(Frame(y, u, v, layout, right.pts), float(alpha.sum(dtype=np.float64)) / frame.source_x.size)


def _kept_in(runs: HoleRuns, borders: bool) -> HoleRuns:
    """The runs; those that are not to be painted are given as empty ones, and count as rim."""
    if borders:
        return runs
    return runs._replace(stop=np.where(runs.border, runs.start, runs.stop))


class _Pixels(NamedTuple):
    """The hole pixels of a frame, run after run.

    Attributes:
        offset: [N + 1] int32, where each run begins.
        colour: [P, 3] float32: RGB, then YUV in the frame's levels; meaningless where ``weight`` is 0.
        weight: [P] float32, how much patches had to say.
        place: [H, W] int32, which of these a picture's pixel is; meaningless outside the holes.
    """

    offset: NDArray[np.int32]
    colour: NDArray[np.float32]
    weight: NDArray[np.float32]
    place: NDArray[np.int32]


def _gather(frame: RefineFrame, patches: Sequence[Patch]) -> _Pixels:
    runs, (height, width) = frame.holes, frame.source_x.shape
    offset = np.concatenate((np.zeros(1), np.cumsum(runs.stop - runs.start))).astype(np.int32)
    count = hole_pixels(runs)
    pixels = _Pixels(
        offset, np.zeros((count, 3), np.float32), np.zeros(count, np.float32), np.empty((height, width), np.int32)
    )
    first_run = np.searchsorted(runs.row, np.arange(height + 1)).astype(np.int64)
    _index(runs, offset, pixels.place)
    for patch in patches:
        rows, columns = patch.weight.shape
        if patch.row < 0 or patch.column < 0 or patch.row + rows > height or patch.column + columns > width:
            raise ValueError(
                f"a patch of {columns}x{rows} at ({patch.column}, {patch.row}) leaves the picture of {width}x{height}"
            )
        span = first_run[patch.row], first_run[patch.row + rows]
        if not _add_patch(runs, pixels, span, (patch.row, patch.column, patch.rgb, patch.weight)):
            raise RefineError(f"frame {frame.index} of the shot: the network gave NaN or infinite colours")
    _normalise(pixels.colour, pixels.weight)
    return pixels


@njit(cache=True, nogil=True)
def _index(runs: Any, offset: Any, place: Any) -> None:
    for i in range(runs.row.size):
        for x in range(runs.start[i], runs.stop[i]):
            place[runs.row[i], x] = offset[i] + x - runs.start[i]


@njit(cache=True, nogil=True)
def _add_patch(runs: Any, pixels: Any, span: Any, patch: Any) -> bool:
    row, column, rgb, weights = patch
    total = np.float32(0.0)
    for i in range(span[0], span[1]):
        y = runs.row[i] - row
        first, stop = max(runs.start[i], column), min(runs.stop[i], column + weights.shape[1])
        for x in range(first, stop):
            p = pixels.offset[i] + x - runs.start[i]
            w = weights[y, x - column]
            if w > 0:
                for c in range(3):
                    value = w * rgb[c, y, x - column]
                    pixels.colour[p, c] += value
                    total += value * np.float32(0.0)  # NaN or infinity stays NaN
                pixels.weight[p] += w
    return bool(total == 0)


@njit(cache=True, nogil=True)
def _normalise(colour: Any, weight: Any) -> None:
    for p in range(weight.size):
        if weight[p] > 0:
            for c in range(3):
                colour[p, c] = min(max(colour[p, c] / weight[p], np.float32(0.0)), np.float32(1.0))


@njit(cache=True, nogil=True)
def _to_yuv(colour: Any, matrix: Any, offset: Any) -> None:
    for p in range(colour.shape[0]):
        r, g, b = colour[p, 0], colour[p, 1], colour[p, 2]
        for c in range(3):
            colour[p, c] = matrix[c, 0] * r + matrix[c, 1] * g + matrix[c, 2] * b + offset[c]


def _alpha(
    source_x: NDArray[np.float32], runs: HoleRuns, pixels: _Pixels, revealed: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[P] share of the painting: 0 in narrow runs, rising from the rim, less where real background was found."""
    depth = np.zeros(pixels.weight.size, np.uint8)
    _walk_in(source_x, runs, pixels, depth)
    alpha: NDArray[np.float32] = np.minimum(depth.astype(np.float32) / np.float32(FEATHER_PX), np.float32(1.0))
    alpha *= 1 - revealed
    alpha[pixels.weight <= 0] = 0
    return alpha


@njit(cache=True, nogil=True)
def _walk_in(source_x: Any, runs: Any, pixels: Any, depth: Any) -> None:
    """Distance to the rim, up to FEATHER_PX; runs that are too narrow are rim, the picture's edges are not."""
    height, width = source_x.shape
    offset, place = pixels.offset, pixels.place
    far: Any = np.uint8(FEATHER_PX)
    for i in range(runs.row.size):
        y, first, stop = runs.row[i], runs.start[i], runs.stop[i]
        if stop - first < LEAST_HOLE_PX:
            continue
        before = far if first == 0 else np.uint8(0)
        for x in range(first, stop):
            above = far
            if y > 0:
                above = depth[place[y - 1, x]] if np.isnan(source_x[y - 1, x]) else np.uint8(0)
            before = min(min(before, above) + 1, far)
            depth[offset[i] + x - first] = before
    for i in range(runs.row.size - 1, -1, -1):
        y, first, stop = runs.row[i], runs.start[i], runs.stop[i]
        if stop - first < LEAST_HOLE_PX:
            continue
        after = far if stop == width else np.uint8(0)
        for x in range(stop - 1, first - 1, -1):
            below = far
            if y + 1 < height:
                below = depth[place[y + 1, x]] if np.isnan(source_x[y + 1, x]) else np.uint8(0)
            p = offset[i] + x - first
            after = min(min(after, below) + 1, np.int64(depth[p]))
            depth[p] = after


def _earned(
    right: Frame, runs: HoleRuns, pixels: _Pixels, alpha: NDArray[np.float32], earned: Earned
) -> NDArray[np.float32]:
    """[P] in [0, 1]: how much of the painting shows. Whole levels are summed, so only a square has a say in it."""
    luma = (right.y >> (right.format.bits - 8)).astype(np.uint8)
    apart, there = np.zeros(luma.shape, np.uint8), np.zeros(luma.shape, np.uint8)
    _differences(right.y, runs, pixels, alpha, np.float32(1 << (right.format.bits - 8)), apart, there)
    sums = _summed(apart), _summed(there), _summed(_steps(luma))
    shown = np.zeros(alpha.size, np.float32)
    low, high = earned.differing
    limits = np.float32(low), np.float32(high), np.float32(earned.steps * AROUND_PX**2)
    _show(runs, pixels.offset, sums, limits, shown)
    return shown


def _steps(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Differences to the next pixel on the right and to the one below, together."""
    steps = np.zeros(luma.shape, np.uint8)
    steps[:, :-1] = cv2.absdiff(luma[:, 1:], luma[:, :-1])
    steps[:-1] = cv2.add(steps[:-1], cv2.absdiff(luma[1:], luma[:-1]))
    return steps


def _summed(values: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Sums over the square of ``AROUND_PX`` around each place; beyond the picture lies what mirrors it."""
    return np.asarray(cv2.boxFilter(values, cv2.CV_32S, (AROUND_PX, AROUND_PX), normalize=False), np.int32)


@njit(cache=True, nogil=True)
def _differences(luma: Any, runs: Any, pixels: Any, alpha: Any, levels: Any, apart: Any, there: Any) -> None:
    half, most = np.float32(0.5), np.float32(255.0)
    for i in range(runs.row.size):
        y = runs.row[i]
        for x in range(runs.start[i], runs.stop[i]):
            p = pixels.offset[i] + x - runs.start[i]
            if alpha[p] > 0:
                apart[y, x] = min(abs(pixels.colour[p, 0] - np.float32(luma[y, x])) / levels + half, most)
                there[y, x] = 1


@njit(cache=True, nogil=True)
def _show(runs: Any, offset: Any, sums: Any, limits: Any, shown: Any) -> None:
    (total, count, steps), (low, high, lively) = sums, limits
    zero, one = np.float32(0.0), np.float32(1.0)
    for i in range(runs.row.size):
        y, first, stop = runs.row[i], runs.start[i], runs.stop[i]
        for x in range(first, stop):
            if count[y, x] == 0:
                continue
            differs = (np.float32(total[y, x]) / np.float32(count[y, x]) - low) / (high - low)
            share = min(max(differs, zero), one)
            share *= min(np.float32(steps[y, x]) / lively, one)
            shown[offset[i] + x - first] = share


def _match(planes: Any, source_x: NDArray[np.float32], runs: HoleRuns, pixels: _Pixels, layout: Any) -> None:
    """Move the colours of every run by what its hole's rim says, in place."""
    wide = np.flatnonzero(runs.stop - runs.start >= LEAST_HOLE_PX)
    apart = np.zeros((wide.size, 3), np.float32)
    counts = np.zeros(wide.size, np.float32)
    _compare_rims(planes, source_x, (runs, wide, pixels), layout, apart, counts)
    _shift_colours(runs, wide, pixels, (apart, counts, layout[2]))


@njit(cache=True, nogil=True)
def _compare_rims(planes: Any, source_x: Any, holes: Any, layout: Any, apart: Any, counts: Any) -> None:
    runs, wide, pixels = holes
    sub_x, sub_y, levels = layout
    width = source_x.shape[1]
    for n in range(wide.size):
        i = wide[n]
        y, first, stop, side = runs.row[i], runs.start[i], runs.stop[i], runs.side[i]
        both = not runs.border[i] and runs.contrast[i] <= SAME_SURFACE_PX
        total = np.zeros(3, np.float32)
        ends = 0
        for toward in (-1, 1):
            if side == 0 or (toward != side and not both):
                continue
            end = stop if toward == 1 else first - 1
            seen = np.zeros(3, np.float32)
            count = 0
            for k in range(1, MATCH_PX + 1):  # the first one may hold the fringe of what stood in front
                x = end + toward * k
                if x < 0 or x >= width or np.isnan(source_x[y, x]):
                    break
                if abs(source_x[y, x] - x - source_x[y, end] + end) > 2 * SAME_SURFACE_PX:
                    break
                seen[0] += planes[0][y, x]
                seen[1] += planes[1][y // sub_y, x // sub_x]
                seen[2] += planes[2][y // sub_y, x // sub_x]
                count += 1
            painted = np.zeros(3, np.float32)
            there = 0
            for k in range(1, MATCH_PX + 1):
                x = end - toward * k
                p = pixels.offset[i] + x - first
                if pixels.weight[p] > 0:
                    for c in range(3):
                        painted[c] += pixels.colour[p, c]
                    there += 1
            if count == 0 or there == 0:
                continue
            differs = abs(seen[0] / count - painted[0] / there) > np.float32(_OUTLIER) * levels
            if differs:
                continue
            for c in range(3):
                total[c] += seen[c] / count - painted[c] / there
            ends += 1
        if ends > 0:
            counts[n] = 1
            for c in range(3):
                apart[n, c] = total[c] / ends


@njit(cache=True, nogil=True)
def _shift_colours(runs: Any, wide: Any, pixels: Any, found: Any) -> None:
    apart, counts, levels = found
    free, most = np.float32(MATCH_FREE) * levels, np.float32(MATCH_MOST) * levels
    begin = 0
    for n in range(wide.size):
        i = wide[n]
        while runs.row[wide[begin]] < runs.row[i] - MATCH_ROWS:
            begin += 1
        total = np.zeros(3, np.float32)
        weight = np.float32(MATCH_PRIOR_ROWS)
        alike = max(np.float32(2.0), np.float32(0.6) * runs.contrast[i])
        for m in range(begin, wide.size):
            j = wide[m]
            away = abs(runs.row[j] - runs.row[i])
            if runs.row[j] > runs.row[i] + MATCH_ROWS:
                break
            if counts[m] == 0 or runs.start[j] >= runs.stop[i] or runs.stop[j] <= runs.start[i]:
                continue
            if abs(runs.disparity[j] - runs.disparity[i]) > alike:
                continue
            w = np.float32(1.0) - np.float32(away) / np.float32(MATCH_ROWS + 1)
            weight += w
            for c in range(3):
                total[c] += w * apart[m, c]
        for c in range(3):
            size = min(max(abs(total[c] / weight) - free, np.float32(0.0)), most)
            move = size if total[c] > 0 else -size
            for p in range(pixels.offset[i], pixels.offset[i + 1]):
                pixels.colour[p, c] += move


@njit(cache=True, nogil=True)
def _blended(fill: Any, painted: Any, alpha: Any, peak: Any) -> Any:
    value = np.float32(fill) + alpha * (painted - np.float32(fill))
    return int(min(max(value + np.float32(0.5), np.float32(0.0)), peak))


@njit(cache=True, nogil=True)
def _write_luma(plane: Any, runs: Any, pixels: Any, alpha: Any, peak: Any) -> None:
    for i in range(runs.row.size):
        y = runs.row[i]
        for x in range(runs.start[i], runs.stop[i]):
            p = pixels.offset[i] + x - runs.start[i]
            if alpha[p] > 0:
                plane[y, x] = _blended(plane[y, x], pixels.colour[p, 0], alpha[p], peak)


@njit(cache=True, nogil=True)
def _write_full_chroma(u: Any, v: Any, runs: Any, pixels: Any, alpha: Any, peak: Any) -> None:
    for i in range(runs.row.size):
        y = runs.row[i]
        for x in range(runs.start[i], runs.stop[i]):
            p = pixels.offset[i] + x - runs.start[i]
            if alpha[p] > 0:
                u[y, x] = _blended(u[y, x], pixels.colour[p, 1], alpha[p], peak)
                v[y, x] = _blended(v[y, x], pixels.colour[p, 2], alpha[p], peak)


@njit(cache=True, nogil=True)
def _write_chroma(u: Any, v: Any, source_x: Any, holes: Any, layout: Any) -> None:
    """A chroma sample takes the mean of the painted pixels around its site, left and right of it and in its rows."""
    runs, pixels, alpha = holes
    sub_x, sub_y, peak = layout
    height, width = source_x.shape
    for i in range(runs.row.size):
        y = runs.row[i]
        if y % sub_y != 0:
            continue
        for column in range((runs.start[i] + sub_x - 1) // sub_x, (runs.stop[i] + sub_x - 1) // sub_x):
            site = column * sub_x
            share = alpha[pixels.offset[i] + site - runs.start[i]]
            if share <= 0:
                continue
            blue, red, total = np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for yy in range(y, min(y + sub_y, height)):
                for x in range(max(site - sub_x + 1, 0), min(site + sub_x, width)):
                    if not np.isnan(source_x[yy, x]):
                        continue
                    p = pixels.place[yy, x]
                    if alpha[p] > 0:
                        w = np.float32(sub_x - abs(x - site))
                        blue += w * pixels.colour[p, 1]
                        red += w * pixels.colour[p, 2]
                        total += w
            u[y // sub_y, column] = _blended(u[y // sub_y, column], blue / total, share, peak)
            v[y // sub_y, column] = _blended(v[y // sub_y, column], red / total, share, peak)
