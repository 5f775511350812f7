"""How comfortable a shot is to watch: a score of 0 to 100 that says what it lost, and for what.

``score = 100 - the sum of losses``, not below 0. ``ramp(v; a, b)`` is 0 up to a, 1 from b on, linear between.

=============  ====  ==========================================================================================
loss           most  formula
=============  ====  ==========================================================================================
``front``       40   25 * ramp(p99; front, front_most) + 15 * ramp(share in front of ``front``; 0, 0.2)
``behind``      40   25 * ramp(-p1; behind, behind_most) + 15 * ramp(share behind ``behind``; 0, 0.2)
``range``       15   15 * ramp(p99 - p1; range, 2 * range)
``window``      20   20 * ramp(mean disparity in front of the screen in the worse side border; 0.05, 0.75)
``vertical``    20   20 * ramp(p95 of vertical disparity, percent of the height; 0.2, 3)
``brightness``  10   10 * ramp(abs(mean luma difference), 8-bit levels; 2, 20)
``sharpness``   10   10 * ramp(abs(log2(sharpness ratio)); 0.5, 3)
``flicker``     10   10 * ramp(largest frame-to-frame step of the luma difference, 8-bit levels; 0.5, 5)
=============  ====  ==========================================================================================

Disparity is in percent of the picture's width, positive in front of the screen. Where the limits come from:

* ``front`` 1, ``behind`` 2, ``range`` 3 and, for short moments, ``front_most`` 2.5 and ``behind_most`` 4: BSkyB,
  "Technical Guidelines for Plano Stereoscopic (3D) Programme Content", for screens of 46 to 70 inches. 3 % of the width
  of a screen seen from three heights is the one degree of Lambooij et al., "Visual Discomfort and Visual Fatigue of
  Stereoscopic Displays: A Review", JIST 53(3), 2009; the asymmetry agrees with Shibata et al., "The zone of comfort",
  Journal of Vision 11(8), 2011, for screens at some distance.
* Window violation (something in front of the screen that the picture's side cuts off): Mendiburu, "3D Movie Making",
  2009. Top and bottom do not count, as nobody minds a person cut off below.
* 3 % of the height is about the one prism dioptre, and the order of brightness and blur about that, at which Kooi and
  Toet, "Visual comfort of binocular and 3D displays", Displays 25, 2004, found comfort lost.
* Depth jumps at cuts: Templin et al., "Modeling and optimizing eye vergence response to stereoscopic cuts", SIGGRAPH
  2014. They belong to two shots, hence ``cut_jump`` beside the score.

The weights are ours: no study gives them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

LOSSES = ("front", "behind", "range", "window", "vertical", "brightness", "sharpness", "flicker")
"""Everything that a shot can lose points for."""

Verdict = Literal["safe", "borderline", "unsafe"]

SAFE_FROM, BORDERLINE_FROM = 80.0, 50.0
_FLAGGED_FROM = 2.0  # points lost; less is not worth a word
CUT_JUMP_PCT = 1.5
"""A cut that moves the middle or the nearest of the picture by more, in percent of the width, is a jump."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComfortLimits:
    """Disparity limits in percent of the picture's width; all positive.

    Attributes:
        front_pct: How far in front of the screen things may always stand.
        behind_pct: How far behind.
        range_pct: Largest nearest minus farthest.
        front_most_pct: Where standing in front costs its most.
        behind_most_pct: The same behind.
    """

    front_pct: float = 1.0
    behind_pct: float = 2.0
    range_pct: float = 3.0
    front_most_pct: float = 2.5
    behind_most_pct: float = 4.0

    def __post_init__(self) -> None:
        if not (0 < self.front_pct < self.front_most_pct and 0 < self.behind_pct < self.behind_most_pct):
            raise ValueError(f"limits must be positive and each lie below its most, got {self}")
        if self.range_pct <= 0:
            raise ValueError(f"range_pct must be positive, got {self.range_pct}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ComfortMeasures:
    """What the score looks at; None is not measured and loses nothing.

    Attributes:
        disparity_p1_pct: 1st percentile of disparity, percent of the width (farthest).
        disparity_p99_pct: 99th percentile (nearest).
        front_share: Share of pixels in front of ``ComfortLimits.front_pct``, in [0, 1].
        behind_share: Share behind ``ComfortLimits.behind_pct``.
        window_pct: Mean over frames of the mean of max(disparity, 0) in the worse side border, percent of the width.
        vertical_p95_pct: 95th percentile of vertical disparity, percent of the height.
        luma_diff: Mean luma of the right eye minus the left, 8-bit levels.
        sharpness_ratio: Sharpness of the right eye over the left.
        luma_step_max: Largest change of the luma difference from a frame to the next, 8-bit levels.
    """

    disparity_p1_pct: float
    disparity_p99_pct: float
    front_share: float = 0.0
    behind_share: float = 0.0
    window_pct: float = 0.0
    vertical_p95_pct: float | None = None
    luma_diff: float | None = None
    sharpness_ratio: float | None = None
    luma_step_max: float | None = None


@dataclass(frozen=True, slots=True)
class Comfort:
    """The verdict on one shot.

    Attributes:
        score: In [0, 100], 100 is best.
        verdict: ``safe`` from 80, ``borderline`` from 50, else ``unsafe``.
        flags: Names of the losses of 2 points or more, the worst first.
        losses: Points lost under each name, all of them.
    """

    score: float
    verdict: Verdict
    flags: tuple[str, ...]
    losses: dict[str, float]


def comfort(measures: ComfortMeasures, limits: ComfortLimits | None = None) -> Comfort:
    """Score a shot by the formula at the top of this module.

    Args:
        measures: Of the shot.
        limits: None takes the broadcast limits.
    """
    bounds = limits or ComfortLimits()
    near, far = measures.disparity_p99_pct, -measures.disparity_p1_pct
    front, behind = bounds.front_pct, bounds.behind_pct
    ratio = measures.sharpness_ratio
    octaves = None if ratio is None else math.log2(max(ratio, 1e-6))
    losses = {
        "front": 25 * _ramp(near, front, bounds.front_most_pct) + 15 * _ramp(measures.front_share, 0, 0.2),
        "behind": 25 * _ramp(far, behind, bounds.behind_most_pct) + 15 * _ramp(measures.behind_share, 0, 0.2),
        "range": 15 * _ramp(near + far, bounds.range_pct, 2 * bounds.range_pct),
        "window": 20 * _ramp(measures.window_pct, 0.05, 0.75),
        "vertical": 20 * _ramp(measures.vertical_p95_pct, 0.2, 3.0),
        "brightness": 10 * _ramp(_size(measures.luma_diff), 2.0, 20.0),
        "sharpness": 10 * _ramp(_size(octaves), 0.5, 3.0),
        "flicker": 10 * _ramp(measures.luma_step_max, 0.5, 5.0),
    }
    score = max(0.0, 100.0 - sum(losses.values()))
    flags = sorted((name for name in losses if losses[name] >= _FLAGGED_FROM), key=lambda name: -losses[name])
    return Comfort(score, verdict_of(score), tuple(flags), losses)


def verdict_of(score: float) -> Verdict:
    """Give the word for a score."""
    if score >= SAFE_FROM:
        return "safe"
    return "borderline" if score >= BORDERLINE_FROM else "unsafe"


def cut_jump(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    """Tell by how much depth jumps from one segment to the next, in percent of the width.

    The larger of the changes of the median and of the 99th percentile, from the last frame before the cut to the
    first after it; the eyes follow either. Above ``CUT_JUMP_PCT`` it is worth a look.

    Args:
        before: Manifest row of a segment.
        after: Manifest row of the segment that follows in the same source.

    Returns:
        None unless both rows are measured, of one source, of different shots, and follow each other.
    """
    if any(before.get(name) is None or after.get(name) is None for name in ("source_uri", "start_frame", "end_frame")):
        return None
    follows = before["source_uri"] == after["source_uri"] and before["end_frame"] == after["start_frame"]
    if not follows or before.get("shot") == after.get("shot"):
        return None
    changes = [
        abs(start - end)
        for name in ("p50", "p99")
        if (end := before.get(f"disparity_last_{name}_pct")) is not None
        and (start := after.get(f"disparity_first_{name}_pct")) is not None
    ]
    return max(changes, default=None)


def add_cut_changes(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give the rows with ``cut_jump_pct``: by how much depth jumps from the row before; None within a shot.

    Args:
        rows: Manifest rows of one source, or of several, in the order of source and segment.
    """
    befores: list[Mapping[str, Any] | None] = [None, *rows[:-1]]
    return [
        {**row, "cut_jump_pct": None if before is None else cut_jump(before, row)}
        for before, row in zip(befores, rows, strict=False)
    ]


def _ramp(value: float | None, low: float, high: float) -> float:
    """0 up to ``low``, 1 from ``high`` on; None is 0."""
    if value is None:
        return 0.0
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _size(value: float | None) -> float | None:
    return None if value is None else abs(value)
