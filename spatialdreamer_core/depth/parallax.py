"""Inverse depth from a moving camera: what flow is left after the camera's turning is parallax.

Two pictures some frames apart, optical flow between them, and the rigid motion that explains most of it. Pixels that
move on their own, are hidden, or lie where the camera is heading get no confidence. Everything is computed from the
two pictures alone and always gives the same bytes.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.depth.camera_motion import (
    F32,
    F64,
    FOCAL_OF_WIDTH,
    LEAST_PX,
    along_travel,
    camera_motion,
)
from spatialdreamer_core.flow.consistency import forward_backward_confidence
from spatialdreamer_core.flow.dis import FlowEstimator

ENOUGH_PX = 3.5
"""Motion, pixels, that no turn of the camera explains (of the fifth that has most), from which parallax is believed
fully; below ``LEAST_PX`` there is none."""
FLOW_NOISE_PX = 0.3
"""Usual error of flow along its line."""
SURE_SPREADS = 10.0
"""How many such errors the inverse depth of the scene must span before a pixel is half believed."""
GREY_SLOPE = 2.5
"""Slope of the picture, grey levels a pixel, at which flow is half believed: on flat ground it is a guess."""
TEXTURE_PX = 9
"""Window over which slopes are averaged."""
STATIC, MOSTLY_STATIC = 0.55, 0.8
"""Share of the flow that one rigid motion must explain: below the first nothing is believed, from the second all."""
FLOW_SLACK_PX2 = 0.3


@dataclass(frozen=True, slots=True)
class Parallax:
    """Depth that motion shows.

    Attributes:
        inverse_depth: [h, w] in units of the baseline, larger is nearer; meaningless where ``confidence`` is 0.
        confidence: [h, w] in [0, 1].
        strength_px: Motion that no turn of the camera explains, pixels; a fifth of the picture has more.
        explained: Share of the believable flow that the camera's motion explains.
        usable: In [0, 1]: 0 if the camera stands, only turns, or too much moves on its own.
    """

    inverse_depth: F32
    confidence: F32
    strength_px: float
    explained: float
    usable: float


def _rise(value: float, low: float, high: float) -> float:
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def nothing(shape: tuple[int, int]) -> Parallax:
    """What a camera that stands still shows."""
    return Parallax(*_blank(shape), 0.0, 0.0, 0.0)


def _blank(shape: tuple[int, int]) -> tuple[F32, F32]:
    return np.zeros(shape, np.float32), np.zeros(shape, np.float32)


def find_parallax(estimator: FlowEstimator, picture: NDArray[np.uint8], partner: NDArray[np.uint8]) -> Parallax:
    """Inverse depth of ``picture`` from its motion to ``partner``.

    Args:
        estimator: Of optical flow.
        picture: [h, w] grey.
        partner: [h, w] grey, the same shot some frames away.
    """
    shape = (picture.shape[0], picture.shape[1])
    there, back = estimator.estimate(picture, partner), estimator.estimate(partner, picture)
    trust = forward_backward_confidence(there, back, slack_px2=FLOW_SLACK_PX2) * textured(picture)
    found = camera_motion(there, trust)
    if found is None:
        return nothing(shape)
    usable = _rise(found.parallax_px, LEAST_PX, ENOUGH_PX) * _rise(found.explained, STATIC, MOSTLY_STATIC)
    if usable <= 0:
        return Parallax(*_blank(shape), found.parallax_px, found.explained, 0.0)
    focal = FOCAL_OF_WIDTH * max(shape)
    inverse, along, reach = along_travel(there, found.heading, found.turn, focal)
    low, lower, middle, upper, high = np.percentile(inverse[trust > 0.3], (10, 25, 50, 75, 90))
    if middle < 0:  # the heading's sign is free; what is seen lies before the camera
        inverse, upper = -inverse, -lower
    # a pixel is as sure as the scene's inverse depth is long on the screen there: nowhere where the camera is heading
    errors = np.float32(float(high - low) * focal / FLOW_NOISE_PX) * reach
    steady = errors**2 / (errors**2 + np.float32(SURE_SPREADS**2))
    ahead = inverse > -0.3 * max(float(upper), 1e-6)
    confidence = trust * ahead * steady * along * np.float32(usable)
    return Parallax(
        np.asarray(inverse, np.float32), np.asarray(confidence, np.float32), found.parallax_px, found.explained, usable
    )


def textured(picture: NDArray[np.uint8]) -> F32:
    """How far flow may be believed for what the picture [h, w] shows around each pixel, in [0, 1)."""
    across = cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=0.125)
    down = cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=0.125)
    energy = np.asarray(cv2.blur(across * across + down * down, (TEXTURE_PX, TEXTURE_PX)), np.float32)
    return np.asarray(energy / (energy + np.float32(GREY_SLOPE**2)), np.float32)


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
FAR_RISE = 0.08
"""How much nearer, in the network's spread, parallax may bring what the network sees at the far end."""
AGREEMENT, FULL_AGREEMENT = 0.3, 0.6
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
    scale, offset, related = _to_scale(x, y, weight, 0.25 * span)
    agreement = _rise(related, AGREEMENT, FULL_AGREEMENT)
    if agreement <= 0:
        return nothing_taken
    top = float(np.percentile(parallax.inverse_depth[parallax.confidence > 0], 99))
    wanted = np.minimum(parallax.inverse_depth, top) * np.float32(scale) + np.float32(offset)
    rank = np.clip((estimate - np.float32(low)) / np.float32(span), 0, 1)
    # horizon and sky stay far: waves and clouds have motion of their own that looks like nearness
    gap = np.minimum(wanted - estimate, (FAR_RISE + rank) * np.float32(span))
    say = parallax.confidence * np.float32(agreement) / (1 + (gap / np.float32(FAR_OFF * span)) ** 2)
    weights, gaps = _spread_out(say), _spread_out(say * gap)
    correction = gaps / np.maximum(weights, np.float32(1e-4))
    # beside the smooth correction, detail only where the pixel itself is sure
    detail = say * np.clip(gap - correction, -0.2 * span, 0.2 * span)
    share = np.asarray(np.minimum(weights * 1.5, 1.0), np.float32)
    return Fused(np.asarray(estimate + share * correction + detail, np.float32), share)


@njit(cache=True, nogil=True)
def _to_scale(x: F64, y: F64, weight: F64, width: float) -> tuple[float, float, float]:
    """Scale and offset that bring x to y [h, w], with outliers beyond ``width`` held back, and their correlation."""
    scale = offset = related = 0.0
    for iteration in range(6):
        total = sum_x = sum_y = sum_xx = sum_yy = sum_xy = 0.0
        for i in range(x.shape[0]):
            for j in range(x.shape[1]):
                w, a, b = weight[i, j], x[i, j], y[i, j]
                if iteration > 0:
                    off = (scale * a + offset - b) / width
                    w /= 1 + off * off
                total += w
                sum_x, sum_y = sum_x + w * a, sum_y + w * b
                sum_xx, sum_yy, sum_xy = sum_xx + w * a * a, sum_yy + w * b * b, sum_xy + w * a * b
        mean_x, mean_y = sum_x / total, sum_y / total
        xx, yy = max(sum_xx - mean_x * sum_x, 0.0), max(sum_yy - mean_y * sum_y, 0.0)
        related = (sum_xy - mean_x * sum_y) / max(np.sqrt(xx * yy), 1e-12)
        # the ratio of the spreads, not a regression's slope: noise pulls a slope towards 0
        scale = np.sqrt(yy / max(xx, 1e-12))
        offset = mean_y - scale * mean_x
    return scale, offset, related


def _spread_out(values: F32) -> F32:
    """Blur [h, w] by ``HAND_OVER``; at half the size, which so wide a blur does not show."""
    h, w = values.shape
    half = cv2.resize(values, (max(1, w // 2), max(1, h // 2)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(half, (0, 0), max(HAND_OVER * w, 1.0) / 2)
    return np.asarray(cv2.resize(blurred, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


class _Sideways:
    """The flow of a camera that travels sideways past a slope: nearer further down."""

    name = "sideways"

    def __init__(self, height: int, width: int) -> None:
        self.inverse_depth: F32 = np.repeat(np.linspace(0.2, 1, height, dtype=np.float32)[:, None], width, axis=1)
        self._flow = np.dstack([-12 * self.inverse_depth, np.zeros_like(self.inverse_depth)])

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> F32:
        """There, and back, and so on."""
        self._flow = -self._flow
        return -self._flow


def rehearse() -> Fused:
    """Load or compile what ``find_parallax`` and ``fuse`` call, on made flow."""
    made = _Sideways(96, 128)
    grey = np.random.default_rng(0).integers(0, 256, made.inverse_depth.shape, np.uint8)
    return fuse(made.inverse_depth, find_parallax(made, grey, grey))
