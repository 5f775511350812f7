"""Heading and turn of a camera between two pictures, and what each pixel moved besides, from their optical flow.

Source: Longuet-Higgins and Prazdny, "The interpretation of a moving retinal image", Proc. R. Soc. B 208, 1980,
equations 2.8: flow = A(x) T / Z + B(x) w, at focal length 1. A(x) T is the way a point at distance 1 moves as the
camera travels along T; B(x) w what its turn w adds, the same at every distance.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

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
STARTS = 13
"""Directions of travel from which the search starts. Of 150 made scenes with noise, a turning camera and something that
moves on its own 5 find the heading in 119, 8 in 133, 13 in 137 and 20 in 139."""
LEAST_PX = 1.2
"""Motion, pixels, that no turn of the camera explains (of the fifth that has most), below which there is no parallax:
waves, wind and a shutter that rolls make a pixel of it."""
OFF_PX = 0.35
"""How far a pixel may move beside its epipolar line, pixels; three times as far is another motion."""


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
    x, y = (columns - (w - 1) / 2) / focal, (rows - (h - 1) / 2) / focal
    small = flow[rows, columns].astype(np.float64) / focal
    sigma = OFF_PX / focal
    parallax = float(np.percentile(_left_by_a_turn(x, y, small, sigma), 80)) * focal
    if parallax < LEAST_PX:
        return CameraMotion(np.array([0.0, 0.0, 1.0]), np.zeros(3), 0.0, parallax)  # no heading to be found
    heading, turn, explained = _search(x, y, small, _spread(STARTS), sigma)
    return CameraMotion(heading, turn, explained, parallax)


def _spread(count: int) -> F64:
    """Directions [count, 3] spread evenly over the half sphere before the camera; a heading has either sign."""
    k = np.arange(count) + 0.5
    forward, around = 1 - k / count, k * np.pi * (1 + 5**0.5)  # the golden angle
    beside = np.sqrt(1 - forward**2)
    return np.stack([beside * np.cos(around), beside * np.sin(around), forward], axis=1)


@njit(cache=True, nogil=True)
def along_travel(flow: F32, heading: F64, turn: F64, focal: float) -> tuple[F32, F32, F32]:
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
            turn_x, turn_y = _turned(x, y, turn)
            motion_x, motion_y = flow[i, j, 0] / focal - turn_x, flow[i, j, 1] / focal - turn_y
            travel_x, travel_y, length = _travel(x, y, heading)
            inverse[i, j] = (motion_x * travel_x + motion_y * travel_y) / max(length * length, 1e-6)
            off_px = abs(motion_x * travel_y - motion_y * travel_x) / length * focal
            size_px = np.sqrt(motion_x * motion_x + motion_y * motion_y) * focal
            along[i, j] = np.exp(-0.5 * (off_px / (OFF_PX + 0.06 * size_px)) ** 2)
            reach[i, j] = length
    return inverse, along, reach


@njit(cache=True, nogil=True)
def _turned(x: float, y: float, turn: F64) -> Any:
    """B(x) w: the flow that a turn [3] causes at a place, at focal length 1."""
    return (
        x * y * turn[0] - (1 + x * x) * turn[1] + y * turn[2],
        (1 + y * y) * turn[0] - x * y * turn[1] - x * turn[2],
    )


@njit(cache=True, nogil=True)
def _solve(matrix: F64, right: F64) -> F64:
    """Solve a small symmetric positive definite system, both overwritten: elimination needs no pivots there."""
    n = right.size
    for k in range(n):
        for i in range(k + 1, n):
            factor = matrix[i, k] / matrix[k, k]
            for m in range(k, n):
                matrix[i, m] -= factor * matrix[k, m]
            right[i] -= factor * right[k]
    for k in range(n - 1, -1, -1):
        for m in range(k + 1, n):
            right[k] -= matrix[k, m] * right[m]
        right[k] /= matrix[k, k]
    return right


@njit(cache=True, nogil=True)
def _add(normal: F64, wanted: F64, row: F64, value: float, weight: float) -> None:
    """Add one equation ``row . unknowns = value`` to the normal equations."""
    for k in range(row.size):
        wanted[k] += weight * row[k] * value
        for m in range(row.size):
            normal[k, m] += weight * row[k] * row[m]


@njit(cache=True, nogil=True)
def _left_by_a_turn(x: F64, y: F64, flow: F64, sigma: float) -> F64:
    """Length [N] of the flow that is left when the camera only turns, as well as it can."""
    turn, left, row = np.zeros(3), np.empty(x.size), np.empty(3)
    for iteration in range(ITERATIONS // 2):
        normal, wanted = 1e-9 * np.eye(3), np.zeros(3)
        for n in range(x.size):
            weight = 1.0 if iteration == 0 else 1 / (1 + (left[n] / sigma) ** 2)
            row[0], row[1], row[2] = x[n] * y[n], -(1 + x[n] * x[n]), y[n]
            _add(normal, wanted, row, flow[n, 0], weight)
            row[0], row[1], row[2] = 1 + y[n] * y[n], -x[n] * y[n], -x[n]
            _add(normal, wanted, row, flow[n, 1], weight)
        turn = _solve(normal, wanted)
        for n in range(x.size):
            turn_x, turn_y = _turned(x[n], y[n], turn)
            left[n] = np.hypot(flow[n, 0] - turn_x, flow[n, 1] - turn_y)
    return left


@njit(cache=True, nogil=True)
def _search(x: F64, y: F64, flow: F64, starts: F64, sigma: float) -> tuple[F64, F64, float]:
    """The best heading and turn that are reached from any start, and the share of the flow that they explain."""
    best, best_heading, best_turn = np.inf, starts[0], np.zeros(3)
    off = np.empty(x.size)
    for s in range(starts.shape[0]):
        heading = starts[s].copy()
        turn = _turn_for(x, y, flow, heading)
        width = COARSE
        for _ in range(ITERATIONS):
            # from coarse to fine: a first guess is far off for everything, and nothing may be thrown away yet
            heading, turn = _better(x, y, flow, heading, turn, sigma * max(width, 1.0))
            width *= SHRINK
        _beside(x, y, flow, heading, turn, off)
        cost = np.minimum(off / sigma, 3).mean()
        if cost < best - 1e-9:
            best, best_heading, best_turn = cost, heading, turn
    _beside(x, y, flow, best_heading, best_turn, off)
    return best_heading, best_turn, (off < 2 * sigma).mean()


@njit(cache=True, nogil=True)
def _travel(x: float, y: float, heading: F64) -> Any:
    """A(x) T, and its length."""
    travel_x, travel_y = heading[2] * x - heading[0], heading[2] * y - heading[1]
    return travel_x, travel_y, max(np.sqrt(travel_x * travel_x + travel_y * travel_y), 1e-6)


@njit(cache=True, nogil=True)
def _beside(x: F64, y: F64, flow: F64, heading: F64, turn: F64, off: F64) -> None:
    """Write the distance of each motion from its epipolar line."""
    for n in range(x.size):
        turn_x, turn_y = _turned(x[n], y[n], turn)
        travel_x, travel_y, length = _travel(x[n], y[n], heading)
        off[n] = abs((flow[n, 0] - turn_x) * travel_y - (flow[n, 1] - turn_y) * travel_x) / length


@njit(cache=True, nogil=True)
def _turn_for(x: F64, y: F64, flow: F64, heading: F64) -> F64:
    """The turn [3] that leaves least motion beside the epipolar lines of a heading."""
    normal, wanted, row = 1e-9 * np.eye(3), np.zeros(3), np.empty(3)
    for n in range(x.size):
        travel_x, travel_y, length = _travel(x[n], y[n], heading)
        across_x, across_y = travel_y / length, -travel_x / length
        row[0] = across_x * x[n] * y[n] + across_y * (1 + y[n] * y[n])
        row[1] = -across_x * (1 + x[n] * x[n]) - across_y * x[n] * y[n]
        row[2] = across_x * y[n] - across_y * x[n]
        _add(normal, wanted, row, across_x * flow[n, 0] + across_y * flow[n, 1], 1.0)
    return _solve(normal, wanted)


@njit(cache=True, nogil=True)
def _better(x: F64, y: F64, flow: F64, heading: F64, turn: F64, width: float) -> tuple[F64, F64]:
    """One Gauss-Newton step for heading and turn together, with outliers beyond ``width`` held back.

    They must move together: a small turn looks much like a small travel to the side, and one after the other they
    creep along that valley.
    """
    normal, gradient, row = np.zeros((6, 6)), np.zeros(6), np.empty(6)
    for n in range(x.size):
        turn_x, turn_y = _turned(x[n], y[n], turn)
        motion_x, motion_y = flow[n, 0] - turn_x, flow[n, 1] - turn_y
        travel_x, travel_y, length = _travel(x[n], y[n], heading)
        off = (motion_x * travel_y - motion_y * travel_x) / length
        by_x = -motion_y / length - off * travel_x / length**2
        by_y = motion_x / length - off * travel_y / length**2
        row[0], row[1], row[2] = -by_x, -by_y, by_x * x[n] + by_y * y[n]
        row[3] = -(travel_y * x[n] * y[n] - travel_x * (1 + y[n] * y[n])) / length
        row[4] = (travel_y * (1 + x[n] * x[n]) - travel_x * x[n] * y[n]) / length
        row[5] = -(travel_y * y[n] + travel_x * x[n]) / length
        _add(normal, gradient, row, -off, 1 / (1 + (off / width) ** 2))
    size = np.trace(normal)
    for k in range(6):
        normal[k, k] += DAMPING * normal[k, k] + 1e-12
    for k in range(3):
        for m in range(3):
            normal[k, m] += size * (1 + DAMPING) * heading[k] * heading[m]  # its length stays 1
    step = _solve(normal, gradient)
    moved = heading + step[:3]
    return moved / np.sqrt((moved * moved).sum()), turn + step[3:]
