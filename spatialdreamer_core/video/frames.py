"""The picture as the decoder gives it: YUV planes, never a trip through RGB on the CPU path."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Plane: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]
"""[H, W] samples of one plane; uint8 for 8 bit, uint16 for 10 bit (values below 1024)."""

PixelFormatName = Literal["yuv420p", "yuv420p10le", "yuv422p10le", "yuv444p", "gbrp"]


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """A planar format that we work in: YUV from decoder to encoder, and RGB planes where training pairs are made.

    Attributes:
        name: FFmpeg's name.
        bits: Bits per sample, 8 or 10.
        sub_x: Luma columns per chroma column.
        sub_y: Luma rows per chroma row.
    """

    name: PixelFormatName
    bits: int
    sub_x: int
    sub_y: int

    @property
    def dtype(self) -> type[np.uint8] | type[np.uint16]:
        """The sample type of every plane."""
        return np.uint8 if self.bits == 8 else np.uint16


PIXEL_FORMATS: dict[PixelFormatName, PixelFormat] = {
    "yuv420p": PixelFormat("yuv420p", 8, 2, 2),
    "yuv420p10le": PixelFormat("yuv420p10le", 10, 2, 2),
    "yuv422p10le": PixelFormat("yuv422p10le", 10, 2, 1),
}


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture in planes.

    Attributes:
        y: [H, W] luma.
        u: [ceil(H / sub_y), ceil(W / sub_x)] blue difference.
        v: The same shape as ``u``, red difference.
        format: Which planar YUV this is.
        pts: Presentation time in ticks of the source stream's time base.
    """

    y: Plane
    u: Plane
    v: Plane
    format: PixelFormat
    pts: int

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """The three planes, luma first."""
        return self.y, self.u, self.v

    @property
    def height(self) -> int:
        """Rows of the luma plane."""
        return int(self.y.shape[0])

    @property
    def width(self) -> int:
        """Columns of the luma plane."""
        return int(self.y.shape[1])
