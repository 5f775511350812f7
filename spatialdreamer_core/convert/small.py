"""The small pictures that depth and flow look at, made from the planes without a full-size trip through RGB."""

from fractions import Fraction
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.video.colour import yuv_to_rgb
from spatialdreamer_core.video.frames import Frame, Plane
from spatialdreamer_core.video.source import ColourInfo


def small_size(width: int, height: int, depth_width: int, sample_aspect: Fraction = Fraction(1)) -> tuple[int, int]:
    """Choose (columns, rows) of the small pictures: ``depth_width`` wide or the picture's own width, even, upright.

    Portrait pictures get ``depth_width`` rows instead, so that both shapes cost the same.
    """
    shown = float(width * sample_aspect)
    scale = min(1.0, depth_width / max(shown, height))
    return _even(shown * scale), _even(height * scale)


def small_rgb(frame: Frame, size: tuple[int, int], colour: ColourInfo) -> NDArray[np.uint8]:
    """Shrink a frame by area to [h, w, 3] RGB.

    Args:
        frame: Any format.
        size: (columns, rows).
        colour: Decides matrix and range.
    """
    y, u, v = (_shrink(plane, size) for plane in frame.planes)
    return yuv_to_rgb(y, u, v, bits=frame.format.bits, colour=colour, picture_height=frame.height)


def small_grey(frame: Frame, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Shrink a frame's luma by area to [h, w], 8 bit, as coded (not stretched to full range)."""
    y, bits = _shrink(frame.y, size), frame.format.bits
    return (y if bits == 8 else y >> (bits - 8)).astype(np.uint8, copy=False)


def _shrink(plane: Plane, size: tuple[int, int]) -> Plane:
    """Resize by area, first by whole halves: those are fast, and the rest is left with few samples."""
    while plane.shape[1] >= 2 * size[0] and plane.shape[0] >= 2 * size[1]:
        half = (-(-plane.shape[1] // 2), -(-plane.shape[0] // 2))
        plane = cast(Plane, cv2.resize(plane, half, interpolation=cv2.INTER_AREA))
    shrinks = plane.shape[1] >= size[0] and plane.shape[0] >= size[1]
    return cast(Plane, cv2.resize(plane, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _even(value: float) -> int:
    return max(2, 2 * round(value / 2))
