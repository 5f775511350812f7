"""E_warp, the temporal warp error of Lai et al., in either eye and inside the holes.

For a pair of frames t, t + 1 with optical flow f (t to t + 1) and b (back)::

    error = sum(M |out_{t+1}(x + f) - out_t(x)|^2) / (3 sum(M))         RGB in [0, 1]
    not M = |b(x + f) + f|^2 > 0.01 (|b(x + f)|^2 + |f|^2) + 0.5         (occluded)
         or |grad f|^2 > 0.01 |f|^2 + 0.002                              (motion boundary)

A clip's figure is the mean over its pairs; papers print it times 1000. The flow is never found on what is judged: it is
the true right view's, or the left view's carried over by disparity.

Source: Lai et al., "Learning Blind Video Temporal Consistency", ECCV 2018, and the code published with it
(``evaluate_WarpError.py``, ``utils.detect_occlusion``), whose flow is FlowNet2; ours is DIS unless another is
given (``flow.learned``).
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.flow.consistency import forward_backward_confidence, pixel_grid, warp_by_flow
from spatialdreamer_core.flow.dis import FlowEstimator
from spatialdreamer_core.metrics.fidelity import Mask, Picture, check_pair

Flow = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class PairFlow:
    """The motion between two frames and where it can be judged by.

    Attributes:
        forward: [H, W, 2] px, dx first, from frame t to frame t + 1.
        visible: [H, W], False where occluded in frame t + 1 or at a motion boundary.
    """

    forward: Flow
    visible: Mask


def pair_flow(first: Picture, second: Picture, estimator: FlowEstimator) -> PairFlow:
    """Find the motion between two frames of a video, and its mask.

    Args:
        first: [H, W, 3] uint8 RGB, frame t.
        second: [H, W, 3] uint8 RGB, frame t + 1.
        estimator: Finds flow between grey pictures.
    """
    return masked(*both_flows(first, second, estimator))


def both_flows(first: Picture, second: Picture, estimator: FlowEstimator) -> tuple[Flow, Flow]:
    """Flow from ``first`` to ``second`` and back, [H, W, 2] px each; in grey, unless the estimator sees colour."""
    check_pair(first, second)
    a, b = first, second
    if not getattr(estimator, "colour", False):
        a, b = (np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8) for picture in (first, second))
    return estimator.estimate(a, b), estimator.estimate(b, a)


def masked(forward: Flow, backward: Flow) -> PairFlow:
    """Mark where a flow can be judged by: neither occluded nor at a motion boundary."""
    back = warp_by_flow(backward, forward)
    gap, own, returned = _squared(forward + back), _squared(forward), _squared(back)
    occluded = gap > 0.01 * (returned + own) + 0.5
    boundary = _gradient(forward) > 0.01 * own + 0.002
    return PairFlow(forward, np.asarray(~(occluded | boundary), bool))


def carried_flow(forward: Flow, backward: Flow, first: Flow, second: Flow, shown: Flow, next_shown: Flow) -> PairFlow:
    """Carry the left view's motion to the right view, holes included, and mask it there by the same rules.

    A point at x of the left view stands at x - d in the right one, so its motion there is the left one's, less the
    change of d along it. A hole takes the motion of the surface on its background side: what it uncovers.

    Args:
        forward: [H, W, 2] px, left view, t to t + 1.
        backward: [H, W, 2] px, left view, t + 1 to t.
        first: [H, W] float32 px, disparity of frame t on the left view's grid.
        second: [H, W] float32 px, that of frame t + 1.
        shown: [H, W] float32, the left column that each right pixel of frame t shows, NaN in holes
            (``geometry.splat.forward_map``).
        next_shown: [H, W] float32, that of frame t + 1.
    """
    stays = forward_backward_confidence(forward, backward)
    next_stays = forward_backward_confidence(backward, forward)
    right_forward = _carry(forward, first, second, stays, shown)
    right_backward = _carry(backward, second, first, next_stays, next_shown)
    return masked(right_forward, right_backward)


def warp_error(first: Picture, second: Picture, flow: PairFlow, where: Mask | None = None) -> float | None:
    """E_warp of one pair of frames, RGB in [0, 1].

    Args:
        first: [H, W, 3] uint8 RGB, frame t of what is judged.
        second: [H, W, 3] uint8 RGB, frame t + 1.
        flow: The motion there.
        where: [H, W], pixels of frame t that count; None is all.

    Returns:
        None where no pixel can be judged.

    Raises:
        ValueError: If the sizes differ.
    """
    check_pair(first, second)
    if flow.visible.shape != first.shape[:2]:
        raise ValueError(f"flow of {list(flow.visible.shape)} does not fit pictures of {list(first.shape)}")
    mask = flow.visible if where is None else flow.visible & where
    count = np.count_nonzero(mask)
    if count == 0:
        return None
    pulled = warp_by_flow(second.astype(np.float32), flow.forward)
    difference = (pulled - first)[mask].astype(np.float64) / 255
    return float(np.sum(difference * difference) / (3 * count))


def _squared(flow: Flow) -> NDArray[np.float32]:
    return np.asarray(flow[..., 0] ** 2 + flow[..., 1] ** 2, np.float32)


def _gradient(flow: Flow) -> NDArray[np.float32]:
    """Sum of the squared differences to the pixels on the right and below; 0 beyond the last."""
    total = np.zeros(flow.shape[:2], np.float32)
    total[:, :-1] += _squared(flow[:, :-1] - flow[:, 1:])
    total[:-1] += _squared(flow[:-1] - flow[1:])
    return total


def background_end(disparity: Flow, known: Mask) -> NDArray[np.int64]:
    """Tell for each pixel whose value it takes: its own if known, else that of its gap's background end in the row.

    Args:
        disparity: [H, W] float32 px; not looked at where unknown.
        known: [H, W].

    Returns:
        [H, W] columns; any column in a row that knows nothing.
    """
    h, w = disparity.shape
    x = np.broadcast_to(np.arange(w, dtype=np.int32), (h, w))
    before = np.maximum.accumulate(np.where(known, x, -1), axis=1)
    after = np.minimum.accumulate(np.where(known, x, w)[:, ::-1], axis=1)[:, ::-1]
    rows = np.arange(h)[:, None]
    on_left = np.where(before >= 0, disparity[rows, np.maximum(before, 0)], np.inf)
    on_right = np.where(after < w, disparity[rows, np.minimum(after, w - 1)], np.inf)
    # of the two ends, the one with less disparity is background
    return np.where(on_right <= on_left, np.minimum(after, w - 1), np.maximum(before, 0))


def _carry(flow: Flow, disparity: Flow, next_disparity: Flow, stays: Mask, shown: Flow) -> Flow:
    h, w = shown.shape
    x, y = pixel_grid(h, w)
    columns = shown[np.arange(h)[:, None], background_end(shown - x, ~np.isnan(shown))]
    column, row = np.where(np.isnan(columns), x, columns), np.array(y)
    change = warp_by_flow(next_disparity, flow) - disparity
    change[~stays] = 0  # what is covered next keeps its disparity; what covers it has another
    own = np.dstack([flow[..., 0] - change, flow[..., 1]])
    # nearest column: a mean over a silhouette would be nobody's motion
    nearest = np.asarray(np.rint(column), np.float32)
    return np.asarray(cv2.remap(own, nearest, row, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE), np.float32)
