"""Depth that was painted for people: recognise the colour map of a picture and go back to one value a pixel."""

from dataclasses import dataclass
from itertools import product
from typing import Literal, get_args

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

ColourName = Literal["grey", "inferno", "magma", "plasma", "viridis", "turbo", "jet"]
COLOUR_NAMES: tuple[ColourName, ...] = get_args(ColourName)
_MAPS = {
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "turbo": cv2.COLORMAP_TURBO,
    "jet": cv2.COLORMAP_JET,
}
GREY_LIMIT, MAP_LIMIT = 4.0, 14.0
"""Mean distance (grey levels) from grey, or from a map's colours, that compression may cause."""
LUMA_WEIGHTS = ((0.299, 0.587, 0.114), (0.2126, 0.7152, 0.0722))
"""Of BT.601 and BT.709."""
LUMA_RANGES = ((16.0, 219 / 255), (0.0, 1.0))
"""Offset and factor of limited and full range, 8 bit."""


def colour_table(name: ColourName) -> NDArray[np.float32]:
    """Give the 256 colours of a map, [256, 3] RGB in [0, 255], the highest value last."""
    if name == "grey":
        return np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    steps = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(steps, _MAPS[name])[:, 0, ::-1], np.float32)


def recognise_colours(rgb: NDArray[np.uint8]) -> ColourName | None:
    """Find the map that a picture was painted with.

    Args:
        rgb: [h, w, 3].

    Returns:
        The closest map, or None if none is close.
    """
    pixels = _sample(rgb)
    if float(np.abs(pixels - pixels.mean(axis=1, keepdims=True)).mean()) < GREY_LIMIT:
        return "grey"
    distances = {name: _mean_distance(pixels, colour_table(name)) for name in COLOUR_NAMES if name != "grey"}
    best = min(distances, key=lambda name: distances[name])
    return best if distances[best] < MAP_LIMIT else None


@dataclass(frozen=True, slots=True)
class LumaCode:
    """Values by luma alone: full resolution where colours have half, so edges stay where they are.

    Attributes:
        levels: [65536] float32, the value in [0, 1] of each 16-bit luma.
    """

    levels: NDArray[np.float32]

    def values(self, luma: NDArray[np.uint16]) -> NDArray[np.float32]:
        """Turn [h, w] stored luma, scaled to 16 bits, into [h, w] values in [0, 1]."""
        return np.asarray(self.levels[luma], np.float32)


GREY = LumaCode((np.arange(65536) / 65535).astype(np.float32))
"""Luma is the value."""


def luma_code(name: ColourName, rgb: NDArray[np.uint8], luma: NDArray[np.uint16]) -> LumaCode | None:
    """Find how luma stands for values in a picture painted with a map whose brightness rises all the way.

    Which luma weights and range the file was made with is measured: files often do not say, or lie.

    Args:
        name: The map.
        rgb: [h, w, 3] of one picture.
        luma: [h, w] luma of the same picture as it is stored, scaled to 16 bits.

    Returns:
        None if luma does not tell the values: turbo and jet, or a picture that contradicts.
    """
    table = colour_table(name)
    pixels, seen = _sample(rgb), _sample(luma[..., None])[:, 0] / 257
    values = nearest_colours(pixels, table) * 255
    best, least = None, 4.0  # more grey levels than this apart, luma is not to be trusted
    for weights, (offset, factor) in product(LUMA_WEIGHTS, LUMA_RANGES):
        brightness = np.maximum.accumulate(offset + factor * (table @ np.array(weights, np.float32)))
        wrong = float(np.abs(np.interp(seen, brightness, np.arange(256)) - values).mean())
        if wrong < least:
            best, least = brightness, wrong
    if best is None:
        return None
    # equal steps of a map (rounding) would make interpolation ambiguous
    best = best + np.arange(256, dtype=np.float32) * np.float32(1e-4)
    return LumaCode(np.interp(np.arange(65536) / 257, best, np.arange(256) / 255).astype(np.float32))


@njit(cache=True, nogil=True)
def nearest_colours(pixels: NDArray[np.float32], table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Find for each of [N, 3] colours where in [256, 3] its nearest lies, in [0, 1]."""
    values = np.empty(len(pixels), np.float32)
    for i in range(len(pixels)):
        best, least = 0, np.float32(1e12)
        for k in range(len(table)):
            red, green, blue = pixels[i, 0] - table[k, 0], pixels[i, 1] - table[k, 1], pixels[i, 2] - table[k, 2]
            distance = red * red + green * green + blue * blue
            if distance < least:
                best, least = k, distance
        values[i] = best / np.float32(len(table) - 1)
    return values


def _sample(picture: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.float32]:
    h, w, channels = picture.shape
    step = max(1, int(np.sqrt(h * w / 10_000)))
    return np.ascontiguousarray(picture[step // 2 :: step, step // 2 :: step].reshape(-1, channels), np.float32)


def _mean_distance(pixels: NDArray[np.float32], table: NDArray[np.float32]) -> float:
    nearest = table[np.rint(nearest_colours(pixels, table) * 255).astype(np.int64)]
    return float(np.linalg.norm(pixels - nearest, axis=1).mean())
