"""What ``mini`` is shown, cut straight out of the planes: the same as ``models.mini.inputs`` gives of RGB pictures."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.geometry.fill import mirror_background
from spatialdreamer_core.geometry.holes import HoleRuns
from spatialdreamer_core.models.mini.config import INPUTS, TILE
from spatialdreamer_core.models.mini.inputs import DEEPEST, DEPTH_UNIT_PX, RELATIVE_LIMITS
from spatialdreamer_core.refine.protocol import RefineFrame
from spatialdreamer_core.video.colour import rgb_matrix
from spatialdreamer_core.video.frames import Frame
from spatialdreamer_core.video.source import ColourInfo

FARTHEST, NEAREST = RELATIVE_LIMITS


@dataclass(frozen=True, slots=True)
class TileCutter:
    """Cuts tiles of one frame.

    Attributes:
        frame: The frame.
        mirrored: Its made eye with holes that hold mirrored background.
        first_run: [H + 1] where the runs of each row begin.
        matrix: [3, 3] float32 from samples to RGB in [0, 1].
        bias: [3] float32 added to that.
    """

    frame: RefineFrame
    mirrored: Frame
    first_run: NDArray[np.int64]
    matrix: NDArray[np.float32]
    bias: NDArray[np.float32]

    def tile(self, top: int, left: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Cut one tile that begins inside the picture; beyond the picture its border is repeated.

        Returns:
            [1, 9, 128, 128]: filled and mirrored RGB in [-1, 1], hole 0 or 1, disparity relative to the background,
            depth in the hole; and the reference [1, 3, 128, 128] in [0, 1], where that background lies in the left
            eye.
        """
        frame = self.frame
        layout = frame.right.format
        tile = np.empty((1, INPUTS, TILE, TILE), np.float32)
        reference = np.empty((1, 3, TILE, TILE), np.float32)
        span = self.first_run[top], self.first_run[min(top + TILE, frame.right.height)]
        shift = _background_shift(frame.holes, span, left)
        halvings = layout.sub_x - 1, layout.sub_y - 1  # every format has one chroma sample for 1 or 2
        _cut(
            (frame.right.planes, self.mirrored.planes, frame.source_x),
            (frame.holes, span),
            (top, left, shift, *halvings),
            (self.matrix, self.bias),
            tile[0],
        )
        _cut_reference(frame.left.planes, (top, left + shift, *halvings), (self.matrix, self.bias), reference[0])
        return tile, reference


def tile_cutter(frame: RefineFrame, colour: ColourInfo) -> TileCutter:
    """Prepare a frame for cutting."""
    matrix, offset = rgb_matrix(frame.right.format.bits, colour, frame.right.height)
    first_run = np.searchsorted(frame.holes.row, np.arange(frame.right.height + 1)).astype(np.int64)
    return TileCutter(
        frame,
        mirror_background(frame.right, frame.source_x),
        first_run,
        matrix.astype(np.float32),
        (-matrix @ offset).astype(np.float32),
    )


def _background_shift(holes: HoleRuns, span: tuple[int, int], left: int) -> int:
    """Whole px: the median disparity of the background over the hole pixels of a tile."""
    values = _background_disparities(holes, span, left)
    return round(float(np.median(values))) if values.size else 0


@njit(cache=True, nogil=True)
def _background_disparities(holes: Any, span: Any, left: int) -> Any:
    count = 0
    for i in range(span[0], span[1]):
        count += max(0, min(holes.stop[i], left + TILE) - max(holes.start[i], left))
    values = np.empty(count, np.float32)
    n = 0
    for i in range(span[0], span[1]):
        for _ in range(max(holes.start[i], left), min(holes.stop[i], left + TILE)):
            values[n] = holes.disparity[i]
            n += 1
    return values


@njit(cache=True, nogil=True)
def _between(value: Any, low: Any, high: Any) -> Any:
    """Cut at both ends, in a form that becomes vector instructions; NaN becomes ``low``."""
    value = value if value > low else low
    return value if value < high else high


@njit(cache=True, nogil=True)
def _spread(row: Any, first: int, shift: int, count: int, out: Any) -> None:
    """Repeat chroma samples over the luma columns that they belong to; ``shift`` halves columns as often."""
    for c in range(count):
        out[c] = row[(first + c) >> shift]


@njit(cache=True, nogil=True)
def _rgb_row(y: Any, u: Any, v: Any, rgb: Any, count: int, out: Any, r: int) -> None:
    matrix, bias, scale, shift = rgb
    zero, one = np.float32(0.0), np.float32(1.0)
    for k in range(3):
        m0, m1, m2, b = matrix[k, 0], matrix[k, 1], matrix[k, 2], bias[k]
        for c in range(count):
            out[k, r, c] = _between(m0 * np.float32(y[c]) + m1 * u[c] + m2 * v[c] + b, zero, one) * scale + shift


@njit(cache=True, nogil=True)
def _repeat_border(out: Any, rows: int, columns: int) -> None:
    for k in range(out.shape[0]):
        for y in range(rows):
            for x in range(columns, out.shape[2]):
                out[k, y, x] = out[k, y, columns - 1]
        for y in range(rows, out.shape[1]):
            out[k, y] = out[k, rows - 1]


@njit(cache=True, nogil=True)
def _cut(pictures: Any, holes: Any, place: Any, rgb: Any, out: Any) -> None:
    (y_plane, u_plane, v_plane), mirrored, source_x = pictures
    runs, span = holes
    top, left, background, shift_x, shift_y = place
    matrix, bias = rgb
    two, minus, zero, one = np.float32(2.0), np.float32(-1.0), np.float32(0.0), np.float32(1.0)
    unit, base = np.float32(1 / DEPTH_UNIT_PX), np.float32(background)
    nearest, farthest = np.float32(NEAREST), np.float32(FARTHEST)
    rows, columns = min(TILE, y_plane.shape[0] - top), min(TILE, y_plane.shape[1] - left)
    u, v = np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    for r in range(rows):
        y = top + r
        _spread(u_plane[y >> shift_y], left, shift_x, columns, u)
        _spread(v_plane[y >> shift_y], left, shift_x, columns, v)
        _rgb_row(y_plane[y, left : left + columns], u, v, (matrix, bias, two, minus), columns, out, r)
        shown = source_x[y, left : left + columns]
        for c in range(columns):
            out[7, r, c] = _between((shown[c] - (np.float32(left + c) + base)) * unit, farthest, nearest)
    out[3:6, :rows, :columns] = out[:3, :rows, :columns]
    out[6] = 0
    out[8] = 0
    for i in range(span[0], span[1]):
        y = runs.row[i]
        r = y - top
        behind = _between((runs.disparity[i] - base) * unit, farthest, nearest)
        for x in range(max(runs.start[i], left), min(runs.stop[i], left + TILE)):
            c = x - left
            luma = np.float32(mirrored[0][y, x])
            blue = np.float32(mirrored[1][y >> shift_y, x >> shift_x])
            red = np.float32(mirrored[2][y >> shift_y, x >> shift_x])
            for k in range(3):
                value = matrix[k, 0] * luma + matrix[k, 1] * blue + matrix[k, 2] * red + bias[k]
                out[3 + k, r, c] = _between(value, zero, one) * two + minus
            deep = runs.stop[i] - 1 - x if runs.side[i] == 1 else x - runs.start[i]
            out[6, r, c] = 1
            out[7, r, c] = behind
            out[8, r, c] = min((np.float32(deep) + np.float32(0.5)) * unit, np.float32(DEEPEST))
    _repeat_border(out, rows, columns)


@njit(cache=True, nogil=True)
def _cut_reference(planes: Any, place: Any, rgb: Any, out: Any) -> None:
    y_plane, u_plane, v_plane = planes
    top, left, shift_x, shift_y = place
    matrix, bias = rgb
    height, width = y_plane.shape
    rows = min(TILE, height - top)
    inside = min(max(left, 0), width - 1)  # what lies within the picture, and then its border to both sides
    before, count = inside - left, min(left + TILE, width) - inside
    y, u, v = np.empty(TILE, np.float32), np.empty(TILE, np.float32), np.empty(TILE, np.float32)
    before, count = min(before, TILE - 1), max(min(count, TILE - before), 1)
    for r in range(rows):
        row = top + r
        _spread(y_plane[row], inside, 0, count, y[before:])
        _spread(u_plane[row >> shift_y], inside, shift_x, count, u[before:])
        _spread(v_plane[row >> shift_y], inside, shift_x, count, v[before:])
        for plane in (y, u, v):
            plane[:before] = plane[before]
            plane[before + count :] = plane[before + count - 1]
        _rgb_row(y, u, v, (matrix, bias, np.float32(1.0), np.float32(0.0)), TILE, out, r)
    _repeat_border(out, rows, TILE)
