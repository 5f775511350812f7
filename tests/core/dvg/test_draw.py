from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from spatialdreamer_core.dvg.config import ClipsConfig, FilterConfig, MaskConfig, PairsConfig, WarpConfig
from spatialdreamer_core.dvg.draw import draw
from spatialdreamer_core.errors import ConfigError

NAMES = [f"clip-{n}" for n in range(2000)]


def test_the_same_name_and_seed_draw_the_same_numbers_and_others_draw_others() -> None:
    config = PairsConfig()
    assert draw("a", config) == draw("a", config)
    assert draw("a", config) != draw("b", config)
    assert draw("a", config) != draw("a", replace(config, seed=1))


def test_numbers_fill_their_ranges_and_the_mix_has_its_shares() -> None:
    drawn = [draw(name, PairsConfig()) for name in NAMES]
    modes, eyes = Counter(d.mode for d in drawn), Counter(d.target_eye for d in drawn)
    assert 500 < modes["double"] < 700
    assert 900 < eyes["left"] < 1100
    strengths = np.array([d.disparity_pct for d in drawn])
    assert 2 <= strengths.min() < 2.1
    assert 9.9 < strengths.max() <= 10
    assert abs(strengths.mean() - 6) < 0.2
    assert {d.dilation_px for d in drawn} == {0, 1, 2}
    turns = np.array([d.rotate_deg for d in drawn])
    assert 400 < (turns != 0).sum() < 600
    assert turns.min() < -4.5
    assert turns.max() > 4.5


def test_one_setting_moves_no_other_number() -> None:
    first = draw("a", PairsConfig())
    second = draw("a", PairsConfig(warp=WarpConfig(double_share=1.0, disparity_pct=(1, 1))))
    assert replace(second, mode=first.mode, disparity_pct=first.disparity_pct) == first


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ClipsConfig(buckets=("512x290",)), "multiples of 8"),
        (lambda: ClipsConfig(frames=1), "clip frames"),
        (lambda: WarpConfig(disparity_pct=(5, 2)), "disparity"),
        (lambda: MaskConfig(slack_px2=-1), "slack"),
        (lambda: MaskConfig(flow="raft"), "no optical flow is called 'raft'"),
        (lambda: MaskConfig(refine="all"), "refine must be one of off, union"),  # type: ignore[arg-type]
        (lambda: FilterConfig(max_duplicate_bits=9), "duplicate bits"),
        (lambda: PairsConfig(val_share=2), "val share"),
    ],
)
def test_settings_that_cannot_be_are_refused_at_the_door(make: object, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        make()  # type: ignore[operator]
