import numpy as np

from spatialdreamer_core.flow.consistency import (
    flow_confidence,
    forward_backward_confidence,
    inside,
    photometric_confidence,
    trusted_flow,
    warp_by_flow,
)

H, W = 20, 30


def constant_flow(dx: float, dy: float = 0.0) -> np.ndarray:
    return np.broadcast_to(np.float32([dx, dy]), (H, W, 2)).copy()


def ramp() -> np.ndarray:
    return np.tile(np.arange(W, dtype=np.float32), (H, 1))


def loop_forward_backward(ab: np.ndarray, ba: np.ndarray) -> np.ndarray:
    """For whole-pixel flow, so that no interpolation is needed."""
    good = np.zeros((H, W), bool)
    for y in range(H):
        for x in range(W):
            ex, ey = x + int(ab[y, x, 0]), y + int(ab[y, x, 1])
            if 0 <= ex < W and 0 <= ey < H:
                f, b = ab[y, x], ba[ey, ex]
                good[y, x] = ((f + b) ** 2).sum() <= 0.01 * ((f**2).sum() + (b**2).sum()) + 0.5
    return good


def test_no_flow_leaves_a_picture_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (H, W, 3), dtype=np.uint8)
    np.testing.assert_array_equal(warp_by_flow(picture, constant_flow(0)), picture)


def test_warping_pulls_from_where_the_flow_points_and_repeats_the_border() -> None:
    pulled = warp_by_flow(ramp(), constant_flow(3))
    np.testing.assert_array_equal(pulled[:, : W - 3], ramp()[:, 3:])
    np.testing.assert_array_equal(pulled[:, W - 3 :], W - 1)


def test_inside_is_false_where_the_flow_leaves_the_picture() -> None:
    kept = inside(constant_flow(0, -2))
    assert not kept[:2].any()
    assert kept[2:].all()


def test_forward_backward_agrees_with_a_plain_loop() -> None:
    rng = np.random.default_rng(1)
    ab = rng.integers(-3, 4, (H, W, 2)).astype(np.float32)
    ba = np.where(rng.random((H, W, 1)) < 0.7, constant_flow(1, -1), constant_flow(-2, 3)).astype(np.float32)
    np.testing.assert_array_equal(forward_backward_confidence(ab, ba), loop_forward_backward(ab, ba))


def test_a_flow_that_comes_back_is_believed_and_one_that_does_not_is_not() -> None:
    assert forward_backward_confidence(constant_flow(2), constant_flow(-2))[:, : W - 2].all()
    assert not forward_backward_confidence(constant_flow(2), constant_flow(0)).any()


def test_pictures_that_agree_are_believed_and_grain_costs_little() -> None:
    rng = np.random.default_rng(2)
    clean = np.full((H, W), 100, np.uint8)
    noisy = (clean + rng.normal(0, 4, (H, W))).round().astype(np.uint8)
    assert photometric_confidence(clean, clean, constant_flow(0)).min() == 1
    assert photometric_confidence(clean, noisy, constant_flow(0)).mean() > 0.95
    assert photometric_confidence(clean, clean + np.uint8(60), constant_flow(0)).max() < 0.01


def test_an_occluded_strip_is_not_believed() -> None:
    # a bright square moves 4 to the right over a still dark background
    a, b = (np.full((H, W), 40, np.uint8) for _ in range(2))
    a[5:15, 8:18] = b[5:15, 12:22] = 200
    ab, ba = constant_flow(0), constant_flow(0)
    ab[5:15, 8:18, 0], ba[5:15, 12:22, 0] = 4, -4
    trust = flow_confidence(a, b, ab, ba)
    assert trust[7:13, 18:22].max() < 0.01  # background that the square covers in b
    assert trust[7:13, 9:17].min() > 0.95  # the square itself
    assert trust[:3].min() == 1


def test_trusted_flow_has_the_confidence_of_both_checks_and_keeps_real_motion() -> None:
    rng = np.random.default_rng(3)
    a = np.repeat(np.repeat(rng.integers(0, 256, (H // 2, W // 2), dtype=np.uint8), 2, 0), 2, 1)
    ab, ba = constant_flow(3, -2), constant_flow(-3, 2)
    b = warp_by_flow(a, ba).astype(np.uint8)
    flow, trust = trusted_flow(a, b, ab, ba)
    np.testing.assert_array_equal(flow, ab)
    np.testing.assert_allclose(trust, flow_confidence(a, b, ab, ba), atol=1e-5)


def test_trusted_flow_takes_small_motion_on_a_still_scene_for_noise() -> None:
    rng = np.random.default_rng(4)
    a, b = (np.clip(100 + rng.normal(0, 4, (H, W)), 0, 255).astype(np.uint8) for _ in range(2))
    flow, trust = trusted_flow(a, b, constant_flow(0.4), constant_flow(-0.4))
    assert (flow == 0).mean() > 0.98
    assert trust.mean() > 0.9
