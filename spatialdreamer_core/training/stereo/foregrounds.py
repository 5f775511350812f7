"""Foregrounds pasted in front of a picture: holes whose edges are exact, behind which the truth is known."""

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.training.stereo.picture_bank import DeepPicture

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
SOFT_EDGE_PX = 0.6
NEAR_PART = (0.45, 0.85)
"""Nearness above which a part of a drawn picture is cut out as a foreground."""
SMALLEST_SHARE, LARGEST_SHARE = 0.02, 0.5


def silhouette(shape: tuple[int, int], draw: np.random.Generator) -> U8:
    """A random outline, [H, W] uint8, 255 inside: an upright or leaning bar, a rounded blob or a polygon."""
    h, w = shape
    out = np.zeros(shape, np.uint8)
    centre = draw.uniform((0.2 * w, 0.2 * h), (0.8 * w, 0.8 * h))
    kind = draw.random()
    if kind < 0.3:
        size = draw.uniform(6, 0.35 * w), draw.uniform(0.4 * h, 1.5 * h)
        box = cv2.boxPoints((tuple(map(float, centre)), size, float(draw.normal(0, 15))))
        cv2.fillPoly(out, [np.rint(box).astype(np.int32)], 255)
        return out
    if kind < 0.7:
        angles = np.linspace(0, 2 * np.pi, 96, endpoint=False)
        radius = 1 + sum(
            draw.normal(0, 0.35 / order) * np.cos(order * angles + draw.uniform(0, 6.3)) for order in range(2, 9)
        )
        points = np.stack([np.cos(angles) * draw.uniform(0.08, 0.3) * w, np.sin(angles) * draw.uniform(0.15, 0.6) * h])
    else:
        angles = np.sort(draw.uniform(0, 2 * np.pi, int(draw.integers(3, 9))))
        radius = draw.uniform(0.4, 1.0, angles.size)
        points = np.stack([np.cos(angles) * draw.uniform(0.1, 0.35) * w, np.sin(angles) * draw.uniform(0.2, 0.7) * h])
    outline = (points * np.maximum(radius, 0.15)).T + centre
    cv2.fillPoly(out, [np.rint(outline).astype(np.int32)], 255)
    return out


def cut_out(other: DeepPicture, shape: tuple[int, int], draw: np.random.Generator) -> tuple[U8, U8] | None:
    """The nearer part of a drawn picture: [H, W, 3] colours and [H, W] outline; None if it is too small or large."""
    picture, nearness = other.picture, other.nearness
    scale = float(draw.uniform(0.6, 1.6)) * shape[0] / picture.shape[0]
    size = max(int(picture.shape[1] * scale), 1), max(int(picture.shape[0] * scale), 1)
    near = (nearness.astype(np.float32) > draw.uniform(*NEAR_PART)).astype(np.uint8) * np.uint8(255)
    colours = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    outline = cv2.resize(near, size, interpolation=cv2.INTER_LINEAR)
    top, left = (int(draw.integers(-shape[i] // 3, shape[i] // 3)) for i in (0, 1))
    rows, columns = (np.arange(shape[i]) + start for i, start in ((0, top), (1, left)))
    at = np.ix_(np.clip(rows, 0, size[1] - 1), np.clip(columns, 0, size[0] - 1))
    mask = np.ascontiguousarray(outline[at])
    mask[(rows < 0) | (rows >= size[1])] = 0
    mask[:, (columns < 0) | (columns >= size[0])] = 0
    if not SMALLEST_SHARE < float((mask > 127).mean()) < LARGEST_SHARE:
        return None
    return np.ascontiguousarray(colours[at], np.uint8), np.asarray(mask, np.uint8)


def paste(
    picture: U8, disparity: F32, colours: U8, outline: U8, step_px: float, draw: np.random.Generator
) -> tuple[U8, F32]:
    """Put a foreground before a picture, with an edge as soft as a lens makes it.

    Args:
        picture: [H, W, 3].
        disparity: [H, W] px.
        colours: [H, W, 3] of the foreground.
        outline: [H, W] uint8, above 127 inside.
        step_px: By how much it is nearer than the nearest that it covers, px.
        draw: For the slope of its surface.

    Returns:
        The picture and its disparity.
    """
    inside = outline > 127
    if not inside.any():
        return picture, disparity
    share = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), SOFT_EDGE_PX)[..., None]
    mixed = picture * (1 - share) + colours * share
    columns = np.arange(disparity.shape[1], dtype=np.float32) - np.flatnonzero(inside.any(axis=0)).mean()
    base = float(np.percentile(disparity[inside], 98)) + step_px
    surface = base + float(draw.normal(0, 0.01)) * columns
    return (mixed + 0.5).astype(np.uint8), np.where(inside, surface, disparity).astype(np.float32)
