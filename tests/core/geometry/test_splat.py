"""The fast row kernels against plain loops that follow the rule literally, and small pictures with known answers."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spatialdreamer_core.geometry.splat import forward_map, lost_mask, resample, splat
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame, PixelFormatName

NAN = np.float32(np.nan)


def landing_places(disparity: NDArray[np.float32]) -> NDArray[np.float64]:
    u = np.arange(len(disparity), dtype=np.float32) - disparity
    return u.astype(np.float64)


def coverings(disparity: NDArray[np.float32], tear_px: float) -> list[tuple[float, float, int, float]]:
    """Every interval [low, high) of the target row that something covers: (low, high, column, slope)."""
    u = landing_places(disparity)
    n = len(u)
    found = []
    for x in range(n):
        joined_left = x > 0 and 0 < u[x] - u[x - 1] <= 1 + tear_px
        joined_right = x + 1 < n and 0 < u[x + 1] - u[x] <= 1 + tear_px
        if joined_right:
            found.append((u[x], u[x + 1], x, 1 / (u[x + 1] - u[x])))
        else:
            found.append((u[x], u[x] + 0.5, x, 0.0))
        if not joined_left:
            found.append((u[x] - 0.5, u[x], x, 0.0))
    return found


def loop_map(disparity: NDArray[np.float32], tear_px: float = 1.0) -> NDArray[np.float32]:
    """The rule with a z-buffer: of all that cover a target, the nearest (largest disparity) is shown."""
    shown = np.full(disparity.shape, np.nan, np.float32)
    for j, row in enumerate(disparity):
        nearness = np.full(len(row), -np.inf)
        for low, high, x, slope in coverings(row, tear_px):
            for t in range(max(int(np.ceil(low)), 0), min(int(np.ceil(high)), len(row))):
                position = x + (t - low) * slope
                if position - t > nearness[t]:
                    nearness[t] = position - t
                    shown[j, t] = position
    return shown


def loop_lost(disparity: NDArray[np.float32], tear_px: float = 1.0) -> NDArray[np.bool_]:
    lost = np.zeros(disparity.shape, np.bool_)
    for j, row in enumerate(disparity):
        covered = coverings(row, tear_px)
        for x, place in enumerate(landing_places(row)):
            nearer = [low <= place < high for low, high, k, _ in covered if k > x]
            lost[j, x] = any(nearer) or not -0.5 <= place < len(row) - 0.5
    return lost


def rows(*values: object) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def random_frame(height: int, width: int, name: PixelFormatName = "yuv420p", seed: int = 0) -> Frame:
    form = PIXEL_FORMATS[name]
    rng = np.random.default_rng(seed)
    shapes = [(height, width), *[(-(-height // form.sub_y), -(-width // form.sub_x))] * 2]
    planes: list[Any] = [rng.integers(0, 1 << form.bits, shape).astype(form.dtype) for shape in shapes]
    return Frame(planes[0], planes[1], planes[2], form, pts=7)


@st.composite
def disparity_rows(draw: st.DrawFn) -> NDArray[np.float32]:
    """One row of pieces, each constant or slanted, with steps of 1/16 px so that ties happen."""
    sixteenths = st.integers(-20 * 16, 20 * 16)
    pieces = draw(st.lists(st.tuples(st.integers(1, 90), sixteenths, st.integers(-24, 40)), min_size=1, max_size=6))
    row = np.concatenate([(start + slope * np.arange(n)) / 16 for n, start, slope in pieces])
    rough = draw(st.sampled_from([0, 1, 3])) / 64
    return np.asarray(row + rough * (np.arange(len(row)) % 2), np.float32)


@settings(max_examples=150, deadline=None)
@given(disparity_rows(), st.sampled_from([0.0, 0.5, 1.0, 1.5, 3.0]))
def test_map_equals_the_z_buffer_loop(row: NDArray[np.float32], tear_px: float) -> None:
    disparity = row[None]
    np.testing.assert_allclose(
        forward_map(disparity, tear_px=tear_px), loop_map(disparity, tear_px), atol=1e-4, equal_nan=True
    )


@settings(max_examples=60, deadline=None)
@given(disparity_rows())
def test_lost_mask_equals_the_loop_over_everything_nearer(row: NDArray[np.float32]) -> None:
    disparity = row[None, :120]  # the loop is quadratic
    np.testing.assert_array_equal(lost_mask(disparity), loop_lost(disparity))


@pytest.mark.parametrize("seed", range(4))
def test_map_of_noise_on_a_slope_equals_the_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    slope = np.linspace(-3, 6, 200) + rng.normal(0, 10.0 ** -rng.integers(0, 4, (5, 1)), (5, 200))
    disparity = slope.astype(np.float32)
    np.testing.assert_allclose(forward_map(disparity), loop_map(disparity), atol=1e-4, equal_nan=True)


def test_zero_disparity_is_the_identity_bit_for_bit() -> None:
    for name in PIXEL_FORMATS:
        frame = random_frame(5, 83, name)
        made = splat(frame, np.zeros((5, 83), np.float32))
        for plane, wanted in zip(made.frame.planes, frame.planes, strict=True):
            np.testing.assert_array_equal(plane, wanted)
        assert made.frame.pts == frame.pts
        assert not made.hole.any()


@pytest.mark.parametrize("shift", [4, -6])
def test_positive_disparity_moves_left_and_uncovers_one_border(shift: int) -> None:
    frame = random_frame(4, 76)
    made = splat(frame, np.full((4, 76), shift, np.float32))
    kept = slice(0, 76 - shift) if shift > 0 else slice(-shift, 76)
    came_from = slice(kept.start + shift, kept.stop + shift)
    np.testing.assert_array_equal(made.frame.y[:, kept], frame.y[:, came_from])
    assert made.hole.sum(axis=1).tolist() == [abs(shift)] * 4
    assert not made.hole[:, kept].any()
    chroma = slice(kept.start // 2, kept.stop // 2)
    np.testing.assert_array_equal(
        made.frame.u[:, chroma], frame.u[:, chroma.start + shift // 2 : chroma.stop + shift // 2]
    )


def test_the_nearer_pixel_wins_and_the_background_is_uncovered_on_its_right() -> None:
    disparity = np.zeros((1, 60), np.float32)
    disparity[:, 30:40] = 6
    shown = forward_map(disparity)[0]
    np.testing.assert_array_equal(shown[24:34], np.arange(30, 40))
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(shown)), np.arange(34, 40))
    np.testing.assert_array_equal(np.flatnonzero(lost_mask(disparity)[0]), np.arange(24, 30))


def test_background_shows_again_on_the_right_of_a_thin_near_object() -> None:
    disparity = np.zeros((1, 60), np.float32)
    disparity[:, 30:33] = 10
    shown = forward_map(disparity)[0]
    np.testing.assert_array_equal(shown[20:23], np.arange(30, 33))
    np.testing.assert_array_equal(shown[23:30], np.arange(23, 30))
    assert np.isnan(shown[30:33]).all()


@pytest.mark.parametrize("step", [0.5, 1.0, 1.5, 3.0, 3.5])
def test_a_surface_stretches_up_to_the_tear_and_then_tears_by_the_step_less_one(step: float) -> None:
    disparity = np.zeros((1, 80), np.float32)
    disparity[:, :40] = step
    holes = np.isnan(forward_map(disparity, tear_px=1.0)[0, : 80 - 4])
    first, end = 39 - step + 0.5, 40 - 0.5  # where the half pixels on both sides of the tear end
    assert holes.sum() == (0 if step <= 1 else np.ceil(end) - np.ceil(first))


def test_a_slanted_surface_has_no_holes_inside_and_its_disparity_is_read_off_the_map() -> None:
    x = np.arange(400, dtype=np.float32)
    for slope in (-0.9, -0.3, -0.01, 0.01, 0.3, 0.9):
        shown = forward_map((slope * (x - 200))[None])[0]
        inside = slice(*np.flatnonzero(~np.isnan(shown))[[0, -1]])
        assert not np.isnan(shown[inside]).any()
        np.testing.assert_allclose(shown[inside] - x[inside], slope * (shown[inside] - 200), atol=2e-3)


def test_disparity_wider_than_the_picture_leaves_nothing_but_holes() -> None:
    frame = random_frame(3, 9)
    for amount in (-1e30, -9.6, 9.6, 3e38):
        made = splat(frame, np.full((3, 9), amount, np.float32))
        assert made.hole.all()
        assert (made.frame.y == 0).all()
        assert (made.frame.u == 128).all()
        assert lost_mask(np.full((3, 9), amount, np.float32)).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 1), (5, 7), (2, 33), (3, 65)])
@pytest.mark.parametrize("name", list(PIXEL_FORMATS))
def test_odd_and_tiny_pictures_keep_their_shapes(shape: tuple[int, int], name: PixelFormatName) -> None:
    frame = random_frame(*shape, name)
    disparity = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    made = splat(frame, disparity)
    assert [plane.shape for plane in made.frame.planes] == [plane.shape for plane in frame.planes]
    assert all(
        plane.dtype == frame.format.dtype and plane.max() < 1 << frame.format.bits for plane in made.frame.planes
    )
    again = resample(frame, forward_map(disparity))
    for plane, wanted in zip(again.planes, made.frame.planes, strict=True):
        np.testing.assert_array_equal(plane, wanted)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 5, 10])
def test_disparity_that_is_not_finite_is_refused(bad: float, column: int) -> None:
    disparity = np.zeros((4, 11), np.float32)
    disparity[3, column] = bad
    for refuse in (forward_map, lost_mask, lambda values: splat(random_frame(4, 11), values)):
        with pytest.raises(ValueError, match="NaN or infinity"):
            refuse(disparity)


def test_maps_that_do_not_fit_are_refused() -> None:
    frame = random_frame(4, 6)
    with pytest.raises(ValueError, match="upsample the map"):
        splat(frame, np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="chroma must be"):
        splat(Frame(frame.y, frame.u, frame.v[:1], frame.format, 0), np.zeros((4, 6), np.float32))
    with pytest.raises(ValueError, match="leaves the picture"):
        resample(frame, np.full((4, 6), 6, np.float32))
    with pytest.raises(ValueError, match="tear_px"):
        forward_map(np.zeros((4, 6), np.float32), tear_px=17)


def test_read_only_and_strided_input_is_taken_and_left_alone() -> None:
    frame = random_frame(6, 70)
    disparity = np.random.default_rng(2).normal(0, 2, (12, 70)).astype(np.float32)[::2]
    for values in (*frame.planes, disparity):
        values.flags.writeable = False
    fresh = splat(frame, disparity)
    again = splat(random_frame(6, 70), disparity.copy())
    np.testing.assert_array_equal(fresh.frame.y, again.frame.y)
    np.testing.assert_array_equal(fresh.source_x, again.source_x)


def test_a_smooth_picture_is_resampled_to_what_it_is_between_the_samples() -> None:
    def wave(place: NDArray[np.float64]) -> NDArray[np.float64]:
        return 120 + 90 * np.sin(place / 3)

    x = np.arange(200, dtype=np.float64)
    frame = random_frame(2, 200)
    frame.y[:] = np.rint(wave(x))
    frame.u[:], frame.v[:] = np.rint(wave(x[:100])), np.rint(wave(x[:100] + 1))
    made = splat(frame, np.full((2, 200), -7.3, np.float32)).frame
    np.testing.assert_allclose(made.y[0, 12:-4], wave(x - 7.3)[12:-4], atol=1.6)
    np.testing.assert_allclose(made.u[0, 8:-4], wave(x[:100] - 3.65)[8:-4], atol=2.5)


def test_no_colour_crosses_a_silhouette() -> None:
    frame = random_frame(2, 120)
    frame.y[:], frame.u[:], frame.v[:] = 40, 90, 90
    frame.y[:, 50:80], frame.u[:, 25:40], frame.v[:, 25:40] = 200, 160, 160
    disparity = np.full((2, 120), 0.3, np.float32)
    disparity[:, 50:80] = 9.6
    made = splat(frame, disparity)
    assert set(np.unique(made.frame.y)) == {0, 40, 200}
    assert set(np.unique(made.frame.u)) == {128, 90, 160}


def test_chroma_takes_every_second_position_of_every_second_row() -> None:
    frame = random_frame(6, 90)
    disparity = np.zeros((6, 90), np.float32)
    disparity[2:4] = 8
    made = splat(frame, disparity).frame
    np.testing.assert_array_equal(made.v[1, :41], frame.v[1, 4:])
    np.testing.assert_array_equal(made.v[[0, 2]], frame.v[[0, 2]])
    assert (made.v[1, 41:] == 128).all()
