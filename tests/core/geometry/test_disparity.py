"""Disparity has the sign, scale and comfort limits that are promised."""

import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.config import StereoConfig
from spatialdreamer_core.geometry.disparity import (
    BEHIND_LIMIT_PCT,
    DEFAULT_STRENGTH_PCT,
    FRONT_LIMIT_PCT,
    ShotStereo,
    choose_stereo,
    disparity_from_inverse_depth,
)


def ramp(low: float = 0.0, high: float = 1.0) -> NDArray[np.float32]:
    """Far on top, near at the bottom, the same at both sides: a floor."""
    return np.repeat(np.linspace(low, high, 60, dtype=np.float32)[:, None], 90, axis=1)


def framed(inside: float, sides: float, background: float = 0.0) -> NDArray[np.float32]:
    depth = np.full((60, 100), background, np.float32)
    depth[10:, 40:60] = inside
    depth[:, :5] = depth[:, -5:] = sides
    return depth


def test_nearer_than_the_screen_is_positive_and_counts_full_size_pixels() -> None:
    inverse_depth = np.array([[0.0, 0.5, 1.0]], np.float32)
    disparity = disparity_from_inverse_depth(inverse_depth, strength_pct=2.0, convergence=0.5, width_px=1000)
    assert disparity.dtype == np.float32
    np.testing.assert_allclose(disparity, [[-10.0, 0.0, 10.0]])


def test_what_the_user_sets_is_taken_as_it_is() -> None:
    config = StereoConfig(strength_pct=9.0, convergence=0.1)
    assert choose_stereo([ramp()], config) == ShotStereo(9.0, 0.1)
    assert choose_stereo([ramp()], StereoConfig(strength_pct=9.0)).strength_pct == 9.0
    assert choose_stereo([ramp()], StereoConfig(convergence=0.9)).convergence == 0.9


@pytest.mark.parametrize("convergence", [None, 0.0, 0.4, 1.0])
@pytest.mark.parametrize("low", [0.0, 0.5, 0.9])
def test_chosen_strength_keeps_the_comfort_limits(low: float, convergence: float | None) -> None:
    depth = ramp(low)
    stereo = choose_stereo([depth], StereoConfig(convergence=convergence))
    disparity_pct = stereo.strength_pct * (np.percentile(depth, [2, 98]) - stereo.convergence)
    assert disparity_pct[0] >= -BEHIND_LIMIT_PCT - 1e-6
    assert disparity_pct[1] <= FRONT_LIMIT_PCT + 1e-6
    assert 0 < stereo.strength_pct <= StereoConfig().max_strength_pct


def test_an_ordinary_shot_gets_the_default_and_a_flat_one_less() -> None:
    ordinary, flat = (choose_stereo([framed(near, 0.0)], StereoConfig()) for near in (0.8, 0.05))
    assert ordinary.strength_pct == DEFAULT_STRENGTH_PCT
    assert flat.strength_pct == pytest.approx(0.4 * DEFAULT_STRENGTH_PCT)


def test_max_strength_bounds_the_choice() -> None:
    assert choose_stereo([framed(0.8, 0.0)], StereoConfig(max_strength_pct=0.7)).strength_pct == 0.7


def test_an_object_that_touches_the_side_borders_does_not_stand_in_front_of_the_screen() -> None:
    free, cut_off = framed(0.8, 0.0), framed(0.8, 0.75)
    assert choose_stereo([free], StereoConfig()).convergence < 0.75
    assert choose_stereo([cut_off], StereoConfig()).convergence >= 0.75


def test_a_few_grains_before_the_lens_change_nothing() -> None:
    quiet = ramp(0.0, 0.6)
    snow = quiet.copy()
    snow[::11, ::13] = 1.0
    before, after = (choose_stereo([depth], StereoConfig()) for depth in (quiet, snow))
    assert after.convergence == pytest.approx(before.convergence, abs=0.02)
    assert after.strength_pct == pytest.approx(before.strength_pct, rel=0.05)


def test_samples_of_different_sizes_count_together_and_holes_do_not_count() -> None:
    broken = ramp()
    broken[:, 3] = np.nan
    stereo = choose_stereo([broken, framed(0.5, 0.0)[:30]], StereoConfig())
    assert 0 <= stereo.convergence <= 1


@pytest.mark.parametrize("samples", [[], [np.full((3, 4), np.nan, np.float32)]])
def test_a_shot_without_depth_is_refused(samples: list[NDArray[np.float32]]) -> None:
    with pytest.raises(ValueError, match="inverse depth"):
        choose_stereo(samples, StereoConfig())
