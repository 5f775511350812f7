from dataclasses import fields

import numpy as np
import pytest

from spatialdreamer_core.dvg.config import MaskConfig, VerdictConfig
from spatialdreamer_core.dvg.flows import ClipFlows, clip_flows
from spatialdreamer_core.dvg.measure import (
    BEST_PSNR_DB,
    depth_flicker,
    deviation_strength,
    judge,
    mask_stability,
    psnr_db,
)

T, H, W = 3, 40, 56
GOOD = {
    "cycle_psnr_db": 40.0,
    "hole_share": 0.05,
    "occlusion_share": 0.02,
    "mask_growth": 0.1,
    "mask_stability": 0.9,
    "flow_confidence": 0.95,
    "depth_spread": 0.9,
    "depth_flicker": 0.005,
}


def still_flows() -> ClipFlows:
    rng = np.random.default_rng(0)
    picture = np.kron(rng.integers(0, 255, (H // 4, W // 4, 3), np.uint8), np.ones((4, 4, 1), np.uint8))
    return clip_flows(np.repeat(picture[None], T, axis=0), MaskConfig(half_flow=False))


def test_psnr_is_that_of_its_formula_at_the_pixels_asked_for() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 256, (2, T, H, W, 3), np.uint8)
    where = rng.random((T, H, W)) < 0.3
    mean = np.mean((a.astype(float) - b)[where] ** 2)
    assert psnr_db(a, b, where) == pytest.approx(10 * np.log10(255**2 / mean))
    assert psnr_db(a, a, where) == BEST_PSNR_DB
    assert psnr_db(a, b, np.zeros_like(where)) == 0


def test_deviation_grows_with_the_shift_and_is_zero_between_equals() -> None:
    x = np.linspace(0, 6 * np.pi, W)
    rows = np.repeat((127 + 100 * np.sin(x))[None, None, :, None], 3, axis=3).repeat(H, axis=1).astype(np.uint8)
    found = [deviation_strength(rows, np.roll(rows, shift, axis=2)) for shift in (0, 1, 3)]
    assert found[0] == 0 < found[1] < found[2]
    assert deviation_strength(np.zeros_like(rows), np.full_like(rows, 255)) == pytest.approx(30)


def test_equal_masks_are_stable_and_masks_that_alternate_are_not() -> None:
    flows, mask = still_flows(), np.zeros((T, H, W), np.bool_)
    mask[:, 10:20, 10:30] = True
    assert mask_stability(mask, flows) == 1
    mask[1] = False
    assert mask_stability(mask, flows) == 0
    assert mask_stability(np.zeros_like(mask), flows) == 1


def test_flicker_is_the_change_of_depth_that_no_motion_explains() -> None:
    depth = np.full((T, H, W), 0.5, np.float32)
    assert depth_flicker(depth, still_flows()) == 0
    depth[1] += 0.1
    assert depth_flicker(depth, still_flows()) == pytest.approx(0.1, abs=1e-4)


@pytest.mark.parametrize("name", [field.name for field in fields(VerdictConfig)])
def test_each_threshold_first_asks_for_review_and_then_rejects(name: str) -> None:
    light, grave = getattr(VerdictConfig(), name)
    assert judge(GOOD, VerdictConfig()) == ("train", ())
    beyond = (light + grave) / 2
    side = "low" if grave < light else "high"
    assert judge(GOOD | {name: beyond}, VerdictConfig()) == ("review", (f"{side}_{name}",))
    far = grave + (grave - light)
    assert judge(GOOD | {name: far}, VerdictConfig()) == ("reject", (f"{side}_{name}",))


def test_the_gravest_reason_comes_first() -> None:
    verdict, reasons = judge(GOOD | {"mask_growth": 1.0, "cycle_psnr_db": 10.0}, VerdictConfig())
    assert verdict == "reject"
    assert reasons == ("low_cycle_psnr_db", "high_mask_growth")
