"""Depth along the flow: keys aligned to their neighbours and blended, and depth of the frames between two keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.depth.guided import guided_by_grey
from spatialdreamer_core.flow.consistency import trusted_flow
from spatialdreamer_core.flow.dis import SMALLEST, FlowEstimator, halve

SCALE_LIMIT, SHIFT_LIMIT = 1.5, 0.35
"""How far an alignment may stretch a key (either way) and move it (in parts of the shot's range)."""
SHRINK = 0.004
"""Added to both variances of a fit: a nearly flat picture says little of its scale, so it stays near 1."""
DEPTH_SIGMA = 0.15
"""Disagreement (parts of the shot's range) at which a neighbour's weight has fallen to 0.44: the flow erred there."""
SHARE_RADIUS_PX, SHARE_EPSILON = 12, 300.0
"""Window and regularisation (squared grey levels) of the filter that makes the keys' shares follow the picture."""
TRUST_FLOOR = 0.004
"""Weight left to a key that the flow does not confirm, so that a pixel seen in neither still gets the nearer key's."""


@dataclass(frozen=True, slots=True)
class FlowLink:
    """Where one picture's pixels are in another, and how far to believe it; on the pictures' grid or a coarser one.

    Attributes:
        flow: [h', w', 2] pixels of this grid, dx first.
        trust: [h', w'] in [0, 1]; 0 where the other picture does not show the pixel.
    """

    flow: NDArray[np.float32]
    trust: NDArray[np.float32]

    def pull(self, depth: NDArray[np.float32]) -> NDArray[np.float32]:
        """Bring the other picture's [h, w] depth onto this picture's pixels."""
        h, w = depth.shape
        to_x, to_y = np.empty((h, w), np.float32), np.empty((h, w), np.float32)
        _aim(self.flow, (*_taps(h, self.flow.shape[0]), *_taps(w, self.flow.shape[1])), to_x, to_y)
        pulled = cv2.remap(depth, to_x, to_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(pulled, np.float32)

    def trust_of(self, h: int, w: int) -> NDArray[np.float32]:
        """The trust in each pixel of a picture of that size."""
        if self.trust.shape == (h, w):
            return self.trust
        return np.asarray(cv2.resize(self.trust, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def link_pictures(
    estimator: FlowEstimator, first: NDArray[np.uint8], second: NDArray[np.uint8], *, half: bool = True
) -> tuple[FlowLink, FlowLink]:
    """Find the flow both ways and check it against itself and the pictures.

    Args:
        estimator: Of optical flow.
        first: [h, w] grey.
        second: [h, w] grey.
        half: Work at half the size: a quarter of the time.

    Returns:
        The link from ``first`` to ``second``, and the one back.
    """
    a, b = _working_size(first, half), _working_size(second, half)
    there, back = estimator.estimate(a, b), estimator.estimate(b, a)
    return FlowLink(*trusted_flow(a, b, there, back)), FlowLink(*trusted_flow(b, a, back, there))


def link_forward(
    estimator: FlowEstimator, first: NDArray[np.uint8], second: NDArray[np.uint8], *, half: bool = True
) -> FlowLink:
    """Link one picture to another by flow one way, believed where the pictures then look alike.

    For frames between two keys: what one key does not show the other mostly does, and the shares of the keys follow
    the picture, so the way back would add time and no accuracy (0.0193 either way on hands over a table).
    """
    a, b = _working_size(first, half), _working_size(second, half)
    return FlowLink(*trusted_flow(a, b, estimator.estimate(a, b), None))


def _working_size(grey: NDArray[np.uint8], half: bool) -> NDArray[np.uint8]:
    return halve(grey) if half and min(grey.shape) >= 2 * SMALLEST else grey


@dataclass(frozen=True, slots=True)
class Alignment:
    """``scale * depth + shift`` looks like another estimate of the same thing."""

    scale: float = 1.0
    shift: float = 0.0


def fit_alignment(
    depth: NDArray[np.float32], other: NDArray[np.float32], trust: NDArray[np.float32]
) -> Alignment | None:
    """Find the scale and shift that bring ``depth`` to ``other``, from believable pixels, twice without outliers.

    The scale is the ratio of the spreads, not a regression's slope: noise pulls a slope below 1, and then averaging
    over neighbours would flatten the shot.

    Args:
        depth: [h, w] by the shot's range.
        other: [h, w], on the same pixels.
        trust: [h, w] in [0, 1].

    Returns:
        Limited by ``SCALE_LIMIT`` and ``SHIFT_LIMIT``; None if too few pixels are believable.
    """
    believed = trust[::3, ::3] > 0.5  # a ninth of the pixels says the same in a ninth of the time
    x, y = depth[::3, ::3][believed].astype(np.float64), other[::3, ::3][believed].astype(np.float64)
    if x.size < max(8, 0.08 * believed.size):
        return None
    scale, shift = 1.0, float(np.median(y - x))
    for _ in range(2):
        residual = np.abs(y - scale * x - shift)
        kept = residual <= 3 * np.median(residual) + 0.02
        x_kept, y_kept = x[kept], y[kept]
        mean_x, mean_y = float(x_kept.mean()), float(y_kept.mean())
        from_x, from_y = x_kept - mean_x, y_kept - mean_y
        spread_x, spread_y = float((from_x**2).mean()) + SHRINK, float((from_y**2).mean()) + SHRINK
        related = float((from_x * from_y).mean()) > 0.3 * np.sqrt(spread_x * spread_y) - SHRINK
        scale = float(np.clip(np.sqrt(spread_y / spread_x), 1 / SCALE_LIMIT, SCALE_LIMIT)) if related else 1.0
        shift = mean_y - scale * mean_x
    moved = float(np.clip(mean_y - mean_x, -SHIFT_LIMIT, SHIFT_LIMIT))
    return Alignment(scale, mean_x + moved - scale * mean_x)


def blend_key(
    own: NDArray[np.float32], neighbours: Sequence[tuple[NDArray[np.float32], FlowLink, float]], own_weight: float
) -> NDArray[np.float32]:
    """Steady one key: move it to the mean scale and shift of its window, and average it with its neighbours.

    Where the flow to a neighbour is not confirmed, that neighbour has no say; where none is, the key stays alone.

    Args:
        own: [h, w] by the shot's range, not clipped.
        neighbours: Each neighbour's [h, w] depth (on its own pixels), the link from this key to it, and its weight.
        own_weight: The key's own weight.

    Returns:
        [h, w] by the shot's range, not clipped.
    """
    total = own * np.float32(own_weight)
    weights = np.full(own.shape, own_weight, np.float32)
    scale_sum, shift_sum, fit_weight = own_weight, 0.0, own_weight
    for depth, link, weight in neighbours:
        seen, trust = link.pull(depth), link.trust_of(*own.shape)
        fit = fit_alignment(own, seen, trust)
        if fit is None:
            continue
        scale_sum, shift_sum, fit_weight = (
            scale_sum + weight * fit.scale,
            shift_sum + weight * fit.shift,
            fit_weight + weight,
        )
        _add_neighbour(
            total, weights, own, seen, trust, np.float32(fit.shift), np.float32(1 / fit.scale), np.float32(weight)
        )
    mean_scale, mean_shift = np.float32(scale_sum / fit_weight), np.float32(shift_sum / fit_weight)
    return np.asarray(total / weights * mean_scale + mean_shift, np.float32)


def carry(
    depth_a: NDArray[np.float32],
    depth_b: NDArray[np.float32],
    to_a: FlowLink,
    to_b: FlowLink,
    position: float,
    grey: NDArray[np.uint8],
) -> NDArray[np.float32]:
    """Make the depth of a frame between two keys by pulling both along the flow.

    Each key counts by its nearness in time and by the trust in its flow. Trust comes in specks where things move fast,
    and a choice that changed with every speck would tear surfaces, so the keys' shares are smoothed first, along the
    picture's edges: a thing passes from one key's depth to the other's as a whole, a little in every frame.

    Args:
        depth_a: [h, w] of the key before, in [0, 1].
        depth_b: [h, w] of the key after.
        to_a: From the frame to the key before.
        to_b: From the frame to the key after, on the same grid.
        position: Where the frame lies between them, in (0, 1).
        grey: [h, w] uint8, the frame.

    Returns:
        [h, w] in [0, 1].
    """
    near_a, near_b = np.float32(1 - position), np.float32(position)
    # with neither confirmed the floor decides alone; to the fourth power it is nearly the nearer key's value
    say_a = to_a.trust * near_a + np.float32(TRUST_FLOOR) * near_a**4
    say_b = to_b.trust * near_b + np.float32(TRUST_FLOOR) * near_b**4
    share = np.asarray(say_b / (say_a + say_b), np.float32)
    share = guided_by_grey(share, grey, SHARE_RADIUS_PX, SHARE_EPSILON)
    a, b = to_a.pull(depth_a), to_b.pull(depth_b)
    return np.asarray(a + np.clip(share, 0, 1) * (b - a), np.float32)


@lru_cache(maxsize=16)
def _taps(full: int, low: int) -> tuple[NDArray[np.uint32], NDArray[np.float32]]:
    """First low sample of each full one and the weight of the next, over the same extent; read-only."""
    place = np.clip((np.arange(full) + 0.5) * (low / full) - 0.5, 0, low - 1)
    first = np.minimum(place.astype(np.uint32), max(low - 2, 0)).astype(np.uint32)
    along = (place - first).astype(np.float32)
    first.setflags(write=False)
    along.setflags(write=False)
    return first, along


@njit(cache=True, nogil=True)
def _aim(flow: Any, taps: Any, to_x: Any, to_y: Any) -> None:
    """Write where each pixel of [h, w] goes along a flow [h', w', 2] on a coarser grid: the maps of ``cv2.remap``."""
    h, w = to_x.shape
    low_h, low_w = flow.shape[:2]
    y0, down, x0, across = taps
    wide = np.empty((2, 2, w), np.float32)  # two low rows, brought to full width
    scale_x, scale_y = np.float32(w / low_w), np.float32(h / low_h)
    one = np.uint64(1) if low_w > 1 else np.uint64(0)
    known = -1
    for i in range(h):
        top = int(y0[i])
        bottom = min(top + 1, low_h - 1)
        for low in range(max(top, known + 1), bottom + 1):
            for x in range(np.uint64(0), np.uint64(w)):
                k, s = np.uint64(x0[x]), across[x]
                left_x, left_y = flow[low, k, 0], flow[low, k, 1]
                wide[low % 2, 0, x] = (left_x + s * (flow[low, k + one, 0] - left_x)) * scale_x
                wide[low % 2, 1, x] = (left_y + s * (flow[low, k + one, 1] - left_y)) * scale_y
            known = low
        above, below, t = wide[top % 2], wide[bottom % 2], down[i]
        for x in range(np.uint64(0), np.uint64(w)):
            to_x[i, x] = np.float32(x) + above[0, x] + t * (below[0, x] - above[0, x])
            to_y[i, x] = np.float32(i) + above[1, x] + t * (below[1, x] - above[1, x])


@njit(cache=True, nogil=True)
def _add_neighbour(
    total: NDArray[np.float32],
    weights: NDArray[np.float32],
    own: NDArray[np.float32],
    seen: NDArray[np.float32],
    trust: NDArray[np.float32],
    shift: np.float32,
    per_scale: np.float32,
    weight: np.float32,
) -> None:
    """Add a neighbour to the weighted sum where it agrees with the key; writes into ``total`` and ``weights``."""
    h, w = own.shape
    per_sigma2 = np.float32(0.5 / DEPTH_SIGMA**2)
    for i in range(h):
        for j in range(w):
            like_own = (seen[i, j] - shift) * per_scale
            apart = like_own - own[i, j]
            doubt = np.float32(1) + apart * apart * per_sigma2
            say = weight * trust[i, j] / (doubt * doubt)
            total[i, j] += say * like_own
            weights[i, j] += say
