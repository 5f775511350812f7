"""How steady the made eye is in time, next to its source: warp error, brightness flicker, holes.

Everything compares a frame with the one before it; nothing remembers further back.
"""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.flow.dis import FlowEstimator
from spatialdreamer_core.metrics.eyes import halve_until, to_8_bit
from spatialdreamer_core.video.frames import Frame

SMALL_WIDTH = 320
"""Pictures are halved until they are no wider than this; then 0.06 to 0.12 Mpx are compared for a 16:9 picture."""
_EVERY_ROW = 2  # every second row is compared: half the cost, the same mean
_SAME_SURFACE_PX = 1.0  # disparities of the small picture that differ by less belong to one surface


@dataclass(frozen=True, slots=True)
class SmallStereo:
    """One frame's two eyes, small enough to compare at every frame.

    Attributes:
        left: [h, w] uint8 luma of the source.
        right: [h, w] uint8 luma of the made eye.
        hole: [h, w] bool on the grid of ``right``, True where more than half was painted.
        disparity: [h, w] float32 on the grid of ``left``, in pixels of this width.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    hole: NDArray[np.bool_]
    disparity: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WarpError:
    """Sums over one pair of frames; luma in [0, 1].

    Attributes:
        left: Sum of squared differences of the source and the number of pixels counted.
        right: The same of the made eye outside its holes.
        hole: The same of the made eye inside its holes.
        eyes: Sum of |right - left| of one frame, where the right eye shows what the left does, in 8-bit levels.
    """

    left: tuple[float, int]
    right: tuple[float, int]
    hole: tuple[float, int]
    eyes: tuple[float, int]


def shrink_stereo(
    left: Frame, right: Frame, hole: NDArray[np.bool_] | None, disparity: NDArray[np.float32] | None
) -> SmallStereo:
    """Make the small pictures of one frame.

    Args:
        left: The source.
        right: The made eye.
        hole: [H, W] bool, True where the made eye was painted; None if nowhere.
        disparity: [any, any] float32 on the grid of the source, in pixels of its full width; None is 0 everywhere.
    """
    small_left, small_right = (halve_until(to_8_bit(eye.y), SMALL_WIDTH) for eye in (left, right))
    h, w = small_left.shape
    small_hole = np.zeros((h, w), np.bool_)
    if hole is not None:
        small_hole = halve_until(hole.view(np.uint8) * np.uint8(255), SMALL_WIDTH) > 127
    small_disparity = np.zeros((h, w), np.float32)
    if disparity is not None:
        shrinks = disparity.shape[1] > w
        resized = cv2.resize(disparity, (w, h), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        small_disparity = np.asarray(resized, np.float32) * np.float32(w / left.width)
    return SmallStereo(small_left, small_right, small_hole, small_disparity)


def warp_error(previous: SmallStereo, current: SmallStereo, flow: FlowEstimator) -> WarpError:
    """Compare a frame with the next one pulled back along the source's optical flow, in both eyes.

    The made eye has no flow of its own to be judged by: a point at x of the source stands at x - d in the made eye,
    so its flow there is the source's, less the change of d along it. The flow is found on the source alone. A pixel
    counts where forward and backward flow agree (not occluded in time) and, in the made eye, where the next frame
    shows the same surface (not occluded between the eyes). Holes take the flow of what stands on their right, which
    is the background that they uncover; at the right border, of what stands on their left. Every second row counts.

    Args:
        previous: Frame t.
        current: Frame t + 1, the same size.
        flow: Estimates between small grey pictures.

    Source: Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018 (E_warp), with its forward-backward
    check. We differ: small luma instead of RGB, DIS instead of FlowNet2, no motion boundary term (DIS is too rough
    for it). So values compare between eyes and between our runs, not with those of papers.
    """
    forward = flow.estimate(previous.left, current.left)
    backward = flow.estimate(current.left, previous.left)
    visible = agreeing(forward, backward)
    sums = _compare(
        previous.left,
        current.left,
        previous.right,
        current.right,
        previous.hole,
        current.hole,
        previous.disparity,
        current.disparity,
        right_view_source(previous.disparity),
        right_view_source(current.disparity),
        forward,
        visible,
    )
    unit = 255.0 * 255.0
    (left, right, hole, eyes), (n_left, n_right, n_hole, n_eyes) = sums[:4], sums[4:].astype(np.int64)
    return WarpError(
        (float(left) / unit, int(n_left)),
        (float(right) / unit, int(n_right)),
        (float(hole) / unit, int(n_hole)),
        (float(eyes), int(n_eyes)),
    )


class WarpErrorMean:
    """Mean of warp errors over pairs: each pair counts the same, whatever its number of pixels."""

    def __init__(self) -> None:
        self._sums = dict.fromkeys(("left", "right", "hole", "eyes"), 0.0)
        self._pairs = dict.fromkeys(self._sums, 0)

    def add(self, error: WarpError) -> None:
        """Count one pair."""
        for name in self._sums:
            total, pixels = getattr(error, name)
            if pixels:
                self._sums[name] += total / pixels
                self._pairs[name] += 1

    def mean(self, name: str) -> float | None:
        """Mean of ``left``, ``right``, ``hole`` or ``eyes``; None if no pair had such pixels."""
        return self._sums[name] / self._pairs[name] if self._pairs[name] else None


class Steps:
    """A number per frame, streamed: its mean, its extremes, and how it jumps from one frame to the next."""

    def __init__(self) -> None:
        self.first: float | None = None
        self.last: float | None = None
        self.highest: float | None = None
        self.largest_step: float | None = None
        self._sum = 0.0
        self._count = 0
        self._step_sum = 0.0
        self._step_count = 0
        self._index = 0

    def add(self, index: int, value: float) -> None:
        """Count frame ``index``; a step is counted only from the frame right before it."""
        if self.last is not None and index == self._index + 1:
            step = abs(value - self.last)
            self._step_sum += step
            self._step_count += 1
            self.largest_step = step if self.largest_step is None else max(self.largest_step, step)
        self.first = value if self.first is None else self.first
        self.highest = value if self.highest is None else max(self.highest, value)
        self.last, self._index = value, index
        self._sum += value
        self._count += 1

    @property
    def mean(self) -> float | None:
        """Mean over frames; None before the first."""
        return self._sum / self._count if self._count else None

    @property
    def mean_step(self) -> float | None:
        """Mean |change| from a frame to the next; None before the second."""
        return self._step_sum / self._step_count if self._step_count else None


@njit(cache=True, nogil=True)
def right_view_source(disparity: Any) -> Any:
    """Tell which source column each pixel of the right view shows, by rounding; -1 where none lands.

    Of several that land the nearest wins: a pixel t that shows column s has disparity s - t, so it is the last.

    Args:
        disparity: [h, w] float32 on the grid of the left view, in pixels.

    Returns:
        [h, w] int32.
    """
    h, w = disparity.shape
    source = np.full((h, w), -1, np.int32)
    for y in range(h):
        for x in range(w):
            target = int(np.floor(x - disparity[y, x] + 0.5))
            if 0 <= target < w:
                source[y, target] = x
    return source


@njit(cache=True, nogil=True)
def _sample(plane: Any, x: float, y: float) -> float:
    h, w = plane.shape
    x = min(max(x, 0.0), w - 1.0)
    y = min(max(y, 0.0), h - 1.0)
    x0, y0 = int(x), int(y)
    x1, y1 = min(x0 + 1, w - 1), min(y0 + 1, h - 1)
    s, t = x - x0, y - y0
    top = plane[y0, x0] * (1 - s) + plane[y0, x1] * s
    bottom = plane[y1, x0] * (1 - s) + plane[y1, x1] * s
    return float(top * (1 - t) + bottom * t)


@njit(cache=True, nogil=True)
def agreeing(forward: Any, backward: Any) -> Any:
    """Tell where going along the flow and back ends where it began, in the rows that are compared.

    ``flow.consistency.forward_backward_confidence``, by name and number, for every second row; the others are False.
    """
    h, w = forward.shape[:2]
    visible = np.zeros((h, w), np.bool_)
    for y in range(0, h, _EVERY_ROW):
        for x in range(w):
            dx, dy = forward[y, x, 0], forward[y, x, 1]
            end_x, end_y = x + dx, y + dy
            if not (-0.5 <= end_x <= w - 0.5 and -0.5 <= end_y <= h - 0.5):
                continue
            back_x, back_y = _sample(backward[:, :, 0], end_x, end_y), _sample(backward[:, :, 1], end_x, end_y)
            gap = (dx + back_x) ** 2 + (dy + back_y) ** 2
            visible[y, x] = gap <= 0.01 * (dx * dx + dy * dy + back_x * back_x + back_y * back_y) + 0.5
    return visible


@njit(cache=True, nogil=True)
def _compare(
    left: Any,
    next_left: Any,
    right: Any,
    next_right: Any,
    hole: Any,
    next_hole: Any,
    disparity: Any,
    next_disparity: Any,
    source: Any,
    next_source: Any,
    flow: Any,
    visible: Any,
) -> Any:
    h, w = left.shape
    sums = np.zeros(8)
    for y in range(0, h, _EVERY_ROW):
        for x in range(w):
            if visible[y, x]:
                gap = _sample(next_left, x + flow[y, x, 0], y + flow[y, x, 1]) - left[y, x]
                sums[0] += gap * gap
                sums[4] += 1
        behind = -1  # the source column whose motion a hole takes
        for x in range(w - 1, -1, -1):
            if source[y, x] >= 0 and not hole[y, x]:
                behind = source[y, x]
                break
        for x in range(w - 1, -1, -1):
            painted = hole[y, x]
            if not painted and source[y, x] >= 0:
                behind = source[y, x]
                sums[3] += abs(_sample(left, x + disparity[y, behind], y) - right[y, x])
                sums[7] += 1
            elif not painted:
                continue  # a crack of the rounding, not of the picture
            if behind < 0 or not visible[y, behind]:
                continue
            down = y + flow[y, behind, 1]
            next_d = _sample(next_disparity, behind + flow[y, behind, 0], down)
            across = x + flow[y, behind, 0] - (next_d - disparity[y, behind])
            column, row = int(np.floor(across + 0.5)), int(np.floor(down + 0.5))
            if not (0 <= column < w and 0 <= row < h):
                continue
            lands_in_hole = next_hole[row, column]
            shown = next_source[row, column]
            same_surface = shown >= 0 and abs(shown - column - next_d) < _SAME_SURFACE_PX
            if painted and (lands_in_hole or same_surface):
                gap = _sample(next_right, across, down) - right[y, x]
                sums[2] += gap * gap
                sums[6] += 1
            elif not painted and same_surface and not lands_in_hole:
                gap = _sample(next_right, across, down) - right[y, x]
                sums[1] += gap * gap
                sums[5] += 1
    return sums
