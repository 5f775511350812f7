"""What a clip becomes: the pictures and maps of one training pair, and what the manifest says of it."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Verdict = Literal["train", "review", "reject"]
Mode = Literal["analytic", "double"]
Eye = Literal["left", "right"]


@dataclass(frozen=True, slots=True)
class PairSample:
    """One training pair; T frames of H rows and W columns, all on the pixel grid of the target but the reference.

    Attributes:
        key: The clip's name: letters, digits, ``-`` and ``_`` (no dot: readers of tars cut names there).
        target: [T, H, W, 3] uint8 RGB, the real clip.
        condition: [T, H, W, 3] uint8 RGB, what the reference shows of the target's view; black where masked.
        reference: [T, H, W, 3] uint8 RGB, the whole other view, its holes filled.
        mask: [T, H, W] bool, True where ``condition`` has no pixels.
        disparity: [T, H, W] float32 px of this width, ``x_left - x_right``, of the target's pixels: positive in
            front of the screen.
        flow: [T-1, H, W, 2] float16 px, dx first, from each frame of the target to its next; None if not stored.
        meta: What was drawn for this clip, JSON values only: ``mode`` (``analytic`` or ``double``), ``target_eye``
            (``left`` or ``right``), ``seed``, ``disparity_pct``, ``convergence``, ``dilation_px``, ``refine``,
            ``crop`` and ``rotate_deg``, ``deviation_strength``, ``median_disparity_pct``.
    """

    key: str
    target: NDArray[np.uint8]
    condition: NDArray[np.uint8]
    reference: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    disparity: NDArray[np.float32]
    flow: NDArray[np.float16] | None
    meta: dict[str, Any]

    def __post_init__(self) -> None:
        shape = self.target.shape
        if self.target.ndim != 4 or shape[3] != 3 or self.condition.shape != shape or self.reference.shape != shape:
            raise ValueError(f"{self.key}: target, condition and reference must be [T, H, W, 3], got {list(shape)}")
        if self.mask.shape != shape[:3] or self.disparity.shape != shape[:3]:
            raise ValueError(f"{self.key}: mask and disparity must be {list(shape[:3])}, got {list(self.mask.shape)}")
        if self.flow is not None and self.flow.shape != (shape[0] - 1, *shape[1:3], 2):
            raise ValueError(f"{self.key}: flow must be [T-1, H, W, 2], got {list(self.flow.shape)}")


@dataclass(frozen=True, slots=True)
class PairMetrics:
    """What the manifest of pairs records of one sample, one column each.

    Attributes:
        disparity_p02_pct: 2nd percentile of disparity, percent of the width.
        disparity_p50_pct: Median.
        disparity_p98_pct: 98th percentile.
        hole_share: Masked share of all pixels, [0, 1].
        occlusion_share: Share of the pixels that lie behind something, not beyond the picture's border, as the mask
            was before refinement.
        cycle_psnr_db: Rendering to the other view and back against the target, outside the mask, dB; at most 99.
        flow_confidence: Share of pixels whose flow, forward and backward, comes back, [0, 1].
        mask_growth: Pixels that refinement added, as a share of the mask before it, >= 0.
        mask_stability: Intersection over union of each mask with the next, pulled along the flow, where flow is
            confident and without what lies beyond the other view's border; over the whole clip, [0, 1].
        deviation_strength: How far the views are apart, >= 0; see ``dvg.measure``.
        depth_spread: 98th minus 2nd percentile of inverse depth, [0, 1].
        depth_flicker: Change of inverse depth from frame to frame along confident flow, mean of absolutes, [0, 1].
        verdict: ``train``, ``review`` or ``reject``.
        reasons: Why it is not ``train``: codes joined by commas, empty if it is.
    """

    disparity_p02_pct: float
    disparity_p50_pct: float
    disparity_p98_pct: float
    hole_share: float
    occlusion_share: float
    cycle_psnr_db: float
    flow_confidence: float
    mask_growth: float
    mask_stability: float
    deviation_strength: float
    depth_spread: float
    depth_flicker: float
    verdict: Verdict
    reasons: str
