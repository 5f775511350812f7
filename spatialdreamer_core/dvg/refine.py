"""Steady masks: what is masked just before or just after, carried by a flow that can be believed, is masked now."""

from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.dvg.config import Refine
from spatialdreamer_core.dvg.flows import ClipFlows


def refine_masks(
    masks: NDArray[np.bool_], flows: ClipFlows, refine: Refine, carried: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Refine the masks of a clip; a mask only grows.

    With ``w_k`` the neighbour's mask pulled along the flow t -> k and ``C_k`` that flow's confidence:

    * ``union``: ``m OR C_{t-1} w_{t-1} OR C_{t+1} w_{t+1}``, C is 0 or 1;
    * ``previous``, ``next``: that neighbour alone;
    * ``soft``: ``m OR (C_{t-1} w_{t-1} + C_{t+1} w_{t+1} >= 1)``, C in [0, 1]: one neighbour is enough only if
      it is wholly believed, else both must agree;
    * ``off``: ``m``.

    Neighbours count as they were before refinement, so a mask reaches one frame far and not through the clip.

    Args:
        masks: [T, H, W].
        flows: Of the same clip.
        refine: How.
        carried: [T, H, W], the part of the masks that flow may carry to neighbours; None is all of them.

    Returns:
        [T, H, W].

    Source: arXiv 2411.11934, mask refinement of DVG: ``m^t = 1 if sum_k m^k(i + u, j + v) C(i, j) >= 1``, together
    with m^t itself.
    """
    if refine == "off":
        return masks.copy()
    refined, carried = masks.copy(), masks if carried is None else carried
    for t in range(len(masks)):
        sides = []
        if t > 0 and refine != "next":
            sides.append((carried[t - 1], flows.backward[t - 1], flows.backward_trust[t - 1]))
        if t + 1 < len(masks) and refine != "previous":
            sides.append((carried[t + 1], flows.forward[t], flows.forward_trust[t]))
        if refine == "soft":
            votes = [pull_mask(mask, flow) * trust for mask, flow, trust in sides]
            refined[t] |= sum(votes, np.float32(0)) >= np.float32(0.999)
        else:
            for mask, flow, trust in sides:
                refined[t] |= pull_mask(mask, flow) & (trust >= 0.5)
    return refined


def close_mask(mask: NDArray[np.bool_], close_px: int) -> NDArray[np.bool_]:
    """Close gaps up to ``2 * close_px`` wide; a mask only grows, and not beyond its outline at the picture's border.

    Splats leave single pixels inside a hole and slits between two: noise of the depth, nothing that a view shows.

    Args:
        mask: [H, W].
        close_px: Radius of the square that closes; 0 closes nothing.
    """
    if close_px == 0:
        return mask
    side = 2 * close_px + 1
    closed = cv2.morphologyEx(mask.view(np.uint8), cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    return np.asarray(closed, np.uint8).view(np.bool_)


def pull_mask(mask: NDArray[np.bool_], flow: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Pull a mask along the flow onto the grid that it starts from.

    Args:
        mask: [H, W] of time b.
        flow: [H, W, 2] px, a to b.

    Returns:
        [H, W], what the nearest pixel says; beyond the border is what the border says.
    """
    pulled = np.empty(mask.shape, np.bool_)
    _pull(mask, flow, pulled)
    return pulled


@njit(cache=True, nogil=True)
def _pull(mask: Any, flow: Any, pulled: Any) -> None:
    height, width = mask.shape
    half, zero = np.float32(0.5), np.float32(0)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    for y in range(height):
        for x in range(width):
            to_x = min(max(np.float32(x) + flow[y, x, 0], zero), right)
            to_y = min(max(np.float32(y) + flow[y, x, 1], zero), bottom)
            pulled[y, x] = mask[np.int32(to_y + half), np.int32(to_x + half)]
