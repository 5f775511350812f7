"""Contact sheet of one frame: left eye, depth, made eye and anaglyph side by side, as a small JPEG."""

from fractions import Fraction
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import EncodeError
from spatialdreamer_core.video.colour import yuv_to_rgb
from spatialdreamer_core.video.frames import Frame
from spatialdreamer_core.video.source import ColourInfo

PANEL_WIDTH = 320
PANELS = ("left", "depth", "made", "anaglyph")
"""What the sheet shows, from left to right; all panels have one size and nothing stands between them."""

_PQ = 16  # transfer codes of ITU-T H.273
_QUALITY = 82
_SDR_WHITE = 203.0  # cd/m2, ITU-R BT.2408
_REC2020_TO_709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)


def contact_sheet(
    left: Frame,
    inverse_depth: NDArray[np.float32],
    right: Frame,
    colour: ColourInfo,
    *,
    sample_aspect: Fraction = Fraction(1),
    width: int = PANEL_WIDTH,
) -> bytes:
    """Make the sheet of one frame.

    Args:
        left: The source.
        inverse_depth: [any, any] in [0, 1], 1 nearest: bright in the picture.
        right: The made eye, the same size.
        colour: Of both eyes; decides matrix and range. PQ is brought down to an ordinary screen.
        sample_aspect: Width of a sample over its height.
        width: Columns of one panel.

    Returns:
        JPEG, [h, 4 * width]; the same input gives the same bytes.
    """
    height = max(2, round(width * left.height / float(left.width * sample_aspect)))
    size = (width, height)
    left_rgb, right_rgb = (_small_rgb(eye, size, colour) for eye in (left, right))
    red_cyan = np.dstack([left_rgb[..., :1], right_rgb[..., 1:]])
    sheet = np.hstack([left_rgb, _depth_rgb(inverse_depth, size), right_rgb, red_cyan])
    written, data = cv2.imencode(".jpg", sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    if not written:
        raise EncodeError(f"contact sheet of {width}x{height} panels could not be written as JPEG")
    return data.tobytes()


def _small_rgb(frame: Frame, size: tuple[int, int], colour: ColourInfo) -> NDArray[np.uint8]:
    y, u, v = (_resize(plane, size) for plane in frame.planes)
    rgb = yuv_to_rgb(y, u, v, bits=frame.format.bits, colour=colour, picture_height=frame.height)
    return _pq_to_sdr(rgb) if colour.transfer == _PQ else rgb


def _resize(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    shrinks = plane.shape[1] >= size[0] and plane.shape[0] >= size[1]
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _depth_rgb(inverse_depth: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.uint8]:
    grey = np.clip(np.asarray(_resize(inverse_depth, size), np.float32) * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.applyColorMap(grey, cv2.COLORMAP_INFERNO)[..., ::-1], np.uint8)


def _pq_to_sdr(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Show PQ on an ordinary screen: white at three quarters, highlights rolled off, BT.709 primaries.

    Source: SMPTE ST 2084 (the curve), Reinhard et al., SIGGRAPH 2002, eq. 4.
    """
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    root = (rgb.astype(np.float32) / 255) ** np.float32(1 / m2)
    nits = 10_000 * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** np.float32(1 / m1)
    linear = np.maximum((nits / _SDR_WHITE) @ _REC2020_TO_709.T, 0)
    white = 1000 / _SDR_WHITE
    rolled = linear * (1 + linear / white**2) / (1 + linear)
    return np.asarray(255 * np.clip(rolled, 0, 1) ** np.float32(1 / 2.2) + 0.5, np.uint8)
