import numpy as np
import pytest

from spatialdreamer_core.depth import camera_motion as motion_of
from spatialdreamer_core.depth import parallax
from spatialdreamer_core.depth.camera_motion import FOCAL_OF_WIDTH, along_travel, camera_motion
from spatialdreamer_core.depth.parallax import find_parallax, fuse, rehearse

H, W = 120, 200
FOCAL = FOCAL_OF_WIDTH * W


def textured_grey():
    return np.random.default_rng(0).integers(0, 255, (H, W)).astype(np.uint8)


def places():
    y, x = np.mgrid[:H, :W].astype(np.float64)
    return (x - (W - 1) / 2) / FOCAL, (y - (H - 1) / 2) / FOCAL


def truth():
    """A floor that comes nearer downwards, and a box in front of it."""
    inverse = np.repeat(np.linspace(0.05, 0.5, H)[:, None], W, axis=1)
    inverse[40:90, 60:110] = 0.8
    return inverse


def motion(inverse, travel=(0, 0, 0), turn=(0, 0, 0)):
    """The flow of Longuet-Higgins and Prazdny in pixels, written out."""
    x, y = places()
    tx, ty, tz = travel
    wx, wy, wz = turn
    u = inverse * (x * tz - tx) + wx * x * y - wy * (1 + x * x) + wz * y
    v = inverse * (y * tz - ty) + wx * (1 + y * y) - wy * x * y - wz * x
    return np.stack([u, v], axis=-1).astype(np.float32) * np.float32(FOCAL)


class Known:
    """Flow that is known: there, and back as it is seen from the partner."""

    name = "known"

    def __init__(self, flow):
        self.flows = [flow, -flow]

    def estimate(self, first, second):
        return self.flows.pop(0)


def parallax_of(flow, picture=None):
    grey = textured_grey() if picture is None else picture
    return find_parallax(Known(flow), grey, grey)


@pytest.fixture(autouse=True)
def flow_may_jump(monkeypatch):
    """The flow back is only about minus the flow there, so its check is left out."""
    monkeypatch.setattr(
        "spatialdreamer_core.depth.parallax.forward_backward_confidence",
        lambda there, back, slack_px2: np.ones(there.shape[:2], bool),
    )


@pytest.mark.parametrize("travel", [(0.2, 0, 0), (-0.15, 0.1, 0), (0.06, 0, 0.3), (0, 0, -0.3)])
def test_depth_comes_out_of_a_travelling_and_turning_camera(travel):
    found = parallax_of(motion(truth(), travel, (0.01, -0.015, 0.01)))
    assert found.usable > 0.9
    assert found.explained > 0.95
    sure = found.confidence > 0.5
    assert sure.mean() > 0.4
    assert np.corrcoef(found.inverse_depth[sure], truth()[sure])[0, 1] > 0.98


@pytest.mark.parametrize("turn", [(0, 0, 0), (0.05, 0, 0), (0.02, -0.06, 0.03)])
def test_a_camera_that_stands_or_only_turns_shows_no_parallax(turn):
    found = parallax_of(motion(truth(), turn=turn))
    assert found.usable == 0
    assert not found.confidence.any()


def test_what_moves_on_its_own_gets_no_confidence():
    flow = motion(truth(), (0.2, 0, 0))
    flow[20:60, 130:170, 1] += 9
    found = parallax_of(flow)
    assert found.confidence[25:55, 135:165].max() < 0.05
    assert found.confidence[40:90, 65:105].mean() > 0.5


def test_where_nothing_is_drawn_flow_is_not_believed():
    grey = textured_grey()
    grey[:, :90] = 120
    found = parallax_of(motion(truth(), (0.2, 0, 0)), grey)
    assert found.confidence[:, :80].max() < 0.05
    assert found.confidence[:, 110:].mean() > 0.5


def test_a_wrong_map_is_corrected_and_more_so_where_motion_is_sure():
    found = parallax_of(motion(truth(), (0.2, 0, 0), (0.01, 0, 0)))
    wrong = np.repeat(np.linspace(0, 1, H, dtype=np.float32)[:, None], W, axis=1) * np.float32(3) - 1  # sees no box
    fused = fuse(wrong, found)
    assert np.corrcoef(fused.inverse_depth.ravel(), truth().ravel())[0, 1] > 0.8
    assert np.corrcoef(wrong.ravel(), truth().ravel())[0, 1] < 0.7
    assert fused.inverse_depth[50:80, 70:100].mean() > wrong[50:80, 70:100].mean() + 0.5
    assert 0 <= fused.share.min() <= fused.share.max() <= 1


def test_regions_pass_into_each_other_without_a_jump():
    found = parallax_of(motion(truth(), (0.2, 0, 0)))
    found.confidence[:, :100] = 0
    ramp = np.repeat(np.linspace(0, 1, H, dtype=np.float32)[:, None], W, axis=1)
    floor = fuse(ramp, found).inverse_depth[100]  # below the box, where the truth is even
    assert np.abs(np.diff(floor)).max() < 0.1


def test_a_map_that_motion_contradicts_altogether_is_left_as_it_is():
    found = parallax_of(motion(truth(), (0.2, 0, 0)))
    reverse = (-truth()).astype(np.float32)
    assert np.array_equal(fuse(reverse, found).inverse_depth, reverse)


def test_without_parallax_the_map_is_left_as_it_is():
    found = parallax_of(motion(truth()))
    ramp = np.repeat(np.linspace(0, 1, H, dtype=np.float32)[:, None], W, axis=1)
    assert np.array_equal(fuse(ramp, found).inverse_depth, ramp)


@pytest.mark.parametrize("shape", [(2, 2), (8, 300), (40, 8)])
def test_tiny_pictures_show_nothing_and_break_nothing(shape):
    flow = np.zeros((*shape, 2), np.float32)
    grey = np.zeros(shape, np.uint8)
    found = find_parallax(Known(flow), grey, grey)
    assert found.confidence.shape == shape
    assert not found.confidence.any()


def test_a_rehearsal_loads_every_kernel_that_is_called():
    made = rehearse()
    assert made.share.max() > 0.3
    for kernel in (
        motion_of._left_by_a_turn,
        motion_of._search,
        along_travel,
        parallax._to_scale,
    ):
        assert kernel.signatures


def test_heading_and_turn_are_found_though_something_moves_on_its_own():
    heading, turn = np.array([0.6, -0.2, 0.8]) / np.linalg.norm([0.6, -0.2, 0.8]), (0.01, -0.02, 0.005)
    flow = motion(truth(), travel=tuple(0.1 * heading), turn=turn)
    flow[20:50, 160:] += 6
    found = camera_motion(flow, np.ones((H, W), np.float32))
    assert found is not None
    assert abs(found.heading @ heading) > 0.999  # either sign
    np.testing.assert_allclose(found.turn, turn, atol=2e-3)
    assert 0.9 < found.explained < 0.97
