from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from spatialdreamer_core.dvg.config import ClipsConfig, MaskConfig, PairsConfig, WarpConfig
from spatialdreamer_core.dvg.make import make_pair
from spatialdreamer_core.dvg.refine import close_mask
from spatialdreamer_core.dvg.render import beyond_border
from spatialdreamer_core.errors import BadDepthError, ClipError, FlatDepthError, FlowError, ShortClipError

T, H, W = 4, 72, 136
CONFIG = PairsConfig(clips=ClipsConfig(frames=T, buckets=("136x72",)), mask=MaskConfig(store_flow=True))


def clip(step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """A bright square that moves right before a textured wall."""
    rng = np.random.default_rng(3)
    wall = np.kron(rng.integers(40, 120, (H // 4, W // 4, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    square = np.kron(rng.integers(150, 250, (8, 8, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    frames, depth = np.repeat(wall[None], T, axis=0), np.full((T, H, W), 0.1, np.float32)
    for t in range(T):
        x = 40 + t * step
        frames[t, 20:52, x : x + 32], depth[t, 20:52, x : x + 32] = square, 0.9
    return frames, depth


def only(mode: str, **warp: object) -> PairsConfig:
    settings = WarpConfig(double_share=float(mode == "double"), dilation_px=(0, 0), **warp)  # type: ignore[arg-type]
    return replace(CONFIG, warp=settings)


@pytest.mark.parametrize("mode", ["analytic", "double"])
def test_the_same_clip_gives_the_same_bytes(mode: str) -> None:
    first, metrics = make_pair(*clip(), only(mode), "a-0001")
    again, metrics_again = make_pair(*clip(), only(mode), "a-0001")
    for name in ("target", "condition", "reference", "mask", "disparity", "flow"):
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes(), name
    assert (first.meta, metrics) == (again.meta, metrics_again)
    assert first.meta["mode"] == mode
    assert first.key == "a-0001"
    assert first.flow is not None
    assert first.flow.shape == (T - 1, H, W, 2)


def test_the_analytic_condition_is_the_real_clip_outside_its_mask() -> None:
    frames, depth = clip()
    pair, _ = make_pair(frames, depth, only("analytic"), "a")
    assert (pair.condition[~pair.mask] == frames[~pair.mask]).all()
    assert (pair.condition[pair.mask] == 0).all()
    assert pair.target is frames


@pytest.mark.parametrize(("eye", "side"), [("left", 1), ("right", -1)])
def test_the_mask_lies_where_only_this_eye_sees_past_the_square(eye: str, side: int) -> None:
    """The left eye sees more of the wall on the left of a near thing, the right eye on its right."""
    name = next(n for n in map(str, range(99)) if make_pair(*clip(), only("double"), n)[0].meta["target_eye"] == eye)
    for mode in ("analytic", "double"):
        pair, _ = make_pair(*clip(), replace(only(mode), mask=MaskConfig(refine="off")), name)
        columns = np.nonzero(pair.mask[0, 36, 20:92])[0] + 20
        step = pair.disparity[0, 36, 56] - pair.disparity[0, 36, 30]
        assert len(columns) == pytest.approx(step, abs=1.01), mode
        assert (columns < 40).all() if side == 1 else (columns >= 72).all(), mode


def test_refinement_switches_only_add_to_the_mask_and_growth_is_recorded() -> None:
    found = {}
    for refine in ("off", "previous", "next", "soft", "union"):
        config = replace(only("analytic"), mask=MaskConfig(refine=refine))  # type: ignore[arg-type]
        pair, metrics = make_pair(*clip(), config, "a")
        found[refine] = pair.mask
        assert (metrics.mask_growth > 0) == bool((pair.mask & ~found["off"]).any())
        assert not (found["off"] & ~pair.mask).any()
        assert pair.flow is None
    assert ((found["previous"] | found["next"]) == found["union"]).all()
    assert not (found["soft"] & ~found["union"]).any()


def test_numbers_are_finite_and_a_clean_clip_is_for_training() -> None:
    pair, metrics = make_pair(*clip(), only("double", convergence=(0.5, 0.5)), "a")
    assert metrics.verdict == "train", metrics.reasons
    assert metrics.cycle_psnr_db > 30
    assert metrics.hole_share == pair.mask.mean()
    strength = pair.meta["disparity_pct"]
    assert metrics.disparity_p98_pct == pytest.approx(0.4 * strength, rel=1e-4)
    assert metrics.disparity_p02_pct == pytest.approx(-0.4 * strength, rel=1e-4)


def broken_depth(value: float) -> tuple[np.ndarray, np.ndarray]:
    frames, depth = clip()
    depth[2, 5, 7] = value
    return frames, depth


def noise() -> tuple[np.ndarray, np.ndarray]:
    frames, depth = clip()
    return np.random.default_rng(0).integers(0, 256, frames.shape, np.uint8), depth


@pytest.mark.parametrize(
    ("given", "error", "reason"),
    [
        (broken_depth(np.nan), BadDepthError, "depth_not_finite"),
        (broken_depth(np.inf), BadDepthError, "depth_not_finite"),
        (broken_depth(3.0), BadDepthError, "depth_not_finite"),
        ((clip()[0], np.full((T, H, W), 0.5, np.float32)), FlatDepthError, "depth_flat"),
        ((clip()[0][:3], clip()[1][:3]), ShortClipError, "too_short"),
        (noise(), FlowError, "flow_failed"),
    ],
)
def test_what_cannot_be_made_is_refused_with_its_reason(
    given: tuple[np.ndarray, np.ndarray], error: type[ClipError], reason: str
) -> None:
    with pytest.raises(error) as caught:
        make_pair(*given, replace(CONFIG, mask=MaskConfig(half_flow=False)), "a")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("frames", "depth"),
    [
        (np.zeros((T, H, W), np.uint8), np.zeros((T, H, W), np.float32)),
        (np.zeros((T, H, W, 3), np.float32), np.zeros((T, H, W), np.float32)),
        (np.zeros((T, H, W, 3), np.uint8), np.zeros((T, H, W + 1), np.float32)),
        (np.zeros((T, H, W, 3), np.uint8), np.zeros((T, H, W), np.float64)),
    ],
)
def test_wrong_shapes_are_the_callers_mistake(frames: np.ndarray, depth: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be"):
        make_pair(frames, depth, CONFIG, "a")


def test_closing_a_mask_fills_slits_and_adds_nothing_outside() -> None:
    mask = np.zeros((20, 30), np.bool_)
    mask[5:15, 8:20], mask[9, 12:16], mask[:, 0] = True, False, True
    closed = close_mask(mask, 1)
    assert closed[5:15, 8:20].all()
    assert closed.sum() == mask.sum() + 4
    assert close_mask(mask, 0) is mask


def another_noise_each_frame(depth: np.ndarray) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.stack([cv2.resize(rng.random((6, 6)).astype(np.float32), (W, H)) for _ in depth])


def one_inverted(depth: np.ndarray) -> np.ndarray:
    return np.concatenate([depth[:2], 1 - depth[2:3], depth[3:]])


def nearly_constant(depth: np.ndarray) -> np.ndarray:
    return np.asarray(0.5 + 0.05 * (depth - 0.5), np.float32)


def ramp(depth: np.ndarray) -> np.ndarray:
    return np.broadcast_to(np.linspace(0, 1, H, dtype=np.float32)[:, None], depth.shape).copy()


@pytest.mark.parametrize(
    ("failed", "verdict", "reason"),
    [
        (another_noise_each_frame, "reject", "high_depth_flicker"),
        (one_inverted, "reject", "high_depth_flicker"),
        (nearly_constant, "reject", "low_depth_spread"),
        (ramp, "review", "low_occlusion_share"),
    ],
)
def test_depth_that_has_failed_shows_in_the_verdict(failed: Any, verdict: str, reason: str) -> None:
    frames, depth = clip()
    _, metrics = make_pair(frames, failed(depth), only("analytic"), "a")
    assert metrics.verdict == verdict
    assert reason in metrics.reasons.split(",")


def test_what_leaves_the_picture_is_beyond_its_border_on_the_side_it_leaves_by() -> None:
    disparity = np.full((1, H, W), 10.0, np.float32)
    for eye, sign in (("left", 1), ("right", -1)):
        assert beyond_border(sign * disparity, eye).sum() == 10 * H  # type: ignore[arg-type]
        assert beyond_border(sign * disparity, eye)[..., :10].all()  # type: ignore[arg-type]
        assert beyond_border(-sign * disparity, eye)[..., -10:].all()  # type: ignore[arg-type]


def test_a_camera_that_pans_does_not_carry_the_border_into_the_picture() -> None:
    rng = np.random.default_rng(3)
    wall = np.kron(rng.integers(40, 220, (H // 4, W // 4 + 8, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    frames = np.stack([wall[:, 6 * t : 6 * t + W] for t in range(T)])
    depth = np.full((T, H, W), 0.9, np.float32)
    depth[:, :4] = 0.1
    found = {}
    for carried in (False, True):
        settings = MaskConfig(carry_border=carried, half_flow=False)
        config = replace(only("analytic", convergence=(0.0, 0.0), disparity_pct=(8, 8)), mask=settings)
        pair, metrics = make_pair(frames, depth, config, "a")
        beyond = beyond_border(pair.disparity, pair.meta["target_eye"])
        found[carried] = (pair.mask & ~beyond)[:, 8:].mean()
        assert metrics.occlusion_share < 0.001
    assert found[False] < 0.001
    assert found[True] > 0.01
