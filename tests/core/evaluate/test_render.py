"""Right views as evaluate makes them: what a network may change of them."""

from collections.abc import Iterator

import numpy as np

from spatialdreamer_core.evaluate.config import parse_method
from spatialdreamer_core.evaluate.render import render_right
from spatialdreamer_core.refine.protocol import Painted, Patch, RefineFrame, RefineShot
from tests.core.evaluate.made import BOARD, WALL, H, W, pair

RED = (1.0, 0.0, 0.25)


class OneFrameLate:
    """Paints everything in one colour, and only when the next frame is there."""

    name, digest = "late", "late-1"

    def __init__(self) -> None:
        self.shot: RefineShot | None = None

    def span(self, length: int, start: int, end: int) -> tuple[int, int]:
        return start, min(end + 1, length)

    def open(self, shot: RefineShot, start: int, end: int) -> "OneFrameLate":
        self.shot, self._end = shot, end
        return self

    def push(self, frame: RefineFrame) -> Iterator[Painted]:
        ready = [frame.index - 1] if frame.index else []
        for index in ready + ([frame.index] if frame.index == self._end - 1 else []):
            height, width = frame.source_x.shape
            rgb = np.broadcast_to(np.float32(RED)[:, None, None], (3, height, width)).copy()
            yield Painted(index, (Patch(0, 0, rgb, np.ones((height, width), np.float32)),))


def test_a_network_paints_every_frame_inside_holes_alone() -> None:
    views = [pair(2 * t) for t in range(3)]
    left, disparity = np.stack([view[0] for view in views]), [view[2] for view in views]
    refiner = OneFrameLate()
    plain = render_right(left, disparity, parse_method("background"))
    painted = render_right(left, disparity, parse_method("background"), refiner)
    for t in range(3):
        hole = np.isnan(painted.shown[t])
        np.testing.assert_array_equal(painted.frames[t][~hole], plain.frames[t][~hole])
        # the middle of the hole beside the board; colours are matched to the rim by at most 8 levels
        at = (H // 2, 56 + 2 * t + 36 - BOARD + (BOARD - WALL) // 2)
        assert hole[at]
        assert np.abs(painted.frames[t][at].astype(int) - np.round(np.multiply(RED, 255))).max() <= 9
        assert np.abs(painted.frames[t][at].astype(int) - plain.frames[t][at]).max() > 50


def test_a_network_is_told_the_range_of_the_clips_disparity() -> None:
    left, _, disparity = pair()
    refiner = OneFrameLate()
    render_right(left[None], [disparity], parse_method("ours"), refiner)
    assert refiner.shot is not None
    assert (refiner.shot.length, refiner.shot.width, refiner.shot.height) == (1, W, H)
    np.testing.assert_allclose(refiner.shot.strength_pct, 100 * (BOARD - WALL) / W)
    np.testing.assert_allclose(refiner.shot.geometric, WALL / W)
