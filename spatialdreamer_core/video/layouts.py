"""How two eyes share one picture: side by side, top and bottom, rows, anaglyph, picture beside depth.

Everything but the anaglyphs works on the YUV planes as they are. An eye of odd size is padded by repeating its edge
*before* it is placed, so that no chroma sample belongs to both eyes.
"""

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.config import Layout
from spatialdreamer_core.video.colour import luma_range, rgb_matrix
from spatialdreamer_core.video.frames import Frame, PixelFormat, Plane
from spatialdreamer_core.video.source import ColourInfo

Arrangement: TypeAlias = Literal["sbs", "tb", "rows", "anaglyph", "single"]

_ARRANGEMENTS: dict[Layout, Arrangement] = {
    "full-sbs": "sbs",
    "half-sbs": "sbs",
    "rgbd": "sbs",
    "full-tb": "tb",
    "half-tb": "tb",
    "interleaved": "rows",
    "anaglyph-dubois": "anaglyph",
    "anaglyph-red-cyan": "anaglyph",
    "left-right-files": "single",
}

# Least-squares matrices for red-cyan glasses and CRT primaries (E. Dubois, ICASSP 2001): rows make R, G, B of the
# anaglyph, columns take R, G, B of one eye. Each row of both eyes together sums to one: white stays white.
_DUBOIS_LEFT = (
    (0.4561, 0.500484, 0.176381),
    (-0.0400822, -0.0378246, -0.0157589),
    (-0.0152161, -0.0205971, -0.00546856),
)
_DUBOIS_RIGHT = (
    (-0.0434706, -0.0879388, -0.00155529),
    (0.378476, 0.73364, -0.0184503),
    (-0.0721527, -0.112961, 1.2264),
)
_RED_LEFT = ((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0))
_CYAN_RIGHT = ((0.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


@dataclass(frozen=True, slots=True)
class PackedSize:
    """Sizes of one packed picture, in luma samples.

    Attributes:
        width: Columns of each written picture, even.
        height: Rows of each written picture, even.
        eye_width: Columns that one eye takes in it, padding included, even.
        eye_height: Rows that one eye takes in it, padding included (all rows for ``interleaved``), even.
        content_width: Columns of the eye's own picture after scaling, without padding.
        content_height: Rows of the eye's own picture after scaling, without padding.
        limited: Whether the eyes were made smaller to keep the packed picture within ``max_width``.
    """

    width: int
    height: int
    eye_width: int
    eye_height: int
    content_width: int
    content_height: int
    limited: bool


def arrangement(layout: Layout) -> Arrangement:
    """Tell where the eyes lie: side by side, top and bottom, in alternate rows, mixed, or one per file."""
    return _ARRANGEMENTS[layout]


def file_count(layout: Layout) -> int:
    """Number of files (and of frames from ``pack``) that a layout makes: 2 for ``left-right-files``, else 1."""
    return 2 if arrangement(layout) == "single" else 1


def packed_size(width: int, height: int, layout: Layout, max_width: int, pixel_format: PixelFormat) -> PackedSize:
    """Compute the packed size of eyes of ``width`` x ``height``.

    Where the packed picture would be wider than ``max_width``, both sides of the eye shrink by the same factor.
    All sizes are even, whatever the chroma subsampling: encoders and players expect it.

    Args:
        width: Columns of one eye as decoded.
        height: Rows of one eye as decoded.
        layout: How the eyes share the picture.
        max_width: Widest packed picture allowed, at least 64.
        pixel_format: The format of the planes.

    Raises:
        ValueError: If a size is not positive or ``max_width`` leaves no room for an eye.
    """
    if width < 1 or height < 1 or max_width < 2 * pixel_format.sub_x:
        raise ValueError(f"no packed size for {width}x{height} within {max_width} columns")
    half_x = 2 if layout == "half-sbs" else 1
    half_y = 2 if layout == "half-tb" else 1
    columns = 2 if arrangement(layout) == "sbs" else 1
    rows = 2 if arrangement(layout) == "tb" else 1
    content_w, content_h = -(-width // half_x), -(-height // half_y)
    limited = columns * _even_up(content_w) > max_width
    if limited:
        room = max_width // columns // 2 * 2
        content_h = max(2, round(content_h * room / content_w / 2) * 2)
        content_w = room
    eye_w, eye_h = _even_up(content_w), _even_up(content_h)
    return PackedSize(columns * eye_w, rows * eye_h, eye_w, eye_h, content_w, content_h, limited)


def pack(
    left: Frame,
    right: Frame,
    layout: Layout,
    *,
    depth: Plane | None = None,
    swap_eyes: bool = False,
    colour: ColourInfo | None = None,
    max_width: int = 7680,
) -> tuple[Frame, ...]:
    """Put the two eyes into the pictures that are written: one, or one per file for ``left-right-files``.

    In ``full-sbs`` and ``full-tb`` each eye keeps its samples bit for bit (unless ``max_width`` shrinks it).

    Args:
        left: The left eye's frame; its ``pts`` becomes the packed frame's.
        right: The right eye's frame, of the same size and format.
        layout: How the eyes share the picture.
        depth: [H, W] luma samples of the depth picture (see ``depth_plane``), for ``rgbd`` only.
        swap_eyes: Exchange the eyes (cross-eyed viewing, glasses with cyan on the left); ``rgbd`` has no eyes.
        colour: Matrix and range for the anaglyphs and the neutral depth; None is unspecified.
        max_width: Widest packed picture; see ``packed_size``.

    Raises:
        ValueError: If the eyes differ in size or format, or ``rgbd`` comes without a depth of the eye's size.
    """
    if left.format != right.format or left.y.shape != right.y.shape:
        raise ValueError(f"eyes differ: {_describe(left)} and {_describe(right)}")
    size = packed_size(left.width, left.height, layout, max_width, left.format)
    if layout == "rgbd":
        if depth is None or depth.shape != left.y.shape:
            raise ValueError(f"rgbd needs depth of shape {left.y.shape}, got {None if depth is None else depth.shape}")
        grey = np.full_like(left.u, 1 << (left.format.bits - 1))
        right = Frame(depth, grey, grey, left.format, left.pts)
    elif swap_eyes:
        left, right = right, left
    first, second = _fit(left, size), _fit(right, size)
    match arrangement(layout):
        case "sbs":
            return (_join(first, second, axis=1),)
        case "tb":
            return (_join(first, second, axis=0),)
        case "rows":
            return (_interleave(first, second),)
        case "single":
            return first, second
        case "anaglyph":
            return (_anaglyph(first, second, layout, colour or ColourInfo(), left.height),)


def depth_plane(
    inverse_depth: NDArray[np.float32], width: int, height: int, pixel_format: PixelFormat, colour: ColourInfo
) -> Plane:
    """Draw inverse depth as grey luma samples: white is nearest.

    Args:
        inverse_depth: [h, w] in [0, 1], of any size; resized linearly.
        width: Columns of the luma plane.
        height: Rows of the luma plane.
        pixel_format: Format of the frame that it goes beside.
        colour: Tells full range from limited.
    """
    nearness: NDArray[Any] = inverse_depth
    if nearness.shape != (height, width):
        nearness = cv2.resize(nearness, (width, height), interpolation=cv2.INTER_LINEAR)
    low, high = luma_range(pixel_format.bits, colour)
    samples = np.rint(low + np.clip(nearness, 0, 1) * (high - low))
    return cast(Plane, samples.astype(pixel_format.dtype))


def _even_up(value: int) -> int:
    return value + value % 2


def _describe(frame: Frame) -> str:
    return f"{frame.width}x{frame.height} {frame.format.name}"


def _fit(frame: Frame, size: PackedSize) -> Frame:
    """Scale by area to the content size and pad to the eye size; gives ``frame`` itself where nothing changes.

    Area scaling moves left-sited chroma by a quarter of a new luma sample when halving, which nobody sees.
    """
    if (frame.width, frame.height) == (size.eye_width, size.eye_height):
        return frame
    planes = []
    for plane, sub_x, sub_y in zip(frame.planes, _steps(frame.format.sub_x), _steps(frame.format.sub_y), strict=True):
        content = (-(-size.content_width // sub_x), -(-size.content_height // sub_y))
        planes.append(_pad(_area(plane, *content), size.eye_width // sub_x, size.eye_height // sub_y))
    return Frame(planes[0], planes[1], planes[2], frame.format, frame.pts)


def _steps(subsampling: int) -> tuple[int, int, int]:
    return 1, subsampling, subsampling


def _area(plane: Plane, width: int, height: int) -> Plane:
    if plane.shape == (height, width):
        return plane
    # Halving exactly, the linear filter is the mean of the two samples as well, and several times faster.
    halves = {width / plane.shape[1], height / plane.shape[0]} <= {0.5, 1.0}
    method = cv2.INTER_LINEAR if halves else cv2.INTER_AREA
    return cast(Plane, cv2.resize(plane, (width, height), interpolation=method))


def _pad(plane: Plane, width: int, height: int) -> Plane:
    down, right = height - plane.shape[0], width - plane.shape[1]
    if not down and not right:
        return plane
    return cast(Plane, np.pad(plane, ((0, down), (0, right)), mode="edge"))


def _join(first: Frame, second: Frame, axis: Literal[0, 1]) -> Frame:
    pairs = zip(first.planes, second.planes, strict=True)
    y, u, v = (cast(Plane, np.concatenate(pair, axis=axis)) for pair in pairs)
    return Frame(y, u, v, first.format, first.pts)


def _interleave(even: Frame, odd: Frame) -> Frame:
    """Take even rows from one eye, odd rows from the other.

    In 4:2:0 a chroma row colours one luma row of each eye, so it is their mean; in 4:2:2 it alternates like luma.
    """

    def rows(a: Plane, b: Plane) -> Plane:
        mixed = a.copy()
        mixed[1::2] = b[1::2]
        return mixed

    def mean(a: Plane, b: Plane) -> Plane:
        return cast(Plane, ((a.astype(np.uint16) + b + 1) >> 1).astype(a.dtype))

    chroma = mean if even.format.sub_y == 2 else rows
    return Frame(rows(even.y, odd.y), chroma(even.u, odd.u), chroma(even.v, odd.v), even.format, even.pts)


def _anaglyph(left: Frame, right: Frame, layout: Layout, colour: ColourInfo, source_height: int) -> Frame:
    """Mix the eyes through RGB, as coded (not linear): the matrices are used so by common players."""
    bits = left.format.bits
    to_rgb, offset = rgb_matrix(bits, colour, source_height)
    if layout == "anaglyph-dubois":
        mix = np.array(_DUBOIS_LEFT), np.array(_DUBOIS_RIGHT)
    else:
        mix = np.array(_RED_LEFT), np.array(_CYAN_RIGHT)
    # Both eyes' YUV -> RGB -> mix folded into two 3x3 matrices and one offset, so a sample costs six products.
    from_left, from_right = mix[0] @ to_rgb, mix[1] @ to_rgb
    bias = -(from_left + from_right) @ offset
    back = np.linalg.inv(to_rgb)
    y, u, v = (np.empty_like(plane) for plane in left.planes)
    _anaglyph_kernel(
        left.planes,
        right.planes,
        (y, u, v),
        from_left.astype(np.float32),
        from_right.astype(np.float32),
        bias.astype(np.float32),
        back.astype(np.float32),
        offset.astype(np.float32),
        np.float32((1 << bits) - 1),
        left.format.sub_y,
    )
    return Frame(y, u, v, left.format, left.pts)


@njit(cache=True, nogil=True)
def _anaglyph_kernel(
    left: Any, right: Any, out: Any, a: Any, b: Any, bias: Any, back: Any, offset: Any, top: Any, sub_y: int
) -> None:
    """Mix both eyes block by block: chroma terms once per chroma sample, luma terms once per luma sample."""
    ly, lu, lv = left
    ry, ru, rv = right
    oy, ou, ov = out
    rows, cols = lu.shape
    one, zero, half = np.float32(1), np.float32(0), np.float32(0.5)
    share = one / np.float32(2 * sub_y)
    for i in range(rows):
        for j in range(cols):
            p, q = np.float32(lu[i, j]), np.float32(lv[i, j])
            s, t = np.float32(ru[i, j]), np.float32(rv[i, j])
            cr = bias[0] + a[0, 1] * p + a[0, 2] * q + b[0, 1] * s + b[0, 2] * t
            cg = bias[1] + a[1, 1] * p + a[1, 2] * q + b[1, 1] * s + b[1, 2] * t
            cb = bias[2] + a[2, 1] * p + a[2, 2] * q + b[2, 1] * s + b[2, 2] * t
            sum_r, sum_g, sum_b = zero, zero, zero
            for di in range(sub_y):
                for dj in range(2):
                    m = np.float32(ly[i * sub_y + di, 2 * j + dj])
                    n = np.float32(ry[i * sub_y + di, 2 * j + dj])
                    red = min(max(cr + a[0, 0] * m + b[0, 0] * n, zero), one)
                    green = min(max(cg + a[1, 0] * m + b[1, 0] * n, zero), one)
                    blue = min(max(cb + a[2, 0] * m + b[2, 0] * n, zero), one)
                    luma = back[0, 0] * red + back[0, 1] * green + back[0, 2] * blue + offset[0] + half
                    oy[i * sub_y + di, 2 * j + dj] = np.int32(min(max(luma, zero), top))
                    sum_r += red
                    sum_g += green
                    sum_b += blue
            sum_r, sum_g, sum_b = sum_r * share, sum_g * share, sum_b * share
            u = back[1, 0] * sum_r + back[1, 1] * sum_g + back[1, 2] * sum_b + offset[1] + half
            v = back[2, 0] * sum_r + back[2, 1] * sum_g + back[2, 2] * sum_b + offset[2] + half
            ou[i, j] = np.int32(min(max(u, zero), top))
            ov[i, j] = np.int32(min(max(v, zero), top))
