import pytest

from spatialdreamer_core.config import GateConfig, Limit
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.metrics.gate import add_gate, failing_shots, gate_of

GATE = GateConfig(
    comfort_score=Limit(review=80, fail=50),
    hole_share_max=Limit(review=0.1, fail=0.2),
    luma_step_max=Limit(review=1.0),
    e_warp_ratio=Limit(fail=4.0),
)


def row(**measures):
    return {"status": "done", "shot": 0, "comfort_score": 95.0, "hole_share_max": 0.01} | measures


@pytest.mark.parametrize(
    ("measures", "verdict", "reasons"),
    [
        ({}, "pass", []),
        ({"comfort_score": 80.1}, "pass", []),
        ({"comfort_score": 80.0}, "review", ["comfort_score"]),
        ({"comfort_score": 50.0}, "fail", ["comfort_score"]),
        ({"hole_share_max": 0.1}, "review", ["hole_share_max"]),
        ({"hole_share_max": 0.3, "comfort_score": 60.0}, "fail", ["hole_share_max"]),
        ({"hole_share_max": 0.3, "comfort_score": 10.0}, "fail", ["comfort_score", "hole_share_max"]),
        ({"luma_step_max": 99.0}, "review", ["luma_step_max"]),
        ({"e_warp_ratio": 3.9}, "pass", []),
        ({"e_warp_ratio": 4.0}, "fail", ["e_warp_ratio"]),
        ({"comfort_score": None, "hole_share_max": None}, "pass", []),
        ({"sharpness_ratio": 0.5}, "fail", ["sharpness_ratio"]),
    ],
)
def test_the_limit_that_is_reached_decides(measures, verdict, reasons):
    assert gate_of(row(**measures), GATE) == (verdict, reasons)


def test_a_clip_that_was_not_made_fails_for_its_reason():
    assert gate_of({"status": "failed", "reason": "hung"}, GATE) == ("fail", ["hung"])


def test_rows_get_their_verdict_and_keep_the_rest():
    rows = add_gate([row(shot=1), row(shot=2, comfort_score=70.0)], GATE)
    assert [(r["shot"], r["gate"], r["gate_reasons"]) for r in rows] == [
        (1, "pass", []),
        (2, "review", ["comfort_score"]),
    ]


def test_one_failing_clip_speaks_for_its_shot():
    rows = [row(shot=0), row(shot=1), row(shot=1, hole_share_max=0.5), row(shot=1, comfort_score=3.0), row(shot=2)]
    assert failing_shots(rows, GATE) == {1: ["hole_share_max", "comfort_score"]}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"comfort_score": Limit(review=50, fail=80)}, "comfort_score: fail must lie below review"),
        ({"hole_share_max": Limit(review=0.2, fail=0.1)}, "hole_share_max: fail must lie above review"),
        ({"strength_share": 1.0}, "strength share must lie between 0 and 1"),
    ],
)
def test_limits_that_contradict_are_refused(settings, said):
    with pytest.raises(ConfigError, match=said):
        GateConfig(**settings)
