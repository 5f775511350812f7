"""What the mini network is shown of a frame with a known hole."""

import numpy as np
import pytest

from spatialdreamer_core.models.mini.inputs import hole_maps, tile_inputs, tile_picture, tile_shift


@pytest.fixture
def frame() -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    """A foreground (disparity 10) at columns 40..59, a hole at 60..67, a background (disparity 2) elsewhere."""
    picture = np.zeros((150, 200, 3), np.uint8)
    picture[:] = np.arange(200)[None, :, None]
    source_x = np.arange(200, dtype=np.float32)[None].repeat(150, 0) + 2
    source_x[:, 40:60] += 8
    source_x[:, 60:68] = np.nan
    return picture, source_x


def test_a_hole_continues_its_background(frame) -> None:  # type: ignore[no-untyped-def]
    maps = hole_maps(*frame)
    assert maps.hole.sum() == 150 * 8
    assert np.all(maps.disparity[:, 60:68] == 2)
    assert np.all(maps.disparity[:, 40:60] == 10)
    assert np.array_equal(maps.depth[0, 60:68], np.arange(8)[::-1] + 0.5)
    # mirrored at its right end, one pixel left out for what the foreground may have smeared
    assert np.array_equal(maps.mirrored[0, 60:68, 0], np.arange(76, 68, -1))
    assert np.array_equal(maps.mirrored[0, 68:, 0], frame[0][0, 68:, 0])


def test_a_tile_tells_disparity_from_its_background_and_the_reference_lies_there(frame) -> None:  # type: ignore[no-untyped-def]
    maps = hole_maps(*frame)
    assert tile_shift(maps, 0, 0) == 2
    tile = tile_inputs(maps, 0, 0, 2)
    assert tile.shape == (9, 128, 128)
    assert tile.dtype == np.float32
    assert tile[7, 0, 0] == 0
    assert tile[7, 0, 50] == pytest.approx(8 / 16)
    assert tile[7, 0, 64] == 0
    assert tile[6, 0, 59] == 0
    assert tile[6, 0, 60] == 1
    assert tile[8, 0, 60] == pytest.approx(7.5 / 16)
    assert np.allclose(tile_picture(frame[0], 0, 2)[0, 0, :5] * 255, [2, 3, 4, 5, 6])


def test_a_tile_beyond_the_border_repeats_it(frame) -> None:  # type: ignore[no-untyped-def]
    picture = frame[0]
    tile = tile_picture(picture, 100, 150)
    assert np.allclose(tile[0, :, 60:] * 255, 199, atol=1e-3)
    assert np.array_equal(tile[:, 49], tile[:, 127])
    left = tile_inputs(hole_maps(*frame), -10, -20, 0)
    assert np.array_equal(left[:, :, 0], left[:, :, 19])
    assert np.array_equal(left[:, 0], left[:, 9])


def test_a_frame_without_holes_has_empty_maps(frame) -> None:  # type: ignore[no-untyped-def]
    picture, source_x = frame
    maps = hole_maps(picture, np.nan_to_num(source_x, nan=62))
    assert not maps.hole.any()
    assert not maps.depth.any()
    assert tile_shift(maps, 0, 0) == 2
