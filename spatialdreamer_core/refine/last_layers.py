"""The last two convolutions of ``mini``, at full size: computed where there are holes, for nothing else is shown.

Most tiles are open in a few hundredths of their pixels; whole convolutions took a fifth of a tile's time.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.models.mini.config import GATE_AT_START, PATCH, TILE

F32 = NDArray[np.float32]
HOLE = 6
"""The channel of a tile that tells its holes; the convolutions see it and those before."""


def finish(tile: F32, painted: Mapping[str, F32]) -> F32:
    """Make the colours of a tile's holes.

    Args:
        tile: [1, 9, 128, 128]; see ``models.mini.inputs``.
        painted: What the graph ``paint`` gives, by the names of ``models.mini.config.PAINTED``.

    Returns:
        [3, 128, 128] float32 RGB, about [0, 1]; 0 outside of holes.
    """
    made = np.zeros((3, TILE, TILE), np.float32)
    first, last = ((painted[f"{name}_weight"], painted[f"{name}_bias"]) for name in ("finish", "last"))
    _finish(tile[0], painted["patches"][0], first, last, made)
    return made


@njit(cache=True, nogil=True)
def _finish(tile: Any, patches: Any, first: Any, last: Any, made: Any) -> None:
    hole = tile[HOLE]
    rows, columns, number = _near(hole)
    seen = np.empty((9, rows.size), np.int32)  # of each place's neighbours, where they lie; -1 beyond the tile
    spread = np.empty((9, rows.size), np.int32)  # where they lie in patches
    asked = np.empty((9, rows.size), np.int32)  # of each hole's neighbours, which place they are
    holes = 0
    for p in range(rows.size):
        y, x = rows[p], columns[p]
        for k in range(9):
            v, h = y + k // 3 - 1, x + k % 3 - 1
            inside = 0 <= v < TILE and 0 <= h < TILE
            seen[k, p] = v * TILE + h if inside else -1
            spread[k, p] = _in_patches(v, h) if inside else -1
            asked[k, holes] = number[v, h] if inside else -1  # written over by the next place unless this is a hole
        holes += hole[y, x] > 0
    (weight, bias), channels = first, patches.shape[0] // PATCH**2
    between = np.empty((weight.shape[0], rows.size), np.float32)
    out = np.empty((last[0].shape[0], holes), np.float32)
    _begin(between, bias)
    _add(patches.reshape(channels, -1), spread, weight[:, :channels], between)
    _add(tile[: HOLE + 1].reshape(HOLE + 1, -1), seen, weight[:, channels:], between)
    for o in range(between.shape[0]):
        for p in range(between.shape[1]):
            between[o, p] *= _sigmoid(between[o, p])
    _begin(out, last[1])
    _add(between, asked[:, :holes], last[0], out)
    _mix(tile, out, asked[4, :holes], (rows, columns), made)


@njit(cache=True, nogil=True)
def _in_patches(y: int, x: int) -> Any:
    """Where a pixel lies in a channel of patches [16, 32, 32]."""
    across = TILE // PATCH
    return ((y % PATCH) * PATCH + x % PATCH) * across**2 + (y // PATCH) * across + x // PATCH


@njit(cache=True, nogil=True)
def _near(hole: Any) -> Any:
    """Rows and columns of the places in holes or beside them, row after row, and [128, 128] which of them one is."""
    number = np.full(hole.shape, -1, np.int32)
    rows, columns = np.empty(hole.size, np.int32), np.empty(hole.size, np.int32)
    band = np.zeros(TILE + 2, np.float32)
    count = 0
    for y in range(TILE):
        above, below = max(y - 1, 0), min(y + 1, TILE - 1)
        for x in range(TILE):
            band[x + 1] = hole[above, x] + hole[y, x] + hole[below, x]
        for x in range(TILE):
            if band[x] + band[x + 1] + band[x + 2] > 0:
                rows[count], columns[count], number[y, x] = y, x, count
                count += 1
    return rows[:count], columns[:count], number


@njit(cache=True, nogil=True)
def _begin(out: Any, bias: Any) -> None:
    for o in range(out.shape[0]):
        out[o] = bias[o]


@njit(cache=True, nogil=True)
def _add(planes: Any, places: Any, weight: Any, out: Any) -> None:
    """Convolve planes [C, N] at places [9, P] of their pixels with weights [O, C, 3, 3], and add to [O, P]."""
    zero, count = np.float32(0.0), out.shape[1]
    taken = np.empty(count, np.float32)
    for c in range(planes.shape[0]):
        for k in range(9):
            for p in range(count):
                place = places[k, p]
                taken[p] = planes[c, place] if place >= 0 else zero
            for o in range(out.shape[0]):
                w = weight[o, c, k // 3, k % 3]
                for p in range(count):
                    out[o, p] += w * taken[p]


@njit(cache=True, nogil=True)
def _sigmoid(x: Any) -> Any:
    return np.float32(1.0) / (np.float32(1.0) + np.exp(-x))


@njit(cache=True, nogil=True)
def _mix(tile: Any, out: Any, holes: Any, places: Any, made: Any) -> None:
    """Fill and mirrored background by the share that the network chose, and its own change on top."""
    one, half, gate_at_start = np.float32(1.0), np.float32(0.5), np.float32(GATE_AT_START)
    rows, columns = places
    for p in range(holes.size):
        y, x = rows[holes[p]], columns[holes[p]]
        share = _sigmoid(out[3, p] + gate_at_start)
        for k in range(3):
            filled, mirrored = (tile[k, y, x] + one) * half, (tile[3 + k, y, x] + one) * half
            made[k, y, x] = filled + share * (mirrored - filled) + np.tanh(out[k, p])
