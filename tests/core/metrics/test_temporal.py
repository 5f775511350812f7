import numpy as np
import pytest

from spatialdreamer_core.flow.consistency import forward_backward_confidence
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.metrics.temporal import (
    SmallStereo,
    Steps,
    WarpErrorMean,
    agreeing,
    right_view_source,
    shrink_stereo,
    warp_error,
)


class GivenFlow:
    """An estimator that knows the motion: ``(dx, dy)`` from the first picture asked about, back from the second."""

    name = "given"

    def __init__(self, dx: float, dy: float = 0.0) -> None:
        self._next = np.array([dx, dy], np.float32)

    def estimate(self, first, second):
        flow = np.tile(self._next, (*first.shape, 1))
        self._next = -self._next
        return flow


def loop_right_view_source(disparity):
    source = np.full(disparity.shape, -1, np.int32)
    for y, x in np.ndindex(*disparity.shape):
        target = int(np.floor(x - disparity[y, x] + 0.5))
        if 0 <= target < disparity.shape[1]:
            source[y, target] = max(source[y, target], x)
    return source


def stereo(left, right=None, *, hole=None, disparity=0.0):
    right = left if right is None else right
    hole = np.zeros(left.shape, np.bool_) if hole is None else hole
    return SmallStereo(left, right, hole, np.full(left.shape, disparity, np.float32))


def mean(sums):
    return sums[0] / sums[1]


def test_the_right_view_shows_the_nearest_of_what_lands():
    disparity = np.random.default_rng(3).uniform(-4, 4, (5, 23)).astype(np.float32)
    np.testing.assert_array_equal(right_view_source(disparity), loop_right_view_source(disparity))
    assert right_view_source(np.full((1, 5), 2.0, np.float32)).tolist() == [[2, 3, 4, -1, -1]]


def test_agreement_of_flows_is_the_cores_own_in_every_second_row():
    rng = np.random.default_rng(5)
    forward, noise = (rng.uniform(-3, 3, (24, 31, 2)).astype(np.float32) for _ in range(2))
    backward = -forward + noise * np.float32(0.3)
    ours, full = agreeing(forward, backward), forward_backward_confidence(forward, backward)
    assert 0.05 < full.mean() < 0.95
    assert (ours[::2] == full[::2]).mean() > 0.99  # one interpolates at 1/32 pixel
    assert not ours[1::2].any()


def test_a_still_picture_has_no_warp_error(texture):
    error = warp_error(stereo(texture), stereo(texture), create_flow("dis-fast"))
    assert error.left[0] < 1e-6 * error.left[1]
    assert error.right[1] > 0.4 * texture.size
    assert error.right[0] < 1e-6 * error.right[1]
    assert error.hole == (0.0, 0)


def test_what_moves_along_the_flow_has_no_warp_error(texture):
    before, after = stereo(texture[:, 8:200].copy()), stereo(texture[:, 5:197].copy())
    error = warp_error(before, after, GivenFlow(3))
    assert mean(error.left) == 0.0
    assert mean(error.right) == 0.0


def test_the_flow_of_the_made_eye_is_the_sources_carried_by_disparity(texture):
    # the source stands still, its disparity grows from 2 to 5: the made eye moves left by 3
    left = texture[:, 20:220].copy()
    before = stereo(left, texture[:, 22:222].copy(), disparity=2.0)
    after = stereo(left, texture[:, 25:225].copy(), disparity=5.0)
    error = warp_error(before, after, GivenFlow(0))
    assert mean(error.right) == 0.0
    assert mean(error.eyes) == 0.0
    wrong = warp_error(before, stereo(left, after.right, disparity=2.0), GivenFlow(0))
    assert mean(wrong.right) > 1e-3


def test_a_pulse_of_the_made_eye_is_its_square(texture):
    after = stereo(texture, texture + np.uint8(10))
    error = warp_error(stereo(texture), after, GivenFlow(0))
    assert mean(error.left) == 0.0
    assert mean(error.right) == pytest.approx((10 / 255) ** 2)


def test_the_eyes_residual_is_in_levels(texture):
    before = stereo(texture, texture - np.uint8(4))
    assert mean(warp_error(before, before, GivenFlow(0)).eyes) == pytest.approx(4.0)


def test_holes_are_judged_apart(texture):
    hole = np.zeros(texture.shape, np.bool_)
    hole[:, 50:60] = True
    flickering = texture.copy()
    flickering[:, 50:60] += np.uint8(20)
    error = warp_error(stereo(texture, hole=hole), stereo(texture, flickering, hole=hole), GivenFlow(0))
    assert error.hole[1] == 10 * texture.shape[0] // 2
    assert mean(error.hole) == pytest.approx((20 / 255) ** 2)
    assert mean(error.right) == 0.0


def test_what_becomes_hidden_does_not_count(texture):
    nearer = stereo(texture)
    nearer.disparity[:, 100:140] = 12.0  # steps in front: the made eye shows it from column 88 on, over 12 others
    error = warp_error(stereo(texture), nearer, GivenFlow(0))
    assert error.left[1] - error.right[1] == 12 * texture.shape[0] // 2


def test_small_pictures_scale_disparity_and_holes(make_frame):
    hole = np.zeros((48, 640), np.bool_)
    hole[:, 100:120] = True
    frame = make_frame(np.full((48, 640), 90), bits=10)
    small = shrink_stereo(frame, frame, hole, np.full((12, 80), 6.0, np.float32))
    assert small.left.shape == small.disparity.shape == (24, 320)
    assert (small.left == 90).all()
    np.testing.assert_allclose(small.disparity, 3.0)
    assert small.hole[0].nonzero()[0].tolist() == list(range(50, 60))


def test_pairs_weigh_the_same_and_absence_is_none():
    total = WarpErrorMean()
    assert total.mean("left") is None
    pair = warp_error(stereo(np.zeros((20, 24), np.uint8)), stereo(np.full((20, 24), 51, np.uint8)), GivenFlow(0))
    total.add(pair)
    assert total.mean("left") == pytest.approx(0.04)
    assert total.mean("hole") is None


def test_steps_count_only_from_the_frame_right_before():
    steps = Steps()
    assert (steps.mean, steps.mean_step, steps.largest_step) == (None, None, None)
    for index, value in ((4, 1.0), (5, 3.0), (6, 2.0), (9, 50.0)):
        steps.add(index, value)
    assert (steps.first, steps.last, steps.highest) == (1.0, 50.0, 50.0)
    assert (steps.mean, steps.mean_step, steps.largest_step) == (14.0, 1.5, 2.0)
