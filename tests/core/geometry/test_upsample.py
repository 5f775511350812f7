import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.geometry.upsample import upsample_disparity

H, W, h, w = 60, 112, 15, 28


def low_grid(values: NDArray[np.float64]) -> NDArray[np.float32]:
    return cv2.resize(values.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)


def guide_of(luma: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(luma, (w, h), interpolation=cv2.INTER_AREA)


def test_a_constant_stays_exact():
    luma = np.random.default_rng(0).integers(0, 255, (H, W)).astype(np.uint8)
    out = upsample_disparity(np.full((h, w), 3.25, np.float32), guide_of(luma), luma)
    assert out.shape == (H, W)
    assert np.allclose(out, 3.25, atol=1e-6)


def test_a_slanted_plane_stays_a_slanted_plane_whatever_the_texture():
    y, x = np.mgrid[:H, :W]
    plane = 0.08 * x - 0.03 * y
    luma = np.random.default_rng(1).integers(0, 255, (H, W)).astype(np.uint8)
    out = upsample_disparity(low_grid(plane), guide_of(luma), luma, foreground_dilation_px=2)
    assert np.abs(out - plane)[4:-4, 4:-4].max() < 0.02


@pytest.mark.parametrize("edge", [38, 39, 40, 41])
@pytest.mark.parametrize("bits", [8, 10])
def test_a_step_lies_on_the_edge_of_the_luma_plane(edge, bits):
    dtype, scale = (np.uint8, 1) if bits == 8 else (np.uint16, 4)
    luma = np.full((H, W), 60 * scale, dtype)
    luma[:, :edge] = 180 * scale
    near = np.zeros((H, W))
    near[:, :40] = 8.0
    out = upsample_disparity(low_grid(near), guide_of(luma), luma, foreground_dilation_px=0)
    assert np.allclose(out, np.where(np.arange(W) < edge, 8.0, 0.0), atol=1e-5)


def test_no_disparity_lies_between_the_two_sides_of_a_step():
    rng = np.random.default_rng(2)
    luma = rng.integers(90, 110, (H, W)).astype(np.uint8)
    near = np.zeros((H, W))
    near[:, 40:80] = 10.0
    out = upsample_disparity(low_grid(near), guide_of(luma), luma)
    assert set(np.unique(out.round(4))) == {0.0, 10.0}


@pytest.mark.parametrize("grown", [0, 1, 2])
def test_the_nearer_side_grows_to_both_sides(grown):
    luma = np.full((H, W), 60, np.uint8)
    luma[:, 40:80] = 200
    near = np.where(luma > 100, 10.0, -2.0)
    out = upsample_disparity(low_grid(near), guide_of(luma), luma, foreground_dilation_px=grown)
    assert (out > 4.0).sum(axis=1).tolist() == [40 + 2 * grown] * H


def test_a_dent_of_one_row_is_closed_and_the_nearer_side_grows_by_one_row():
    luma = np.full((H, W), 60, np.uint8)
    luma[20:40, 40:80] = 200
    luma[30, 40:80] = 60
    near = np.zeros((H, W))
    near[20:40, 40:80] = 9.0
    out = upsample_disparity(low_grid(near), guide_of(luma), luma, foreground_dilation_px=1)
    assert (out[19:41, 39:81] > 4).all()
    assert (out > 4).sum() == 22 * 42


def test_a_map_of_the_same_size_and_one_pixel_come_through():
    luma = np.zeros((4, 6), np.uint8)
    ramp = np.tile(np.linspace(0, 1, 6, dtype=np.float32), (4, 1))
    assert np.allclose(upsample_disparity(ramp, luma, luma), ramp, atol=1e-6)
    single = upsample_disparity(np.full((1, 1), 2.0, np.float32), luma[:1, :1], luma[:1, :1])
    assert single.tolist() == [[2.0]]


def test_a_guide_that_does_not_fit_is_refused():
    luma = np.zeros((H, W), np.uint8)
    with pytest.raises(ValueError, match="guide_low must be"):
        upsample_disparity(np.zeros((h, w), np.float32), np.zeros((h, w + 1), np.uint8), luma)
    with pytest.raises(ValueError, match="uint8"):
        upsample_disparity(np.zeros((h, w), np.float32), np.zeros((h, w), np.uint16), luma)
