"""Good and bad cases side by side: picture, depth and made eye of frames chosen by their place in a clip."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import StereoConfig
from spatialdreamer_core.geometry.disparity import choose_stereo, disparity_from_inverse_depth
from spatialdreamer_core.geometry.fill import fill_holes
from spatialdreamer_core.geometry.splat import forward_map, resample
from spatialdreamer_core.geometry.upsample import upsample_inverse_depth
from spatialdreamer_core.training.depth.benchmark import Estimate, frames_between, steady_maps
from spatialdreamer_core.training.depth.eyes import FILL
from spatialdreamer_core.video.rgb_planes import rgb_frame, rgb_picture

U8 = NDArray[np.uint8]
SHARES = (0.2, 0.5, 0.9)
"""Places in a clip, as shares of its length."""
AROUND = 12
"""Frames before and after, so that depth is steadied and parallax seen as in a film."""
WIDTH, CELL = 320, (288, 162)


def case(estimate: Estimate, clip: Path, share: float) -> U8:
    """One row [162, 864, 3] RGB: the picture, its depth (near is bright), the right eye that convert would make."""
    pictures, middle = frames_between(clip, share, AROUND, 2 * WIDTH)
    size = (WIDTH, max(2, round(WIDTH * pictures[0].shape[0] / pictures[0].shape[1])))
    small = [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8) for p in pictures]
    maps, picture = steady_maps(estimate, small), pictures[middle]
    stereo = choose_stereo(maps[:: max(1, len(maps) // 4)], StereoConfig())
    grey, guide = (np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), np.uint8) for p in (picture, small[middle]))
    disparity = disparity_from_inverse_depth(
        upsample_inverse_depth(maps[middle], guide, grey), strength_pct=stereo.strength_pct,
        convergence=stereo.convergence, width_px=picture.shape[1],
    )  # fmt: skip
    shown = forward_map(np.ascontiguousarray(disparity, np.float32))
    eye = rgb_picture(fill_holes(resample(rgb_frame(picture, 0), shown), shown, FILL))
    painted = cv2.applyColorMap(np.rint(maps[middle] * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.hstack([_fitted(np.asarray(cell, np.uint8)) for cell in (picture, painted, eye)])


def _fitted(picture: U8) -> U8:
    """Bring a picture into a cell, on black."""
    scale = min(CELL[0] / picture.shape[1], CELL[1] / picture.shape[0])
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    cell = np.zeros((CELL[1], CELL[0], 3), np.uint8)
    top, left = (CELL[1] - size[1]) // 2, (CELL[0] - size[0]) // 2
    cell[top : top + size[1], left : left + size[0]] = small
    return cell


def gallery(estimate: Estimate, clips: list[Path], columns: int = 2) -> U8:
    """All cases of all clips, ``columns`` side by side; what is shown follows from the clips alone."""
    rows = [case(estimate, clip, share) for clip in clips for share in SHARES]
    rows += [np.zeros_like(rows[0])] * (-len(rows) % columns)
    return np.vstack([np.hstack(rows[i : i + columns]) for i in range(0, len(rows), columns)])
