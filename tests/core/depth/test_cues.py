import cv2
import numpy as np
import pytest

from spatialdreamer_core.depth.cues import CuesDepth, global_motion
from spatialdreamer_core.depth.protocol import DepthRequest, estimate

H, W = 108, 192


def texture(h: int, w: int, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 40, 215, cv2.NORM_MINMAX)


def depth_of(picture: np.ndarray, partner: np.ndarray | None = None) -> np.ndarray:
    pictures = [
        np.repeat(p[..., None], 3, -1) if p.ndim == 2 else p for p in (picture, picture if partner is None else partner)
    ]
    return estimate(CuesDepth(), DepthRequest(pictures[0][None], pictures[1][None], np.array([0]), np.array([0.0])))[0]


def test_the_bottom_of_a_still_picture_is_nearer_than_its_top() -> None:
    rows = depth_of(texture(H, W)).mean(axis=1)
    assert rows[-10:].mean() > rows[H // 2] > rows[:10].mean()


def test_what_moves_more_when_the_camera_travels_is_nearer_than_the_ramp_says() -> None:
    far, near = texture(H, W + 20), texture(H, W + 20, seed=1)
    first, second = far[:, 10 : W + 10].copy(), far[:, 9 : W + 9].copy()
    first[60:], second[60:] = near[60:, 10 : W + 10], near[60:, 4 : W + 4]
    step = depth_of(first, second)
    still = depth_of(first)
    assert step[75:].mean() - step[:45].mean() > 1.3 * (still[75:].mean() - still[:45].mean())


def test_a_figure_that_moves_before_a_still_background_stands_out() -> None:
    first, second = texture(H, W), texture(H, W)
    first[30:80, 70:110], second[30:80, 74:114] = texture(50, 40, seed=1), texture(50, 40, seed=1)
    depth = depth_of(first, second)
    assert depth[40:70, 80:100].mean() > depth[40:70, 20:50].mean() + 0.05


def test_the_same_request_gives_the_same_bits_alone_and_in_a_batch() -> None:
    pictures = np.stack([np.repeat(texture(H, W, seed)[..., None], 3, -1) for seed in range(3)])
    partners = np.roll(pictures, 2, axis=2)
    whole = CuesDepth().infer(DepthRequest(pictures, partners, np.arange(3), np.zeros(3)))
    for i in range(3):
        alone = CuesDepth().infer(DepthRequest(pictures[i : i + 1], partners[i : i + 1], np.array([i]), np.zeros(1)))
        np.testing.assert_array_equal(alone[0], whole[i])


def test_grain_hardly_changes_the_depth() -> None:
    rng = np.random.default_rng(0)
    clean = texture(H, W)
    noisy = [np.clip(clean + rng.normal(0, 4, clean.shape), 0, 255).astype(np.uint8) for _ in range(4)]
    a, b = depth_of(noisy[0], noisy[1]), depth_of(noisy[2], noisy[3])
    assert np.abs(a - b).mean() / a.std() < 0.03


@pytest.mark.parametrize("shape", [(2, 2), (16, 9), (40, 300), (300, 40)])
@pytest.mark.parametrize("value", [0, 255])
def test_odd_sizes_and_blank_pictures_give_finite_depth(shape: tuple[int, int], value: int) -> None:
    blank = np.full(shape, value, np.uint8)
    assert np.isfinite(depth_of(blank)).all()
    assert np.isfinite(depth_of(blank, np.full(shape, 255 - value, np.uint8))).all()


def test_global_motion_is_the_background_s_though_a_quarter_moves_otherwise() -> None:
    y, x = np.mgrid[:60, :100].astype(np.float32)
    pan = np.stack((2 + 0.02 * x, -1 + 0.02 * y), axis=-1)
    flow = pan.copy()
    flow[30:, :50] += (5, 3)
    np.testing.assert_allclose(global_motion(flow), pan, atol=0.15)
