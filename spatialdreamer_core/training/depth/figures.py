"""How good a map of relative inverse depth is, after the best scale and offset."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StillFigures:
    """Agreement with the truth.

    Attributes:
        nrmse: Root mean square error after a least-squares scale and offset, over the truth's standard deviation.
        spearman: Rank correlation over pixels.
        ordinal: Share of random pairs, whose truth differs by more than a tenth of its range, that are ordered right.
        edge_f1: Harmonic mean of how much of the estimate's edges is true and how much of the true edges it has; NaN
            where the truth has none.
    """

    nrmse: float
    spearman: float
    ordinal: float
    edge_f1: float


EDGE_STEP = 0.1
"""Step within 3x3 pixels that makes an edge, over the truth's range from the 2nd to the 98th percentile."""
EDGE_WIDTH, EDGE_SLACK_PX = 320, 2
"""Columns at which edges are looked for, and how far beside the true one an edge may lie."""


def edge_f1(estimate: F32, truth: F32, known: NDArray[np.bool_]) -> float:
    """Agreement of edges after the best scale and offset, in [0, 1]; NaN if the truth has no edge.

    Args:
        estimate: [H, W].
        truth: [H, W].
        known: [H, W] where the truth may be believed; edges beside what is unknown do not count.

    Source: precision and recall of boundaries as in Martin, Fowlkes, Malik, PAMI 2004, on steps of depth.
    """
    scale, offset = fit(estimate[known], truth[known])
    size = (EDGE_WIDTH, max(2, round(EDGE_WIDTH * truth.shape[0] / truth.shape[1])))
    mine = cv2.resize((estimate * np.float32(scale) + np.float32(offset)).astype(np.float32), size)
    true = cv2.resize(np.where(known, truth, 0).astype(np.float32), size, interpolation=cv2.INTER_NEAREST)
    seen = cv2.erode(cv2.resize(known.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), np.ones((5, 5))) > 0
    low, high = np.percentile(truth[known], (2, 98))
    step, square = EDGE_STEP * float(high - low), np.ones((3, 3), np.uint8)
    found, wanted = ((cv2.dilate(m, square) - cv2.erode(m, square) > step) & seen for m in (mine, true))
    if not wanted.any():
        return float("nan")
    around = np.ones((2 * EDGE_SLACK_PX + 1,) * 2, np.uint8)
    near_wanted, near_found = (cv2.dilate(m.astype(np.uint8), around) > 0 for m in (wanted, found))
    precision = float(near_wanted[found].mean()) if found.any() else 0.0
    recall = float(near_found[wanted].mean())
    return 2 * precision * recall / max(precision + recall, 1e-9)


def fit(estimate: F32, truth: F32) -> tuple[float, float]:
    """Scale and offset that bring ``estimate`` nearest to ``truth`` (both [N]) in least squares; scale >= 0."""
    e, t = estimate.astype(np.float64), truth.astype(np.float64)
    variance = float(e.var())
    scale = max(float(((e - e.mean()) * (t - t.mean())).mean()) / variance, 0.0) if variance > 1e-12 else 0.0
    return scale, float(t.mean() - scale * e.mean())


def ranks(values: F32) -> NDArray[np.float64]:
    """Ranks [N] with ties shared."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def spearman(a: F32, b: F32) -> float:
    """Rank correlation of two [N]; 0 if either is constant."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x * x).mean() * (y * y).mean()))
    return float((x * y).mean() / scale) if scale > 1e-9 else 0.0


def still_figures(estimate: F32, truth: F32, known: NDArray[np.bool_], *, pairs: int = 20_000) -> StillFigures:
    """Compare two maps [H, W] of inverse depth or disparity where the truth is known."""
    e, t = estimate[known], truth[known]
    scale, offset = fit(e, t)
    spread = max(float(t.astype(np.float64).std()), 1e-9)
    nrmse = float(np.sqrt(((e.astype(np.float64) * scale + offset - t) ** 2).mean())) / spread
    rng = np.random.default_rng(0)
    i, j = rng.integers(len(e), size=(2, pairs))
    low, high = np.percentile(t, [1, 99])
    clear = np.abs(t[i] - t[j]) > 0.1 * (high - low)
    right = np.sign(e[i] - e[j]) == np.sign(t[i] - t[j])
    tie = e[i] == e[j]
    score = np.where(tie, 0.5, right)[clear]
    order = float(score.mean()) if len(score) else 0.5
    return StillFigures(nrmse, spearman(e, t), order, edge_f1(estimate, truth, known))
