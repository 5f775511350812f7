from itertools import pairwise

import pytest

from spatialdreamer_core.metrics.comfort import (
    LOSSES,
    ComfortLimits,
    ComfortMeasures,
    add_cut_changes,
    comfort,
    cut_jump,
)


def measures(**changed):
    return ComfortMeasures(**({"disparity_p1_pct": -1.0, "disparity_p99_pct": 0.8} | changed))


def test_a_gentle_shot_loses_nothing():
    result = comfort(measures())
    assert (result.score, result.verdict, result.flags) == (100.0, "safe", ())
    assert tuple(result.losses) == LOSSES


def test_far_in_front_costs_by_depth_and_by_share():
    result = comfort(measures(disparity_p99_pct=1.75, front_share=0.1))
    assert result.losses["front"] == pytest.approx(25 * 0.5 + 15 * 0.5)
    assert result.score == pytest.approx(80.0)
    assert result.flags == ("front",)


def test_behind_has_wider_limits_than_in_front():
    assert comfort(measures(disparity_p1_pct=-1.9)).score == 100.0
    assert comfort(measures(disparity_p1_pct=-4.0, behind_share=0.2)).losses["behind"] == pytest.approx(40.0)


@pytest.mark.parametrize(
    ("changed", "name", "points"),
    [
        ({"disparity_p1_pct": -2.0, "disparity_p99_pct": 2.5}, "range", 7.5),
        ({"window_pct": 0.4}, "window", 10.0),
        ({"vertical_p95_pct": 1.6}, "vertical", 10.0),
        ({"luma_diff": -11.0}, "brightness", 5.0),
        ({"sharpness_ratio": 2**-1.75}, "sharpness", 5.0),
        ({"sharpness_ratio": 2**1.75}, "sharpness", 5.0),
        ({"luma_step_max": 2.75}, "flicker", 5.0),
    ],
)
def test_each_loss_follows_its_ramp(changed, name, points):
    assert comfort(measures(**changed)).losses[name] == pytest.approx(points)


def test_everything_wrong_is_zero_and_unsafe():
    result = comfort(
        measures(disparity_p1_pct=-9.0, disparity_p99_pct=9.0, front_share=0.5, behind_share=0.5, window_pct=3.0)
    )
    assert (result.score, result.verdict) == (0.0, "unsafe")
    assert result.flags == ("front", "behind", "window", "range")


def test_more_depth_never_scores_better():
    scores = [comfort(measures(disparity_p99_pct=step / 10, front_share=step / 100)).score for step in range(40)]
    assert all(after <= before for before, after in pairwise(scores))


def test_limits_can_be_widened_but_not_crossed():
    wide = ComfortLimits(front_pct=3.0, front_most_pct=6.0, range_pct=8.0)
    assert comfort(measures(disparity_p99_pct=2.9), wide).score == 100.0
    with pytest.raises(ValueError, match="each lie below its most"):
        ComfortLimits(front_pct=3.0)


def segment(shot, start, end, first, *, last=(0, 0), uri="a.mp4"):
    row = {"source_uri": uri, "shot": shot, "start_frame": start, "end_frame": end}
    for when, (p50, p99) in (("first", first), ("last", last)):
        row |= {f"disparity_{when}_p50_pct": p50, f"disparity_{when}_p99_pct": p99}
    return row


def test_a_jump_at_a_cut_is_the_larger_of_middle_and_nearest():
    before, after = segment(0, 0, 10, (0, 0), last=(-0.5, 1.0)), segment(1, 10, 30, (0.25, 3.0))
    assert cut_jump(before, after) == 2.0


def test_only_a_cut_can_jump():
    before = segment(0, 0, 10, (0, 0), last=(0, 1))
    assert cut_jump(before, segment(0, 10, 20, (2, 2))) is None
    assert cut_jump(before, segment(2, 15, 20, (2, 2))) is None
    assert cut_jump(before, segment(1, 10, 20, (2, 2), uri="b.mp4")) is None
    assert cut_jump(before, segment(1, 10, 20, (None, None))) is None


def test_rows_are_told_their_jump_and_nothing_else():
    rows = [segment(0, 0, 10, (0, 0)), segment(1, 10, 20, (1, 2), last=(1, 2)), segment(1, 20, 30, (9, 9))]
    rows.append({"source_uri": "broken.mp4", "shot": -1, "status": "failed"})
    told = add_cut_changes(rows)
    assert [row.pop("cut_jump_pct") for row in told] == [None, 2, None, None]
    assert told == rows
    assert add_cut_changes([]) == []
