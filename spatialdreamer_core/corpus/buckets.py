"""Which size a source's clips get, and which part of its picture they show; colour and depth go the same way."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.dvg.config import bucket_size
from spatialdreamer_core.dvg.draw import Draw
from spatialdreamer_core.video.colour import yuv_to_rgb
from spatialdreamer_core.video.frames import Frame, Plane
from spatialdreamer_core.video.letterbox import Bars
from spatialdreamer_core.video.source import ColourInfo


@dataclass(frozen=True, slots=True)
class Placement:
    """The rectangle of a source that fills a bucket, in shares of the source's width and height.

    Attributes:
        bucket: (columns, rows) of the result.
        centre: (x, y) of the rectangle's middle, each in [0, 1].
        size: (width, height) of the rectangle, each in (0, 1].
        rotate_deg: How far what is shown is turned, degrees, anticlockwise as seen.
        upscale: How much the source is enlarged; below 1 it is shrunk.
    """

    bucket: tuple[int, int]
    centre: tuple[float, float]
    size: tuple[float, float]
    rotate_deg: float
    upscale: float


def choose_bucket(
    width: int, height: int, buckets: Sequence[str], *, sample_aspect: Fraction = Fraction(1), bars: Bars = (0, 0, 0, 0)
) -> tuple[int, int]:
    """Choose the (columns, rows) whose shape is nearest to the picture's, by the ratio of the two; the first of two.

    Args:
        width: Columns of the source.
        height: Rows.
        buckets: ``WIDTHxHEIGHT`` each.
        sample_aspect: Width of a sample by its height.
        bars: Black bars (top, bottom, left, right), which do not count.

    Raises:
        ConfigError: If a bucket's name is none.
    """
    top, bottom, left, right = bars
    shape = math.log((width - left - right) * float(sample_aspect) / (height - top - bottom))
    return min((bucket_size(name) for name in buckets), key=lambda size: abs(math.log(size[0] / size[1]) - shape))


def place_clip(
    width: int,
    height: int,
    bucket: tuple[int, int],
    drawn: Draw | None = None,
    *,
    sample_aspect: Fraction = Fraction(1),
    bars: Bars = (0, 0, 0, 0),
) -> Placement:
    """Lay a rectangle of the bucket's shape into the picture, as large as fits after cropping and turning.

    Args:
        width: Columns of the source.
        height: Rows.
        bucket: (columns, rows).
        drawn: How much is cropped, where, and the turn; None crops from the middle no more than needed.
        sample_aspect: Width of a sample by its height.
        bars: Black bars (top, bottom, left, right) that are left out.
    """
    top, bottom, left, right = bars
    aspect = float(sample_aspect)
    shown = (width - left - right) * aspect, float(height - top - bottom)  # in rows' units
    turn = math.radians(abs(drawn.rotate_deg)) if drawn else 0.0
    # the upright box around the turned rectangle must fit
    box = (
        bucket[0] * math.cos(turn) + bucket[1] * math.sin(turn),
        bucket[0] * math.sin(turn) + bucket[1] * math.cos(turn),
    )
    per_pixel = min(shown[0] / box[0], shown[1] / box[1]) * (1 - drawn.crop_pct / 100 if drawn else 1)
    place = (drawn.crop_x, drawn.crop_y) if drawn else (0.5, 0.5)
    middle = [
        side * per_pixel / 2 + share * (room - side * per_pixel)
        for side, share, room in zip(box, place, shown, strict=True)
    ]
    return Placement(
        bucket=bucket,
        centre=((left + middle[0] / aspect) / width, (top + middle[1]) / height),
        size=(bucket[0] * per_pixel / aspect / width, bucket[1] * per_pixel / height),
        rotate_deg=drawn.rotate_deg if drawn else 0.0,
        upscale=max(1 / per_pixel, aspect / per_pixel),
    )


def fit(picture: NDArray[Any], placement: Placement) -> NDArray[Any]:
    """Bring what a placement shows of a picture to the bucket's size.

    Args:
        picture: [h, w] or [h, w, C]; uint8, uint16 or float32; any size that covers the whole source (a depth map at
            low size, a chroma plane). NaN spreads.
        placement: Which part.

    Returns:
        [rows, columns] or [rows, columns, C] of the picture's type, averaged by area where it shrinks.
    """
    h, w = picture.shape[:2]
    columns, rows = placement.bucket
    size_x, size_y = placement.size[0] * w, placement.size[1] * h
    centre_x, centre_y = placement.centre[0] * w, placement.centre[1] * h
    if placement.rotate_deg == 0:
        x0, y0 = round(centre_x - size_x / 2), round(centre_y - size_y / 2)
        x0, y0 = min(max(x0, 0), w - 1), min(max(y0, 0), h - 1)
        part = picture[y0 : max(y0 + round(size_y), y0 + 1), x0 : max(x0 + round(size_x), x0 + 1)]
        return _resize(part, placement.bucket)
    # first shrink the whole to the final scale, then turn: turning alone would skip source pixels
    small = _resize(picture, (max(1, round(w * columns / size_x)), max(1, round(h * rows / size_y))))
    h, w = small.shape[:2]
    cos, sin = math.cos(math.radians(placement.rotate_deg)), math.sin(math.radians(placement.rotate_deg))
    # seen anticlockwise, y pointing down: the result at (x, y) shows the source at R (x, y) about the centres
    turn = np.array([[cos, -sin], [sin, cos]])
    there = np.array([placement.centre[0] * w - 0.5, placement.centre[1] * h - 0.5])
    here = np.array([(columns - 1) / 2, (rows - 1) / 2])
    matrix = np.column_stack([turn, there - turn @ here])
    flags = cv2.WARP_INVERSE_MAP | (cv2.INTER_LINEAR if picture.dtype == np.float32 else cv2.INTER_CUBIC)
    return np.asarray(cv2.warpAffine(small, matrix, placement.bucket, flags=flags, borderMode=cv2.BORDER_REPLICATE))


def fit_frame(frame: Frame, placement: Placement, colour: ColourInfo) -> NDArray[np.uint8]:
    """Bring what a placement shows of a decoded frame, 8 or 10 bit, to [rows, columns, 3] uint8 RGB."""
    y, u, v = (cast(Plane, fit(plane, placement)) for plane in frame.planes)
    return yuv_to_rgb(y, u, v, bits=frame.format.bits, colour=colour, picture_height=frame.height)


def _resize(picture: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """Resize by area, first by whole halves: those are fast, and the rest is left with few samples."""
    while picture.shape[1] >= 2 * size[0] and picture.shape[0] >= 2 * size[1]:
        half = (-(-picture.shape[1] // 2), -(-picture.shape[0] // 2))
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA))
    shrinks = picture.shape[1] >= size[0] and picture.shape[0] >= size[1]
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
