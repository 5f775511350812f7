"""YUV and RGB: matrices by ITU-T H.273 codes, ranges, and the conversion of small pictures."""

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.video.frames import Plane
from spatialdreamer_core.video.source import ColourInfo

_IDENTITY = 0
"""MatrixCoefficients of planes that hold green, blue and red themselves."""
_LUMA_WEIGHTS: dict[int, tuple[float, float]] = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}


def luma_weights(colour: ColourInfo, picture_height: int) -> tuple[float, float]:
    """Luma weights of red and blue; an unspecified matrix is BT.709 from 720 rows on and BT.601 below."""
    return _LUMA_WEIGHTS.get(colour.matrix, _LUMA_WEIGHTS[1 if picture_height >= 720 else 6])


def luma_range(bits: int, colour: ColourInfo) -> tuple[int, int]:
    """Samples of black and white."""
    if colour.range == 2:
        return 0, (1 << bits) - 1
    return 16 << (bits - 8), 235 << (bits - 8)


def rgb_matrix(bits: int, colour: ColourInfo, picture_height: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give (matrix [3, 3], offset [3]): RGB in [0, 1] is ``matrix @ (yuv - offset)`` for samples as stored.

    Source: ITU-T H.273, equations for MatrixCoefficients and VideoFullRangeFlag.
    """
    low, high = luma_range(bits, colour)
    if colour.matrix == _IDENTITY:
        planes_to_rgb = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]]) / (high - low)
        return planes_to_rgb, np.full(3, low, np.float64)
    red, blue = luma_weights(colour, picture_height)
    green = 1 - red - blue
    chroma_span = (1 << bits) - 1 if colour.range == 2 else 224 << (bits - 8)
    unit = np.array(
        [
            [1, 0, 2 * (1 - red)],
            [1, -2 * (1 - blue) * blue / green, -2 * (1 - red) * red / green],
            [1, 2 * (1 - blue), 0],
        ]
    )
    scale = np.array([1 / (high - low), 1 / chroma_span, 1 / chroma_span])
    return unit * scale, np.array([low, 1 << (bits - 1), 1 << (bits - 1)], dtype=np.float64)


def yuv_to_rgb(
    y: Plane, u: Plane, v: Plane, *, bits: int, colour: ColourInfo, picture_height: int
) -> NDArray[np.uint8]:
    """Turn three planes of one size into [h, w, 3] uint8 RGB; for small pictures.

    Args:
        y: [h, w] luma.
        u: [h, w] blue difference, already at luma's size.
        v: [h, w] red difference, already at luma's size.
        bits: Bits per sample.
        colour: Decides matrix and range.
        picture_height: Rows of the full picture, which decide an unspecified matrix.
    """
    matrix, offset = rgb_matrix(bits, colour, picture_height)
    scaled = (matrix * 255).astype(np.float32)
    bias = (-scaled @ offset.astype(np.float32)).astype(np.float32) + np.float32(0.5)
    planes = [plane.astype(np.float32) for plane in (y, u, v)]
    rgb = np.empty((*y.shape, 3), np.uint8)
    for channel, (row, shift) in enumerate(zip(scaled, bias, strict=True)):
        mixed = planes[0] * row[0] + planes[1] * row[1] + planes[2] * row[2] + shift
        rgb[..., channel] = np.clip(mixed, 0, 255)
    return rgb
