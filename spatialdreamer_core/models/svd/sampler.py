"""From noise to latents of the made view: few Euler steps at the noise levels of Stable Video Diffusion."""

from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.models.strength import latent_strength
from spatialdreamer_core.models.svd.conditioning import mask_on_latents, time_ids, with_grey_holes
from spatialdreamer_core.models.svd.injection import Features, Interaction
from spatialdreamer_core.models.svd.loss import preconditioning
from spatialdreamer_core.models.svd.network import SvdNetwork
from spatialdreamer_core.models.svd.unet import Condition

SIGMA_MIN, SIGMA_MAX, RHO = 0.002, 700.0, 7.0
"""Of the noise levels, as in the scheduler's settings that SVD is published with (Karras, arXiv 2206.00364)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplerConfig:
    """How noise becomes a picture.

    Attributes:
        steps: Of the solver; 8 as in StereoCrafter's released code.
        guidance: How far to lead away from what is made without CLIP and strength; 1 does not, and costs half.
    """

    steps: int = 8
    guidance: float = 1.0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.guidance < 1:
            raise ConfigError(f"steps and guidance must be at least 1, got {self.steps} and {self.guidance:g}")


@dataclass(frozen=True, slots=True)
class Seen:
    """Latents of what is known of one part of a window.

    Attributes:
        rendered: [1, T, 4, h, w] not scaled, holes grey.
        mask: [1, T, 1, h, w] 1 in holes.
        reference: [1, F, 4, h, w] scaled, T frames of the window and then those they interact with.
    """

    rendered: Tensor
    mask: Tensor
    reference: Tensor


def see(network: SvdNetwork, rendered: Tensor, mask: Tensor, reference: Tensor) -> Seen:
    """Encode pictures.

    Args:
        network: Whose autoencoder.
        rendered: [1, T, 3, H, W] in [0, 1], whatever stands in the holes.
        mask: [1, T, 1, H, W] bool, True in holes.
        reference: [1, F, 3, H, W] in [0, 1].
    """
    return Seen(
        network.encode(with_grey_holes(rendered, mask)),
        mask_on_latents(mask, network.sizes.latent_step).to(network.dtype),
        network.encode(reference) * network.latent_scale,
    )


def strength_where_seen(seen: Seen, latent_scale: float) -> Tensor:
    """[1] the latent strength, measured where the rendered view has pixels: what training has of the true view."""
    frames = seen.rendered.shape[1]
    reference = seen.reference[:, :frames].float()
    rendered = torch.where(seen.mask > 0, reference, seen.rendered.float() * latent_scale)
    return latent_strength(rendered, reference) / (1 - seen.mask.float().mean()).clamp_min(1e-3)


@torch.no_grad()
def denoise(
    network: SvdNetwork,
    seen: Seen,
    noise: Tensor,
    embedding: Tensor,
    strength: Tensor,
    config: SamplerConfig,
    interaction: Interaction | None = None,
    *,
    frames_alone: bool = False,
) -> Tensor:
    """Make scaled latents [1, T, 4, h, w] of the view.

    Args:
        network: In eval mode.
        seen: What is known.
        noise: [1, T, 4, h, w] of unit variance; the same noise gives the same picture.
        embedding: [1, L, C] for cross-attention.
        strength: [1] deviation strength.
        config: See there.
        interaction: Among the reference's frames.
        frames_alone: Whether temporal layers are passed by.
    """
    device, clips = noise.device, len(noise)
    frames = noise.shape[1]
    told = Condition(seen.rendered, seen.mask, embedding, time_ids(clips, device), strength)
    features = _features(network, seen, embedding, frames, interaction)
    less, less_features = None, None
    if config.guidance > 1:
        nothing = network.no_embedding(clips).expand_as(embedding)
        less = replace(told, embedding=nothing, strength=None)
        less_features = _features(network, seen, nothing, frames, interaction)
    sigmas = noise_levels(config.steps).to(device)
    latents = noise.float() * (sigmas[0].square() + 1).sqrt()
    try:
        for sigma, following in pairwise(sigmas):
            scalings = preconditioning(sigma.repeat(clips))
            scaled = (scalings.scale * latents).to(network.dtype)
            made = network.unet(scaled, scalings.noise_level, told, features, frames_alone=frames_alone).float()
            if less is not None:
                plain = network.unet(
                    scaled, scalings.noise_level, less, less_features, frames_alone=frames_alone
                ).float()
                made = plain + config.guidance * (made - plain)
            clean = scalings.skip * latents + scalings.out * made
            latents = latents + (latents - clean) / sigma * (following - sigma)
    finally:
        network.unet.forget()
    return latents


def noise_levels(steps: int) -> Tensor:
    """[steps + 1] sigmas from the largest down to 0."""
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO)
    return torch.cat([(high + ramp * (low - high)) ** RHO, torch.zeros(1, dtype=torch.float64)]).float()


def _features(
    network: SvdNetwork, seen: Seen, embedding: Tensor, frames: int, interaction: Interaction | None
) -> Features:
    features: Features = network.reference(seen.reference.to(network.dtype), embedding, interaction)
    return features if seen.reference.shape[1] == frames else features.of_frames(slice(0, frames), len(embedding))
