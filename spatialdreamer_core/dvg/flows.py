"""Optical flow of a clip both ways, and where it can be believed."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from spatialdreamer_core.dvg.config import MaskConfig
from spatialdreamer_core.errors import FlowError, ShortClipError
from spatialdreamer_core.flow.consistency import warp_by_flow
from spatialdreamer_core.flow.dis import SMALLEST, create_flow, halve, upscale_flow

LEAST_CONFIDENCE = 0.01
"""A clip with a smaller share of confident flow has none."""
LEAST_LIKENESS = 0.4
"""Neighbours that resemble each other less along the flow show that it leads nowhere, even if it comes back."""


@dataclass(frozen=True, slots=True)
class ClipFlows:
    """Flow between neighbouring frames, on the grid of the frame it starts from.

    Attributes:
        forward: [T-1, H, W, 2] float32 px, dx first, t to t + 1.
        backward: [T-1, H, W, 2] float32 px, t + 1 to t.
        forward_trust: [T-1, H, W] float32 in [0, 1], 0.5 and more where going there and back ends where it began
            (``flow.consistency.forward_backward_confidence``); 1 without any gap, 0 from twice the gap allowed.
        backward_trust: The same for ``backward``.
        likeness: [T-1] correlation of each frame's grey with its next, pulled along the flow, [-1, 1]; 1 where
            both are flat.
    """

    forward: NDArray[np.float32]
    backward: NDArray[np.float32]
    forward_trust: NDArray[np.float32]
    backward_trust: NDArray[np.float32]
    likeness: NDArray[np.float32]

    @property
    def confidence(self) -> float:
        """Share of pixels, both ways, whose flow comes back."""
        shares = [np.mean(trust >= 0.5) for trust in (self.forward_trust, self.backward_trust)]
        return float(np.mean(shares))


def clip_flows(frames: NDArray[np.uint8], config: MaskConfig) -> ClipFlows:
    """Find the flow of a clip.

    Args:
        frames: [T, H, W, 3] uint8 RGB, T >= 2.
        config: Which flow, at which size, and what makes it confident.

    Raises:
        ShortClipError: If there is only one frame.
        FlowError: If hardly any of it comes back.
    """
    if len(frames) < 2:
        raise ShortClipError(f"optical flow needs at least 2 frames, got {len(frames)}")
    height, width = frames.shape[1:3]
    greys = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in frames]
    if config.half_flow and min(height, width) >= 2 * SMALLEST:
        greys = [halve(grey) for grey in greys]
    estimator, shape = create_flow(config.flow), (len(frames) - 1, height, width)
    flows = ClipFlows(
        np.empty((*shape, 2), np.float32), np.empty((*shape, 2), np.float32),
        np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape[0], np.float32),
    )  # fmt: skip
    for t in range(len(frames) - 1):
        there, back = estimator.estimate(greys[t], greys[t + 1]), estimator.estimate(greys[t + 1], greys[t])
        flows.likeness[t] = _correlation(greys[t], warp_by_flow(greys[t + 1], there))
        flows.forward[t], flows.backward[t] = (upscale_flow(flow, height, width) for flow in (there, back))
        flows.forward_trust[t] = _enlarged(trust(there, back, config, pixel=width / there.shape[1]), height, width)
        flows.backward_trust[t] = _enlarged(trust(back, there, config, pixel=width / there.shape[1]), height, width)
    if flows.confidence < LEAST_CONFIDENCE or np.median(flows.likeness) < LEAST_LIKENESS:
        raise FlowError(
            f"optical flow comes back for {100 * flows.confidence:.1f} % of the pixels and what it joins has a "
            f"likeness of {np.median(flows.likeness):.2f}; the clip flickers or moves too fast to be followed"
        )
    return flows


def _correlation(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    a, b = first.ravel().astype(np.float32), second.ravel().astype(np.float32)
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a @ a) * (b @ b))) / a.size
    return float(a @ b) / a.size / spread if spread > 1 else 1.0  # a variance of one grey level is none


def _enlarged(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if values.shape == (height, width):
        return values
    return np.asarray(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def trust(
    flow_ab: NDArray[np.float32], flow_ba: NDArray[np.float32], config: MaskConfig, *, pixel: float = 1.0
) -> NDArray[np.float32]:
    """Say how far to believe a flow: ``1 - gap / (2 allowed)``, so 0.5 is the binary test's limit.

    ``gap = |f + b|^2`` with b the backward flow pulled to where f points, ``allowed = share * (|f|^2 + |b|^2) +
    slack``; 0 for a vector that leaves the picture.

    Args:
        flow_ab: [H, W, 2] px, a to b.
        flow_ba: [H, W, 2] px, b to a.
        config: Share and slack.
        pixel: Side of these pixels in those that the slack counts: 2 for flow at half size.

    Returns:
        [H, W] float32 in [0, 1].
    """
    back = warp_by_flow(flow_ba, flow_ab)
    believed = np.empty(flow_ab.shape[:2], np.float32)
    _trust(flow_ab, back, np.float32(config.share), np.float32(config.slack_px2 / pixel**2), believed)
    return believed


@njit(cache=True, nogil=True)
def _trust(flow: Any, back: Any, share: Any, slack: Any, believed: Any) -> None:
    height, width = believed.shape
    for y in range(height):
        for x in range(width):
            fx, fy, bx, by = flow[y, x, 0], flow[y, x, 1], back[y, x, 0], back[y, x, 1]
            gap = (fx + bx) * (fx + bx) + (fy + by) * (fy + by)
            allowed = share * (fx * fx + fy * fy + bx * bx + by * by) + slack
            to_x, to_y = np.float32(x) + fx, np.float32(y) + fy
            inside = -0.5 <= to_x <= width - 0.5 and -0.5 <= to_y <= height - 0.5
            left = np.float32(1.0) - gap / (np.float32(2.0) * max(allowed, np.float32(1e-9)))
            believed[y, x] = max(left, np.float32(0.0)) if inside else np.float32(0.0)
