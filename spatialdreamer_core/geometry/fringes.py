"""Fringes: pixels of a surface beside a hole that hold some of the colour of what stood before it.

A camera mixes both colours at a silhouette, and depth gives such a pixel to one of the two. Where that is the surface
behind, the made eye moves it away from the silhouette, and it stands alone beyond the hole: a thin light or dark line.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.geometry.holes import HoleRuns, find_hole_runs
from spatialdreamer_core.video.frames import Frame

LEAST_HOLE_PX = 4
"""Beside narrower holes the line still touches the silhouette that it belongs to."""
LEAST_STEP_PX = 2.0
"""Disparity by which the near side must stand out, luma pixels."""
DRIFT_PX = 1.0
"""Disparity by which pixels of the surface behind may differ from one to the next but one, luma pixels."""
LEAST_CONTRAST = 17.0
"""Levels of 8 bit between the two surfaces, below which a mixture does not show."""
LEAST_SHARE = 0.2
"""Share of the near colour from which a pixel is a mixture."""


def open_fringes(made: Frame, source_x: NDArray[np.float32]) -> HoleRuns:
    """Make a hole of the one pixel at the far end of each hole that is a mixture of both of its sides.

    Told by luma alone: with colour no pixel more is found that shows. Only the holes inside a picture have two sides.

    Args:
        made: The made eye before it is filled.
        source_x: [H, W] float32 luma columns that it shows, NaN in holes; changed in place.

    Returns:
        All holes of the changed map, as ``find_hole_runs`` gives them.

    Raises:
        ValueError: If the map is not of the picture's size.
    """
    if source_x.shape != made.y.shape:
        raise ValueError(f"source_x must be {made.y.shape} like the luma plane, got {source_x.shape}")
    runs = find_hole_runs(source_x)
    _open(made.y, source_x, runs, np.float32(LEAST_CONTRAST * (1 << (made.format.bits - 8))))
    return runs


@njit(cache=True, nogil=True)
def _open(luma: Any, source_x: Any, runs: Any, least_contrast: Any) -> None:
    width = luma.shape[1]
    for i in range(runs.row.size):
        toward = runs.side[i]
        if toward == 0 or runs.border[i] or runs.stop[i] - runs.start[i] < LEAST_HOLE_PX:
            continue
        if runs.contrast[i] < LEAST_STEP_PX:
            continue
        end, other = runs.stop[i], runs.start[i] - 1
        if toward < 0:
            end, other = other, end
        near, far = other - toward, end + 2 * toward
        if not 0 <= min(near, far) <= max(near, far) < width:
            continue
        shown = source_x[runs.row[i]]
        behind = shown[end + toward] - np.float32(end + toward)
        drift = abs(shown[far] - np.float32(far) - runs.disparity[i])
        if np.isnan(behind) or np.isnan(shown[near]) or not drift <= DRIFT_PX:
            continue
        row = luma[runs.row[i]]
        ground = np.float32(row[far])
        contrast = np.float32(row[near]) - ground
        if abs(contrast) < least_contrast or (np.float32(row[end]) - ground) / contrast < LEAST_SHARE:
            continue
        shown[end] = np.nan
        if toward > 0:
            runs.stop[i] += 1
        else:
            runs.start[i] -= 1
        runs.disparity[i] = behind
        runs.contrast[i] = abs(shown[other] - np.float32(other) - behind)
