"""RGB pictures as frames of three full-size planes, for code that works in planes on material that comes as RGB."""

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.video.frames import Frame, PixelFormat
from spatialdreamer_core.video.source import ColourInfo

RGB_PLANES = PixelFormat("gbrp", 8, 1, 1)
RGB_COLOUR = ColourInfo(range=2, matrix=0)
"""How such planes are to be read: full range, each its own colour."""
_CHANNELS = (1, 2, 0)  # green, blue, red, as the format's name says


def rgb_frame(picture: NDArray[np.uint8], pts: int = 0) -> Frame:
    """[H, W, 3] uint8 RGB as planes; green stands where luma does."""
    green, blue, red = (np.ascontiguousarray(picture[..., channel]) for channel in _CHANNELS)
    return Frame(green, blue, red, RGB_PLANES, pts)


def rgb_picture(frame: Frame) -> NDArray[np.uint8]:
    """The [H, W, 3] uint8 RGB of such a frame."""
    picture = np.empty((frame.height, frame.width, 3), np.uint8)
    for channel, plane in zip(_CHANNELS, frame.planes, strict=True):
        picture[..., channel] = plane
    return picture
