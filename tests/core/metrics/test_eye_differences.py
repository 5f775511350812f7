import cv2
import numpy as np
import pytest

from spatialdreamer_core.metrics.eyes import (
    chroma_difference,
    halve_until,
    luma_difference,
    sharpness,
    sharpness_ratio,
    vertical_disparity,
)


@pytest.mark.parametrize("bits", [8, 10])
def test_a_brighter_right_eye_differs_by_its_8_bit_levels(make_frame, bits):
    left, right = (make_frame(np.full((6, 10), level), bits=bits) for level in (100, 107))
    assert luma_difference(left, right) == 7.0
    assert luma_difference(right, left) == -7.0


@pytest.mark.parametrize("bits", [8, 10])
def test_a_colour_cast_is_the_distance_of_the_mean_chroma(make_frame, bits):
    luma = np.full((6, 10), 50)
    assert chroma_difference(make_frame(luma, bits=bits), make_frame(luma, u=131, v=124, bits=bits)) == 5.0
    assert chroma_difference(make_frame(luma, bits=bits), make_frame(luma, bits=bits)) == 0.0


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_sharpness_is_the_variance_of_the_laplacian(dtype):
    luma = np.random.default_rng(1).integers(0, 255 if dtype == np.uint8 else 1023, (9, 13)).astype(dtype)
    p = luma.astype(np.int64)
    laplacian = p[:-2, 1:-1] + p[2:, 1:-1] + p[1:-1, :-2] + p[1:-1, 2:] - 4 * p[1:-1, 1:-1]
    assert sharpness(luma) == pytest.approx(laplacian.var())


def test_a_blurred_right_eye_is_less_sharp(texture):
    assert sharpness_ratio(texture, texture) == 1.0
    assert sharpness_ratio(texture, np.asarray(cv2.GaussianBlur(texture, (0, 0), 2), np.uint8)) < 0.5


def test_a_flat_left_eye_has_no_sharpness_ratio():
    assert sharpness_ratio(np.full((5, 7), 9, np.uint8), np.zeros((5, 7), np.uint8)) is None
    assert sharpness(np.zeros((2, 7), np.uint8)) == 0.0


def test_a_right_eye_shifted_along_its_rows_has_no_vertical_disparity(texture):
    found = vertical_disparity(texture[:, :240], texture[:, 5:245])
    assert found is not None
    assert found.points >= 16
    assert found.p95_abs_px < 0.05


def test_a_right_eye_that_stands_higher_has_positive_vertical_disparity(texture):
    found = vertical_disparity(texture[:117, :240], texture[3:120, 4:244])
    assert found is not None
    assert found.median_px == pytest.approx(3.0, abs=0.05)
    assert found.mean_abs_px == pytest.approx(3.0, abs=0.1)


def test_vertical_disparity_counts_rows_of_the_full_picture(texture):
    large = np.asarray(cv2.resize(texture, (2560, 1200), interpolation=cv2.INTER_CUBIC), np.uint8)
    found = vertical_disparity(large[:-8], large[8:])
    assert found is not None
    assert found.median_px == pytest.approx(8.0, abs=0.2)


def test_10_bit_eyes_match_as_well_as_8_bit(texture):
    deep = texture.astype(np.uint16) * 4
    found = vertical_disparity(deep[:118], deep[2:])
    assert found is not None
    assert found.median_px == pytest.approx(2.0, abs=0.05)


def test_a_flat_picture_has_no_vertical_disparity():
    flat = np.full((64, 96), 80, np.uint8)
    assert vertical_disparity(flat, flat) is None


def test_halving_keeps_the_mean_and_stops_in_time(texture):
    assert halve_until(texture, 256) is texture
    small = halve_until(texture, 100)
    assert small.shape == (30, 64)
    assert small.mean() == pytest.approx(texture.mean(), abs=0.6)
