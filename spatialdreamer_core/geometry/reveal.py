"""Look up in neighbouring frames what the made eye uncovers: hidden now, it may be in plain sight there."""

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


@dataclass(frozen=True, slots=True)
class Reveal:
    """A neighbouring frame t + n of the same shot, with what is needed to look things up in it.

    The low grid [h, w] covers the same picture as [H, W]: low column = (x + 0.5) * w / W - 0.5.

    Attributes:
        frame: The source picture at t + n.
        disparity: [h, w] float32, its disparity in pixels of the full width.
        flow: [h, w, 2] float32, from t to t + n, dx first, in pixels of the low grid.
    """

    frame: Frame
    disparity: NDArray[np.float32]
    flow: NDArray[np.float32]


class RevealTrace(NamedTuple):
    """Where in the neighbour each hole pixel lies and how far that is believed; read at hole pixels only.

    Attributes:
        x: [H, W] float32 luma column in the neighbour.
        y: [H, W] float32 luma row in the neighbour.
        lift: [H, W] float32 luma levels to add, the change of exposure.
        weight: [H, W] float32 belief in [0, 1]; 0 where the neighbour does not show the background.
    """

    x: NDArray[np.float32]
    y: NDArray[np.float32]
    lift: NDArray[np.float32]
    weight: NDArray[np.float32]


def trace_reveal(splat_frame: Frame, source_x: NDArray[np.float32], runs: HoleRuns, reveal: Reveal) -> RevealTrace:
    """Follow the background of every hole run into a neighbouring frame.

    A hole pixel u with background disparity d shows source column u + d, which the foreground covers at t. The
    flow of the background beside the hole carries that point to t + n. It counts only if it lands in the picture,
    the neighbour's disparity there is the background's, and the background beside the hole has the same colours
    in both frames.

    Raises:
        ValueError: If the neighbour has another size or format, or its low grids do not fit each other.
    """
    if reveal.frame.y.shape != splat_frame.y.shape or reveal.frame.format != splat_frame.format:
        raise ValueError(
            f"a reveal must be a {splat_frame.format.name} frame of {splat_frame.y.shape}, "
            f"got {reveal.frame.format.name} of {reveal.frame.y.shape}"
        )
    if reveal.flow.shape != (*reveal.disparity.shape, 2):
        raise ValueError(f"flow must be {(*reveal.disparity.shape, 2)}, got {reveal.flow.shape}")
    x, y, lift, raw, weight = (np.empty(source_x.shape, np.float32) for _ in range(5))
    levels = float(1 << (splat_frame.format.bits - 8))
    neighbour = _Neighbour(reveal.frame.y, reveal.disparity, reveal.flow[:, :, 0], reveal.flow[:, :, 1])
    _trace(splat_frame.y, _Holes(source_x, runs), neighbour, levels, RevealTrace(x, y, lift, raw))
    _feather(raw, source_x, runs, weight)
    return RevealTrace(x, y, lift, weight)


def blend_reveal(
    paint: NDArray[np.float32], neighbour: Plane, runs: HoleRuns, trace: RevealTrace, *, sub_x: int, sub_y: int
) -> None:
    """Lay the neighbour's samples over ``paint`` [h, w] of one plane, in place, at hole samples, by belief.

    Args:
        paint: Colour so far, on the plane's own grid.
        neighbour: The same plane of the neighbour.
        runs: The holes on this plane's grid.
        trace: On the luma grid.
        sub_x: Luma columns per column of this plane.
        sub_y: Luma rows per row of this plane.
    """
    _blend(paint, neighbour, runs, trace, (sub_x, sub_y))


class _Holes(NamedTuple):
    source_x: Any
    runs: HoleRuns


class _Neighbour(NamedTuple):
    luma: Any
    disparity: Any
    flow_x: Any
    flow_y: Any


@njit(cache=True, nogil=True)
def _bilinear(plane: Any, x: float, y: float) -> Any:
    """Sample inside the plane; outside, its edge."""
    height, width = plane.shape
    x = min(max(x, 0.0), width - 1.0)
    y = min(max(y, 0.0), height - 1.0)
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, width - 1), min(y0 + 1, height - 1)
    s, t = x - x0, y - y0
    top = plane[y0, x0] * (1 - s) + plane[y0, x1] * s
    bottom = plane[y1, x0] * (1 - s) + plane[y1, x1] * s
    return top * (1 - t) + bottom * t


@njit(cache=True, nogil=True)
def _ramp_down(value: float, low: float, high: float) -> float:
    """1 up to ``low``, 0 from ``high`` on, smooth between."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return 1.0 - t * t * (3.0 - 2.0 * t)


@njit(cache=True, nogil=True)
def _compare(luma: Any, source_x: Any, neighbour: Any, patch: Any, lift: float) -> Any:
    """Mean and mean absolute luma change of the background beside a hole, carried to the neighbour; inf if unseen."""
    row, end, toward, reach, behind, dx, dy = patch
    signed, absolute, taken = 0.0, 0.0, 0
    for y in range(max(row - 2, 0), min(row + 3, luma.shape[0])):
        for k in range(min(1, reach), reach + 1):
            x = end + toward * k
            at = source_x[y, x]
            if np.isnan(at) or abs(at - x - behind) > 2.0:
                break
            change = _bilinear(neighbour, at + dx, y + dy) + lift - luma[y, x]
            signed += change
            absolute += abs(change)
            taken += 1
    if taken == 0:
        return np.inf, np.inf
    return signed / taken, absolute / taken


@njit(cache=True, nogil=True)
def _trace(luma: Any, holes: Any, neighbour: Any, levels: float, out: Any) -> None:
    source_x, runs = holes
    height, width = luma.shape
    low_height, low_width = neighbour.disparity.shape
    to_low_x, to_low_y = low_width / width, low_height / height
    margin = int(np.ceil(4.0 / to_low_x))
    for i in range(runs.row.size):
        y, toward = runs.row[i], runs.side[i]
        for x in range(runs.start[i], runs.stop[i]):
            out.weight[y, x] = 0.0
        if toward == 0:
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
        low_x = (source_x[y, far_end] + 0.5) * to_low_x - 0.5
        low_y = (y + 0.5) * to_low_y - 0.5
        dx = _bilinear(neighbour.flow_x, low_x, low_y) / to_low_x
        dy = _bilinear(neighbour.flow_y, low_x, low_y) / to_low_y

        # Do the two frames agree on the background beside the hole? A patch is compared, so no row passes by luck.
        patch = (y, end, toward, min(reach, 9), behind, dx, dy)
        change, _ = _compare(luma, source_x, neighbour.luma, patch, 0.0)
        lift = -min(max(change, -EXPOSURE_MAX * levels), EXPOSURE_MAX * levels)
        _, error = _compare(luma, source_x, neighbour.luma, patch, lift)
        agreement = _ramp_down(error, COLOUR_AGREES * levels, COLOUR_DIFFERS * levels)
        if agreement <= 0.0:
            continue

        step = max(runs.contrast[i], 2.0)
        for x in range(runs.start[i], runs.stop[i]):
            to_x = x + behind + dx
            to_y = y + dy
            out.x[y, x], out.y[y, x], out.lift[y, x] = to_x, to_y, lift
            if to_x < 0 or to_x > width - 1 or to_y < 0 or to_y > height - 1:
                continue
            column = int((to_x + 0.5) * to_low_x)
            line = int((to_y + 0.5) * to_low_y)
            # One low pixel around: the fringe of a foreground is no background.
            worst = 0.0
            for v in range(max(line - 1, 0), min(line + 2, low_height)):
                for u in range(max(column - 1, 0), min(column + 2, low_width)):
                    worst = max(worst, abs(neighbour.disparity[v, u] - behind))
            out.weight[y, x] = agreement * _ramp_down(worst, 0.2 * step + 0.25, 0.45 * step + 0.5)


@njit(cache=True, nogil=True)
def _feather(raw: Any, source_x: Any, runs: Any, weight: Any) -> None:
    """Lower the belief of hole pixels whose neighbours in the hole are not believed, so that blends have no seam."""
    height = raw.shape[0]
    for i in range(runs.row.size):
        y = runs.row[i]
        for x in range(runs.start[i], runs.stop[i]):
            if raw[y, x] <= 0.0:
                weight[y, x] = 0.0
                continue
            total = np.float32(0.0)
            count = 0
            for v in range(max(y - 2, 0), min(y + 3, height)):
                for u in range(max(x - 2, 0), min(x + 3, raw.shape[1])):
                    if np.isnan(source_x[v, u]):
                        total += raw[v, u]
                        count += 1
            t = total / count
            weight[y, x] = min(raw[y, x], t * t * (3.0 - 2.0 * t))


@njit(cache=True, nogil=True)
def _blend(paint: Any, neighbour: Any, runs: Any, trace: Any, subsampling: Any) -> None:
    sub_x, sub_y = subsampling
    lifted = 1.0 if sub_x == 1 and sub_y == 1 else 0.0
    for i in range(runs.row.size):
        y = runs.row[i] * sub_y
        for column in range(runs.start[i], runs.stop[i]):
            x = column * sub_x
            w = trace.weight[y, x]
            if w > 0.0:
                colour = _bilinear(neighbour, trace.x[y, x] / sub_x, trace.y[y, x] / sub_y) + lifted * trace.lift[y, x]
                paint[runs.row[i], column] += w * (colour - paint[runs.row[i], column])
