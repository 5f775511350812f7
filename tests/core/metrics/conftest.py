from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame

MakeFrame = Callable[..., Frame]


@pytest.fixture
def make_frame() -> MakeFrame:
    """Frames of 8 or 10 bit from a luma plane in 8-bit levels."""

    def make(luma: NDArray[np.generic], *, u: int = 128, v: int = 128, bits: int = 8) -> Frame:
        pixel_format = PIXEL_FORMATS["yuv420p" if bits == 8 else "yuv420p10le"]
        scale = 1 << (bits - 8)
        h, w = luma.shape
        chroma = [np.full(((h + 1) // 2, (w + 1) // 2), value * scale, pixel_format.dtype) for value in (u, v)]
        stored = np.round(luma.astype(np.float64) * scale).astype(pixel_format.dtype)
        return Frame(stored, chroma[0], chroma[1], pixel_format, 0)

    return make


@pytest.fixture(scope="session")
def texture() -> NDArray[np.uint8]:
    """[120, 256] of smooth noise that flow and matching can hold on to."""
    noise = np.random.default_rng(7).integers(0, 256, (120, 256)).astype(np.uint8)
    smooth = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.asarray(cv2.normalize(smooth, None, 20, 230, cv2.NORM_MINMAX), np.uint8)
