"""The tiles in which a network sees a picture: where they lie, which are needed, and what each has to say."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.geometry.holes import HoleRuns
from spatialdreamer_core.models.mini.config import TILE
from spatialdreamer_core.refine.protocol import LEAST_HOLE_PX

MARGIN = 4
"""Around the core of a tile, on the side of a neighbour; twice this is shared by two tiles, and blended."""
STEP = TILE - 2 * MARGIN
LEAST_TILE_PX = 128
"""A core with fewer pixels to paint keeps its fill: it is not worth the time of a tile."""
LEAST_SHARE = 1 / 4096
"""The same, of the picture's pixels: in a small picture few pixels are seen, and there are few tiles."""
REVEALED = 0.9
"""A pixel whose real background was found this surely needs no tile."""


@dataclass(frozen=True)
class TileGrid:
    """Tiles of 128 x 128 at fixed places of a picture, each 8 px into its neighbour.

    The last ones of a row and of a column end with the picture; of a picture smaller than a tile there is one, which
    begins with it.

    Attributes:
        height: Luma rows of the picture.
        width: Luma columns.
    """

    height: int
    width: int
    _weights: dict[tuple[int, int], NDArray[np.float32]] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def rows(self) -> NDArray[np.int32]:
        """First luma row of every row of tiles."""
        return _origins(self.height)

    @cached_property
    def columns(self) -> NDArray[np.int32]:
        """First luma column of every column of tiles."""
        return _origins(self.width)

    def needed(self, holes: HoleRuns, revealed: NDArray[np.float32], *, borders: bool = True) -> NDArray[np.bool_]:
        """[rows, columns] of tiles: whether a core holds enough pixels of wide holes that nobody has shown.

        Args:
            holes: Of the picture.
            revealed: [P] as in ``RefineFrame``.
            borders: Whether holes at the sides of the picture count.
        """
        found = np.zeros((self.rows.size, self.columns.size), np.int32)
        offset = np.concatenate((np.zeros(1), np.cumsum(holes.stop - holes.start))).astype(np.int64)
        owners = _owners(self.rows, self.height), _owners(self.columns, self.width)
        _count(holes, offset, revealed, owners, borders, found)
        return np.asarray(found >= max(1, min(LEAST_TILE_PX, LEAST_SHARE * self.height * self.width)))

    def weight(self, row: int, column: int) -> NDArray[np.float32]:
        """[h, w] weights of a tile within the picture: 1 in its core, falling towards neighbours, never 0."""
        if (row, column) not in self._weights:
            down, across = self._ramps
            self._weights[row, column] = down[row][:, None] * across[column][None, :]
        return self._weights[row, column]

    @cached_property
    def _ramps(self) -> tuple[list[NDArray[np.float32]], list[NDArray[np.float32]]]:
        return _ramps(self.rows, self.height), _ramps(self.columns, self.width)


def _origins(size: int) -> NDArray[np.int32]:
    count = max(1, -(-(size - 2 * MARGIN) // STEP))
    return np.minimum(np.arange(count) * STEP, max(size - TILE, 0)).astype(np.int32)


def _owners(origins: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Which tile's core each row or column lies in."""
    owner = np.zeros(size, np.int32)
    for number, origin in enumerate(origins[1:], start=1):
        owner[origin + MARGIN :] = number
    return owner


def _ramps(origins: NDArray[np.int32], size: int) -> list[NDArray[np.float32]]:
    ramps = []
    for number in range(origins.size):
        ramp = np.ones(min(TILE, size), np.float32)
        rise = (np.arange(2 * MARGIN, dtype=np.float32) + 0.5) / (2 * MARGIN)
        if number > 0:
            ramp[: 2 * MARGIN] = rise
        if number + 1 < origins.size:
            ramp[TILE - 2 * MARGIN :] = rise[::-1]
        ramps.append(ramp)
    return ramps


@njit(cache=True, nogil=True)
def _count(holes: Any, offset: Any, revealed: Any, owners: Any, borders: bool, found: Any) -> None:
    row_owner, column_owner = owners
    for i in range(holes.row.size):
        if holes.stop[i] - holes.start[i] < LEAST_HOLE_PX or (holes.border[i] and not borders):
            continue
        tiles = row_owner[holes.row[i]]
        for x in range(holes.start[i], holes.stop[i]):
            if revealed[offset[i] + x - holes.start[i]] < REVEALED:
                found[tiles, column_owner[x]] += 1
