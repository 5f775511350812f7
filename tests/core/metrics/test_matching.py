import cv2
import numpy as np
import pytest

from spatialdreamer_core.metrics.eye_order import eye_order
from spatialdreamer_core.metrics.matching import Matched, agreement, match, match_by_flow

H, W = 96, 200


def texture(seed: int, width: int = W) -> np.ndarray:
    rough = np.random.default_rng(seed).uniform(0, 255, (H, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), 1.5)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 160).astype(np.uint8)


def pair(wall: int, board: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark wall and a bright board at whole disparities: left, right, true disparity of the left."""
    wide, front = texture(0, W + 80), texture(1, 40) + np.uint8(90)
    left, right = wide[:, 40 : 40 + W].copy(), wide[:, 40 + wall : 40 + wall + W].copy()
    left[20:70, 90:130] = front[20:70]
    right[20:70, 90 - board : 130 - board] = front[20:70]
    truth = np.full((H, W), wall, np.float32)
    truth[20:70, 90:130] = board
    return left, right, truth


def test_the_matcher_finds_whole_disparities_of_either_sign() -> None:
    for wall, board in ((2, 14), (-12, 3)):
        left, right, truth = pair(wall, board)
        found = match(left, right, min(wall, board), max(wall, board))
        assert found.known.mean() > 0.8
        error = np.abs(found.disparity - truth)[found.known]
        assert np.median(error) < 0.1
        assert np.mean(error > 1) < 0.03


def test_agreement_is_the_mean_distance_and_the_share_beyond_three_pixels() -> None:
    truth = np.full((10, 10), 20, np.float32)
    made = truth.copy()
    made[:, :3] += 4
    known = np.ones((10, 10), bool)
    result = agreement(Matched(made, known), truth, known)
    assert result is not None
    assert (result.epe, result.d1, result.coverage) == pytest.approx((1.2, 0.3, 1.0))


def test_five_percent_of_a_large_disparity_is_not_bad() -> None:
    truth, known = np.full((4, 4), 100, np.float32), np.ones((4, 4), bool)
    result = agreement(Matched(truth + 4, known), truth, known)
    assert result is not None
    assert result.d1 == 0
    assert agreement(Matched(truth, ~known), truth, known) is None


def test_another_convergence_is_no_error_if_said() -> None:
    truth, known = np.full((4, 4), 10, np.float32), np.ones((4, 4), bool)
    result = agreement(Matched(truth - 6, known), truth, known, offset_px=-6)
    assert result is not None
    assert result.epe == 0


@pytest.mark.parametrize(("wall", "board"), [(2, 14), (-16, -4), (-6, 6)])
def test_swapped_eyes_are_seen_wherever_the_screen_lies(wall: int, board: int) -> None:
    left, right, _ = pair(wall, board)
    assert eye_order(left, right).order == "right"
    assert eye_order(right, left).order == "swapped"


def test_the_order_of_two_equal_pictures_is_unknown() -> None:
    left, _, _ = pair(2, 14)
    assert eye_order(left, left).order == "unknown"


class KnownFlow:
    """Flow that is true everywhere but in one column of places, where it does not lead back."""

    name, colour = "known", True

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        self.asked.append(first.shape)
        flow = np.zeros((H, W, 2), np.float32)
        flow[..., 0] = -7 if len(self.asked) % 2 else 7
        flow[:, 50, 0] = -3
        return flow


def test_flow_between_the_eyes_is_disparity_and_trusted_where_it_leads_back() -> None:
    left, right, _ = pair(7, 7)
    estimator = KnownFlow()
    found = match_by_flow(left, right, estimator)
    assert estimator.asked == [(H, W, 3), (H, W, 3)], "a network sees colour"
    assert (found.disparity[:, 60:] == 7).all()
    assert found.disparity[0, 50] == 3
    assert found.known[:, 60:].all()
    assert not found.known[:, 50].any()
