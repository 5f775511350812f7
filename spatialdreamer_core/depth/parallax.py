"""Inverse depth from a moving camera: what flow is left after the camera's turning is parallax.

Two pictures some frames apart, optical flow between them, and the rigid motion that explains most of it. Pixels that
move on their own, are hidden, or lie where the camera is heading get no confidence. Everything is computed from the
two pictures alone and always gives the same bytes.

Source: Longuet-Higgins and Prazdny, "The interpretation of a moving retinal image", Proc. R. Soc. B 208, 1980,
equations 2.8: flow = A(x) T / Z + B(x) w, at focal length 1.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.flow.consistency import forward_backward_confidence
from spatialdreamer_core.flow.dis import FlowEstimator

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

FOCAL_OF_WIDTH = 0.9
"""Assumed focal length over the longer side: 58 degrees. A wrong one bends depth a little, it does not reorder it."""
STEP = 10
"""Every how manyth pixel takes part in finding the camera's motion."""
ITERATIONS = 10
COARSE, SHRINK = 30.0, 0.55
"""How many times ``OFF_PX`` is borne at first, and what of that remains from one iteration to the next."""
DAMPING = 1e-3
HEADINGS = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (0.6, 0, 0.8), (-0.6, 0, 0.8))
"""Directions of travel from which the search starts (either sign)."""
LEAST_PX, ENOUGH_PX = 1.2, 3.5
"""Motion, pixels, that no turn of the camera explains (of the fifth that has most): below the first there is no
parallax, from the second it is believed fully. Waves, wind and a shutter that rolls make a pixel of it."""
FLOW_NOISE_PX = 0.3
"""Usual error of flow along its line."""
SURE_SPREADS = 10.0
"""How many such errors the inverse depth of the scene must span before a pixel is half believed."""
GREY_SLOPE = 2.5
"""Slope of the picture, grey levels a pixel, at which flow is half believed: on flat ground it is a guess."""
TEXTURE_PX = 9
"""Window over which slopes are averaged."""
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
        strength_px: Motion that no turn of the camera explains, pixels; a fifth of the picture has more.
        explained: Share of the believable flow that the camera's motion explains.
        usable: In [0, 1]: 0 if the camera stands, only turns, or too much moves on its own.
    """

    inverse_depth: F32
    confidence: F32
    strength_px: float
    explained: float
    usable: float


@dataclass(frozen=True)
class _Rays:
    """Image places at focal length 1 and the two matrices of the flow equation, for N pixels."""

    x: F64
    y: F64

    def travel(self, heading: F64) -> F64:
        """A(x) T: [N, 2], the direction and size of the flow of a point at distance 1."""
        return np.stack([heading[2] * self.x - heading[0], heading[2] * self.y - heading[1]], axis=-1)

    @cached_property
    def turns(self) -> F64:
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
    rows = (across[:, :, None] * rays.turns).sum(axis=1)
    wanted = (across * flow).sum(axis=-1)
    normal = (rows * weight[:, None]).T @ rows + 1e-9 * np.eye(3)
    return np.asarray(np.linalg.solve(normal, (rows * weight[:, None]).T @ wanted), np.float64)


def _turn_alone(rays: _Rays, flow: F64, sigma: float) -> F64:
    """The turn [3] that explains most of the flow if the camera does not travel."""
    rows = rays.turns
    weight = np.ones(len(flow))
    turn: F64 = np.zeros(3)
    for _ in range(ITERATIONS // 2):
        flat, weighted = rows.reshape(-1, 3), (rows * weight[:, None, None]).reshape(-1, 3)
        normal = weighted.T @ flat + 1e-9 * np.eye(3)
        turn = np.asarray(np.linalg.solve(normal, weighted.T @ flow.ravel()), np.float64)
        left = flow - rows @ turn
        weight = 1 / (1 + (left**2).sum(axis=-1) / sigma**2)
    return np.asarray(turn, np.float64)


def _better(rays: _Rays, flow: F64, heading: F64, turn: F64, width: float) -> tuple[F64, F64]:
    """One Gauss-Newton step for heading and turn together, with outliers beyond ``width`` held back.

    They must move together: a small turn looks much like a small travel to the side, and one after the other they
    creep along that valley.
    """
    normal, gradient = _normal_equations(rays.x, rays.y, flow, heading, turn, width)
    normal += DAMPING * np.diag(np.diag(normal)) + 1e-12 * np.eye(6)
    normal[:3, :3] += float(np.trace(normal)) * np.outer(heading, heading)  # its length stays 1
    step = np.linalg.solve(normal, -gradient)
    moved = heading + step[:3]
    return np.asarray(moved / np.linalg.norm(moved), np.float64), np.asarray(turn + step[3:], np.float64)


@njit(cache=True, nogil=True)
def _normal_equations(x: F64, y: F64, flow: F64, heading: F64, turn: F64, width: float) -> tuple[F64, F64]:
    """J^T W J [6, 6] and J^T W r [6] of the distances r from the epipolar lines; heading first, then turn."""
    normal, gradient, row = np.zeros((6, 6)), np.zeros(6), np.empty(6)
    for n in range(x.size):
        # the two rows of B(x), see _Rays.turns
        b = (x[n] * y[n], -(1 + x[n] * x[n]), y[n]), (1 + y[n] * y[n], -x[n] * y[n], -x[n])
        motion_x = flow[n, 0] - (b[0][0] * turn[0] + b[0][1] * turn[1] + b[0][2] * turn[2])
        motion_y = flow[n, 1] - (b[1][0] * turn[0] + b[1][1] * turn[1] + b[1][2] * turn[2])
        travel_x, travel_y = heading[2] * x[n] - heading[0], heading[2] * y[n] - heading[1]
        length = max(np.sqrt(travel_x * travel_x + travel_y * travel_y), 1e-6)
        off = (motion_x * travel_y - motion_y * travel_x) / length
        weight = 1 / (1 + (off / width) ** 2)
        by_x = -motion_y / length - off * travel_x / length**2
        by_y = motion_x / length - off * travel_y / length**2
        row[0], row[1], row[2] = -by_x, -by_y, by_x * x[n] + by_y * y[n]
        for k in range(3):
            row[3 + k] = -(travel_y * b[0][k] - travel_x * b[1][k]) / length
        for k in range(6):
            gradient[k] += weight * row[k] * off
            for m in range(6):
                normal[k, m] += weight * row[k] * row[m]
    return normal, gradient


@dataclass(frozen=True, slots=True)
class CameraMotion:
    """How the camera moved between two pictures.

    Attributes:
        heading: [3] of unit length, right, down and forward; either sign.
        turn: [3] radians.
        explained: Share of the believable flow that lies along its epipolar lines; 0 where no heading was looked for.
        parallax_px: Motion that no turn alone explains; a fifth of the picture has more.
    """

    heading: F64
    turn: F64
    explained: float
    parallax_px: float


def camera_motion(flow: F32, trust: F32) -> CameraMotion | None:
    """Find heading and turn of the camera.

    Args:
        flow: [h, w, 2] pixels, dx first.
        trust: [h, w] in [0, 1].

    Returns:
        None if there is too little flow to tell.
    """
    h, w = flow.shape[:2]
    rows, columns = np.mgrid[STEP // 2 : h : STEP, STEP // 2 : w : STEP]
    kept = trust[rows, columns] > 0.3
    if kept.sum() < max(40, 0.15 * kept.size):
        return None
    rows, columns = rows[kept], columns[kept]
    focal = FOCAL_OF_WIDTH * max(h, w)
    rays = _rays(columns, rows, (h, w))
    small = flow[rows, columns].astype(np.float64) / focal
    sigma = OFF_PX / focal
    alone = small - rays.turns @ _turn_alone(rays, small, sigma)
    parallax = float(np.percentile(np.hypot(alone[:, 0], alone[:, 1]), 80)) * focal
    if parallax < LEAST_PX:
        return CameraMotion(np.array([0.0, 0.0, 1.0]), np.zeros(3), 0.0, parallax)  # no heading to be found
    best: tuple[float, F64, F64] | None = None
    for first in HEADINGS:
        heading = np.array(first, np.float64) / np.linalg.norm(first)
        turn = _turn_for(rays, small, heading, np.ones(len(rows)))
        for k in range(ITERATIONS):
            # from coarse to fine: a first guess is far off for everything, and nothing may be thrown away yet
            heading, turn = _better(rays, small, heading, turn, sigma * max(COARSE * SHRINK**k, 1.0))
        off = np.abs(_beside(small - rays.turns @ turn, rays.travel(heading)))
        cost = float(np.minimum(off / sigma, 3).mean())
        if best is None or cost < best[0] - 1e-9:
            best = cost, heading, turn
    assert best is not None
    _, heading, turn = best
    off = np.abs(_beside(small - rays.turns @ turn, rays.travel(heading)))
    return CameraMotion(heading, turn, float((off < 2 * sigma).mean()), parallax)


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
    inverse, along, reach = _along_travel(there, found.heading, found.turn, focal)
    believed = trust > 0.3
    if float(np.median(inverse[believed])) < 0:  # the heading's sign is free; what is seen lies before the camera
        inverse = -inverse
    # a pixel is as sure as the scene's inverse depth is long on the screen there: nowhere where the camera is heading
    low, high = np.percentile(inverse[believed], (10, 90))
    errors = np.float32(float(high - low) * focal / FLOW_NOISE_PX) * reach
    steady = errors**2 / (errors**2 + np.float32(SURE_SPREADS**2))
    ahead = inverse > -0.3 * max(float(np.percentile(inverse[believed], 75)), 1e-6)
    confidence = trust * ahead * steady * along * np.float32(usable)
    return Parallax(
        np.asarray(inverse, np.float32), np.asarray(confidence, np.float32), found.parallax_px, found.explained, usable
    )


@njit(cache=True, nogil=True)
def _along_travel(flow: F32, heading: F64, turn: F64, focal: float) -> tuple[F32, F32, F32]:
    """What every pixel's flow says once the camera's turn is taken away.

    Returns:
        [h, w] each: inverse depth in units of the baseline; in [0, 1] how well the motion keeps to its epipolar line;
        motion that inverse depth 1 would cause, at focal length 1.
    """
    h, w = flow.shape[:2]
    inverse, along, reach = (np.empty((h, w), np.float32), np.empty((h, w), np.float32), np.empty((h, w), np.float32))
    for i in range(h):
        y = (i - (h - 1) / 2) / focal
        for j in range(w):
            x = (j - (w - 1) / 2) / focal
            motion_x = flow[i, j, 0] / focal - (x * y * turn[0] - (1 + x * x) * turn[1] + y * turn[2])
            motion_y = flow[i, j, 1] / focal - ((1 + y * y) * turn[0] - x * y * turn[1] - x * turn[2])
            travel_x, travel_y = heading[2] * x - heading[0], heading[2] * y - heading[1]
            squared = max(travel_x * travel_x + travel_y * travel_y, 1e-6)
            length = np.sqrt(squared)
            inverse[i, j] = (motion_x * travel_x + motion_y * travel_y) / squared
            off_px = abs(motion_x * travel_y - motion_y * travel_x) / length * focal
            size_px = np.sqrt(motion_x * motion_x + motion_y * motion_y) * focal
            along[i, j] = np.exp(-0.5 * (off_px / (OFF_PX + 0.06 * size_px)) ** 2)
            reach[i, j] = length
    return inverse, along, reach


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
    rank = np.clip((estimate - np.float32(low)) / np.float32(span), 0, 1)
    # horizon and sky stay far: waves and clouds have motion of their own that looks like nearness
    gap = np.minimum(wanted - estimate, (FAR_RISE + rank) * np.float32(span))
    say = parallax.confidence * np.float32(agreement) / (1 + (gap / np.float32(FAR_OFF * span)) ** 2)
    sigma = max(HAND_OVER * estimate.shape[1], 1.0)
    weights = np.asarray(cv2.GaussianBlur(say, (0, 0), sigma), np.float32)
    correction = np.asarray(cv2.GaussianBlur(say * gap, (0, 0), sigma), np.float32) / np.maximum(weights, 1e-4)
    # beside the smooth correction, detail only where the pixel itself is sure
    detail = say * np.clip(gap - correction, -0.2 * span, 0.2 * span)
    share = np.asarray(np.minimum(weights * 1.5, 1.0), np.float32)
    return Fused(np.asarray(estimate + share * correction + detail, np.float32), share)
