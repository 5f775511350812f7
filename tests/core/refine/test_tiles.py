from dataclasses import replace

import numpy as np
import pytest

from spatialdreamer_core.geometry.fill import mirror_background
from spatialdreamer_core.geometry.holes import find_hole_runs, hole_pixels
from spatialdreamer_core.models.mini.config import TILE
from spatialdreamer_core.models.mini.inputs import hole_maps, tile_inputs, tile_picture, tile_shift
from spatialdreamer_core.refine.tile_inputs import tile_cutter
from spatialdreamer_core.refine.tiles import TileGrid
from spatialdreamer_core.video.frames import PixelFormatName
from spatialdreamer_core.video.rgb_planes import RGB_COLOUR, rgb_frame, rgb_picture
from tests.core.geometry.world import World
from tests.core.refine.made import COLOUR, refine_frame, rgb_of

SIZES = [(720, 1280), (128, 128), (129, 160), (161, 97), (54, 98), (1080, 1921)]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_tiles_cover_a_picture_and_weigh_something_everywhere(height, width):
    grid = TileGrid(height, width)
    total = np.zeros((height, width))
    for i, top in enumerate(grid.rows):
        for j, left in enumerate(grid.columns):
            weight = grid.weight(i, j)
            assert min(top, left) >= 0
            total[top : top + weight.shape[0], left : left + weight.shape[1]] += weight  # fits, or raises
    assert total.min() > 0.5
    assert (grid.rows.size, grid.columns.size) == tuple(max(1, -(-(size - 8) // 120)) for size in (height, width))


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_a_wide_hole_lies_in_a_tile_that_is_run(height, width):
    rng = np.random.default_rng(height)
    grid = TileGrid(height, width)
    for _ in range(12):
        source_x = np.zeros((height, width), np.float32)
        y, x = int(rng.integers(0, height - 3)), int(rng.integers(0, width - 64))
        source_x[y : y + 4, x : x + 64] = np.nan
        runs = find_hole_runs(source_x)
        needed = np.argwhere(grid.needed(runs, np.zeros(256, np.float32)))
        covered = np.zeros((height, width), bool)
        for i, j in needed:
            covered[grid.rows[i] : grid.rows[i] + TILE, grid.columns[j] : grid.columns[j] + TILE] = True
        assert 1 <= len(needed) <= 4
        assert covered[y : y + 4, x : x + 64].sum() >= 64


def test_narrow_and_tiny_holes_and_holes_that_neighbours_showed_need_no_tile():
    source_x = np.zeros((200, 300), np.float32)
    source_x[50:60, 20:23] = np.nan
    source_x[100:103, 100:104] = np.nan
    source_x[150:160, 250:263] = np.nan
    runs = find_hole_runs(source_x)
    grid = TileGrid(200, 300)
    assert grid.needed(runs, np.zeros(hole_pixels(runs), np.float32)).sum() == 1
    assert not grid.needed(runs, np.ones(hole_pixels(runs), np.float32)).any()


@pytest.mark.parametrize(("size", "rows", "wanted"), [((720, 1280), 15, 0), ((720, 1280), 16, 1), ((72, 96), 1, 1)])
def test_how_much_is_worth_a_tile_goes_by_the_picture(size, rows, wanted):
    source_x = np.zeros(size, np.float32)
    source_x[20 : 20 + rows, 20:28] = np.nan
    runs = find_hole_runs(source_x)
    assert TileGrid(*size).needed(runs, np.zeros(hole_pixels(runs), np.float32)).sum() == wanted


def test_strips_at_the_sides_need_no_tile_if_they_are_not_wanted():
    source_x = np.zeros((200, 300), np.float32)
    source_x[:, :20] = source_x[:, 290:] = np.nan
    runs = find_hole_runs(source_x)
    none = np.zeros(hole_pixels(runs), np.float32)
    grid = TileGrid(200, 300)
    assert grid.needed(runs, none).sum() == 2 * grid.rows.size
    assert not grid.needed(runs, none, borders=False).any()


@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10le", "yuv422p10le"])
@pytest.mark.parametrize(("height", "width"), [(160, 200), (64, 160), (64, 90)])
def test_a_tile_shows_what_its_frame_holds(layout: PixelFormatName, height, width):
    frame = refine_frame(World(height=height, width=width, board=(40, 80), format=layout))
    top, left = min(20, max(height - TILE, 0)), min(33, max(width - TILE, 0))
    tile, reference = tile_cutter(frame, COLOUR).tile(top, left)
    rows, columns = (np.clip(np.arange(TILE) + first, 0, size - 1) for first, size in ((top, height), (left, width)))
    at = np.ix_(rows, columns)
    hole = np.isnan(frame.source_x)
    filled, left_eye = (np.clip(rgb_of(f), 0, 1) for f in (frame.right, frame.left))
    mirrored = np.clip(rgb_of(mirror_background(frame.right, frame.source_x)), 0, 1)
    mirrored[:, ~hole] = filled[:, ~hole]  # a chroma sample of a hole also lies under pixels that are seen
    for channel in range(3):
        np.testing.assert_allclose(tile[0, channel], 2 * filled[channel][at] - 1, atol=1e-5)
        np.testing.assert_allclose(tile[0, 3 + channel], 2 * mirrored[channel][at] - 1, atol=1e-5)
        shifted = left_eye[channel][np.ix_(rows, np.clip(np.arange(TILE) + left + 2, 0, width - 1))]
        np.testing.assert_allclose(reference[0, channel], shifted, atol=1e-5)  # the wall lies 2 px further right
    np.testing.assert_array_equal(tile[0, 6], hole[at])
    near = np.nan_to_num(frame.source_x - np.arange(width), nan=2) > 8
    np.testing.assert_allclose(tile[0, 7], np.where(near, 12 / 16, 0)[at], atol=1e-6)
    assert (tile[0, 8][~hole[at]] == 0).all()
    run = next(i for i in range(frame.holes.row.size) if not frame.holes.border[i])
    first, stop = int(frame.holes.start[run]), int(frame.holes.stop[run])
    assert frame.holes.side[run] == 1
    if left <= first and stop <= left + TILE:
        inside = tile[0, 8, int(frame.holes.row[run]) + 30 - top, first - left : stop - left]
        np.testing.assert_allclose(inside, (np.arange(stop - first)[::-1] + 0.5) / 16)


@pytest.mark.parametrize(("height", "width", "top", "left"), [(160, 200, 20, 33), (160, 200, 32, 72), (64, 90, 0, 0)])
def test_a_tile_is_what_training_cuts_of_the_same_picture(height, width, top, left):
    seen = refine_frame(World(height=height, width=width, board=(40, 80)))
    left_eye, right = (
        np.clip(255 * rgb_of(f), 0, 255).astype(np.uint8).transpose(1, 2, 0) for f in (seen.left, seen.right)
    )
    frame = replace(seen, left=rgb_frame(left_eye), right=rgb_frame(right))
    tile, reference = tile_cutter(frame, RGB_COLOUR).tile(top, left)
    maps = hole_maps(rgb_picture(frame.right), frame.source_x)
    shift = tile_shift(maps, top, left)
    np.testing.assert_allclose(tile[0], tile_inputs(maps, top, left, shift), atol=1e-5)
    np.testing.assert_allclose(reference[0], tile_picture(left_eye, top, left + shift), atol=1e-5)
