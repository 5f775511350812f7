"""What depth costs in the made eye: right views of real pairs made from estimated and from true disparity."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.geometry.fill import fill_holes
from spatialdreamer_core.geometry.splat import forward_map, resample
from spatialdreamer_core.metrics.fidelity import psnr
from spatialdreamer_core.training.depth.figures import fit
from spatialdreamer_core.video.rgb_planes import rgb_frame, rgb_picture

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
HALO_PX = 6
"""How far around a true hole a halo is looked for."""
FILL = FillConfig(name="background", temporal=False)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both views of a scene [H, W, 3] and the true disparity of the left one [H, W] px, known where ``known``."""

    left: U8
    right: U8
    disparity: F32
    known: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EyeFigures:
    """A made right view against the true one, PSNR in dB.

    Attributes:
        whole: Everywhere.
        halo: Within ``HALO_PX`` of the true holes, outside of them: where wrong edges show.
        hole: Inside the true holes.
        found: Overlap (intersection over union) of the made holes with the true ones.
    """

    whole: float
    halo: float
    hole: float
    found: float


def known_everywhere(disparity: F32, known: NDArray[np.bool_]) -> F32:
    """Fill unknown disparity along each row from the farther of its two neighbours."""
    out = np.where(known, disparity, np.nan).astype(np.float32)
    for row in out:
        there = np.flatnonzero(~np.isnan(row))
        if len(there) == 0:
            row[:] = np.nanmin(np.where(known, disparity, np.nan))
            continue
        place = np.searchsorted(there, np.arange(len(row)))
        before, after = there[np.maximum(place - 1, 0)], there[np.minimum(place, len(there) - 1)]
        row[:] = np.where(np.isnan(row), np.minimum(row[before], row[after]), row)
    return out


def eye_figures(pair: Pair, inverse_depth: F32 | None) -> EyeFigures:
    """Make the right view from a map [H, W] of inverse depth fitted to the true disparity; None takes the truth."""
    true = known_everywhere(pair.disparity, pair.known)
    disparity = true
    if inverse_depth is not None:
        scale, offset = fit(inverse_depth[pair.known], pair.disparity[pair.known])
        disparity = np.ascontiguousarray(inverse_depth * np.float32(scale) + np.float32(offset), np.float32)
    shown, wanted = forward_map(disparity), np.isnan(forward_map(true))
    warped = resample(rgb_frame(pair.left, 0), shown)
    made = rgb_picture(fill_holes(warped, shown, FILL))
    holes = np.isnan(shown)
    around = cv2.dilate(wanted.astype(np.uint8), np.ones((2 * HALO_PX + 1,) * 2, np.uint8)) > 0
    inside = np.zeros_like(wanted)
    border = int(np.ceil(float(true.max())))  # what the left view never had at its border is not the depth's fault
    inside[:, : inside.shape[1] - border] = True
    overlap = float((holes & wanted & inside).sum()) / max(float(((holes | wanted) & inside).sum()), 1.0)
    whole, halo, hole = (
        psnr(made, pair.right, mask) or float("nan") for mask in (inside, around & ~wanted & inside, wanted & inside)
    )
    return EyeFigures(whole, halo, hole, overlap)
