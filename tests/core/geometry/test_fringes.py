"""Mixed pixels beside holes become part of them; everything else stays."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.geometry.fill import fill_and_tell
from spatialdreamer_core.geometry.fringes import open_fringes
from spatialdreamer_core.geometry.holes import find_hole_runs
from spatialdreamer_core.geometry.splat import forward_map, resample
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame

WIDTH, HEIGHT = 64, 16
BOARD = slice(30, 44)


def pictured(row: np.ndarray, name: str = "yuv420p") -> Frame:
    """A picture of equal rows, grey."""
    layout = PIXEL_FORMATS[name]
    y = np.tile(row, (HEIGHT, 1)).astype(layout.dtype)
    chroma = np.full((-(-HEIGHT // layout.sub_y), -(-WIDTH // layout.sub_x)), 1 << (layout.bits - 1), layout.dtype)
    return Frame(y, chroma, chroma.copy(), layout, 0)


def board(step: float) -> np.ndarray:
    """Disparity of a board before a wall, in rows."""
    disparity = np.zeros((HEIGHT, WIDTH), np.float32)
    disparity[:, BOARD] = step
    return disparity


def row_of(wall: int, near: int, mixed: int | None) -> np.ndarray:
    """A board that has a mixed pixel on each side, both of which depth gives to the wall."""
    row = np.full(WIDTH, wall)
    row[BOARD] = near
    if mixed is not None:
        row[[BOARD.start - 1, BOARD.stop]] = mixed
    return row


@pytest.mark.parametrize("name", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize(("wall", "near", "mixed"), [(40, 200, 120), (200, 40, 150)])
def test_a_mixed_pixel_beyond_a_hole_goes_and_the_fill_shows_the_wall(name: str, wall: int, near: int, mixed: int):
    scale = 1 << (PIXEL_FORMATS[name].bits - 8)
    frame = pictured(row_of(wall, near, mixed) * scale, name)
    source_x = forward_map(board(6.0))
    made = resample(frame, source_x)
    before = find_hole_runs(source_x)
    assert np.any(made.y[0, ~np.isnan(source_x[0])] == mixed * scale)
    runs = open_fringes(made, source_x)
    assert int((runs.stop - runs.start).sum() - (before.stop - before.start).sum()) == HEIGHT
    filled = fill_and_tell(made, source_x, FillConfig(), runs=runs).frame
    assert sorted(set(filled.y[0] // scale)) == sorted({wall, near})


@pytest.mark.parametrize(
    ("step", "mixed", "near"),
    [(6.0, None, 200), (3.0, 120, 200), (6.0, 50, 56), (6.0, 45, 200)],
    ids=["no mixture", "a narrow hole", "surfaces alike", "a trace of the near colour"],
)
def test_where_no_line_would_show_nothing_changes(step: float, mixed: int | None, near: int) -> None:
    source_x = forward_map(board(step))
    made, before = resample(pictured(row_of(40, near, mixed)), source_x), source_x.copy()
    open_fringes(made, source_x)
    np.testing.assert_array_equal(source_x, before)


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="source_x must be"):
        open_fringes(pictured(row_of(40, 200, 120)), np.zeros((HEIGHT, WIDTH - 1), np.float32))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), blobs=st.integers(1, 8))
def test_at_most_one_pixel_at_the_far_end_of_each_hole_opens_and_the_runs_are_those_of_the_map(seed: int, blobs: int):
    rng = np.random.default_rng(seed)
    disparity = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(blobs):
        x, y = rng.integers(0, WIDTH - 4), rng.integers(0, HEIGHT)
        disparity[y:, x : x + rng.integers(2, 20)] = rng.uniform(-4, 12)
    source_x = forward_map(disparity)
    made = resample(pictured(rng.integers(0, 256, WIDTH)), source_x)
    before, held = find_hole_runs(source_x), source_x.copy()
    runs = open_fringes(made, source_x)
    for ours, found in zip(runs, find_hole_runs(source_x), strict=True):
        np.testing.assert_array_equal(ours, found)
    opened = np.isnan(source_x) & ~np.isnan(held)
    ends = np.where(before.side == 1, before.stop, before.start - 1)
    allowed = np.zeros_like(opened)
    inner = ~before.border & (before.side != 0)
    allowed[before.row[inner], ends[inner]] = True
    assert not np.any(opened & ~allowed)
    np.testing.assert_array_equal(source_x[~opened], held[~opened])
