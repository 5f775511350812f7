from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.geometry.fill import fill_and_tell, fill_holes
from spatialdreamer_core.geometry.holes import hole_pixels
from spatialdreamer_core.video.frames import Frame, PixelFormatName
from tests.core.geometry.world import World, hole_psnr


def fill(world: World, t: int, *offsets: int, wrong_flow_px: float = 0.0) -> tuple[Frame, np.ndarray]:
    frame, source_x = world.splat(t)
    reveals = [world.reveal(t, n, wrong_flow_px=wrong_flow_px) for n in offsets]
    return fill_holes(frame, source_x, FillConfig(), reveals), source_x


@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10le", "yuv422p10le"])
def test_a_neighbour_that_shows_the_wall_brings_the_fill_close_to_the_truth(layout: PixelFormatName):
    world = World(format=layout)
    alone, source_x = fill(world, 0)
    helped, _ = fill(world, 0, -2)
    interior = source_x.copy()
    interior[:, 140:] = 0  # nobody ever sees the strip beyond the border
    assert hole_psnr(helped, world.right(0), interior) > hole_psnr(alone, world.right(0), interior) + 20
    for plane in (1, 2):
        gain = hole_psnr(helped, world.right(0), interior, plane) - hole_psnr(alone, world.right(0), interior, plane)
        assert gain > 20


def test_a_panning_camera_is_followed():
    world = World(pan=3)
    alone, source_x = fill(world, 0)
    helped, _ = fill(world, 0, -2, 2)
    assert hole_psnr(helped, world.right(0), source_x) > hole_psnr(alone, world.right(0), source_x) + 8


def test_a_wrong_flow_is_rejected_and_leaves_the_spatial_fill():
    world = World()
    alone, _ = fill(world, 0)
    helped, _ = fill(world, 0, -2, wrong_flow_px=9.0)
    assert all(np.array_equal(a, b) for a, b in zip(alone.planes, helped.planes, strict=True))


def test_a_neighbour_that_hides_the_wall_as_well_changes_nothing():
    world = World(speed=0)
    alone, _ = fill(world, 0)
    helped, _ = fill(world, 0, 1)
    assert np.array_equal(alone.y, helped.y)


def test_the_front_s_colour_is_not_believed_where_a_neighbour_s_depth_calls_it_background():
    world = World(speed=0)
    frame, source_x = world.splat(0)
    alone, _ = fill(world, 0)
    told = world.reveal(0, 1)
    late = replace(told, disparity=np.full_like(told.disparity, world.wall_disparity))
    hole = np.isnan(source_x)
    hole[:, 140:] = False
    believed = fill_and_tell(frame, source_x, FillConfig(), [late])
    shown = np.abs(believed.frame.y[hole].astype(float) - alone.y[hole]).mean()
    board = np.abs(world.left(0).y[:, 100:110].astype(float).mean() - alone.y[hole].mean())
    assert board > 50
    assert shown < 0.02 * board


def test_a_front_of_the_background_s_brightness_is_told_by_its_colour():
    world = World(speed=0)
    pale = replace(world.left(0), y=np.full_like(world.left(0).y, 120))
    frame, source_x = world.splat(0)
    frame = replace(frame, y=np.full_like(frame.y, 120))
    told = world.reveal(0, 1)
    late = replace(told, frame=pale, disparity=np.full_like(told.disparity, world.wall_disparity))
    alone, seen = (fill_and_tell(frame, source_x, FillConfig(), reveals) for reveals in ((), [late]))
    hole = np.isnan(source_x[::2, ::2])
    hole[:, 70:] = False
    assert np.abs(seen.frame.u[hole].astype(float) - alone.frame.u[hole]).mean() < 4


def test_reveals_are_ignored_when_temporal_is_off():
    world = World()
    frame, source_x = world.splat(0)
    config = FillConfig(temporal=False)
    assert np.array_equal(
        fill_holes(frame, source_x, config, [world.reveal(0, -2)]).y, fill_holes(frame, source_x, config).y
    )


def test_nothing_outside_the_holes_is_touched():
    world = World()
    frame, source_x = world.splat(0)
    made, _ = fill(world, 0, -2, 2)
    known = ~np.isnan(source_x)
    assert np.array_equal(made.y[known], frame.y[known])
    assert np.array_equal(made.u[known[::2, ::2]], frame.u[known[::2, ::2]])


def test_a_brighter_neighbour_leaves_no_seam():
    world = World()
    frame, source_x = world.splat(0)
    reveal = world.reveal(0, -2)
    brighter = replace(reveal, frame=replace(reveal.frame, y=reveal.frame.y + np.uint8(4)))
    plain, lifted = (fill_holes(frame, source_x, FillConfig(), [r]) for r in (reveal, brighter))
    assert np.abs(plain.y.astype(int) - lifted.y.astype(int)).max() <= 1


def test_what_a_neighbour_showed_is_told_pixel_by_pixel():
    world = World()
    frame, source_x = world.splat(0)
    alone = fill_and_tell(frame, source_x, FillConfig())
    helped = fill_and_tell(frame, source_x, FillConfig(), [world.reveal(0, -2)])
    assert alone.revealed.size == hole_pixels(alone.runs) == np.isnan(source_x).sum()
    assert not alone.revealed.any()
    hole = np.isnan(source_x)
    changed = alone.frame.y[hole] != helped.frame.y[hole]  # both in row order
    assert not changed[helped.revealed == 0].any()
    sure = helped.revealed == 1
    assert sure.mean() > 0.3
    assert np.array_equal(helped.frame.y[hole][sure], world.right(0).y[hole][sure])


def test_a_neighbour_of_another_size_is_refused():
    world = World()
    frame, source_x = world.splat(0)
    with pytest.raises(ValueError, match="a reveal must be"):
        fill_holes(frame, source_x, FillConfig(), [World(width=120).reveal(0, 1)])


def flicker(world: World, method: str, offsets: tuple[int, ...]) -> float:
    """Mean change of hole pixels from frame to frame along the wall's own motion."""
    changes = []
    made = []
    for t in range(4):
        frame, source_x = world.splat(t)
        reveals = [world.reveal(t, n) for n in offsets]
        made.append((fill_holes(frame, source_x, FillConfig(name=method), reveals).y.astype(int), np.isnan(source_x)))
    for (a, hole_a), (b, hole_b) in pairwise(made):
        moved, hole = (np.roll(p, world.pan, axis=1) for p in (b, hole_b))
        both = (hole_a & hole)[:, 8:130]
        changes.append(np.abs(a - moved)[:, 8:130][both].mean())
    return float(np.mean(changes))


def test_a_moving_camera_makes_less_flicker_in_holes_than_a_row_fill():
    world = World(pan=2, speed=4, noise=1)
    plain, mixed, helped = (flicker(world, *how) for how in (("row", ()), ("background", ()), ("background", (-3, 3))))
    assert mixed < plain
    assert helped < 0.5 * plain


@pytest.mark.parametrize("dx_px", [0.0, 6.0])
def test_flow_on_a_coarser_grid_means_the_same_motion(dx_px: float):
    world = World(pan=3)
    frame, source_x = world.splat(0)
    reveal = world.reveal(0, -2)
    h, w = reveal.disparity.shape
    flows = [np.zeros((*shape, 2), np.float32) for shape in ((h, w), (h // 2, w // 2))]
    for flow in flows:
        flow[..., 0] = dx_px * flow.shape[1] / frame.width  # the same pixels of the picture
    fine, coarse = (fill_holes(frame, source_x, FillConfig(), [replace(reveal, flows=[flow])]) for flow in flows)
    assert np.array_equal(fine.y, coarse.y)
    alone = fill_holes(frame, source_x, FillConfig())
    assert np.array_equal(fine.y, alone.y) == (dx_px == 0)  # a flow that is true brings something
