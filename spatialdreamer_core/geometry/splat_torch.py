"""The forward splat of ``splat`` for torch tensors, on any device: same rule, same map, same holes.

All targets that a joined pair or a half pixel can cover are listed, and per target the largest source position wins.
A maximum does not depend on the order of its terms, so the result is the same on every run, also on a GPU.
"""

import math

import torch
from torch import Tensor

from spatialdreamer_core.geometry.splat import DEFAULT_TEAR_PX, MAX_TEAR_PX


def forward_map(disparity: Tensor, *, tear_px: float = DEFAULT_TEAR_PX) -> Tensor:
    """Tell for every target pixel which source column it shows.

    Args:
        disparity: [B, 1, H, W] float32 px, ``x_left - x_right``.
        tear_px: Stretch between two neighbours beyond which the surface tears, [0, 16].

    Returns:
        ``source_x`` [B, 1, H, W] float32 in [0, W - 1], NaN in holes; no gradient.

    Raises:
        ValueError: If the shape or type is not that, or a disparity is NaN or infinite.
    """
    if disparity.ndim != 4 or disparity.shape[1] != 1 or disparity.dtype != torch.float32:
        raise ValueError(f"disparity must be float32 [B, 1, H, W], got {disparity.dtype} {list(disparity.shape)}")
    if not 0 <= tear_px <= MAX_TEAR_PX:
        raise ValueError(f"tear_px must lie in [0, {MAX_TEAR_PX:g}], got {tear_px:g}")
    if not bool(torch.isfinite(disparity).all()):
        raise ValueError("disparity holds NaN or infinity; repair the depth before warping")
    with torch.no_grad():
        W = disparity.shape[3]
        rows = disparity.reshape(-1, W)
        columns = torch.arange(W, dtype=torch.float32, device=disparity.device).expand_as(rows)
        far = 4 * MAX_TEAR_PX  # outside the picture by more than any tear; keeps the later sums exact
        landing = (columns - rows).clamp(-far, W + far)
        # One column more, to catch what lands outside: dropped at the end.
        best = torch.full((rows.shape[0], W + 1), -math.inf, device=rows.device)
        gap = landing[:, 1:] - landing[:, :-1]
        joined = (gap > 0) & (gap <= 1 + tear_px)
        free = torch.ones_like(joined[:, :1]) if W > 1 else torch.ones_like(rows, dtype=torch.bool)
        before = torch.cat([free, ~joined], dim=1)  # pixels that cover the half pixel on their left
        after = torch.cat([~joined, free], dim=1)
        half = torch.full_like(landing, 0.5)
        _cover(best, landing - half, landing, columns, torch.zeros_like(landing), before)
        _cover(best, landing, landing + half, columns, torch.zeros_like(landing), after)
        slope = 1 / torch.where(joined, gap, torch.ones_like(gap))
        for step in range(math.ceil(1 + tear_px)):  # [low, low + length) holds at most ceil(length) whole numbers
            _cover(best, landing[:, :-1], landing[:, 1:], columns[:, :-1], slope, joined, step)
        best = best[:, :W]
        return torch.where(torch.isinf(best), torch.full_like(best, math.nan), best).reshape(disparity.shape)


def forward_splat(image: Tensor, disparity: Tensor, *, tear_px: float = DEFAULT_TEAR_PX) -> tuple[Tensor, Tensor]:
    """Make the other eye's picture, differentiable in ``image``.

    Unlike the planes of ``splat``, samples are interpolated linearly, between the two pixels of a joined pair.

    Args:
        image: [B, C, H, W] floating point, the source eye.
        disparity: [B, 1, H, W] float32 px, ``x_left - x_right``.
        tear_px: Stretch between two neighbours beyond which the surface tears, [0, 16].

    Returns:
        The made picture [B, C, H, W], 0 in holes; and the disocclusion mask, bool [B, 1, H, W].

    Raises:
        ValueError: As ``forward_map``, or if the two do not have the same B, H and W.
    """
    if image.ndim != 4 or (image.shape[0], *image.shape[2:]) != (disparity.shape[0], *disparity.shape[2:]):
        raise ValueError(f"image {list(image.shape)} and disparity {list(disparity.shape)} differ in B, H or W")
    source_x = forward_map(disparity, tear_px=tear_px)
    hole = torch.isnan(source_x)
    place = torch.where(hole, torch.zeros_like(source_x), source_x)
    whole = place.floor()
    left = whole.long().expand_as(image)
    right = (left + 1).clamp(max=image.shape[3] - 1)
    part = (place - whole).to(image.dtype)
    made = (1 - part) * image.gather(3, left) + part * image.gather(3, right)
    return made.masked_fill(hole, 0), hole


def _cover(
    best: Tensor, low: Tensor, high: Tensor, column: Tensor, slope: Tensor, active: Tensor, step: int = 0
) -> None:
    """Let the whole number ``ceil(low) + step``, if below ``high``, show ``column + (t - low) * slope`` if nearest."""
    W = best.shape[1] - 1
    target = low.ceil() + step
    inside = active & (target < high) & (target >= 0) & (target < W)
    index = torch.where(inside, target, torch.full_like(target, W)).long()
    best.scatter_reduce_(1, index, column + (target - low) * slope, "amax")
