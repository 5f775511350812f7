"""Two pictures as networks of optical flow take them."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor


def network_pictures(
    first: NDArray[np.uint8], second: NDArray[np.uint8], pad: tuple[int, int], device: torch.device
) -> list[Tensor]:
    """Give both pictures as [1, 3, H + down, W + right] float32 in [0, 255], the border repeated.

    Args:
        first: [H, W, 3] uint8 RGB, or grey [H, W].
        second: The same.
        pad: Columns to add at the right and rows to add below.
        device: Where they go.

    Raises:
        ValueError: If the pictures differ in size.
    """
    if first.shape != second.shape or first.dtype != np.uint8 or second.dtype != np.uint8:
        raise ValueError(f"two uint8 pictures of one size needed, got {first.shape} and {second.shape}")
    return [F.pad(_pixels(picture, device), (0, pad[0], 0, pad[1]), mode="replicate") for picture in (first, second)]


def _pixels(picture: NDArray[Any], device: torch.device) -> Tensor:
    colours = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    return torch.tensor(colours, device=device).permute(2, 0, 1)[None].float()
