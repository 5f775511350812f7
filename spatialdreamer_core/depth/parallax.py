"""Inverse depth from a moving camera: what flow is left after the camera's turning is parallax.

Two pictures some frames apart, optical flow between them, and the rigid motion that explains most of it. Pixels that
move on their own, are hidden, or lie where the camera is heading get no confidence. Everything is computed from the
two pictures alone and always gives the same bytes.

Source: Longuet-Higgins and Prazdny, "The interpretation of a moving retinal image", Proc. R. Soc. B 208, 1980,
equations 2.8: flow = A(x) T / Z + B(x) w, at focal length 1.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.flow.consistency import forward_backward_confidence, pixel_grid
from spatialdreamer_core.flow.dis import FlowEstimator

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FOCAL_OF_WIDTH = 0.9
"""Assumed focal length over the longer side: 58 degrees. A wrong one bends depth a little, it does not reorder it."""
STEP = 8
"""Every how manyth pixel takes part in finding the camera's motion."""
ITERATIONS = 12
HEADINGS = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (0.6, 0, 0.8), (-0.6, 0, 0.8), (0.7, 0.7, 0), (-0.7, 0.7, 0))
"""Directions of travel from which the search starts (either sign)."""
LEAST_PX, ENOUGH_PX = 0.35, 1.2
"""Parallax (upper quartile, pixels) below which motion says nothing, and from which it is believed fully."""
OFF_PX = 0.35
"""How far a pixel may move beside its epipolar line, pixels; three times as far is another motion."""
STATIC, MOSTLY_STATIC = 0.55, 0.8
"""Share of the flow that one rigid motion must explain: below the first nothing is believed, from the second all."""
FLOW_SLACK_PX2 = 0.3


@dataclass(frozen=True, slots=True)
class Parallax:
    """Depth that motion shows.

    Attributes:
        inverse_depth: [h, w] in units of the baseline, larger is nearer; meaningless where ``confidence`` is 0.
        confidence: [h, w] in [0, 1].
        strength_px: Upper quartile of the parallax, pixels.
        explained: Share of the believable flow that the camera's motion explains.
        usable: In [0, 1]: 0 if the camera stands, only turns, or too much moves on its own.
    """

    inverse_depth: F32
    confidence: F32
    strength_px: float
    explained: float
    usable: float


@dataclass(frozen=True, slots=True)
class _Rays:
    """Image places at focal length 1 and the two matrices of the flow equation, for N pixels."""

    x: F64
    y: F64

    def travel(self, heading: F64) -> F64:
        """A(x) T: [N, 2], the direction and size of the flow of a point at distance 1."""
        return np.stack([heading[2] * self.x - heading[0], heading[2] * self.y - heading[1]], axis=-1)

    def turning(self) -> F64:
        """B(x): [N, 2, 3], the flow of a unit turn about each axis."""
        x, y = self.x, self.y
        return np.stack(
            [np.stack([x * y, -(1 + x * x), y], axis=-1), np.stack([1 + y * y, -x * y, -x], axis=-1)], axis=-2
        )


def _rays(columns: NDArray[np.floating], rows: NDArray[np.floating], shape: tuple[int, int]) -> _Rays:
    h, w = shape
    focal = FOCAL_OF_WIDTH * max(h, w)
    return _Rays(
        (np.asarray(columns, np.float64) - (w - 1) / 2) / focal, (np.asarray(rows, np.float64) - (h - 1) / 2) / focal
    )


def _beside(motion: F64, travel: F64) -> F64:
    """Distance [N] of each motion from the line along its travel."""
    length = np.maximum(np.hypot(travel[:, 0], travel[:, 1]), 1e-6)
    return np.asarray((motion[:, 0] * travel[:, 1] - motion[:, 1] * travel[:, 0]) / length, np.float64)


def _turn_for(rays: _Rays, flow: F64, heading: F64, weight: F64) -> F64:
    """The turn [3] that leaves least motion beside the epipolar lines of a heading."""
    travel = rays.travel(heading)
    length = np.maximum(np.hypot(travel[:, 0], travel[:, 1]), 1e-6)
    across = np.stack([travel[:, 1], -travel[:, 0]], axis=-1) / length[:, None]
    rows = np.einsum("nk,nkj->nj", across, rays.turning())
    wanted = (across * flow).sum(axis=-1)
    normal = (rows * weight[:, None]).T @ rows + 1e-9 * np.eye(3)
    return np.asarray(np.linalg.solve(normal, (rows * weight[:, None]).T @ wanted), np.float64)


def _heading_for(rays: _Rays, motion: F64, weight: F64, before: F64) -> F64:
    """The heading [3] whose epipolar lines lie along a motion without turning, unit length."""
    u, v = motion[:, 0], motion[:, 1]
    rows = np.stack([v, -u, u * rays.y - v * rays.x], axis=-1)
    length = np.linalg.norm(rays.travel(before), axis=-1)
    scale = weight / np.maximum(length, 0.05) ** 2
    _, vectors = np.linalg.eigh((rows * scale[:, None]).T @ rows)
    heading = vectors[:, 0]
    return np.asarray(heading if float(heading @ before) >= 0 else -heading, np.float64)


def camera_motion(flow: F32, trusted: NDArray[np.bool_]) -> tuple[F64, F64, float] | None:
    """Find heading and turn of the camera.

    Args:
        flow: [h, w, 2] pixels, dx first.
        trusted: [h, w].

    Returns:
        Heading [3] of unit length (either sign), turn [3] radians, and the share of the trusted flow within
        ``2 * OFF_PX`` of its epipolar line; None if there is too little flow to tell.
    """
    h, w = flow.shape[:2]
    rows, columns = np.mgrid[STEP // 2 : h : STEP, STEP // 2 : w : STEP]
    kept = trusted[rows, columns]
    if kept.sum() < max(40, 0.25 * kept.size):
        return None
    rows, columns = rows[kept], columns[kept]
    focal = FOCAL_OF_WIDTH * max(h, w)
    rays = _rays(columns, rows, (h, w))
    small = flow[rows, columns].astype(np.float64) / focal
    sigma = OFF_PX / focal
    best: tuple[float, F64, F64] | None = None
    for first in HEADINGS:
        heading = np.array(first, np.float64) / np.linalg.norm(first)
        weight = np.ones(len(rows))
        turn = np.zeros(3)
        for _ in range(ITERATIONS):
            turn = _turn_for(rays, small, heading, weight)
            motion = small - rays.turning() @ turn
            weight = 1 / (1 + (_beside(motion, rays.travel(heading)) / sigma) ** 2)
            heading = _heading_for(rays, motion, weight, heading)
        off = np.abs(_beside(small - rays.turning() @ turn, rays.travel(heading)))
        cost = float(np.minimum(off / sigma, 3).mean())
        if best is None or cost < best[0] - 1e-9:
            best = cost, heading, turn
    assert best is not None
    _, heading, turn = best
    off = np.abs(_beside(small - rays.turning() @ turn, rays.travel(heading)))
    return heading, turn, float((off < 2 * sigma).mean())


def _rise(value: float, low: float, high: float) -> float:
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def nothing(shape: tuple[int, int]) -> Parallax:
    """What a camera that stands still shows."""
    return Parallax(np.zeros(shape, np.float32), np.zeros(shape, np.float32), 0.0, 0.0, 0.0)


def find_parallax(estimator: FlowEstimator, picture: NDArray[np.uint8], partner: NDArray[np.uint8]) -> Parallax:
    """Inverse depth of ``picture`` from its motion to ``partner``.

    Args:
        estimator: Of optical flow.
        picture: [h, w] grey.
        partner: [h, w] grey, the same shot some frames away.
    """
    shape = (picture.shape[0], picture.shape[1])
    there, back = estimator.estimate(picture, partner), estimator.estimate(partner, picture)
    trusted = forward_backward_confidence(there, back, slack_px2=FLOW_SLACK_PX2)
    found = camera_motion(there, trusted)
    if found is None:
        return nothing(shape)
    heading, turn, explained = found
    columns, rows = pixel_grid(*shape)
    focal = FOCAL_OF_WIDTH * max(shape)
    rays = _rays(columns.ravel(), rows.ravel(), shape)
    travel = rays.travel(heading)
    motion = there.reshape(-1, 2).astype(np.float64) / focal - rays.turning() @ turn
    squared = np.maximum((travel**2).sum(axis=-1), 1e-6)
    inverse = ((motion * travel).sum(axis=-1) / squared).reshape(shape)
    off_px = (np.abs(_beside(motion, travel)) * focal).reshape(shape)
    size_px = (np.hypot(motion[:, 0], motion[:, 1]) * focal).reshape(shape)
    if not trusted.any():
        return nothing(shape)
    if float(np.median(inverse[trusted])) < 0:  # the heading's sign is free; what is seen lies before the camera
        inverse = -inverse
    strength = float(np.percentile(size_px[trusted], 75))
    usable = _rise(strength, LEAST_PX, ENOUGH_PX) * _rise(explained, STATIC, MOSTLY_STATIC)
    # a pixel's parallax is as sure as one unit of inverse depth is long on the screen there
    reach = np.sqrt(squared).reshape(shape)
    steady = np.clip(reach / max(0.5 * float(np.median(reach)), 1e-6), 0, 1) ** 2
    alone = np.exp(-0.5 * (off_px / (OFF_PX + 0.06 * size_px)) ** 2)
    behind = inverse > -0.3 * max(float(np.percentile(inverse[trusted], 75)), 1e-6)
    confidence = trusted * behind * steady * alone * usable
    return Parallax(np.asarray(inverse, np.float32), np.asarray(confidence, np.float32), strength, explained, usable)


@dataclass(frozen=True, slots=True)
class Fused:
    """A network's map corrected by parallax.

    Attributes:
        inverse_depth: [h, w] in the network's own scale and offset.
        share: [h, w] in [0, 1], how much of the correction each pixel took.
    """

    inverse_depth: F32
    share: F32


HAND_OVER = 0.03
"""Blur of the correction and of its confidence, over the picture's width: regions pass into each other."""
FAR_OFF = 0.5
"""Disagreement, in the network's own spread (5th to 95th percentile), at which parallax loses half its say: more is
something that moves with or against the camera."""
AGREEMENT, FULL_AGREEMENT = 0.15, 0.5
"""Correlation of parallax and network below which parallax is not believed, and from which it is."""


def fuse(estimate: F32, parallax: Parallax) -> Fused:
    """Bring parallax to the network's scale, and the network's map to parallax where that may be believed.

    Args:
        estimate: [h, w] relative inverse depth.
        parallax: Of the same picture.
    """
    nothing_taken = Fused(estimate, np.zeros(estimate.shape, np.float32))
    weight = parallax.confidence[::2, ::2].astype(np.float64)
    if parallax.usable <= 0 or float((weight > 0.3 * parallax.usable).mean()) < 0.1:
        return nothing_taken
    x, y = parallax.inverse_depth[::2, ::2].astype(np.float64), estimate[::2, ::2].astype(np.float64)
    low, high = np.percentile(estimate, [5, 95])
    span = max(float(high - low), 1e-6)
    x = np.minimum(x, float(np.percentile(x[weight > 0], 98)))
    robust = np.ones_like(weight)
    scale = offset = related = 0.0
    for _ in range(6):
        w = weight * robust
        total = float(w.sum())
        mean_x, mean_y = float((w * x).sum()) / total, float((w * y).sum()) / total
        xx, yy = float((w * (x - mean_x) ** 2).sum()), float((w * (y - mean_y) ** 2).sum())
        xy = float((w * (x - mean_x) * (y - mean_y)).sum())
        related = xy / max(float(np.sqrt(xx * yy)), 1e-12)
        # the ratio of the spreads, not a regression's slope: noise pulls a slope towards 0
        scale = float(np.sqrt(yy / max(xx, 1e-12)))
        offset = mean_y - scale * mean_x
        robust = 1 / (1 + ((scale * x + offset - y) / (0.25 * span)) ** 2)
    agreement = _rise(related, AGREEMENT, FULL_AGREEMENT)
    if agreement <= 0:
        return nothing_taken
    top = float(np.percentile(parallax.inverse_depth[parallax.confidence > 0], 99))
    wanted = np.minimum(parallax.inverse_depth, top) * np.float32(scale) + np.float32(offset)
    gap = wanted - estimate
    say = parallax.confidence * np.float32(agreement) / (1 + (gap / np.float32(FAR_OFF * span)) ** 2)
    sigma = max(HAND_OVER * estimate.shape[1], 1.0)
    weights = np.asarray(cv2.GaussianBlur(say, (0, 0), sigma), np.float32)
    correction = np.asarray(cv2.GaussianBlur(say * gap, (0, 0), sigma), np.float32) / np.maximum(weights, 1e-4)
    # beside the smooth correction, detail only where the pixel itself is sure
    detail = say * np.clip(gap - correction, -0.2 * span, 0.2 * span)
    share = np.asarray(np.minimum(weights * 1.5, 1.0), np.float32)
    return Fused(np.asarray(estimate + share * correction + detail, np.float32), share)
