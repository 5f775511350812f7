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
        steps = layout.sub_x, layout.sub_y
        _cut(
            (frame.right.planes, self.mirrored.planes, frame.source_x),
            (frame.holes, span),
            (top, left, shift, *steps),
            (self.matrix, self.bias),
            tile[0],
        )
        _cut_reference(frame.left.planes, (top, left + shift, *steps), (self.matrix, self.bias), reference[0])
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
def _unit(value: Any) -> Any:
    return min(max(value, np.float32(0.0)), np.float32(1.0))


@njit(cache=True, nogil=True)
def _write_rgb(out: Any, first: int, at: Any, yuv: Any, matrix: Any, bias: Any, scale: Any, shift: Any) -> None:
    y, u, v = np.float32(yuv[0]), np.float32(yuv[1]), np.float32(yuv[2])
    for c in range(3):
        value = matrix[c, 0] * y + matrix[c, 1] * u + matrix[c, 2] * v + bias[c]
        out[first + c, at[0], at[1]] = _unit(value) * scale + shift


@njit(cache=True, nogil=True)
def _repeat_border(out: Any, rows: int, columns: int) -> None:
    for c in range(out.shape[0]):
        for y in range(rows):
            for x in range(columns, out.shape[2]):
                out[c, y, x] = out[c, y, columns - 1]
        for y in range(rows, out.shape[1]):
            out[c, y] = out[c, rows - 1]


@njit(cache=True, nogil=True)
def _cut(pictures: Any, holes: Any, place: Any, rgb: Any, out: Any) -> None:
    (y_plane, u_plane, v_plane), mirrored, source_x = pictures
    runs, span = holes
    top, left, shift, sub_x, sub_y = place
    matrix, bias = rgb
    two, minus = np.float32(2.0), np.float32(-1.0)
    unit, base = np.float32(1 / DEPTH_UNIT_PX), np.float32(shift)
    nearest, farthest = np.float32(NEAREST), np.float32(FARTHEST)
    rows, columns = min(TILE, y_plane.shape[0] - top), min(TILE, y_plane.shape[1] - left)
    for r in range(rows):
        y = top + r
        for c in range(columns):
            x = left + c
            yuv = y_plane[y, x], u_plane[y // sub_y, x // sub_x], v_plane[y // sub_y, x // sub_x]
            _write_rgb(out, 0, (r, c), yuv, matrix, bias, two, minus)
            for k in range(3):
                out[3 + k, r, c] = out[k, r, c]
            out[6, r, c] = 0
            out[7, r, c] = min(max((source_x[y, x] - np.float32(x) - base) * unit, farthest), nearest)
            out[8, r, c] = 0
    for i in range(span[0], span[1]):
        y = runs.row[i]
        r = y - top
        behind = min(max((runs.disparity[i] - base) * unit, farthest), nearest)
        for x in range(max(runs.start[i], left), min(runs.stop[i], left + TILE)):
            c = x - left
            yuv = mirrored[0][y, x], mirrored[1][y // sub_y, x // sub_x], mirrored[2][y // sub_y, x // sub_x]
            _write_rgb(out, 3, (r, c), yuv, matrix, bias, two, minus)
            deep = runs.stop[i] - 1 - x if runs.side[i] == 1 else x - runs.start[i]
            out[6, r, c] = 1
            out[7, r, c] = behind
            out[8, r, c] = min((np.float32(deep) + np.float32(0.5)) * unit, np.float32(DEEPEST))
    _repeat_border(out, rows, columns)


@njit(cache=True, nogil=True)
def _cut_reference(planes: Any, place: Any, rgb: Any, out: Any) -> None:
    y_plane, u_plane, v_plane = planes
    top, left, sub_x, sub_y = place
    matrix, bias = rgb
    one, zero = np.float32(1.0), np.float32(0.0)
    height, width = y_plane.shape
    rows = min(TILE, height - top)
    for r in range(rows):
        y = top + r
        for c in range(TILE):
            x = min(max(left + c, 0), width - 1)
            yuv = y_plane[y, x], u_plane[y // sub_y, x // sub_x], v_plane[y // sub_y, x // sub_x]
            _write_rgb(out, 0, (r, c), yuv, matrix, bias, one, zero)
    _repeat_border(out, rows, TILE)
