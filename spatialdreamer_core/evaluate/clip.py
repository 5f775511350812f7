"""A clip of the material, read and checked: both views, disparity, and the holes that warping by it leaves."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.depth_frames import open_depth_frames
from spatialdreamer_core.errors import DepthError, MaterialError
from spatialdreamer_core.evaluate.frames_in import Clip, count_frames, read_clip
from spatialdreamer_core.evaluate.material import ClipRef
from spatialdreamer_core.geometry.holes import find_hole_runs
from spatialdreamer_core.geometry.splat import forward_map
from spatialdreamer_core.metrics.e_warp import background_end
from spatialdreamer_core.metrics.eye_order import RANGE_SHARE, Order, eye_order
from spatialdreamer_core.metrics.matching import Matched, match

F32 = NDArray[np.float32]
Mask = NDArray[np.bool_]

LEAST_KNOWN = 0.05
"""A disparity known for a smaller share of the picture says nothing."""
MOST_SHARE = 0.5
"""A disparity of more than this share of the width is none: a wrong scale."""
ISLAND_PX = 200
"""Matched islands of fewer pixels are left out."""
_NOTHING = -(1 << 15)


@dataclass(frozen=True, slots=True)
class StereoClip:
    """Everything that is true of one clip.

    Attributes:
        ref: Where it came from.
        left: [T, H, W, 3] uint8 RGB.
        right: [T, H, W, 3] uint8 RGB, the true right view.
        disparity: T times [H, W] float32 px on the left view's grid, closed where it is not known.
        known: T times [H, W] bool, where disparity was given or matched both ways.
        shown: T times [H, W] float32, the left column that each right pixel shows by it; NaN in holes.
        disparity_from: ``given`` or ``matched``.
        order: Of the eyes, as they were found.
        range_px: Least and most disparity that a made view may show and still be matched.
    """

    ref: ClipRef
    left: Clip
    right: Clip
    disparity: list[F32]
    known: list[Mask]
    shown: list[F32]
    disparity_from: Literal["given", "matched"]
    order: Order
    range_px: tuple[float, float]

    def holes(self, t: int) -> tuple[Mask, Mask]:
        """[H, W] each: interior holes of frame t, and the strip at the border that the left view never saw."""
        return hole_parts(self.shown[t])


def range_with_room(disparity: list[F32], known: list[Mask]) -> tuple[float, float]:
    """Least and most disparity known, px, with room for a made view that is a little off."""
    ends = [np.percentile(d[k], (0.5, 99.5)) for d, k in zip(disparity, known, strict=True)]
    low, high = min(float(e[0]) for e in ends), max(float(e[1]) for e in ends)
    room = max(4.0, 0.25 * (high - low))
    return low - room, high + room


def hole_parts(shown: F32) -> tuple[Mask, Mask]:
    """Part the holes of a map into interior ones and the strips at the left and right border."""
    runs = find_hole_runs(shown)
    border = np.zeros((shown.shape[0], shown.shape[1] + 1), np.int32)
    at = runs.border
    np.add.at(border, (runs.row[at], runs.start[at]), 1)
    np.add.at(border, (runs.row[at], runs.stop[at]), -1)
    strip = np.cumsum(border, axis=1)[:, :-1] > 0
    return np.isnan(shown) & ~strip, strip


def load_clip(ref: ClipRef, *, start: int, count: int, exchange_swapped: bool = False) -> StereoClip:
    """Read one clip and check it.

    Args:
        ref: Where it lies.
        start: First frame.
        count: Most frames.
        exchange_swapped: Exchange eyes that are found swapped, instead of refusing them.

    Raises:
        MaterialError: If the views differ in size or number, are swapped, cannot be read, or the disparity does not
            fit.
    """
    left, right = _views(ref, start, count)
    if left.shape != right.shape:
        raise MaterialError(
            f"clip {ref.name}: the left view is {_text(left)}, the right one {_text(right)}; they must be alike"
        )
    middle = len(left) // 2
    order = eye_order(left[middle], right[middle]).order
    if order == "swapped":
        if not exchange_swapped or ref.disparity is not None:
            raise MaterialError(
                f"clip {ref.name}: its eyes are swapped (what one eye alone sees lies on the wrong side of things); "
                "exchange the files, or give --exchange-swapped for material without disparity"
            )
        left, right = right, left
    if ref.disparity is None:
        found = [_matched(a, b, ref.name) for a, b in zip(left, right, strict=True)]
        disparity, known = [_smooth(m) for m in found], [m.known for m in found]
    else:
        given = _disparity(ref, start, left.shape)
        known = [np.isfinite(d) & (np.abs(d) < MOST_SHARE * left.shape[2]) for d in given]
        disparity = [closed(d, k) for d, k in zip(given, known, strict=True)]
        _check_sign(ref, left[middle], right[middle], disparity[middle], known[middle])
    return StereoClip(
        ref,
        left,
        right,
        disparity,
        known,
        [forward_map(d) for d in disparity],
        "matched" if ref.disparity is None else "given",
        order,
        range_with_room(disparity, known),
    )


def closed(disparity: F32, known: Mask) -> F32:
    """Close what is not known from the background side of each row, rows without any from the nearest row."""
    rows = np.flatnonzero(known.any(axis=1))
    if rows.size == 0:
        return np.zeros_like(disparity)
    columns = background_end(disparity, known)
    filled = disparity[np.arange(len(disparity))[:, None], columns]
    nearest = rows[np.abs(np.arange(len(disparity))[:, None] - rows[None]).argmin(axis=1)]
    return np.ascontiguousarray(filled[nearest], np.float32)


def _views(ref: ClipRef, start: int, count: int) -> tuple[Clip, Clip]:
    if ref.right is not None:
        lengths = count_frames(ref.left), count_frames(ref.right)
        if None not in lengths and lengths[0] != lengths[1]:
            raise MaterialError(
                f"clip {ref.name}: {lengths[0]} left frames but {lengths[1]} right ones; they must pair"
            )
        return read_clip(ref.left, start, count), read_clip(ref.right, start, count)
    packed = read_clip(ref.left, start, count)
    _, height, width, _ = packed.shape
    across = ref.layout in ("full-sbs", "half-sbs")
    if (width if across else height) % 2:
        raise MaterialError(f"clip {ref.name}: {width}x{height} cannot be parted into two eyes; is it {ref.layout}?")
    if across:
        first, second = packed[:, :, : width // 2], packed[:, :, width // 2 :]
    else:
        first, second = packed[:, : height // 2], packed[:, height // 2 :]
    size = {"half-sbs": (width, height), "half-tb": (width, height)}.get(ref.layout or "")
    if size is None:
        return np.ascontiguousarray(first), np.ascontiguousarray(second)
    first, second = (
        np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_CUBIC) for frame in eye]) for eye in (first, second)
    )
    return first, second


def _disparity(ref: ClipRef, start: int, shape: tuple[int, ...]) -> list[F32]:
    frames, height, width, _ = shape
    assert ref.disparity is not None
    if ref.disparity.suffix.lower() == ".pfm":
        found = [read_pfm(ref.disparity)]
    elif ref.disparity.suffix.lower() == ".png":
        found = [_png(ref.disparity, ref)]
    elif ref.disparity.is_dir() and any(file.suffix.lower() == ".pfm" for file in ref.disparity.iterdir()):
        files = sorted(file for file in ref.disparity.iterdir() if file.suffix.lower() == ".pfm")
        found = [read_pfm(file) for file in files[start : start + frames]]
    elif ref.disparity.is_dir():
        files = sorted(file for file in ref.disparity.iterdir() if file.suffix.lower() == ".png")
        found = [_png(file, ref) for file in files[start : start + frames]] if files else _opened(ref, start, shape)
    else:
        found = _opened(ref, start, shape)
    if len(found) != frames:
        raise MaterialError(f"clip {ref.name}: {frames} frames but {len(found)} of disparity; they must pair")
    if wrong := [d.shape for d in found if d.shape != (height, width)]:
        raise MaterialError(
            f"clip {ref.name}: disparity of {wrong[0][1]}x{wrong[0][0]} for views of {width}x{height}; make them alike"
        )
    scaled = [np.asarray(d * np.float32(ref.disparity_scale), np.float32) for d in found]
    for d in scaled:
        plausible = np.isfinite(d) & (np.abs(d) < MOST_SHARE * width)
        if np.count_nonzero(plausible) < LEAST_KNOWN * d.size:
            raise MaterialError(
                f"clip {ref.name}: {ref.disparity.name} holds hardly any disparity below half the width; is "
                "disparity_scale right (pixels per unit)?"
            )
    return scaled


def _png(path: Path, ref: ClipRef) -> F32:
    values = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if values is None or values.ndim != 2:
        raise MaterialError(f"{path}: cannot be read as a grey picture of disparity; replace it")
    if values.dtype == np.uint8 and ref.disparity_scale == 1 / 256:
        raise MaterialError(f"{path}: 8 bit say nothing about pixels; give disparity_scale in a list (.csv)")
    return np.where(values == 0, np.float32(np.nan), values.astype(np.float32))  # 0 is unknown in pictures


def _opened(ref: ClipRef, start: int, shape: tuple[int, ...]) -> list[F32]:
    assert ref.disparity is not None
    frames, height, width, _ = shape
    try:
        opened = open_depth_frames(ref.disparity)
        try:
            end = min(opened.count, start + frames)
            return [np.asarray(opened.read(t, height, width), np.float32) for t in range(start, end)]
        finally:
            opened.close()
    except (DepthError, OSError) as error:
        raise MaterialError(f"clip {ref.name}: disparity {ref.disparity} cannot be read ({error})") from error


def read_pfm(path: Path) -> F32:
    """Read a grey Portable Float Map, [H, W] float32, first row on top.

    Raises:
        MaterialError: If it is torn or none.
    """
    try:
        with path.open("rb") as file:
            if file.readline().strip() != b"Pf":
                raise ValueError("not a grey float map")
            width, height = (int(v) for v in file.readline().split())
            order = "<" if float(file.readline()) < 0 else ">"
            values = np.frombuffer(file.read(), order + "f4").reshape(height, width)
    except (OSError, ValueError) as error:
        raise MaterialError(f"{path}: cannot be read as a PFM ({error}); replace it") from error
    return np.ascontiguousarray(values[::-1], np.float32)


def _matched(left: NDArray[np.uint8], right: NDArray[np.uint8], name: str) -> Matched:
    reach = RANGE_SHARE * left.shape[1]
    found = match(left, right, -reach, reach)
    if np.count_nonzero(found.known) < LEAST_KNOWN * found.known.size:
        raise MaterialError(
            f"clip {name}: no disparity is given and hardly any can be matched; are these two views of one scene?"
        )
    return found


def _smooth(found: Matched) -> F32:
    """Closed, without the islands that a matcher leaves: each would open holes that no scene has."""
    levels = np.where(found.known, found.disparity * 16, _NOTHING).astype(np.int16)
    cv2.filterSpeckles(levels, _NOTHING, ISLAND_PX, 16)
    return np.asarray(cv2.medianBlur(closed(found.disparity, levels != _NOTHING), 5), np.float32)


def _check_sign(ref: ClipRef, left: NDArray[np.uint8], right: NDArray[np.uint8], disparity: F32, known: Mask) -> None:
    """The right view must look like the left one warped by the disparity, not by its negative."""
    height, width = disparity.shape
    x = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
    y = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], (height, width))
    errors = []
    for sign in (1, -1):
        column = np.asarray(x - sign * disparity, np.float32)
        pulled = cv2.remap(right, column, np.array(y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        inside = known & (column >= 0) & (column <= width - 1)
        if not inside.any():
            return
        errors.append(float(np.abs(pulled.astype(np.float32) - left)[inside].mean()))
    if errors[0] > 1.15 * errors[1]:
        raise MaterialError(
            f"clip {ref.name}: the disparity fits the other way round (the sign is wrong or the eyes are swapped); "
            "disparity is x_left - x_right of the left view's pixels"
        )


def _text(clip: Clip) -> str:
    return f"{len(clip)} frames of {clip.shape[2]}x{clip.shape[1]}"
