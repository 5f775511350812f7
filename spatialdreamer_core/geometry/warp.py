"""Backward warp: pull target pixels from where they came."""

from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # numpy users must not need torch
    from torch import Tensor


def backward_warp_map(
    picture: NDArray[np.float32], flow: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read ``picture`` at ``(x, y) + flow``, bilinear, its border repeated outside.

    Positions are rounded to 1/32 px (OpenCV's ``remap``): meant for low-resolution maps, not for the picture itself.

    Args:
        picture: [h, w] or [h, w, c] float32.
        flow: [h, w, 2] px, dx first, from the target grid to the picture.

    Returns:
        The warped picture, shaped as ``picture``; and bool [h, w], True where it was read inside the picture.

    Raises:
        ValueError: If the sizes differ.
    """
    if flow.shape != (*picture.shape[:2], 2):
        raise ValueError(f"flow must be {[*picture.shape[:2], 2]} for this picture, got {list(flow.shape)}")
    height, width = picture.shape[:2]
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    warped = cv2.remap(picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    valid: NDArray[np.bool_] = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return np.asarray(warped, np.float32).reshape(picture.shape), valid  # remap drops a channel of 1


def backward_warp(image: "Tensor", flow_or_disparity: "Tensor") -> "tuple[Tensor, Tensor]":
    """Read ``image`` at ``(x, y) + flow``, bilinear, its border repeated outside; differentiable in both.

    One channel is a disparity, ``x_left - x_right`` in target pixels: a target at x reads column ``x + disparity`` of
    the left picture. Pixel centres are integers, the corners of the grid are the centres of the corner pixels
    (``align_corners=True``).

    Args:
        image: [B, C, H, W] floating point.
        flow_or_disparity: [B, 2, H, W] flow px, dx first, or [B, 1, H, W] disparity px.

    Returns:
        The warped image [B, C, H, W]; and bool [B, 1, H, W], True where it was read inside the picture.

    Raises:
        ValueError: If the shapes do not fit.
    """
    import torch

    B, _, H, W = image.shape
    if tuple(flow_or_disparity.shape) not in ((B, 1, H, W), (B, 2, H, W)):
        raise ValueError(f"flow or disparity must be [{B}, 2 or 1, {H}, {W}], got {list(flow_or_disparity.shape)}")
    x = flow_or_disparity[:, 0] + torch.arange(W, device=image.device)
    rows = torch.arange(H, device=image.device)[:, None].expand(B, H, W)
    y = rows + flow_or_disparity[:, 1] if flow_or_disparity.size(1) > 1 else rows
    valid = (x >= 0) & (x <= W - 1) & (y >= 0) & (y <= H - 1)
    # A picture one pixel wide has both corners in one place: any coordinate reads it, the division must only not fail.
    grid = torch.stack([2 * x / max(W - 1, 1) - 1, 2 * y / max(H - 1, 1) - 1], dim=-1)  # [B, H, W, 2]
    warped = torch.nn.functional.grid_sample(
        image, grid.to(image.dtype), mode="bilinear", padding_mode="border", align_corners=True
    )
    return warped, valid.unsqueeze(1)
