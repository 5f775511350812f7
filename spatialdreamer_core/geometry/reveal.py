"""Look up in neighbouring frames what the made eye uncovers: hidden now, it may be in plain sight there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.geometry.holes import HoleRuns
from spatialdreamer_core.video.frames import Frame, Plane

# All in grey levels of 8 bit: below the first the colours agree fully, above the second not at all.
COLOUR_AGREES, COLOUR_DIFFERS = 5.0, 12.0
# The largest change of exposure between the frames that is compensated rather than distrusted.
EXPOSURE_MAX = 6.0
# Where a neighbour shows the colour of what stands in front here, its depth is wrong there: shares of the way from the
# background's colour to the front's, between which belief goes; told where both lie this many levels of 8 bit apart.
LIKE_GROUND, LIKE_FRONT, LEAST_CONTRAST = 0.5, 0.8, 25.0
ALIKE_PX = 4
"""Pixels on each side over which colours are averaged for that, so that texture has no say."""
FEATHER_PX = 2
LEAST_RUN_PX = 4
"""Narrower runs, more than half of all, are not looked up: their background's ends say what is between them."""


@dataclass(frozen=True, slots=True)
class Reveal:
    """A neighbouring frame t + n of the same shot, with what is needed to look things up in it.

    A low grid [h, w] covers the same picture as [H, W]: low column = (x + 0.5) * w / W - 0.5.

    Attributes:
        frame: The source picture at t + n.
        disparity: [h, w] float32, its disparity in pixels of the full width.
        flows: [h', w', 2] float32 each, one after the other from t by way of frames between to t + n, dx first, in
            pixels of their own grid, which may be coarser.
    """

    frame: Frame
    disparity: NDArray[np.float32]
    flows: Sequence[NDArray[np.float32]]


class RevealTrace(NamedTuple):
    """Where in the neighbour each hole run of the luma grid lies and how far each of its pixels is believed.

    Attributes:
        shift_x: [N] float32 px, neighbour's column minus hole column.
        shift_y: [N] float32 px, neighbour's row minus hole row.
        lift: [N] float32 luma levels to add, the change of exposure.
        offset: [N + 1] int32, where the pixels of each run begin in ``weight``.
        weight: [P] float32 belief in [0, 1], run after run; 0 where the neighbour does not show the background.
    """

    shift_x: NDArray[np.float32]
    shift_y: NDArray[np.float32]
    lift: NDArray[np.float32]
    offset: NDArray[np.int32]
    weight: NDArray[np.float32]


def trace_reveal(splat_frame: Frame, source_x: NDArray[np.float32], runs: HoleRuns, reveal: Reveal) -> RevealTrace:
    """Follow the background of every hole run into a neighbouring frame.

    A hole pixel u with background disparity d shows source column u + d, which the foreground covers at t. The
    flows of the background beside the hole carry that point to t + n. It counts only if it lands in the picture,
    the neighbour's disparity there is the background's, and the background beside the hole has the same colours
    in both frames.

    Raises:
        ValueError: If the neighbour has another size or format, or its flows are none or of several sizes.
    """
    if reveal.frame.y.shape != splat_frame.y.shape or reveal.frame.format != splat_frame.format:
        raise ValueError(
            f"a reveal must be a {splat_frame.format.name} frame of {splat_frame.y.shape}, "
            f"got {reveal.frame.format.name} of {reveal.frame.y.shape}"
        )
    shapes = {flow.shape for flow in reveal.flows}
    if [(len(shape), shape[-1]) for shape in shapes] != [(3, 2)]:
        raise ValueError(f"flows must be [h, w, 2], all of one size, got {[list(flow.shape) for flow in reveal.flows]}")
    levels = float(1 << (splat_frame.format.bits - 8))
    low = np.ascontiguousarray(reveal.disparity, np.float32), np.stack(reveal.flows, dtype=np.float32)
    neighbour = _Neighbour(_picture(reveal.frame), *low)
    count = runs.row.size
    offset = np.concatenate((np.zeros(1), np.cumsum(runs.stop - runs.start))).astype(np.int32)
    shift_x, shift_y, lift = (np.zeros(count, np.float32) for _ in range(3))
    trace = RevealTrace(shift_x, shift_y, lift, offset, np.zeros(int(offset[-1]), np.float32))
    _trace(_picture(splat_frame), _Holes(source_x, runs), neighbour, levels, trace)
    return trace._replace(weight=_feather(runs, trace))


def blend_reveal(
    paint: NDArray[np.float32], neighbour: Plane, runs: HoleRuns, trace: RevealTrace, *, sub_x: int, sub_y: int
) -> None:
    """Lay the neighbour's samples over ``paint`` [h, w] of one plane, in place, at hole samples, by belief.

    Args:
        paint: Colour so far, on the plane's own grid.
        neighbour: The same plane of the neighbour.
        runs: The holes on the luma grid, as they were traced.
        trace: Where they lie in the neighbour.
        sub_x: Luma columns per column of this plane.
        sub_y: Luma rows per row of this plane.
    """
    _blend(paint, neighbour, runs, trace, (sub_x, sub_y))


class _Holes(NamedTuple):
    source_x: Any
    runs: HoleRuns


class _Picture(NamedTuple):
    luma: Any
    blue: Any
    red: Any
    sub_x: int
    sub_y: int


class _Neighbour(NamedTuple):
    picture: _Picture
    disparity: Any
    flows: Any


def _picture(frame: Frame) -> _Picture:
    y, u, v = (np.ascontiguousarray(plane) for plane in frame.planes)
    return _Picture(y, u, v, frame.format.sub_x, frame.format.sub_y)


@njit(cache=True, nogil=True)
def _bilinear(plane: Any, x: Any, y: Any) -> Any:
    """Sample inside the plane; outside, its edge."""
    height, width = plane.shape
    x = min(max(np.float32(x), np.float32(0)), np.float32(width - 1))
    y = min(max(np.float32(y), np.float32(0)), np.float32(height - 1))
    x0, y0 = np.uint32(x), np.uint32(y)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    s, t = x - np.float32(x0), y - np.float32(y0)
    a, b = np.float32(plane[y0, x0]), np.float32(plane[y0, x1])
    c, d = np.float32(plane[y1, x0]), np.float32(plane[y1, x1])
    top, bottom = a + s * (b - a), c + s * (d - c)
    return top + t * (bottom - top)


@njit(cache=True, nogil=True)
def _ramp_down(value: float, low: float, high: float) -> float:
    """1 up to ``low``, 0 from ``high`` on, smooth between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return 1.0 - t * t * (3.0 - 2.0 * t)


@njit(cache=True, nogil=True)
def _compare(luma: Any, source_x: Any, neighbour: Any, patch: Any, largest_lift: Any) -> Any:
    """Compare the background beside a hole with the neighbour: lift that makes them equal, mean difference left."""
    row, end, toward, reach, behind, dx, dy = patch
    changes = np.empty(64, np.float32)
    n = 0
    total: Any = np.float32(0.0)
    # Every second row and column of a patch of five rows: as sure, in a third of the time.
    for y in range(row - 2, row + 3, 2):
        if y < 0 or y >= luma.shape[0]:
            continue
        for k in range(min(1, reach), reach + 1, 2):
            x = end + toward * k
            at = source_x[y, x]
            if np.isnan(at) or abs(at - np.float32(x) - behind) > np.float32(2.0):
                break
            seen = _bilinear(neighbour, at + dx, np.float32(y) + dy)
            changes[n] = seen - np.float32(luma[y, x])
            total += changes[n]
            n += 1
    if n == 0:
        return 0.0, np.inf
    lift = -min(max(total / n, -largest_lift), largest_lift)
    error = 0.0
    for k in range(n):
        error += abs(changes[k] + lift)
    return lift, error / n


@njit(cache=True, nogil=True)
def _follow(flows: Any, x: float, y: float, width: int, height: int) -> Any:
    """How far a point moves along the flows, one after the other, in pixels of the full grid."""
    to_low_x, to_low_y = flows.shape[2] / width, flows.shape[1] / height
    dx, dy = 0.0, 0.0
    for k in range(flows.shape[0]):
        at_x, at_y = (x + dx + 0.5) * to_low_x - 0.5, (y + dy + 0.5) * to_low_y - 0.5
        step_x, step_y = _bilinear(flows[k, :, :, 0], at_x, at_y), _bilinear(flows[k, :, :, 1], at_x, at_y)
        dx, dy = dx + step_x / to_low_x, dy + step_y / to_low_y
    return dx, dy


@njit(cache=True, nogil=True)
def _mean(picture: Any, shown: Any, y: int, first: int, toward: int) -> Any:
    """Mean luma and chroma of a few known pixels of row ``y`` from ``first`` on; NaN if there are none."""
    luma, blue, red, count = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
    row = y // picture.sub_y
    for x in range(first, first + 4 * toward, toward):
        if x < 0 or x >= shown.size or np.isnan(shown[x]):
            break
        luma += np.float32(picture.luma[y, x])
        blue += np.float32(picture.blue[row, x // picture.sub_x])
        red += np.float32(picture.red[row, x // picture.sub_x])
        count += np.float32(1.0)
    if count == 0:
        return np.float32(np.nan), np.float32(np.nan), np.float32(np.nan)
    return luma / count, blue / count, red / count


@njit(cache=True, nogil=True)
def _toward_front(picture: Any, x: float, y: float, lift: float, ground: Any, axis: Any) -> Any:
    """How far the colour at a place lies from the background's, 0, to the front's, 1, along the line between them."""
    column, row = int(x + 0.5) // picture.sub_x, int(y + 0.5) // picture.sub_y
    luma = _bilinear(picture.luma, x, y) + lift - ground[0]
    blue, red = np.float32(picture.blue[row, column]) - ground[1], np.float32(picture.red[row, column]) - ground[2]
    length = axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2]
    return (luma * axis[0] + blue * axis[1] + red * axis[2]) / length


@njit(cache=True, nogil=True)
def _doubt(weight: Any, shares: Any) -> None:
    """Lower the belief in pixels of one run whose colours are those of what stands in front."""
    total, count, first, last = np.float32(0.0), 0, 0, 0  # of the window [first, last)
    believed = weight.copy()
    for x in range(weight.size):
        while last < min(x + ALIKE_PX + 1, weight.size):
            if believed[last] > 0:
                total += shares[last]
                count += 1
            last += 1
        while first < x - ALIKE_PX:
            if believed[first] > 0:
                total -= shares[first]
                count -= 1
            first += 1
        if believed[x] > 0:
            weight[x] *= _ramp_down(float(total / count), LIKE_GROUND, LIKE_FRONT)


@njit(cache=True, nogil=True)
def _trace(picture: Any, holes: Any, neighbour: Any, levels: float, out: Any) -> None:
    source_x, runs = holes
    luma = picture.luma
    height, width = luma.shape
    low_height, low_width = neighbour.disparity.shape
    to_low_x, to_low_y = low_width / width, low_height / height
    margin = int(np.ceil(4.0 / to_low_x))
    shares = np.empty(width, np.float32)
    for i in range(runs.row.size):
        y, toward = runs.row[i], runs.side[i]
        if toward == 0 or runs.stop[i] - runs.start[i] < LEAST_RUN_PX:
            continue
        # The end itself may be half foreground; read the background's disparity and flow further in.
        end = runs.stop[i] if toward == 1 else runs.start[i] - 1
        behind = runs.disparity[i]
        reach = 0
        for k in range(1, margin + 1):
            x = end + toward * k
            if x < 0 or x >= width:
                break
            here = source_x[y, x] - x
            if np.isnan(here) or abs(here - behind) > 1.0:
                break
            behind = here
            reach = k
        near_end = end + toward * min(2, reach)
        behind = source_x[y, near_end] - near_end
        far_end = end + toward * reach
        dx, dy = _follow(neighbour.flows, source_x[y, far_end], y, width, height)

        # Do the two frames agree on the background beside the hole? A patch is compared, so no row passes by luck.
        patch = (y, end, toward, min(reach, 9), behind, dx, dy)
        lift, error = _compare(luma, source_x, neighbour.picture.luma, patch, EXPOSURE_MAX * levels)
        agreement = _ramp_down(error, COLOUR_AGREES * levels, COLOUR_DIFFERS * levels)
        if agreement <= 0.0:
            continue

        out.shift_x[i], out.shift_y[i], out.lift[i] = behind + dx, dy, lift
        step = max(runs.contrast[i], 2.0)
        # The outermost pixel in front may be mixed with the background.
        front = runs.start[i] - 3 if toward == 1 else runs.stop[i] + 2
        ground = _mean(picture, source_x[y], y, near_end, toward)
        before = _mean(picture, source_x[y], y, front, -toward)
        axis = (before[0] - ground[0], before[1] - ground[1], before[2] - ground[2])
        contrast = np.sqrt(axis[0] * axis[0] + axis[1] * axis[1] + axis[2] * axis[2])
        tells = contrast >= LEAST_CONTRAST * levels  # NaN does not
        to_y = y + dy
        if to_y < 0 or to_y > height - 1:
            continue
        line = int((to_y + 0.5) * to_low_y)
        column, belief = -1, 0.0
        for x in range(runs.start[i], runs.stop[i]):
            to_x = x + behind + dx
            if to_x < 0 or to_x > width - 1:
                continue
            last = column
            column = int((to_x + 0.5) * to_low_x)
            if column != last:
                # One low pixel around: the fringe of a foreground is no background.
                worst = 0.0
                for v in range(max(line - 1, 0), min(line + 2, low_height)):
                    for u in range(max(column - 1, 0), min(column + 2, low_width)):
                        worst = max(worst, abs(neighbour.disparity[v, u] - behind))
                belief = agreement * _ramp_down(worst, 0.2 * step + 0.25, 0.45 * step + 0.5)
            out.weight[out.offset[i] + x - runs.start[i]] = belief
            if tells and belief > 0.0:
                share = _toward_front(neighbour.picture, to_x, to_y, lift, ground, axis)
                shares[x - runs.start[i]] = share
        if tells:
            _doubt(out.weight[out.offset[i] : out.offset[i + 1]], shares)


@njit(cache=True, nogil=True)
def _feather(runs: Any, trace: Any) -> Any:
    """Lower the belief of pixels whose neighbours in the hole are not believed, so that blends have no seam."""
    offset, raw = trace.offset, trace.weight
    # Along the runs, then across them; outside the holes nothing counts.
    along = np.empty_like(raw)
    for i in range(runs.row.size):
        for p in range(offset[i], offset[i + 1]):
            total, count = np.float32(0.0), np.float32(0.0)
            for q in range(max(p - FEATHER_PX, offset[i]), min(p + FEATHER_PX + 1, offset[i + 1])):
                total += raw[q]
                count += np.float32(1.0)
            along[p] = total / count
    total = along.copy()
    count = np.ones_like(raw)
    for below in range(1, FEATHER_PX + 1):
        j = 0
        for i in range(runs.row.size):
            row = runs.row[i] + below
            while j < runs.row.size and (runs.row[j] < row or (runs.row[j] == row and runs.stop[j] <= runs.start[i])):
                j += 1
            k = j
            while k < runs.row.size and runs.row[k] == row and runs.start[k] < runs.stop[i]:
                first, stop = max(runs.start[i], runs.start[k]), min(runs.stop[i], runs.stop[k])
                upper, lower = offset[i] - runs.start[i], offset[k] - runs.start[k]
                for x in range(first, stop):
                    total[upper + x] += along[lower + x]
                    total[lower + x] += along[upper + x]
                    count[upper + x] += np.float32(1.0)
                    count[lower + x] += np.float32(1.0)
                k += 1
    weight = np.empty_like(raw)
    for p in range(raw.size):
        t = total[p] / count[p]
        weight[p] = min(raw[p], t * t * (np.float32(3.0) - np.float32(2.0) * t))
    return weight


@njit(cache=True, nogil=True)
def _blend(paint: Any, neighbour: Any, runs: Any, trace: Any, subsampling: Any) -> None:
    sub_x, sub_y = subsampling
    lifted = 1.0 if sub_x == 1 and sub_y == 1 else 0.0
    for i in range(runs.row.size):
        if runs.row[i] % sub_y != 0:
            continue
        row = runs.row[i] // sub_y
        y = (runs.row[i] + trace.shift_y[i]) / sub_y
        lift = lifted * trace.lift[i]
        first = trace.offset[i] - runs.start[i]
        for column in range((runs.start[i] + sub_x - 1) // sub_x, (runs.stop[i] + sub_x - 1) // sub_x):
            weight = trace.weight[first + column * sub_x]
            if weight > 0.0:
                colour = _bilinear(neighbour, (column * sub_x + trace.shift_x[i]) / sub_x, y) + lift
                paint[row, column] += weight * (colour - paint[row, column])
