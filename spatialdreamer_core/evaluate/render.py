"""Make right views: by the method's own way, from the left view and a disparity for every frame."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import FillConfig, RefineConfig, SvdConfig
from spatialdreamer_core.convert.small import small_size
from spatialdreamer_core.errors import MaterialError
from spatialdreamer_core.evaluate.config import Method
from spatialdreamer_core.evaluate.frames_in import ARRAYS, PICTURES, VIDEOS, Clip, read_clip
from spatialdreamer_core.flow.dis import create_flow, half_size_flow
from spatialdreamer_core.geometry.fill import fill_and_tell
from spatialdreamer_core.geometry.reveal import Reveal
from spatialdreamer_core.geometry.splat import forward_map, resample
from spatialdreamer_core.refine.mini import MiniRefiner
from spatialdreamer_core.refine.paste import paste
from spatialdreamer_core.refine.protocol import RefineFrame, Refiner, RefineShot
from spatialdreamer_core.refine.registry import SVD_FILE, create_refiner
from spatialdreamer_core.video.frames import Frame
from spatialdreamer_core.video.rgb_planes import RGB_COLOUR, RGB_PLANES, rgb_frame, rgb_picture

F32 = NDArray[np.float32]

SMALL_WIDTH = 320
"""Columns at which neighbouring frames are looked at, as in ``convert``."""
REVEAL_FRAMES = 6
"""How far away they are, in frames: about the middle of the 4 to 9 of ``convert``."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """Right views of one clip.

    Attributes:
        frames: [T, H, W, 3] uint8 RGB.
        shown: T times [H, W], the left column of each pixel, NaN in holes; empty where nothing was warped.
    """

    frames: Clip
    shown: tuple[F32, ...] = ()


def render_right(left: Clip, disparity: Sequence[F32], method: Method, refiner: Refiner | None = None) -> Rendered:
    """Make the right views of a clip by warping, and by filling if the method fills, and by a network if there is one.

    The same steps as ``convert.eyes``, but for closing the cracks of estimated depth, in RGB planes: nothing is lost to
    subsampled chroma, which the material may not have.

    Args:
        left: [T, H, W, 3] uint8 RGB.
        disparity: T times [H, W] float32 px, finite.
        method: Of kind ``identity``, ``warp`` or ``fill``.
        refiner: Paints over the filling; the clip is its shot.
    """
    if method.kind == "identity":
        return Rendered(left)
    shown = tuple(forward_map(d) for d in disparity)
    sources = [rgb_frame(picture, t) for t, picture in enumerate(left)]
    if method.kind == "warp":
        made = np.stack([rgb_picture(resample(source, x)) for source, x in zip(sources, shown, strict=True)])
        made[np.isnan(np.stack(shown))] = 0
        return Rendered(made, shown)
    small = _Small(left, disparity) if _looks_around(method.fill, len(left)) else None
    stream = None if refiner is None else refiner.open(_shot(disparity), 0, len(left))
    made, frames = np.empty_like(left), {}
    for t, source in enumerate(sources):
        reveals = [] if small is None else small.reveals(t, sources)
        filled = fill_and_tell(resample(source, shown[t]), shown[t], method.fill, reveals)
        made[t] = rgb_picture(filled.frame)
        if stream is None:
            continue
        frames[t] = RefineFrame(t, source, filled.frame, shown[t], filled.runs, filled.revealed)
        for painted in stream.push(frames[t]):
            pasted = paste(frames.pop(painted.index), painted, RGB_COLOUR)
            made[painted.index] = rgb_picture(pasted.frame)
    return Rendered(made, shown)


def open_refiner(name: str) -> Refiner:
    """Load the network of a method: ``mini``, or a folder with weights of another one or of ``svd``.

    ``svd`` takes the GPU if there is one; named here, it may run without.

    Raises:
        ConfigError: If files are missing or not what they should be.
        WeightsError: If those of ``svd`` are.
    """
    if not Path(name, SVD_FILE).is_file():
        return MiniRefiner(None if name == "mini" else Path(name))
    import torch

    config = RefineConfig(name="svd", weights=name, svd=SvdConfig(on_cpu=True))
    refiner = create_refiner(config, "cuda" if torch.cuda.is_available() else "cpu")
    assert refiner is not None, "svd is never none"
    return refiner


def _shot(disparity: Sequence[F32]) -> RefineShot:
    """What a refiner is told of a clip whose disparity is given: its range stands for that of the depth."""
    height, width = disparity[0].shape
    far, near = (float(v) for v in np.percentile(np.stack(disparity), (1, 99)))
    span = max(near - far, 1.0)
    return RefineShot(
        length=len(disparity),
        width=width,
        height=height,
        format=RGB_PLANES,
        colour=RGB_COLOUR,
        strength_pct=100 * span / width,
        convergence=min(max(-far / span, 0.0), 1.0),
        geometric=float(np.median(np.abs(np.stack(disparity)))) / width,
    )


def ready_views(folder: Path, name: str, size: tuple[int, ...], start: int) -> Clip:
    """Read right views that somebody else made.

    Args:
        folder: Where they lie: ``NAME.*``, ``NAME_right.*`` or a folder ``NAME`` of pictures.
        name: The clip's.
        size: [T, H, W, 3] that they must have; a side-by-side picture of twice the width gives its right half.
        start: First frame.

    Raises:
        MaterialError: If they are missing or do not fit.
    """
    path = _find(folder, name)
    frames = read_clip(path, start, size[0])
    if frames.shape[1:3] == (size[1], 2 * size[2]):
        frames = np.ascontiguousarray(frames[:, :, size[2] :])
    if frames.shape != tuple(size):
        raise MaterialError(
            f"{path}: {len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}, but clip {name} has {size[0]} of "
            f"{size[2]}x{size[1]}; make them alike"
        )
    return frames


def _find(folder: Path, name: str) -> Path:
    for stem in (name, f"{name}_right", f"{name}/right"):
        if (folder / stem).is_dir():
            return folder / stem
        for suffix in (*PICTURES, *ARRAYS, *VIDEOS):
            if (found := folder / f"{stem}{suffix}").is_file():
                return found
    raise MaterialError(f"{folder}: no right view for clip {name}; name it {name}.mp4, {name}_right.png or the like")


def view_files(folder: Path, name: str) -> list[Path]:
    """Every file of a ready view, for its digest."""
    path = _find(folder, name)
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def _looks_around(fill: FillConfig, frames: int) -> bool:
    return fill.temporal and fill.name == "background" and frames > 1


class _Small:
    """The small pictures and disparities in which neighbouring frames are looked up."""

    def __init__(self, left: Clip, disparity: Sequence[F32]) -> None:
        size = small_size(left.shape[2], left.shape[1], SMALL_WIDTH)
        self._grey = [
            np.asarray(cv2.cvtColor(cv2.resize(f, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY), np.uint8)
            for f in left
        ]
        self._disparity = [np.asarray(cv2.resize(d, size, interpolation=cv2.INTER_AREA), np.float32) for d in disparity]
        self._flow = create_flow("dis-fast")

    def reveals(self, t: int, sources: Sequence[Frame]) -> list[Reveal]:
        """Frames on each side, as far as the clip goes."""
        return [
            Reveal(sources[n], self._disparity[n], [half_size_flow(self._flow, self._grey[t], self._grey[n])])
            for n in (t - REVEAL_FRAMES, t + REVEAL_FRAMES)
            if 0 <= n < len(self._grey)
        ]
