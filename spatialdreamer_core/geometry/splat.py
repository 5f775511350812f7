"""Forward splat: push the source (left) eye's planes to where they stand in the made (right) eye.

The rule, one row at a time (rows are independent), for disparity ``d`` in full-size luma pixels:

1. Source pixel x lands at ``u_x = x - d_x``, in float32.
2. Neighbours x, x + 1 are *joined* when their gap ``g = u_{x+1} - u_x`` lies in (0, 1 + tear]. A joined pair covers
   the integer targets t in [u_x, u_{x+1}), each showing the source position ``x + (t - u_x) / g``.
3. Where a pair is not joined (g > 1 + tear: a tear; g <= 0: a fold), and at both ends of the row, each pixel covers
   half a pixel beyond itself, [u_x, u_x + 0.5) or [u_x - 0.5, u_x), and shows its own position there. So a
   silhouette keeps its width.
4. Among all that cover a target the nearest wins. A target at t that shows source position s has disparity s - t,
   hence nearest is the *largest source position*.
5. A target that nothing covers is a hole: what the source never saw, or lies outside its picture.

Rule 4 is why there is no z-buffer here: walking the row from left to right visits the candidates of any target in
rising order of nearness, so writing over what is there is already right (McMillan and Bishop 1995, occlusion-compatible
order). Keeping only the outermost target reached, as one may for a single silhouette, would be wrong for a thin object:
the background on its left shows again on its right.

Everything the later steps need is in the map ``source_x``: holes are its NaNs, target disparity is ``source_x - t``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.geometry import splat_kernels
from spatialdreamer_core.video.frames import Frame

DEFAULT_TEAR_PX = 1.0
"""A surface may stretch by this much between two source pixels before it tears."""

MAX_TEAR_PX = 16.0

CRACK_PX = 3
"""Widest crack that is closed."""


@dataclass(frozen=True, slots=True)
class Splat:
    """The made eye before filling.

    Attributes:
        frame: The made picture; holes are black (luma 0, chroma at its middle).
        source_x: [H, W] float32 luma column of the source that each target shows, NaN in holes.
    """

    frame: Frame
    source_x: NDArray[np.float32]

    @property
    def hole(self) -> NDArray[np.bool_]:
        """[H, W] True where the target shows what the source never saw (the disocclusion mask)."""
        return np.isnan(self.source_x)


def splat(frame: Frame, disparity: NDArray[np.float32], *, tear_px: float = DEFAULT_TEAR_PX) -> Splat:
    """Make the other eye's picture: ``forward_map``, then ``resample``.

    Args:
        frame: The source eye.
        disparity: [H, W] float32 px of the luma plane, ``x_left - x_right``.
        tear_px: Stretch between two neighbours beyond which the surface tears, [0, 16].

    Raises:
        ValueError: If the sizes differ, or a disparity is NaN or infinite.
    """
    _check_size(frame, disparity)
    source_x = forward_map(disparity, tear_px=tear_px)
    return Splat(resample(frame, source_x), source_x)


def forward_map(disparity: NDArray[np.float32], *, tear_px: float = DEFAULT_TEAR_PX) -> NDArray[np.float32]:
    """Tell for every target pixel which source column it shows.

    Args:
        disparity: [H, W] float32 px, ``x_left - x_right``.
        tear_px: Stretch between two neighbours beyond which the surface tears, [0, 16].

    Returns:
        ``source_x`` [H, W] float32 in [0, W - 1], NaN in holes.

    Raises:
        ValueError: If a disparity is NaN or infinite.
    """
    disparity = _checked_map(disparity, "disparity")
    source_x = np.empty_like(disparity)
    _require_finite(splat_kernels.map_rows(disparity, _join_limit(tear_px), source_x))
    return source_x


def close_cracks(source_x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Take the specks away that show through a surface where it tore by a pixel or two.

    Estimated depth steps by more than a pixel within one thing; where that lies far before its background, the rule
    above shows the background in between, one to three columns of it. Such a crack lies between targets that show
    neighbouring columns of the source, or all but one, and what it shows is farther than both; it shows what lies
    between them instead. A slit that the source has is none: there, more columns are left out.

    Args:
        source_x: [H, W] float32 from ``forward_map``; changed in place.

    Returns:
        ``source_x``.
    """
    splat_kernels.close_rows(source_x, CRACK_PX)
    return source_x


def resample(frame: Frame, source_x: NDArray[np.float32]) -> Frame:
    """Read the source at the positions of a map, luma with 6 taps and chroma with 4.

    The taps stay on the surface that the target shows: where ``source_x`` jumps (a silhouette, a hole), they are held
    at its last sample, so no foreground colour rings into the background. Whole positions are copied exactly.

    Chroma is sited left (its column i lies at luma column ``sub_x * i``; rows likewise from the top): a chroma sample
    takes position ``source_x[sub_y * j, sub_x * i] / sub_x`` and is a hole where that is NaN.

    Args:
        frame: The source eye.
        source_x: [H, W] float32 luma columns, NaN in holes.

    Returns:
        The made picture; holes are black (luma 0, chroma at its middle).

    Raises:
        ValueError: If the sizes differ, or a position lies outside [0, W).
    """
    source_x = _checked_map(source_x, "source_x")
    _check_size(frame, source_x)
    made = _empty_like(frame)
    bits, sub_x, sub_y = frame.format.bits, frame.format.sub_x, frame.format.sub_y
    peak, middle = (1 << bits) - 1, 1 << (bits - 1)
    y, u, v = np.ascontiguousarray(frame.y), np.ascontiguousarray(frame.u), np.ascontiguousarray(frame.v)
    inside = splat_kernels.resample_planes(source_x, y, y, False, 1, 1, 0, peak, made.y, made.y)
    inside &= splat_kernels.resample_planes(source_x, u, v, True, sub_x, sub_y, middle, peak, made.u, made.v)
    if not inside:
        raise ValueError("source_x leaves the picture; it must lie in [0, W) or be NaN")
    return made


def lost_mask(disparity: NDArray[np.float32], *, tear_px: float = DEFAULT_TEAR_PX) -> NDArray[np.bool_]:
    """Mark the source pixels that the made eye does not see: occluded by something nearer, or out of its picture.

    By the rules above, asked at the place ``u_x`` itself instead of at whole targets: pixel x is lost when a pair or
    half pixel to the right of it covers ``u_x``, or ``u_x`` lies outside [-0.5, W - 0.5).

    Args:
        disparity: [H, W] float32 px, ``x_left - x_right``.
        tear_px: As in ``forward_map``.

    Returns:
        [H, W] bool in the source's own pixels.

    Raises:
        ValueError: If a disparity is NaN or infinite.
    """
    disparity = _checked_map(disparity, "disparity")
    lost = np.empty(disparity.shape, np.bool_)
    _require_finite(splat_kernels.lost_rows(disparity, _join_limit(tear_px), lost))
    return lost


def _checked_map(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    if values.ndim != 2 or values.dtype != np.float32 or values.size == 0:
        raise ValueError(f"{name} must be float32 [H, W] and not empty, got {values.dtype} {list(values.shape)}")
    return np.ascontiguousarray(values)


def _check_size(frame: Frame, values: NDArray[np.float32]) -> None:
    if frame.y.shape != values.shape:
        raise ValueError(f"the frame is {list(frame.y.shape)} but the map is {list(values.shape)}; upsample the map")
    chroma = (-(-frame.height // frame.format.sub_y), -(-frame.width // frame.format.sub_x))
    if frame.u.shape != chroma or frame.v.shape != chroma:  # the kernels check no bounds
        raise ValueError(f"chroma must be {list(chroma)}, got {list(frame.u.shape)} and {list(frame.v.shape)}")


def _join_limit(tear_px: float) -> np.float32:
    if not 0 <= tear_px <= MAX_TEAR_PX:
        raise ValueError(f"tear_px must lie in [0, {MAX_TEAR_PX:g}], got {tear_px:g}")
    return np.float32(1 + tear_px)


def _require_finite(finite: bool) -> None:
    if not finite:
        raise ValueError("disparity holds NaN or infinity; repair the depth before warping")


def _empty_like(frame: Frame) -> Frame:
    return Frame(np.empty_like(frame.y), np.empty_like(frame.u), np.empty_like(frame.v), frame.format, frame.pts)
