import cv2
import numpy as np
import pytest

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.flow.dis import create_flow, halve, upscale_flow

H, W = 72, 96


def texture(h: int = H, w: int = W, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (h, w), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX)


@pytest.mark.parametrize("name", ["dis-ultrafast", "dis-fast", "dis-medium"])
def test_a_shift_to_the_right_and_up_has_positive_dx_and_negative_dy(name: str) -> None:
    wide = texture(H + 20, W + 20)
    first, second = wide[10:-10, 10:-10], wide[12:-8, 7:-13]  # what first shows at x lies at x + 3 in second
    flow = create_flow(name).estimate(first, second)
    assert flow.shape == (H, W, 2)
    assert flow.dtype == np.float32
    np.testing.assert_allclose(np.median(flow[10:-10, 10:-10], axis=(0, 1)), (3, -2), atol=0.25)


def test_the_same_pictures_give_the_same_bits_whatever_was_asked_before_and_however_many_threads() -> None:
    a, b, c = (texture(seed=seed) for seed in range(3))
    used = create_flow("dis-fast")
    first = used.estimate(a, b)
    used.estimate(c, a)
    np.testing.assert_array_equal(used.estimate(a, b), first)
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        np.testing.assert_array_equal(create_flow("dis-fast").estimate(a, b), first)
    finally:
        cv2.setNumThreads(threads)


@pytest.mark.parametrize("shape", [(1, 1), (5, 40), (40, 5), (16, 16), (20, 150), (24, 400), (150, 20)])
def test_tiny_pictures_and_narrow_strips_get_a_finite_flow(shape: tuple[int, int]) -> None:
    picture = texture(*shape)
    flow = create_flow("dis-fast").estimate(picture, picture)
    assert flow.shape == (*shape, 2)
    assert np.isfinite(flow).all()


def test_pictures_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="two"):
        create_flow("dis-fast").estimate(texture(20, 30), texture(30, 20))


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="dis-medium"):
        create_flow("raft")


def test_flow_of_the_halved_pictures_doubles_when_scaled_up() -> None:
    assert halve(texture(7, 9)).shape == (4, 5)
    up = upscale_flow(np.full((10, 20, 2), (1.5, -1.0), np.float32), 20, 40)
    np.testing.assert_allclose(up, np.broadcast_to(np.float32([3, -2]), (20, 40, 2)))


def test_flow_does_not_depend_on_the_sizes_of_the_pictures_before():
    rng = np.random.default_rng(5)
    large = cv2.GaussianBlur(rng.integers(0, 256, (90, 160)).astype(np.uint8), (0, 0), 2)
    moved = np.roll(large, (1, 3), (0, 1))
    fresh, used = create_flow("dis-fast"), create_flow("dis-fast")
    tiny = large[:20, :24].copy()
    used.estimate(tiny, tiny)
    np.testing.assert_array_equal(used.estimate(large, moved), fresh.estimate(large, moved))
