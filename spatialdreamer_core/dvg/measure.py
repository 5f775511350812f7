"""What is recorded of a made pair, and the verdict that follows from it."""

import math
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.dvg.config import VerdictConfig
from spatialdreamer_core.dvg.flows import ClipFlows
from spatialdreamer_core.dvg.refine import pull_mask
from spatialdreamer_core.dvg.sample import PairMetrics, Verdict
from spatialdreamer_core.flow.consistency import warp_by_flow

BEST_PSNR_DB = 99.0
"""What two equal pictures get, so that the column stays finite."""
CELL_PX = 8
"""Side of the squares that the views are averaged over before they are compared: a video model's latent grid."""


def psnr_db(first: NDArray[np.uint8], second: NDArray[np.uint8], where: NDArray[np.bool_]) -> float:
    """Compare two clips at some pixels.

    Args:
        first: [T, H, W, 3].
        second: [T, H, W, 3].
        where: [T, H, W], the pixels that count.

    Returns:
        dB, peak 255; at most ``BEST_PSNR_DB``; 0 where no pixel counts.
    """
    squares, count = _squared_error(first, second, where)
    if count == 0:
        return 0.0
    if squares == 0:
        return BEST_PSNR_DB
    return min(BEST_PSNR_DB, 10 * math.log10(255**2 * count / squares))


@njit(cache=True, nogil=True)
def _squared_error(first: Any, second: Any, where: Any) -> Any:
    squares, count = np.int64(0), np.int64(0)
    frames, height, width, channels = first.shape
    for t in range(frames):
        for y in range(height):
            for x in range(width):
                if where[t, y, x]:
                    count += channels
                    for c in range(channels):
                        difference = np.int32(first[t, y, x, c]) - np.int32(second[t, y, x, c])
                        squares += difference * difference
    return squares, count


def deviation_strength(target: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Say how far two views are apart: 10 times the mean difference of their 8x8 cells, summed over the channels.

    The stereo deviation strength ``s = |z_0 - z_ref|`` with area averages in place of a network's latents: it needs no
    weights, and it is 0 only where the views agree.

    Args:
        target: [T, H, W, 3] uint8.
        reference: [T, H, W, 3] uint8.

    Returns:
        A number >= 0, around 0.5 for ordinary pairs.

    Source: arXiv 2411.11934 (stereo deviation strength); the factor 10 and the sum over channels as in
    AnimateAnything's motion strength.
    """
    height, width = target.shape[1:3]
    size = (max(1, width // CELL_PX), max(1, height // CELL_PX))
    total = 0.0
    for a, b in zip(target, reference, strict=True):
        cells = [cv2.resize(p, size, interpolation=cv2.INTER_AREA).astype(np.float32) for p in (a, b)]
        total += float(np.abs(cells[0] - cells[1]).mean())
    return 10 * 3 * total / 255 / len(target)


def mask_stability(masks: NDArray[np.bool_], flows: ClipFlows) -> float:
    """Compare each mask with the next frame's, pulled along the flow, where that is confident.

    Returns:
        Intersection over union, over the whole clip; 1 where there is nothing to compare.
    """
    common = either = 0
    for t in range(len(masks) - 1):
        pulled, sure = pull_mask(masks[t + 1], flows.forward[t]), flows.forward_trust[t] >= 0.5
        common += int(np.count_nonzero(pulled & masks[t] & sure))
        either += int(np.count_nonzero((pulled | masks[t]) & sure))
    return common / either if either else 1.0


def depth_flicker(inverse_depth: NDArray[np.float32], flows: ClipFlows) -> float:
    """Mean absolute change of inverse depth from frame to frame along confident flow; [T, H, W] in [0, 1].

    Looks at every second row and column.
    """
    total, count = 0.0, 0
    for t in range(len(inverse_depth) - 1):
        half = np.s_[::2, ::2]
        sure = flows.forward_trust[t][half] >= 0.5
        flow = np.ascontiguousarray(flows.forward[t][half]) * np.float32(0.5)
        pulled = warp_by_flow(np.ascontiguousarray(inverse_depth[t + 1][half]), flow)
        total += float(np.abs(pulled - inverse_depth[t][half])[sure].sum(dtype=np.float64))
        count += int(np.count_nonzero(sure))
    return total / count if count else 0.0


def judge(values: dict[str, float], config: VerdictConfig) -> tuple[Verdict, tuple[str, ...]]:
    """Decide what a pair is good for; every threshold that it fails is a reason.

    Args:
        values: The numbers of ``PairMetrics`` by name.
        config: Thresholds: beyond the first number of each is ``review``, beyond the second ``reject``.

    Returns:
        The verdict, and codes such as ``low_cycle_psnr_db`` or ``high_hole_share``, the gravest first.
    """
    least = {
        "cycle_psnr_db": config.cycle_psnr_db,
        "occlusion_share": config.occlusion_share,
        "mask_stability": config.mask_stability,
        "flow_confidence": config.flow_confidence,
        "depth_spread": config.depth_spread,
    }
    most = {
        "hole_share": config.hole_share,
        "mask_growth": config.mask_growth,
        "depth_flicker": config.depth_flicker,
    }
    failed = [("low", name, [values[name] < limit for limit in pair]) for name, pair in least.items()]
    failed += [("high", name, [values[name] > limit for limit in pair]) for name, pair in most.items()]
    rejected = [f"{side}_{name}" for side, name, (_, grave) in failed if grave]
    doubted = [f"{side}_{name}" for side, name, (light, grave) in failed if light and not grave]
    verdict: Verdict = "reject" if rejected else "review" if doubted else "train"
    return verdict, (*rejected, *doubted)


def percentiles(values: NDArray[np.float32], percents: Sequence[float]) -> list[float]:
    """Percentiles over every fourth row and column of [T, H, W]: enough for a record, and a sixteenth of the time."""
    return [float(value) for value in np.percentile(values[:, ::4, ::4], percents)]


def pair_metrics(values: dict[str, float], config: VerdictConfig) -> PairMetrics:
    """Join the numbers and the verdict."""
    verdict, reasons = judge(values, config)
    return PairMetrics(
        **{name: float(value) for name, value in values.items()}, verdict=verdict, reasons=",".join(reasons)
    )
