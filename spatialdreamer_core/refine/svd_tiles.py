"""The tiles in which the full-size network sees a picture."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import SvdConfig
from spatialdreamer_core.models.svd.frames import Spans, feather, overlapping_spans
from spatialdreamer_core.refine.protocol import LEAST_HOLE_PX, RefineFrame
from spatialdreamer_core.refine.tiles import REVEALED


@dataclass(frozen=True)
class SvdTiles:
    """Where the tiles of a picture lie; the picture is padded to whole steps by its own border.

    Attributes:
        height: Luma rows of the picture.
        width: Luma columns.
        config: Sizes of tiles.
        step: Rows and columns of what the networks see are multiples of this.
    """

    height: int
    width: int
    config: SvdConfig
    step: int

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of the padded picture."""
        return -(-self.height // self.step) * self.step, -(-self.width // self.step) * self.step

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of every tile."""
        return min(self.config.tile_rows, self.padded[0]), min(self.config.tile_columns, self.padded[1])

    @property
    def rows(self) -> Spans:
        """Of the tiles."""
        return overlapping_spans(self.padded[0], self.config.tile_rows, self.config.tile_overlap, self.step)

    @property
    def columns(self) -> Spans:
        """Of the tiles."""
        return overlapping_spans(self.padded[1], self.config.tile_columns, self.config.tile_overlap, self.step)

    def needed(self, frame: RefineFrame, *, borders: bool = True) -> NDArray[np.bool_]:
        """[rows, columns] of tiles that hold a part of a hole that is wide enough and that no neighbour has shown.

        Args:
            frame: With its holes.
            borders: Whether holes at the sides of the picture count.
        """
        runs = frame.holes
        found = np.zeros((len(self.rows), len(self.columns)), np.bool_)
        if not runs.row.size:
            return found
        wide = runs.stop - runs.start >= LEAST_HOLE_PX
        begins = np.concatenate(([0], np.cumsum(runs.stop - runs.start)[:-1]))
        wide &= ~runs.border | borders
        wide &= np.logical_or.reduceat(frame.revealed < REVEALED, begins)
        row, start, stop = runs.row[wide], runs.start[wide], runs.stop[wide]
        for i, rows in enumerate(self.rows):
            here = (row >= rows.start) & (row < rows.stop)
            for j, columns in enumerate(self.columns):
                found[i, j] = bool(np.any(here & (start < columns.stop) & (stop > columns.start)))
        return found

    def weight(self, i: int, j: int) -> NDArray[np.float32]:
        """[h, w] weights of a tile in (0, 1], falling towards its neighbours."""
        return feather(self.rows, i)[:, None] * feather(self.columns, j)[None, :]
