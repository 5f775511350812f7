from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.geometry.fill import fill_holes
from spatialdreamer_core.geometry.holes import find_hole_runs
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame
from tests.core.geometry.world import World, hole_psnr

METHODS = ["row", "background", "telea", "ns"]


def picture(luma: NDArray[np.int64], layout: str = "yuv420p", chroma: int = 128) -> Frame:
    kind = PIXEL_FORMATS[layout]
    small = luma[:: kind.sub_y, :: kind.sub_x].shape
    u, v = (np.full(small, chroma, kind.dtype) for _ in range(2))
    return Frame(luma.astype(kind.dtype), u, v, kind, 7)


def identity_map(height: int, width: int) -> NDArray[np.float32]:
    return np.tile(np.arange(width, dtype=np.float32), (height, 1))


def ragged(seed: int, height: int = 30, width: int = 46) -> tuple[NDArray[np.float32], Frame]:
    """Holes of many widths, some at the borders, two whole rows."""
    rng = np.random.default_rng(seed)
    source_x = identity_map(height, width) + rng.integers(0, 6, (height, width)).astype(np.float32)
    for y in range(height):
        for _ in range(3):
            x = int(rng.integers(0, width))
            source_x[y, x : x + int(rng.integers(0, 9))] = np.nan
    source_x[10:12] = np.nan
    return source_x, picture(rng.integers(0, 256, (height, width)))


@pytest.mark.parametrize("method", METHODS)
def test_nothing_outside_the_holes_is_touched(method):
    source_x, frame = ragged(0)
    before = [p.copy() for p in frame.planes]
    made = fill_holes(frame, source_x, FillConfig(name=method))
    for plane, old, given, step in zip(made.planes, before, frame.planes, (1, 2, 2), strict=True):
        known = ~np.isnan(source_x[::step, ::step])
        assert np.array_equal(plane[known], old[known])
        assert np.array_equal(given, old)
    assert made.pts == 7


@pytest.mark.parametrize("layout", list(PIXEL_FORMATS))
@pytest.mark.parametrize("method", METHODS)
def test_every_hole_sample_is_painted(method, layout):
    source_x, _ = ragged(1)
    kind = PIXEL_FORMATS[layout]
    level = 100 << (kind.bits - 8)
    frame = picture(np.full(source_x.shape, level), layout, level)
    for plane, step in zip(frame.planes, ((1, 1), *2 * [(kind.sub_y, kind.sub_x)]), strict=True):
        plane[np.isnan(source_x[:: step[0], :: step[1]])] = 0
    made = fill_holes(frame, source_x, FillConfig(name=method))
    slack = 3 << (kind.bits - 8) if method in ("telea", "ns") else 0  # OpenCV's drift by a few levels
    assert max(int(np.abs(p.astype(int) - level).max()) for p in made.planes) <= slack


@pytest.mark.parametrize("method", ["row", "background"])
def test_the_hole_continues_the_side_with_the_smaller_disparity(method):
    world = replace(World(), noise=0)
    frame, source_x = world.splat(0)
    flat = [np.where(np.isnan(source_x), 0, np.where(source_x - np.arange(160) > 8, 200, 50)).astype(np.uint8)]
    made = fill_holes(replace(frame, y=flat[0]), source_x, FillConfig(name=method))
    assert set(made.y[np.isnan(source_x)]) == {50}


def test_background_on_the_left_is_used_where_it_is_farther():
    source_x = identity_map(8, 20)
    source_x[:, 12:] += 6
    source_x[:, 9:12] = np.nan
    luma = np.where(np.arange(20) < 9, 40, 220) * np.ones((8, 1), int)
    assert set(fill_holes(picture(luma), source_x, FillConfig()).y[:, 9:12].ravel()) == {40}


def test_the_pixel_beside_the_hole_may_hold_fringe_and_gives_no_colour():
    source_x = identity_map(8, 20)
    source_x[:, :6] += 5
    source_x[:, 6:10] = np.nan
    luma = np.full((8, 20), 60)
    luma[:, 10] = 250
    assert fill_holes(picture(luma), source_x, FillConfig()).y[:, 6:10].max() == 60


def test_between_two_ends_of_one_background_the_fill_passes_from_one_to_the_other():
    source_x = identity_map(8, 24)
    source_x[:, 8:18] = np.nan
    luma = np.where(np.arange(24) < 12, 50, 150) * np.ones((8, 1), int)
    made = fill_holes(picture(luma), source_x, FillConfig()).y[4, 7:19].astype(int)
    assert np.diff(made).min() > 0
    assert np.diff(made).max() < 12


def test_border_strips_are_mirrored():
    luma = np.tile(np.arange(0, 100, 5), (8, 1))
    source_x = identity_map(8, 20)
    source_x[:, 16:] = np.nan
    made = fill_holes(picture(luma), source_x, FillConfig())
    assert made.y[3, 16:].tolist() == [70, 65, 60, 55]


def test_a_picture_without_a_known_pixel_becomes_grey():
    for shape in ((1, 1), (3, 5)):
        frame = picture(np.zeros(shape, int))
        made = fill_holes(frame, np.full(shape, np.nan, np.float32), FillConfig())
        assert set(made.y.ravel()) == {128}
        assert set(made.u.ravel()) == {128}


def test_a_row_without_a_known_pixel_repeats_its_neighbour():
    luma = np.tile(np.arange(6)[:, None] * 10, (1, 9))
    source_x = identity_map(6, 9)
    source_x[3] = np.nan
    assert set(fill_holes(picture(luma), source_x, FillConfig()).y[3]) == {20}


def test_a_map_of_another_size_is_refused():
    with pytest.raises(ValueError, match="source_x must be"):
        fill_holes(picture(np.zeros((4, 6), int)), identity_map(4, 7), FillConfig())


def test_without_holes_the_planes_come_back_equal():
    frame = picture(np.arange(24).reshape(4, 6))
    made = fill_holes(frame, identity_map(4, 6), FillConfig())
    assert all(np.array_equal(a, b) for a, b in zip(made.planes, frame.planes, strict=True))


def test_background_is_nearer_to_the_truth_than_row_in_luma_and_no_worse_in_chroma():
    world = World()
    frame, source_x = world.splat(0)
    inside = np.where(np.arange(160) < 140, source_x, 0).astype(np.float32)  # leave the border strip out
    row, mixed = (fill_holes(frame, inside, FillConfig(name=name)) for name in ("row", "background"))
    for plane, gain in ((0, 0.5), (1, -0.2)):
        assert hole_psnr(mixed, world.right(0), inside, plane) > hole_psnr(row, world.right(0), inside, plane) + gain


def test_noise_of_one_level_moves_the_paint_less_than_a_row_fill():
    def change(method: str) -> float:
        quiet, loud = (World(noise=n, speed=0) for n in (0, 1))
        _, source_x = quiet.splat(0)
        a, b = (fill_holes(w.splat(0)[0], source_x, FillConfig(name=method)).y for w in (quiet, loud))
        return float(np.abs(a.astype(int) - b.astype(int))[np.isnan(source_x)].mean())

    assert change("background") < 0.7 * change("row")
    assert change("background") < 0.5


def loop_runs(source_x: NDArray[np.float32]) -> list[tuple[int, int, int]]:
    runs = []
    for y, row in enumerate(np.isnan(source_x)):
        edges = np.flatnonzero(np.diff(np.r_[0, row.astype(int), 0]))
        runs += [(y, int(a), int(b)) for a, b in edges.reshape(-1, 2)]
    return runs


@pytest.mark.parametrize("width", [1, 7, 8, 9, 46, 64])
def test_runs_are_those_of_a_plain_loop(width):
    source_x, _ = ragged(2, 30, width)
    runs = find_hole_runs(source_x)
    found = list(zip(runs.row.tolist(), runs.start.tolist(), runs.stop.tolist(), strict=True))
    assert found
    assert found == loop_runs(source_x)


def test_more_runs_than_there_was_room_for_are_all_found():
    source_x = np.tile(np.arange(60, dtype=np.float32), (5, 1))
    source_x[:, 1::2] = np.nan  # 30 runs in each row
    runs = find_hole_runs(source_x)
    assert list(zip(runs.row.tolist(), runs.start.tolist(), runs.stop.tolist(), strict=True)) == loop_runs(source_x)
    assert runs.disparity.size == runs.side.size == 150
