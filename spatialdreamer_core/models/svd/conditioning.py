"""What the networks are shown: pictures with holes, masks on the latent grid, CLIP's view, micro-conditions."""

import torch
from torch import Tensor
from torch.nn import functional as F

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
HOLE_GREY = 0.5
"""What stands in a hole: the middle of the range, which is 0 to the autoencoder."""

FPS, MOTION_BUCKET, NOISE_AUGMENTATION = 7, 127, 0.0
"""SVD's micro-conditions; as in StereoCrafter's released code, which fills holes with the same network."""


def with_grey_holes(frames: Tensor, mask: Tensor) -> Tensor:
    """Paint holes grey, whatever stood in them, so that training and use look alike.

    Args:
        frames: [..., 3, H, W] in [0, 1].
        mask: [..., 1, H, W] bool, True in holes.
    """
    return torch.where(mask, torch.full_like(frames, HOLE_GREY), frames)


def mask_on_latents(mask: Tensor, step: int) -> Tensor:
    """Bring a mask to the latent grid: a cell that holds one hole pixel is a hole, so none is lost.

    Args:
        mask: [B, T, 1, H, W] bool; H and W multiples of ``step``.
        step: Pixels per latent cell.

    Returns:
        [B, T, 1, H / step, W / step] float32 of 0 and 1.
    """
    clips, frames = mask.shape[:2]
    cells = F.max_pool2d(mask.flatten(0, 1).float(), step)
    return cells.reshape(clips, frames, *cells.shape[1:])


def clip_pixels(frames: Tensor, size: int) -> Tensor:
    """Bring pictures to CLIP's size and range, the whole picture squeezed, as SVD does.

    Args:
        frames: [B, 3, H, W] in [0, 1].
        size: Rows and columns that CLIP takes.

    Returns:
        [B, 3, size, size], normalised.
    """
    small = F.interpolate(frames.float(), (size, size), mode="bicubic", align_corners=False, antialias=True)
    mean, std = (torch.tensor(values, device=frames.device).reshape(1, 3, 1, 1) for values in (CLIP_MEAN, CLIP_STD))
    return (small.clamp(0, 1) - mean) / std


def time_ids(clips: int, device: torch.device) -> Tensor:
    """[B, 3] micro-conditions; SVD was trained with the frame rate less one."""
    return torch.tensor([[FPS - 1, MOTION_BUCKET, NOISE_AUGMENTATION]], device=device).repeat(clips, 1)
