"""One frame to the other eye and back: the pictures and masks that a training pair is made of.

Everything is written for a target that is the left eye. A target that is the right eye is mirrored, for a mirrored
right eye is a left eye: with x' = W - 1 - x, ``x'_right - x'_left = x_left - x_right``, so disparity keeps its sign.
"""

from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.dvg.sample import Eye
from spatialdreamer_core.geometry.fill import fill_holes
from spatialdreamer_core.geometry.holes import continued_disparity, find_hole_runs
from spatialdreamer_core.geometry.splat import forward_map, lost_mask, resample
from spatialdreamer_core.video.frames import Frame, PixelFormat, Plane

RGB_PLANES = PixelFormat("gbrp", 8, 1, 1)
FILL = FillConfig(name="background", temporal=False)


@dataclass(frozen=True, slots=True)
class FramePair:
    """One frame's two views.

    Attributes:
        reference: [H, W, 3] uint8, the whole other view.
        back: [H, W, 3] uint8, the reference rendered back to the target's view; black in holes.
        hole: [H, W] bool, the holes of ``back``: what the double rendering calls the mask.
        lost: [H, W] bool, what the other view does not see of the target: the analytic mask.
    """

    reference: NDArray[np.uint8]
    back: NDArray[np.uint8]
    hole: NDArray[np.bool_]
    lost: NDArray[np.bool_]


def render_pair(
    target: NDArray[np.uint8], disparity: NDArray[np.float32], target_eye: Eye, *, tear_px: float = 1.0
) -> FramePair:
    """Render a frame to the other eye, fill what that uncovers, and render back.

    Args:
        target: [H, W, 3] uint8 RGB.
        disparity: [H, W] float32 px, ``x_left - x_right`` of the target's pixels.
        target_eye: Which eye the target is.
        tear_px: Stretch between two neighbours beyond which a surface tears.

    Raises:
        ValueError: If the sizes differ or a disparity is not finite.

    Source: arXiv 2411.11934, depth based video generation; the analytic mask ``M_dis(L -> R) = M_lost(R -> L)`` is
    that of arXiv 2607.05354.
    """
    mirrored = target_eye == "right"
    target, disparity = _mirror(target, mirrored), _mirror(disparity, mirrored)
    source_x = forward_map(disparity, tear_px=tear_px)
    made = resample(_planes(target), source_x)
    other = fill_holes(made, source_x, FILL)
    # seen from the other eye the roles are swapped: mirrored, it is a left eye again
    returned = _mirror(continued_disparity(source_x, find_hole_runs(source_x)), True)
    back_x = forward_map(returned, tear_px=tear_px)
    back = _picture(resample(_mirror_planes(other), back_x), not mirrored)
    hole = _mirror_mask(np.isnan(back_x), not mirrored)
    back[hole] = 0
    return FramePair(
        reference=_picture(other, mirrored),
        back=back,
        hole=hole,
        lost=_mirror_mask(lost_mask(disparity, tear_px=tear_px), mirrored),
    )


def beyond_border(disparity: NDArray[np.float32], target_eye: Eye) -> NDArray[np.bool_]:
    """Tell which pixels of the target have their place beside the other view's picture.

    Args:
        disparity: [..., W] px, ``x_left - x_right``, of the target's pixels.
        target_eye: Which eye the target is.

    Returns:
        bool of the same shape.
    """
    width = disparity.shape[-1]
    columns = np.arange(width, dtype=np.float32)
    place = columns - disparity if target_eye == "left" else columns + disparity
    return np.asarray((place < -0.5) | (place >= width - 0.5))


def _mirror(picture: NDArray[Any], wanted: bool) -> NDArray[Any]:
    return np.asarray(cv2.flip(picture, 1)) if wanted else picture


def _mirror_mask(mask: NDArray[np.bool_], wanted: bool) -> NDArray[np.bool_]:
    return _mirror(mask.view(np.uint8), wanted).view(np.bool_)


def _planes(picture: NDArray[np.uint8]) -> Frame:
    r, g, b = (np.asarray(plane, np.uint8) for plane in cv2.split(picture))  # cv2: several times faster than strides
    return Frame(g, b, r, RGB_PLANES, pts=0)


def _mirror_planes(frame: Frame) -> Frame:
    g, b, r = (cast(Plane, _mirror(plane, True)) for plane in frame.planes)
    return Frame(g, b, r, frame.format, frame.pts)


def _picture(frame: Frame, mirrored: bool) -> NDArray[np.uint8]:
    g, b, r = frame.planes  # in the order that the format's name says
    return np.asarray(_mirror(np.asarray(cv2.merge([r, g, b])), mirrored), np.uint8)
