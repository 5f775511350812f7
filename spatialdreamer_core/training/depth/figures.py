"""How good a map of relative inverse depth is, after the best scale and offset."""

from dataclasses import dataclass

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
    """

    nrmse: float
    spearman: float
    ordinal: float


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
    return StillFigures(nrmse, spearman(e, t), float(score.mean()) if len(score) else 0.5)
