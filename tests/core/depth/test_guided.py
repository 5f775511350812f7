import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.depth.guided import guided_filter, sharpen_depth

H, W, EDGE = 60, 90, 41


def two_colours() -> NDArray[np.uint8]:
    picture = np.zeros((H, W, 3), np.uint8)
    picture[:, :EDGE], picture[:, EDGE:] = (200, 60, 40), (60, 90, 180)
    return picture


def soft_and_beside(shift: int) -> NDArray[np.float32]:
    """A ramp of 8 columns whose middle lies beside the picture's edge."""
    ramp = np.clip((EDGE + shift + 4 - np.arange(W)) / 8, 0, 1)
    return np.broadcast_to(0.2 + 0.6 * ramp, (H, W)).astype(np.float32).copy()


@pytest.mark.parametrize("shift", [-3, 0, 3])
def test_a_soft_edge_beside_the_pictures_becomes_a_step_on_it(shift: int) -> None:
    sharp = sharpen_depth(soft_and_beside(shift), two_colours())
    step = np.abs(np.diff(sharp[H // 2]))
    assert abs(int(step.argmax()) + 1 - EDGE) <= 1
    assert step.max() > 0.35


def test_a_constant_stays_and_a_plane_stays_nearly() -> None:
    constant = np.full((H, W), 0.4, np.float32)
    np.testing.assert_allclose(sharpen_depth(constant, two_colours()), constant, atol=1e-4)
    plane = np.broadcast_to(np.linspace(0, 1, H, dtype=np.float32)[:, None], (H, W)).copy()
    grey = np.full((H, W, 3), 128, np.uint8)
    np.testing.assert_allclose(sharpen_depth(plane, grey)[12:-12], plane[12:-12], atol=0.02)


def test_fast_filter_agrees_with_the_plain_formula() -> None:
    rng = np.random.default_rng(0)
    values = rng.random((24, 30), dtype=np.float32)
    picture = rng.integers(0, 256, (24, 30, 3), dtype=np.uint8)
    # on pictures made of 2x2 blocks, statistics of every second pixel are those of all
    values, picture = values.repeat(2, 0).repeat(2, 1), picture.repeat(2, 0).repeat(2, 1)
    fast = guided_filter(values, picture, radius=6)
    guide = picture[::2, ::2].reshape(24, 30, 3) / 255
    small, slopes = values[::2, ::2].astype(float), np.zeros((24, 30, 4))
    windows = [(slice(y - 3, y + 4), slice(x - 3, x + 4)) for y in range(3, 21) for x in range(3, 27)]
    for (rows, columns), (y, x) in zip(windows, [(y, x) for y in range(3, 21) for x in range(3, 27)], strict=True):
        colours, depth = guide[rows, columns].reshape(-1, 3), small[rows, columns].ravel()
        spread = (colours.T @ colours) / len(colours) - np.outer(colours.mean(0), colours.mean(0))
        along = (colours.T @ depth) / len(colours) - colours.mean(0) * depth.mean()
        slope = np.linalg.solve(spread + 1e-3 * np.eye(3), along)
        slopes[y, x] = *slope, depth.mean() - slope @ colours.mean(0)
    y, x = 12, 15
    mean = slopes[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 4).mean(0)
    plain = mean[:3] @ guide[y, x] + mean[3]
    # full-size pixels 2y and 2y + 1 lie around the small one: coefficients are interpolated there
    assert fast[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() == pytest.approx(plain, abs=0.03)


def test_tiny_pictures_do_not_crash() -> None:
    for shape in ((2, 2), (2, 40), (40, 2)):
        picture = np.zeros((*shape, 3), np.uint8)
        assert sharpen_depth(np.full(shape, 0.3, np.float32), picture).shape == shape
