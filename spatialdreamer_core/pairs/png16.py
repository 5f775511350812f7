"""The 16-bit PNG that a sample's disparity is stored as, read straight into pixels of float32.

zlib does most of the work, and what libpng does beside it takes half as long again; rows here only ever differ from the
row above, so that part is one pass.
"""

import struct
import zlib

import numpy as np
from numba import njit
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_UP = 2
"""The row filter that stores what a row's bytes add to those above."""


def up_rows(data: bytes) -> NDArray[np.uint8] | None:
    """Unpack a 16-bit grey PNG whose rows all differ from the row above.

    Args:
        data: The file.

    Returns:
        [H, 1 + 2 W] uint8: the filter's number and what each byte adds to the one above, most significant byte first;
        None if it is another kind of PNG, torn or no PNG at all, which the caller has to tell.
    """
    if data[:8] != _SIGNATURE or data[12:16] != b"IHDR" or len(data) < 33:
        return None
    width, height, *kind = struct.unpack(">IIBBBBB", data[16:29])
    packed, at = [], 8
    while at + 8 <= len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        if name == b"IDAT":
            packed.append(memoryview(data)[at + 8 : at + 8 + size])
        at += 12 + size
    if kind != [16, 0, 0, 0, 0]:
        return None
    expected, unpacking = height * (1 + 2 * width), zlib.decompressobj()
    try:
        plain = unpacking.decompress(b"".join(packed), expected + 1)  # no more than it says, whatever is packed there
    except zlib.error:
        return None
    if not unpacking.eof or len(plain) != expected:
        return None
    rows = np.frombuffer(plain, np.uint8).reshape(height, 1 + 2 * width)
    return rows if (rows[:, 0] == _UP).all() else None


@njit(cache=True, nogil=True)
def scaled(rows: NDArray[np.uint8], zero: int, step: float) -> NDArray[np.float32]:
    """[H, W] float32 ``(value - zero) * step`` of what ``up_rows`` gives; exact where ``step`` is a power of two."""
    height, width = rows.shape[0], rows.shape[1] // 2
    above = np.zeros(2 * width, np.uint8)
    values = np.empty((height, width), np.float32)
    base, factor = np.float32(zero), np.float32(step)
    for y in range(height):
        added, out = rows[y, 1:], values[y]
        for x in range(2 * width):
            above[x] += added[x]
        for x in range(width):
            out[x] = (np.float32((np.int32(above[2 * x]) << 8) | np.int32(above[2 * x + 1])) - base) * factor
    return values
