import cv2
import numpy as np
import pytest

from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.geometry.splat import forward_map
from spatialdreamer_core.metrics.e_warp import PairFlow, carried_flow, masked, pair_flow, warp_error
from tests.core.geometry.world import World

H, W = 40, 70


def moved(dx: float, dy: float = 0.0) -> np.ndarray:
    flow = np.zeros((H, W, 2), np.float32)
    flow[..., 0], flow[..., 1] = dx, dy
    return flow


def texture(shift: int = 0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (H, W + 40, 3), np.uint8)[:, 20 - shift : 20 - shift + W]


def grey_rgb(world: World, t: int, eye: str) -> np.ndarray:
    return np.repeat(getattr(world, eye)(t).y[..., None], 3, axis=2)


def test_a_picture_that_moves_as_its_flow_says_has_no_error() -> None:
    flow = masked(moved(3), moved(-3))
    inner = np.zeros((H, W), bool)
    inner[:, : W - 3] = True
    assert warp_error(texture(), texture(3), flow, inner) == 0
    assert warp_error(texture(), texture(0), flow, inner) > 0.05


def test_a_change_of_51_levels_everywhere_is_an_error_of_0_04() -> None:
    first, second = np.full((H, W, 3), 100, np.uint8), np.full((H, W, 3), 151, np.uint8)
    assert warp_error(first, second, masked(moved(0), moved(0))) == pytest.approx(0.04)


def test_flows_that_do_not_return_are_occluded_beyond_the_tolerance_of_the_paper() -> None:
    for back, visible in ((-3.0, True), (-2.1, False), (-2.3, True)):  # gap^2 against 0.01 (9 + b^2) + 0.5
        assert masked(moved(3), moved(back)).visible[20, 30] == visible


def test_a_motion_boundary_does_not_count() -> None:
    flow = moved(0)
    flow[:, 30:] = 1.0
    visible = masked(flow, -flow).visible
    assert not visible[10, 29]
    assert visible[10, 28]
    assert visible[10, 35]


def test_only_the_mask_counts_and_an_empty_one_gives_nothing() -> None:
    second = texture()
    second = second.copy()
    second[:10] ^= 1
    flow = masked(moved(0), moved(0))
    top = np.zeros((H, W), bool)
    top[:10] = True
    assert warp_error(texture(), second, flow, top) == pytest.approx(1 / 255**2)
    assert warp_error(texture(), second, flow, ~top) == 0
    assert warp_error(texture(), second, PairFlow(moved(0), np.zeros((H, W), bool))) is None


def carried(world: World, t: int) -> tuple[PairFlow, np.ndarray]:
    """The world's exact motion, brought to the right eye."""
    now, then = world.disparity(t), world.disparity(t + 1)
    flows = []
    for disparity, sign in ((now, 1), (then, -1)):
        flow = np.zeros((world.height, world.width, 2), np.float32)
        flow[..., 0] = np.where(disparity == world.board_disparity, world.speed - world.pan, -world.pan) * sign
        flows.append(flow)
    shown, next_shown = forward_map(now), forward_map(then)
    return carried_flow(flows[0], flows[1], now, then, shown, next_shown), np.isnan(shown)


def test_the_true_right_view_has_no_error_along_the_motion_carried_from_the_left() -> None:
    world = World(pan=2, speed=6)
    flow, hole = carried(world, 0)
    assert hole.any()
    first, second = grey_rgb(world, 0, "right"), grey_rgb(world, 1, "right")
    assert flow.visible.mean() > 0.8
    assert warp_error(first, second, flow) < 1e-3
    assert warp_error(first, first, flow) > 0.005


def test_a_hole_moves_with_the_background_and_its_flicker_is_seen_there() -> None:
    world = World(pan=2, speed=6)
    flow, hole = carried(world, 0)
    inner = hole.copy()
    inner[:, -30:] = False
    assert np.abs(flow.forward[inner][:, 0] + 2).max() < 1e-4
    first, second = grey_rgb(world, 0, "right"), grey_rgb(world, 1, "right").copy()
    steady = warp_error(first, second, flow, inner)
    second[:, 40:] = np.clip(second[:, 40:].astype(int) + 26, 0, 255).astype(np.uint8)
    assert warp_error(first, second, flow, inner) > steady + 0.005


def test_dis_finds_the_motion_of_a_shifted_picture() -> None:
    rng = np.random.default_rng(1)
    wide = cv2.GaussianBlur(rng.uniform(0, 255, (96, 200, 3)).astype(np.float32), (0, 0), 2)
    wide = ((wide - wide.min()) / np.ptp(wide) * 255).astype(np.uint8)
    first, second = wide[:, 20:180].copy(), wide[:, 17:177].copy()
    flow = pair_flow(first, second, create_flow("dis-medium"))
    assert np.median(flow.forward[..., 0]) == pytest.approx(3, abs=0.1)
    assert warp_error(first, second, flow) < 3e-4
    assert warp_error(first, first, flow) > 3e-3


def test_an_estimator_that_sees_colour_is_given_colour_and_others_grey() -> None:
    class Seeing:
        name = "seeing"

        def __init__(self, *, colour: bool) -> None:
            self.colour, self.shapes = colour, set[tuple[int, ...]]()

        def estimate(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
            self.shapes.add(first.shape)
            return moved(0)

    for colour, shape in ((True, (H, W, 3)), (False, (H, W))):
        estimator = Seeing(colour=colour)
        pair_flow(texture(), texture(), estimator)
        assert estimator.shapes == {shape}
