from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.errors import RefineError
from spatialdreamer_core.geometry.holes import find_hole_runs, hole_pixels
from spatialdreamer_core.refine.paste import AROUND_PX, FEATHER_PX, MATCH_FREE, MATCH_MOST, Pasted, paste
from spatialdreamer_core.refine.protocol import Earned, Painted, Patch, RefineFrame
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame, PixelFormatName
from tests.core.geometry.test_fill import ragged
from tests.core.geometry.world import World, hole_psnr
from tests.core.refine.made import COLOUR, assert_same_outside, refine_frame, rgb_of, whole

EARNED = Earned((4, 32), 16)
LAYOUTS = ["yuv420p", "yuv420p10le", "yuv422p10le"]


def flat_frame(holes: NDArray[np.bool_], level: int = 120) -> RefineFrame:
    """A grey wall 2 px behind the screen with holes wherever one likes."""
    height, width = holes.shape
    source_x = np.tile(np.arange(width, dtype=np.float32), (height, 1)) - 2
    source_x[holes] = np.nan
    runs = find_hole_runs(source_x)
    chroma = np.full((height // 2, width // 2), 128, np.uint8)
    grey = Frame(np.full((height, width), level, np.uint8), chroma, chroma, PIXEL_FORMATS["yuv420p"], 5)
    return RefineFrame(0, grey, grey, source_x, runs, np.zeros(hole_pixels(runs), np.float32))


def grey_patch(shape: tuple[int, int], value: float) -> Patch:
    return whole(np.full((3, *shape), value, np.float32))


def painted_into(frame: RefineFrame, patches: list[Patch], colour=COLOUR, *, borders: bool = True) -> Pasted:
    return paste(frame, Painted(0, tuple(patches)), colour, borders=borders)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_outside_the_holes_every_byte_stays_and_the_given_frame_is_not_written_to(layout: PixelFormatName):
    frame = refine_frame(World(format=layout))
    before = [plane.copy() for plane in frame.right.planes]
    made = painted_into(frame, [grey_patch(frame.source_x.shape, 0.9)], COLOUR).frame
    assert_same_outside(made, frame.right, frame.source_x)
    assert made.pts == frame.right.pts
    assert made.y.dtype == frame.right.y.dtype
    assert (made.y != frame.right.y).any()
    assert all(np.array_equal(a, b) for a, b in zip(before, frame.right.planes, strict=True))


def test_outside_ragged_holes_at_every_border_every_byte_stays():
    source_x, picture = ragged(3)
    runs = find_hole_runs(source_x)
    frame = RefineFrame(0, picture, picture, source_x, runs, np.zeros(hole_pixels(runs), np.float32))
    made = painted_into(frame, [grey_patch(source_x.shape, 0.9)], COLOUR).frame
    assert_same_outside(made, picture, source_x)
    narrow = np.concatenate([np.full(b - a, b - a < 4) for a, b in zip(runs.start, runs.stop, strict=True)])
    hole = np.isnan(source_x)
    assert np.array_equal(made.y[hole][narrow], picture.y[hole][narrow])
    assert not np.array_equal(made.y[hole][~narrow], picture.y[hole][~narrow])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_truth_painted_into_a_hole_arrives_there(layout: PixelFormatName):
    world = World(format=layout)
    frame = refine_frame(world)
    truth = world.right(0)
    made = painted_into(frame, [whole(rgb_of(truth))], COLOUR).frame
    for plane in range(3):
        before, after = (hole_psnr(f, truth, frame.source_x, plane) for f in (frame.right, made))
        assert after > before + 4, plane


def test_a_hole_three_wide_keeps_its_fill_and_one_four_wide_does_not():
    holes = np.zeros((12, 64), bool)
    holes[2:10, 8:11] = True
    holes[2:10, 30:34] = True
    made = painted_into(flat_frame(holes), [grey_patch(holes.shape, 0.3)], COLOUR)
    assert (made.frame.y[:, :20] == 120).all()
    assert (made.frame.y[2:10, 30:34] != 120).all()
    assert 0 < made.share < 32 / holes.size


def test_the_painting_fades_in_from_the_rim_but_not_from_the_edge_of_the_picture():
    holes = np.zeros((40, 64), bool)
    holes[:, 44:] = True
    made = painted_into(flat_frame(holes), [grey_patch(holes.shape, 0.3)], COLOUR).frame.y[20].astype(int)
    steps = np.abs(np.diff(made[43 : 44 + FEATHER_PX]))
    assert (steps > 0).all()  # neither the rim nor the middle takes all of it
    assert len(set(made[44 + FEATHER_PX - 1 :])) == 1


def test_strips_at_the_sides_are_left_alone_if_they_are_not_wanted():
    holes = np.zeros((40, 64), bool)
    holes[:, :9] = holes[:, 50:] = holes[:, 20:30] = True
    patch, frame = grey_patch(holes.shape, 0.3), flat_frame(holes)
    made = painted_into(frame, [patch], COLOUR, borders=False).frame
    assert (made.y[:, :20] == 120).all()
    assert (made.y[:, 50:] == 120).all()
    assert (made.y[:, 20:30] != 120).all()
    assert (painted_into(frame, [patch], COLOUR).frame.y[holes] != 120).all()
    assert_same_outside(made, frame.right, frame.source_x)


def test_real_background_from_a_neighbouring_frame_is_kept():
    world = World(speed=3)
    frame = refine_frame(world, 0, [world.reveal(0, -2)])
    made = painted_into(frame, [grey_patch(frame.source_x.shape, 1.0)], COLOUR).frame
    hole = np.isnan(frame.source_x)
    sure = frame.revealed == 1
    assert sure.any()
    assert np.array_equal(made.y[hole][sure], frame.right.y[hole][sure])
    assert not np.array_equal(made.y[hole], frame.right.y[hole])


def test_a_common_error_of_colour_is_taken_out_at_the_rim():
    holes = np.zeros((60, 64), bool)
    holes[:, 20:40] = True
    frame = flat_frame(holes)
    off = rgb_of(frame.right) + np.float32(8 / 219)  # 8 levels too bright
    made = painted_into(frame, [whole(off)], COLOUR).frame.y.astype(int)
    assert np.abs(made[30, 20:40] - 120).max() <= MATCH_FREE + 2  # most of it; a small rest is not seen
    slightly = rgb_of(frame.right) + np.float32(2 / 219)
    assert set(painted_into(frame, [whole(slightly)], COLOUR).frame.y[30, 25:35]) == {122}


def test_matching_moves_no_colour_further_than_its_bound_and_leaves_other_things_alone():
    holes = np.zeros((60, 64), bool)
    holes[:, 20:40] = True
    frame = flat_frame(holes)
    moved = []
    for levels in (20, 60):
        off = rgb_of(frame.right) + np.float32(levels / 219)
        moved.append(120 + levels - int(painted_into(frame, [whole(off)], COLOUR).frame.y[30, 30]))
    assert moved[0] == pytest.approx(MATCH_MOST, abs=1)
    assert moved[1] == 0  # that is another thing, not another exposure


def test_where_patches_overlap_their_weighted_mean_counts():
    holes = np.zeros((40, 64), bool)
    holes[5:35, 16:48] = True
    frame = flat_frame(holes)
    weight = np.ones(holes.shape, np.float32)
    rgb = rgb_of(frame.right)
    patches = [Patch(0, 0, rgb + np.float32(80 / 219), weight), Patch(0, 0, rgb + np.float32(40 / 219), 3 * weight)]
    made = painted_into(frame, patches, COLOUR).frame.y
    assert int(made[20, 32]) == 120 + 50


def test_pixels_without_a_patch_keep_their_fill():
    holes = np.zeros((40, 64), bool)
    holes[5:35, 16:48] = True
    patch = Patch(0, 0, np.full((3, 40, 32), 0.9, np.float32), np.ones((40, 32), np.float32))
    made = painted_into(flat_frame(holes), [patch], COLOUR).frame.y
    assert (made[5:35, 32:48] == 120).all()
    assert (made[5:35, 16:32] != 120).all()


def test_a_refiner_may_leave_part_of_what_shows_to_the_fill():
    holes = np.zeros((40, 64), bool)
    holes[:, 20:40] = True
    frame = flat_frame(holes)
    patch = whole(rgb_of(frame.right) + np.float32(60 / 219))
    made = paste(frame, Painted(0, (patch,), share=0.25), COLOUR)
    assert int(made.frame.y[20, 30]) == 120 + 15
    assert made.share == pytest.approx(0.25 * painted_into(frame, [patch]).share)


def striped_frame(holes: NDArray[np.bool_], step: int) -> RefineFrame:
    """``flat_frame`` whose rows lie so many levels over and under grey in turn."""
    frame = flat_frame(holes)
    rows = np.where(np.arange(holes.shape[0]) % 2, 120 + step // 2, 120 - step // 2).astype(np.uint8)
    right = replace(frame.right, y=np.repeat(rows[:, None], holes.shape[1], 1))
    return replace(frame, right=right)


@pytest.mark.parametrize(("apart", "shows"), [(3, 0), (18, 9), (60, 60)])
def test_a_painting_may_show_by_as_much_as_it_differs_from_the_fill(apart: int, shows: int):
    holes = np.zeros((40, 64), bool)
    holes[:, 20:40] = True
    frame = striped_frame(holes, 20)
    other = np.where(np.arange(40) // 2 % 2, apart, -apart)[:, None] * np.ones(64)  # no common error to be matched
    patch = whole(rgb_of(frame.right) + np.float32(other / 219))
    made = paste(frame, Painted(0, (patch,), earned=EARNED), COLOUR).frame
    moved = np.abs(made.y[20:22, 30].astype(int) - frame.right.y[20:22, 30])
    assert moved.tolist() == pytest.approx([shows, shows], abs=1)
    assert_same_outside(made, frame.right, frame.source_x)


@pytest.mark.parametrize(("step", "shows"), [(0, 0), (8, 30), (20, 60)])
def test_a_flat_fill_is_kept_and_a_lively_one_gives_way(step: int, shows: int):
    holes = np.zeros((40, 64), bool)
    holes[:, :12] = holes[:, 20:40] = True
    frame = striped_frame(holes, step)
    patch = whole(rgb_of(frame.right) + np.float32(60 / 219))
    made = paste(frame, Painted(0, (patch,), earned=EARNED), COLOUR).frame
    moved = made.y[20].astype(int) - frame.right.y[20]
    assert moved[8] == pytest.approx(shows, abs=1)  # in a strip
    assert moved[30] == pytest.approx(shows, abs=1)  # inside


def test_how_far_painting_and_fill_differ_is_told_by_painted_pixels_nearby_alone():
    holes = np.zeros((40, 64), bool)
    holes[:, 20:40] = True
    frame, earned = striped_frame(holes, 20), EARNED
    rgb = rgb_of(frame.right)
    rgb[:, :20, :] += np.float32(60 / 219)
    moved = paste(frame, Painted(0, (whole(rgb),), earned=earned), COLOUR).frame.y - frame.right.y
    assert set(moved[: 20 - AROUND_PX // 2, 24:36].flat) == {60}
    assert set(moved[20:, 24:36].flat) == {0}
    alone = Patch(0, 0, rgb[:, :20, :30].copy(), np.ones((20, 30), np.float32))  # what is not painted dilutes nothing
    moved = paste(frame, Painted(0, (alone,), earned=earned), COLOUR).frame.y - frame.right.y
    assert set(moved[:20, 24:30].flat) == {60}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_painting_that_has_to_earn_its_place_still_brings_the_truth_into_a_hole(layout: PixelFormatName):
    world = World(format=layout)
    frame, truth = refine_frame(world), world.right(0)
    made = paste(frame, Painted(0, (whole(rgb_of(truth)),), earned=EARNED), COLOUR).frame
    before, after = (hole_psnr(f, truth, frame.source_x, 0) for f in (frame.right, made))
    assert after > before + 2


def test_colours_that_are_no_numbers_are_an_error_and_never_written():
    frame = refine_frame(World())
    rgb = np.full((3, *frame.source_x.shape), 0.5, np.float32)
    for bad in (np.nan, np.inf):
        rgb[1, 30, :] = bad
        with pytest.raises(RefineError, match="frame 0 of the shot: the network gave NaN or infinite colours"):
            painted_into(frame, [whole(rgb)], COLOUR)


def test_a_patch_that_leaves_the_picture_is_refused():
    frame = refine_frame(World())
    patch = replace(grey_patch((8, 8), 0.5), column=156)
    with pytest.raises(ValueError, match=r"a patch of 8x8 at \(156, 0\) leaves the picture of 160x64"):
        painted_into(frame, [patch], COLOUR)


def test_full_range_and_another_matrix_are_the_frames_own():
    world = World()
    frame = refine_frame(world)
    colour = replace(COLOUR, range=2, matrix=9)
    grey = painted_into(frame, [grey_patch(frame.source_x.shape, 1.0)], colour).frame
    limited = painted_into(frame, [grey_patch(frame.source_x.shape, 1.0)], COLOUR).frame
    hole = np.isnan(frame.source_x)
    assert int(grey.y[hole].max()) == 255
    assert int(limited.y[hole].max()) == 235
