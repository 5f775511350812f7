"""One clip with its depth becomes one training pair."""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.dvg.draw import Draw, draw
from spatialdreamer_core.dvg.flows import ClipFlows, clip_flows
from spatialdreamer_core.dvg.measure import (
    depth_flicker,
    deviation_strength,
    mask_stability,
    pair_metrics,
    percentiles,
    psnr_db,
)
from spatialdreamer_core.dvg.refine import close_mask, refine_masks
from spatialdreamer_core.dvg.render import beyond_border, render_pair
from spatialdreamer_core.dvg.sample import PairMetrics, PairSample
from spatialdreamer_core.errors import BadDepthError, FlatDepthError, ShortClipError
from spatialdreamer_core.geometry.disparity import disparity_from_inverse_depth
from spatialdreamer_core.geometry.splat import DEFAULT_TEAR_PX, MAX_TEAR_PX
from spatialdreamer_core.geometry.upsample import grow_nearer

FLAT_SPREAD = 1e-3
"""Inverse depth that varies by less over the whole clip is constant."""


def make_pair(
    frames: NDArray[np.uint8],
    inverse_depth: NDArray[np.float32],
    config: PairsConfig,
    clip_id: str,
    flows: ClipFlows | None = None,
) -> tuple[PairSample, PairMetrics]:
    """Make the training pair of one clip. The same arguments give the same bytes, on any machine with these libraries.

    The real clip is the target. Its other view is rendered from its depth and filled: the reference. The condition is
    the target without what the reference cannot see (``analytic``), or the reference rendered back (``double``).

    Args:
        frames: [T, H, W, 3] uint8 RGB, T = ``config.clips.frames``, already placed in their bucket.
        inverse_depth: [T, H, W] float32 in [0, 1], 1 nearest, of these frames.
        config: All settings.
        clip_id: The clip's name: the sample's key and the seed of all that is drawn.
        flows: From ``clip_flows`` if they are known already; else found here.

    Raises:
        ShortClipError: If there are fewer frames than ``config.clips.frames``.
        BadDepthError: If depth is NaN, infinite or outside [0, 1].
        FlatDepthError: If depth is constant.
        FlowError: If hardly any flow can be believed.
        ValueError: If shapes or types are wrong.
    """
    _check(frames, inverse_depth, config, clip_id)
    drawn = draw(clip_id, config)
    flows = flows or clip_flows(frames, config.mask)
    disparity = clip_disparity(inverse_depth, drawn)
    range_px = drawn.disparity_pct / 100 * frames.shape[2]
    tear_px = float(np.clip(config.warp.tear_pct / 100 * range_px, DEFAULT_TEAR_PX, MAX_TEAR_PX))
    made = [
        render_pair(frame, d, drawn.target_eye, tear_px=tear_px) for frame, d in zip(frames, disparity, strict=True)
    ]
    reference = np.stack([pair.reference for pair in made])
    back = np.stack([pair.back for pair in made])
    hole = np.stack([pair.hole for pair in made])
    lost = np.stack([pair.lost for pair in made])
    first_mask = hole if drawn.mode == "double" else lost
    first_mask = np.stack([close_mask(one, config.mask.close_px) for one in first_mask])
    within = ~beyond_border(disparity, drawn.target_eye)
    hidden = first_mask & within
    mask = refine_masks(first_mask, flows, config.mask.refine, None if config.mask.carry_border else hidden)
    condition = (back if drawn.mode == "double" else frames).copy()
    condition[mask] = 0

    width = frames.shape[2]
    low, median, high = (100 * value / width for value in percentiles(disparity, (2, 50, 98)))
    far, near = percentiles(inverse_depth, (2, 98))
    before, after = int(np.count_nonzero(first_mask)), int(np.count_nonzero(mask))
    strength = deviation_strength(frames, reference)
    values = {
        "disparity_p02_pct": low,
        "disparity_p50_pct": median,
        "disparity_p98_pct": high,
        "hole_share": after / mask.size,
        "occlusion_share": np.count_nonzero(hidden) / mask.size,
        "cycle_psnr_db": psnr_db(frames, back, ~(mask | hole)),
        "flow_confidence": flows.confidence,
        "mask_growth": (after - before) / max(before, 1),
        "mask_stability": mask_stability(mask & within, flows),
        "deviation_strength": strength,
        "depth_spread": near - far,
        "depth_flicker": depth_flicker(inverse_depth, flows),
    }
    sample = PairSample(
        key=clip_id,
        target=frames,
        condition=condition,
        reference=reference,
        mask=mask,
        disparity=disparity,
        flow=flows.forward.astype(np.float16) if config.mask.store_flow else None,
        meta=_meta(drawn, config, strength, median),
    )
    return sample, pair_metrics(values, config.verdict)


def clip_disparity(inverse_depth: NDArray[np.float32], drawn: Draw) -> NDArray[np.float32]:
    """Scale a clip's inverse depth to the disparity that was drawn for it, the nearer side of its edges grown.

    Returns:
        [T, H, W] float32 px.
    """
    disparity = disparity_from_inverse_depth(
        inverse_depth,
        strength_pct=drawn.disparity_pct,
        convergence=drawn.convergence,
        width_px=inverse_depth.shape[2],
    )
    if drawn.dilation_px == 0:
        return disparity
    return np.stack([grow_nearer(frame, drawn.dilation_px) for frame in disparity])


def _meta(drawn: Draw, config: PairsConfig, strength: float, median: float) -> dict[str, Any]:
    return {**asdict(drawn), "refine": config.mask.refine, "deviation_strength": strength,
            "median_disparity_pct": median}  # fmt: skip


def _check(frames: NDArray[np.uint8], inverse_depth: NDArray[np.float32], config: PairsConfig, clip_id: str) -> None:
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
        raise ValueError(f"{clip_id}: frames must be uint8 [T, H, W, 3], got {frames.dtype} {list(frames.shape)}")
    if inverse_depth.shape != frames.shape[:3] or inverse_depth.dtype != np.float32:
        raise ValueError(
            f"{clip_id}: inverse depth must be float32 {list(frames.shape[:3])}, "
            f"got {inverse_depth.dtype} {list(inverse_depth.shape)}"
        )
    if len(frames) < config.clips.frames:
        raise ShortClipError(f"{clip_id}: {len(frames)} frame(s), but clips have {config.clips.frames}")
    low, high = float(inverse_depth.min()), float(inverse_depth.max())
    if not (low >= -1e-3 and high <= 1 + 1e-3):  # NaN fails too
        raise BadDepthError(f"{clip_id}: inverse depth must lie in [0, 1] and be finite, got [{low:g}, {high:g}]")
    if high - low < FLAT_SPREAD:
        raise FlatDepthError(f"{clip_id}: depth is the same everywhere ({low:g}), so there is nothing to shift")
