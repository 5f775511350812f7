"""All measures of one clip's made views, side by side, so that what is true of the clip is computed once."""

import itertools
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.evaluate.clip import StereoClip
from spatialdreamer_core.evaluate.config import EvaluateConfig
from spatialdreamer_core.evaluate.frames_in import Clip
from spatialdreamer_core.flow.dis import FlowEstimator, create_flow
from spatialdreamer_core.metrics.comfort import ComfortLimits, ComfortMeasures, comfort
from spatialdreamer_core.metrics.e_warp import both_flows, carried_flow, warp_error
from spatialdreamer_core.metrics.eye_order import eye_order
from spatialdreamer_core.metrics.eyes import chroma_difference, sharpness_ratio, vertical_disparity
from spatialdreamer_core.metrics.fidelity import Mask, Picture, psnr, similarity
from spatialdreamer_core.metrics.matching import Matched, agreement, match, match_by_flow
from spatialdreamer_core.metrics.seams import flicker, luma_gaps, seam_step
from spatialdreamer_core.metrics.shot_metrics import BORDER_SHARE
from spatialdreamer_core.metrics.siou import siou
from spatialdreamer_core.video.frames import Frame, PixelFormat

EQUAL_PSNR_DB = 100.0
"""Counted for equal frames, whose PSNR is infinite and would swallow every mean."""
_PARTS = ("hole", "hole_interior", "hole_border")
_YUV_PLANES = PixelFormat("yuv444p", 8, 1, 1)

Row = dict[str, Any]


@dataclass(slots=True)
class Networks:
    """Networks of measures, loaded once; empty measures nothing perceptual, and the rest without networks.

    Attributes:
        lpips: By name of the network.
        i3d: Features for FVD.
        flow: Optical flow of E_warp; None makes the one that the settings name, which needs no weights then.
        matcher: Optical flow that finds disparity; None matches semi-globally.
    """

    lpips: dict[str, Any] = field(default_factory=dict)
    i3d: Any = None
    flow: FlowEstimator | None = None
    matcher: FlowEstimator | None = None


def measure_clip(
    clip: StereoClip, views: Mapping[str, Clip], config: EvaluateConfig, networks: Networks
) -> dict[str, Row]:
    """Measure made right views of one clip.

    Args:
        clip: The truth.
        views: By method, [T, H, W, 3] uint8 RGB each.
        config: What is measured, and how often.
        networks: For LPIPS; what is not there is not measured.

    Returns:
        By method, columns of ``rows.EVALUATION``; what could not be measured is None.
    """
    holes = [clip.holes(t) for t in range(len(clip.left))]
    gathered = {name: _Gathered() for name in views}
    # both let go of the interpreter, so a second core is used where there is one
    with ThreadPoolExecutor(1) as beside:
        perceptual = beside.submit(_all_perceptual, clip, views, holes, config, networks, gathered)
        for t in range(len(clip.left)):
            _fidelity(clip, views, t, holes[t], gathered)
            if t % config.match_every == 0:
                _stereo(clip, views, t, networks.matcher, gathered)
        estimator = networks.flow or create_flow(config.flow)
        true_errors = _temporal(clip, views, holes, estimator, gathered)
        perceptual.result()
    middle = len(clip.left) // 2
    interior = float(np.mean([inner.mean() for inner, _ in holes]))
    border = float(np.mean([outer.mean() for _, outer in holes]))
    rows = {}
    for name, made in views.items():
        gaps = luma_gaps(list(clip.left), list(made))
        seams = range(config.seam_frames, len(made), config.seam_frames) if config.seam_frames else ()
        steps = seam_step(gaps, seams)
        rows[name] = gathered[name].means() | {
            "hole_interior_share": interior,
            "hole_border_share": border,
            "e_warp_true": true_errors,
            "luma_diff": float(np.mean(gaps)),
            "flicker": flicker(gaps),
            "seam_step": steps.at_seams,
            "seam_ratio": steps.ratio,
            "made_order": eye_order(clip.left[middle], made[middle]).order,
        }
        rows[name] |= _comfort(clip, gathered[name], rows[name], gaps)
    return rows


class _Gathered:
    """Values of one method by column, frame after frame."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}
        self.matched: list[Matched] = []

    def add(self, name: str, value: float | None) -> None:
        if value is not None:
            self._values.setdefault(name, []).append(min(value, EQUAL_PSNR_DB) if name.startswith("psnr") else value)

    def means(self) -> Row:
        return {name: float(np.mean(values)) for name, values in self._values.items()}


def _parts(holes: tuple[Mask, Mask]) -> dict[str, Mask]:
    interior, border = holes
    return dict(zip(_PARTS, (interior | border, interior, border), strict=True))


def _fidelity(
    clip: StereoClip, views: Mapping[str, Clip], t: int, holes: tuple[Mask, Mask], gathered: dict[str, _Gathered]
) -> None:
    parts = _parts(holes)
    seen = ~parts["hole"]
    for name, made in views.items():
        into, frame, true = gathered[name], made[t], clip.right[t]
        into.add("psnr", psnr(frame, true))
        into.add("psnr_seen", psnr(frame, true, seen))
        for part, where in parts.items():
            into.add(f"psnr_{part}", psnr(frame, true, where))
        one, many = similarity(frame, true)
        into.add("ssim", one)
        into.add("ms_ssim", many)
        into.add("siou", siou(frame, true, clip.left[t]))


def _all_perceptual(
    clip: StereoClip,
    views: Mapping[str, Clip],
    holes: list[tuple[Mask, Mask]],
    config: EvaluateConfig,
    networks: Networks,
    gathered: dict[str, _Gathered],
) -> None:
    """Distances of every frame. Its columns are nobody else's, so it may run beside the rest."""
    for t, hole in enumerate(holes):
        for network, measure in networks.lpips.items():
            if network != "vgg" or t % config.vgg_every == 0:
                _perceptual(clip, views, t, hole, network, measure, gathered)


def _perceptual(
    clip: StereoClip,
    views: Mapping[str, Clip],
    t: int,
    holes: tuple[Mask, Mask],
    network: str,
    measure: Any,
    gathered: dict[str, _Gathered],
) -> None:
    true = measure.features(clip.right[t])
    for name, made in views.items():
        features = measure.features(made[t])
        gathered[name].add(f"lpips_{network}", measure.between(features, true))
        for part, where in _parts(holes).items():
            gathered[name].add(f"lpips_{network}_{part}", measure.inside(features, true, where))


def _stereo(
    clip: StereoClip,
    views: Mapping[str, Clip],
    t: int,
    matcher: FlowEstimator | None,
    gathered: dict[str, _Gathered],
) -> None:
    left = clip.left[t]
    true = _matched(left, clip.right[t], clip.range_px, matcher)
    planes = _yuv(left)
    for name, made in views.items():
        into = gathered[name]
        # a copy of the left view has no disparity at all: 0 must be within reach
        low, high = clip.range_px
        found = _matched(left, made[t], (min(low, 0.0), max(high, 0.0)), matcher)
        into.matched.append(found)
        if (agreed := agreement(found, true.disparity, true.known)) is not None:
            into.add("epe_px", agreed.epe)
            into.add("d1", agreed.d1)
            into.add("match_coverage", agreed.coverage)
        other = _yuv(made[t])
        if (vertical := vertical_disparity(planes.y, other.y)) is not None:
            into.add("vertical_mean_px", vertical.mean_abs_px)
            into.add("vertical_p95_px", vertical.p95_abs_px)
        into.add("chroma_diff", chroma_difference(planes, other))
        into.add("sharpness_ratio", sharpness_ratio(planes.y, other.y))


def _matched(left: Picture, right: Picture, range_px: tuple[float, float], matcher: FlowEstimator | None) -> Matched:
    return match(left, right, *range_px) if matcher is None else match_by_flow(left, right, matcher)


def _temporal(
    clip: StereoClip,
    views: Mapping[str, Clip],
    holes: list[tuple[Mask, Mask]],
    estimator: FlowEstimator,
    gathered: dict[str, _Gathered],
) -> float | None:
    """E_warp of every method along the left view's motion; gives that of the true right view."""
    true = []
    for t, then in itertools.pairwise(range(len(clip.left))):
        forward, backward = both_flows(clip.left[t], clip.left[then], estimator)
        flow = carried_flow(forward, backward, clip.disparity[t], clip.disparity[then], clip.shown[t], clip.shown[then])
        hole = holes[t][0] | holes[t][1]
        for name, made in views.items():
            gathered[name].add("e_warp", warp_error(made[t], made[then], flow))
            gathered[name].add("e_warp_hole", warp_error(made[t], made[then], flow, hole))
        true += _known(warp_error(clip.right[t], clip.right[then], flow))
    return float(np.mean(true)) if true else None


def _known(value: float | None) -> list[float]:
    return [] if value is None else [value]


def _comfort(clip: StereoClip, gathered: _Gathered, row: Row, gaps: list[float]) -> Row:
    """The score of the made pair, from the disparity that is matched in it."""
    per_px = 100 / clip.left.shape[2]
    values = [found.disparity[found.known] * per_px for found in gathered.matched]
    if not any(part.size for part in values):
        return {}
    pct = np.concatenate(values)
    limits = ComfortLimits()
    border = max(1, round(BORDER_SHARE * clip.left.shape[2]))
    vertical = row.get("vertical_p95_px")
    result = comfort(
        ComfortMeasures(
            disparity_p1_pct=float(np.percentile(pct, 1)),
            disparity_p99_pct=float(np.percentile(pct, 99)),
            front_share=float(np.mean(pct > limits.front_pct)),
            behind_share=float(np.mean(pct < -limits.behind_pct)),
            window_pct=float(np.mean([_window(found, border) * per_px for found in gathered.matched])),
            vertical_p95_pct=None if vertical is None else 100 * vertical / clip.left.shape[1],
            luma_diff=row["luma_diff"],
            sharpness_ratio=row.get("sharpness_ratio"),
            luma_step_max=max((abs(b - a) for a, b in itertools.pairwise(gaps)), default=None),
        ),
        limits,
    )
    return {"comfort_score": result.score} | {f"comfort_loss_{name}": lost for name, lost in result.losses.items()}


def _window(found: Matched, border: int) -> float:
    """Mean disparity in front of the screen, in the worse side border, px."""
    front = np.where(found.known, np.maximum(found.disparity, 0), 0)
    return float(max(front[:, :border].mean(), front[:, -border:].mean()))


def _yuv(picture: Picture) -> Frame:
    y, red, blue = cv2.split(cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb))
    planes: list[NDArray[np.uint8]] = [np.asarray(plane, np.uint8) for plane in (y, blue, red)]
    return Frame(planes[0], planes[1], planes[2], _YUV_PLANES, 0)
