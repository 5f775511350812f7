"""Frames with known holes for tests of refinement."""

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.geometry.fill import fill_and_tell
from spatialdreamer_core.geometry.reveal import Reveal
from spatialdreamer_core.refine.protocol import Patch, RefineFrame
from spatialdreamer_core.video.colour import rgb_matrix
from spatialdreamer_core.video.frames import Frame
from spatialdreamer_core.video.source import ColourInfo
from tests.core.geometry.world import World

COLOUR = ColourInfo()


def refine_frame(world: World, t: int = 0, reveals: list[Reveal] | None = None) -> RefineFrame:
    splatted, source_x = world.splat(t)
    filled = fill_and_tell(splatted, source_x, FillConfig(), reveals or [])
    return RefineFrame(t, world.left(t), filled.frame, source_x, filled.runs, filled.revealed)


def rgb_of(frame: Frame) -> NDArray[np.float32]:
    """[3, H, W] in [0, 1], chroma repeated."""
    layout = frame.format
    matrix, offset = rgb_matrix(layout.bits, COLOUR, frame.height)
    chroma = (np.repeat(np.repeat(p, layout.sub_y, 0), layout.sub_x, 1) for p in (frame.u, frame.v))
    planes = np.stack([frame.y, *(p[: frame.height, : frame.width] for p in chroma)]).astype(np.float64)
    return np.einsum("ij,jhw->ihw", matrix, planes - offset[:, None, None]).astype(np.float32)


def whole(rgb: NDArray[np.float32]) -> Patch:
    return Patch(0, 0, rgb, np.ones(rgb.shape[1:], np.float32))


def assert_same_outside(made: Frame, before: Frame, source_x: NDArray[np.float32]) -> None:
    layout = made.format
    steps = ((1, 1), (layout.sub_y, layout.sub_x), (layout.sub_y, layout.sub_x))
    for ours, theirs, (down, across) in zip(made.planes, before.planes, steps, strict=True):
        seen = ~np.isnan(source_x[::down, ::across])
        np.testing.assert_array_equal(ours[seen], theirs[seen])
