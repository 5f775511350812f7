"""FVD, the Frechet distance of two sets of clips, from I3D features.

``|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2))`` with mean m and covariance S of the clips' features.

The estimate is biased upwards for few clips (the covariance of n clips has rank n - 1, of 400): figures compare only
where number and length of the clips, the weights and the feature layer are the same. Say "FVD, I3D Kinetics-400
logits". VFID is another measure with other weights.

Source: Unterthiner et al., "Towards Accurate Generative Models of Video", 2018 (arXiv 1812.01717).
"""

import numpy as np
from numpy.typing import NDArray

USUAL_FRAMES = 16
TRUSTED_CLIPS = 256
"""Below so many clips the bias is of the order of the differences that papers print."""


def frechet_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """The Frechet distance of two sets of features, as of Gaussians.

    Args:
        a: [N, C], one row per clip, N >= 2.
        b: [M, C], M >= 2.

    Raises:
        ValueError: If there are fewer than two clips, the features differ in number or are not finite.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"two sets of at least 2 feature rows needed, got {list(a.shape)} and {list(b.shape)}")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("features hold NaN or infinity")
    gap = a.mean(0) - b.mean(0)
    root_a, root_b = _root(a), _root(b)
    # tr((S_a S_b)^(1/2)) is the nuclear norm of A B^T, exact for any rank
    cross = np.linalg.svd(root_a @ root_b.T, compute_uv=False).sum()
    distance = gap @ gap + (root_a**2).sum() + (root_b**2).sum() - 2 * cross
    return float(max(distance, 0.0))


def _root(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """A matrix A with A^T A the covariance, of no more rows than columns."""
    rows = (features - features.mean(0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(rows, mode="r") if len(rows) > rows.shape[1] else rows, np.float64)
