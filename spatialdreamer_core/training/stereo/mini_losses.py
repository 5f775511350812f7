"""What the mini network is trained on: pixels in the holes, and how the whole looks around them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from spatialdreamer_core.metrics.lpips import Network, layer_features
from spatialdreamer_core.refine.mini import EARNED
from spatialdreamer_core.refine.paste import AROUND_PX

NEAR_PX = 9
"""Side of the square by which holes are grown for the perceptual loss: seams count."""


class Perceptual:
    """LPIPS in and beside holes, with gradients; metrics are judged with the other network.

    Args:
        network: ``alex`` or ``vgg``.
        arrays: The weights of ``lpips-alex`` or ``lpips-vgg``.
    """

    def __init__(self, network: Network, arrays: Mapping[str, NDArray[Any]]) -> None:
        self._network = network
        self._weights = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

    def __call__(self, made: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
        """Mean distance where ``weight`` is above 0.

        Args:
            made: [B, 3, H, W] in [0, 1], true outside of holes.
            truth: [B, 3, H, W] in [0, 1].
            weight: [B, 1, H, W].
        """
        weights = self._weights = {name: one.to(made.device) for name, one in self._weights.items()}  # moved once
        own = layer_features(2 * made - 1, self._network, weights)
        with torch.no_grad():
            wanted = layer_features(2 * truth - 1, self._network, weights)
        total = made.new_zeros(())
        near = F.max_pool2d(weight, NEAR_PX, 1, NEAR_PX // 2)
        for n, (a, b) in enumerate(zip(own, wanted, strict=True)):
            distance = F.conv2d((a - b) ** 2, weights[f"linear.{n}"].reshape(1, -1, 1, 1))
            share = F.adaptive_max_pool2d(near, (distance.shape[2], distance.shape[3]))
            total = total + (distance * share).sum() / share.sum().clamp(min=1e-6)
        return total


def pixel_losses(made: Tensor, truth: Tensor, weight: Tensor) -> dict[str, Tensor]:
    """Mean absolute and squared differences in holes, and of neighbouring pixels' differences.

    Args:
        made: [B, 3, H, W] in [0, 1], true outside of holes.
        truth: [B, 3, H, W] in [0, 1].
        weight: [B, 1, H, W], 0 outside of holes.

    Returns:
        ``l1``, ``mse`` and ``edges``, scalars.
    """
    difference = made - truth
    area = 3 * weight.sum().clamp(min=1e-6)
    across = difference[..., :, 1:] - difference[..., :, :-1]
    down = difference[..., 1:, :] - difference[..., :-1, :]
    steps = (across.abs() * weight[..., :, 1:]).sum() + (down.abs() * weight[..., 1:, :]).sum()
    return {
        "l1": (difference.abs() * weight).sum() / area,
        "mse": (difference.square() * weight).sum() / area,
        "edges": steps / (2 * area),
    }


def as_shown(made: Tensor, fill: Tensor, weight: Tensor) -> Tensor:
    """What convert shows of a painting over a lively fill: as much of it as it differs from that around a pixel.

    How much shows is taken as it is: no gradient asks to show more or less.

    Args:
        made: [B, 3, H, W] in [0, 1].
        fill: [B, 3, H, W] in [0, 1].
        weight: [B, 1, H, W], 0 outside of holes, where the fill is given.

    Source: ``refine.paste``, with the mean of the colours for luma.
    """
    low, high = EARNED.differing
    hole = (weight > 0).float()
    apart = (made - fill).detach().mean(1, keepdim=True).abs() * hole
    total, count = (F.avg_pool2d(x, AROUND_PX, 1, AROUND_PX // 2) for x in (apart, hole))
    share = ((255 * total / count.clamp(min=1e-6) - low) / (high - low)).clamp(0, 1) * hole
    return fill + share * (made - fill)


def steadiness_loss(made: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """How much the error changes from frame to frame: what flickers is not what moves in the truth.

    Args:
        made: [B, T, 3, H, W].
        truth: [B, T, 3, H, W].
        weight: [B, T, 1, H, W].
    """
    error = made - truth
    both = weight[:, 1:] * weight[:, :-1]
    change = (error[:, 1:] - error[:, :-1]).abs() * both
    return change.sum() / (3 * both.sum().clamp(min=1e-6))
