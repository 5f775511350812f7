"""Stereo deviation strength: one number that says how far the two views are apart, and how a network is told.

Two kinds: the paper's, from latents, and a geometric one, from disparity, that a person can set.
"""

import math

import torch
from torch import Tensor, nn

LATENT_SCALE = 10.0
"""Of the latent strength, as in the motion strength that it descends from (arXiv 2311.12886)."""


def latent_strength(latent: Tensor, reference: Tensor) -> Tensor:
    """The paper's strength ``s(z) = |z_0 - z_ref|``: summed over channels, mean over frames and places.

    Args:
        latent: [B, F, C, h, w] of the view that is made.
        reference: [B, F, C, h, w] of the reference view.

    Returns:
        [B] >= 0.

    Source: arXiv 2411.11934, stereo deviation strength; the scale and the sum are those of arXiv 2311.12886.
    """
    return LATENT_SCALE * (latent - reference).abs().mean(dim=(1, 3, 4)).sum(dim=1)


def geometric_strength(disparity: Tensor, width_px: int) -> Tensor:
    """Median size of the disparity as a share of the picture's width.

    Args:
        disparity: [B, ...] px of ``width_px``, any sign.
        width_px: Width of the whole picture, also where ``disparity`` is a part of it.

    Returns:
        [B] >= 0; a film with a strength of 2 % has about 0.01.
    """
    return disparity.abs().flatten(1).median(dim=1).values / width_px


def strength_loss(strength: Tensor, made: Tensor) -> Tensor:
    """``l_d = ||s(z_0) - s(z_0^)||^2``, mean over the batch.

    Args:
        strength: [B] of the truth.
        made: [B] of what the network made.
    """
    return (strength - made).square().mean()


def sinusoid(value: Tensor, channels: int, period: float = 10_000.0) -> Tensor:
    """Give [B, channels] cosines then sines of [B] values at frequencies from 1 to ``1 / period``."""
    half = channels // 2
    steps = torch.arange(half, dtype=torch.float32, device=value.device)
    angles = value.float()[:, None] * torch.exp(-math.log(period) / half * steps)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class StrengthEmbedding(nn.Module):
    """Sinusoid and two layers, added to the timestep's embedding; the last begins at zero, so nothing changes at first.

    Args:
        channels: Of the sinusoid, even.
        embedding: Of the timestep's embedding.
        scale: By which the strength is multiplied, so that its usual values differ in the sinusoid.
    """

    def __init__(self, channels: int, embedding: int, scale: float = 1.0) -> None:
        super().__init__()
        self.channels, self.scale = channels, scale
        self.first = nn.Linear(channels, embedding)
        self.last = nn.Linear(embedding, embedding)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, strength: Tensor) -> Tensor:
        """[B] to [B, embedding]."""
        x = sinusoid(strength * self.scale, self.channels).to(self.first.weight.dtype)
        out: Tensor = self.last(nn.functional.silu(self.first(x)))
        return out
