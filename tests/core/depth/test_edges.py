import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.depth.edges import snap_edges

H, W = 60, 90


def soft_step(edge: int, width_sigma: float = 2.0) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A step from 0.8 to 0.2 and the same step as a network would give it."""
    step = np.where(np.arange(W) < edge, 0.8, 0.2).astype(np.float32) * np.ones((H, 1), np.float32)
    return step, cv2.GaussianBlur(step, (0, 0), width_sigma, borderType=cv2.BORDER_REPLICATE)


def shapes(seed: int) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Discs before a textured wall."""
    rng = np.random.default_rng(seed)
    depth = np.full((H, W), 0.2, np.float32)
    guide = rng.normal(90, 10, (H, W)).astype(np.float32)
    for x, y, radius, near in ((25, 30, 14, 0.8), (62, 25, 11, 0.6)):
        disc = np.zeros((H, W), np.uint8)
        cv2.circle(disc, (x, y), radius, 1, -1)
        depth[disc > 0] = near
        guide[disc > 0] += 70
    return depth, np.clip(cv2.GaussianBlur(guide, (0, 0), 0.7), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("offset", [-2, 0, 2])
def test_a_ramp_becomes_a_step_on_the_edge_of_the_picture(offset):
    step, _ = soft_step(40)
    _, soft = soft_step(40 + offset)
    guide = np.where(step > 0.5, 180, 60).astype(np.uint8)
    out = snap_edges(soft, guide)
    assert (np.abs(out - step) > 0.1).mean() < 0.35 * (np.abs(soft - step) > 0.1).mean()
    assert np.abs(out - step).mean() < 0.4 * np.abs(soft - step).mean()


def test_without_an_edge_in_the_picture_the_ramp_still_becomes_a_step():
    step, soft = soft_step(40)
    out = snap_edges(soft, np.full((H, W), 90, np.uint8))
    assert np.abs(out - step).mean() < 0.5 * np.abs(soft - step).mean()


def test_round_things_come_nearer_to_the_truth():
    depth, guide = shapes(0)
    soft = cv2.GaussianBlur(depth, (0, 0), 2.0)
    for picture in (guide, np.repeat(guide[:, :, None], 3, axis=2)):
        out = snap_edges(soft, picture)
        assert np.abs(out - depth).mean() < 0.5 * np.abs(soft - depth).mean()


@pytest.mark.parametrize("slope", [0.002, 0.01, 0.02])
def test_a_slanted_plane_stays_a_slanted_plane(slope):
    y, x = np.mgrid[:H, :W]
    plane = np.clip(slope * x / 2 + slope * y / 3, 0, 4).astype(np.float32)
    guide = np.random.default_rng(3).integers(0, 255, (H, W)).astype(np.uint8)
    out = snap_edges(plane, guide)
    assert np.abs(out - plane)[13:-13, 13:-13].max() == 0


def test_a_plateau_between_near_and_far_stays():
    depth = np.full((H, W), 0.1, np.float32)
    depth[:, 20:50] = 0.9
    depth[:, 50:62] = 0.5
    guide = (255 * depth).astype(np.uint8)
    assert np.abs(snap_edges(depth, guide) - depth)[:, 53:59].max() < 1e-6


@pytest.mark.parametrize("levels", [1, 2])
def test_tiny_noise_of_the_picture_does_not_flicker_in_depth(levels):
    depth, guide = shapes(1)
    soft = cv2.GaussianBlur(depth, (0, 0), 2.0)
    noise = np.random.default_rng(4).integers(-levels, levels + 1, guide.shape)
    noisy = np.clip(guide.astype(int) + noise, 0, 255).astype(np.uint8)
    change = np.abs(snap_edges(soft, noisy) - snap_edges(soft, guide))
    assert change.max() < 0.08 * levels
    assert change.mean() < 0.0003 * levels


def test_a_thin_line_is_neither_cut_nor_widened():
    depth = np.full((H, W), 0.2, np.float32)
    guide = np.full((H, W), 90, np.uint8)
    cv2.line(depth, (10, 5), (60, 50), 0.7, 2)
    cv2.line(guide, (10, 5), (60, 50), 190, 2)
    soft = cv2.GaussianBlur(depth, (0, 0), 1.0)
    out = snap_edges(soft, guide)
    middle = 0.5 * (0.2 + soft.max())
    assert out[depth > 0.5].min() > middle - 0.05
    assert np.abs(out - depth).mean() < 0.8 * np.abs(soft - depth).mean()


def test_a_board_half_hidden_by_a_nearer_pole_keeps_its_depth():
    depth = np.full((H, W), 0.1, np.float32)
    depth[25:40, 20:70] = 0.45
    depth[:, 44:49] = 0.95
    guide = (200 * depth + 20).astype(np.uint8)
    out = snap_edges(cv2.GaussianBlur(depth, (0, 0), 1.2), guide)
    assert np.abs(out - depth)[29:36, 26:40].max() < 0.03
    assert np.abs(out - depth)[29:36, 53:64].max() < 0.03


def test_nothing_leaves_the_range_of_the_map_and_a_flat_map_stays():
    depth, guide = shapes(2)
    out = snap_edges(cv2.GaussianBlur(depth, (0, 0), 2.0), guide)
    assert out.min() >= 0.2 - 1e-6
    assert out.max() <= 0.8 + 1e-6
    flat = np.full((1, 1), 0.5, np.float32)
    assert snap_edges(flat, np.zeros((1, 1), np.uint8)).tolist() == [[0.5]]


def test_a_guide_of_another_size_is_refused():
    with pytest.raises(ValueError, match="guide must be"):
        snap_edges(np.zeros((H, W), np.float32), np.zeros((W, H), np.uint8))
