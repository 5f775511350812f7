"""How the full size is trained: SVD's own preconditioning and weighting, and the paper's strength loss."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.models.strength import latent_strength, strength_loss
from spatialdreamer_core.models.svd.injection import Interaction
from spatialdreamer_core.models.svd.network import SvdNetwork
from spatialdreamer_core.models.svd.unet import Condition


@dataclass(frozen=True, slots=True, kw_only=True)
class LossConfig:
    """What the loss depends on.

    Attributes:
        strength_weight: The paper's lambda, of the strength loss; 0.001 is that of the loss it descends from.
        sigma_mean: Mean of the logarithm of the noise levels that are drawn.
        sigma_spread: Standard deviation of it. Both are what SVD was fine-tuned with at its full size, as public
            training code has them.
        dropout: Share of samples of which CLIP's embedding and the strength are left out, in [0, 1).
    """

    strength_weight: float = 1e-3
    sigma_mean: float = 0.7
    sigma_spread: float = 1.6
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.strength_weight < 0 or self.sigma_spread <= 0 or not 0 <= self.dropout < 1:
            raise ConfigError(
                "strength_weight must be at least 0, sigma_spread above 0 and dropout in [0, 1), "
                f"got {self.strength_weight:g}, {self.sigma_spread:g} and {self.dropout:g}"
            )


@dataclass(frozen=True, slots=True)
class Example:
    """What one step sees; B clips of T frames.

    Attributes:
        target: [B, T, 4, h, w] scaled latents of the true view.
        reference: [B, T, 4, h, w] scaled latents of the other view.
        condition: Of the target's frames.
    """

    target: Tensor
    reference: Tensor
    condition: Condition


@dataclass(frozen=True, slots=True)
class Preconditioning:
    """Scalings of a denoiser by noise level, each [B, 1, 1, 1, 1] but the last.

    ``z_0 = skip * z + out * F(scale * z, noise_level)`` with ``z = z_0 + sigma * noise``.

    Attributes:
        skip: Of the noisy latents.
        out: Of the network's output.
        scale: Of the network's input.
        noise_level: [B] what the network is told of sigma.
    """

    skip: Tensor
    out: Tensor
    scale: Tensor
    noise_level: Tensor


def preconditioning(sigma: Tensor) -> Preconditioning:
    """SVD's scalings, under which the network predicts v.

    Args:
        sigma: [B] > 0.

    Source: arXiv 2206.00364, table 1, with data of unit variance, and arXiv 2311.15127, appendix D.
    """
    wide = sigma[:, None, None, None, None]
    square = wide.square() + 1
    return Preconditioning(1 / square, -wide / square.sqrt(), square.rsqrt(), 0.25 * sigma.log())


def svd_loss(
    network: SvdNetwork,
    example: Example,
    generator: torch.Generator,
    config: LossConfig,
    *,
    interaction: Interaction | None = None,
    frames_alone: bool = False,
) -> dict[str, Tensor]:
    """``l = l_eps + lambda * l_d`` of one step; also each of the two.

    ``l_eps`` is the squared error of v, which is that of z_0 weighted by ``(sigma^2 + 1) / sigma^2``; ``l_d`` is the
    squared error of the deviation strength of the z_0 that the prediction stands for (arXiv 2411.11934).

    Args:
        network: In training mode.
        example: Latents and what is known.
        generator: On their device; all that is drawn comes from it.
        config: See there.
        interaction: Among the reference's frames.
        frames_alone: Whether temporal layers are passed by: stage 1.
    """
    target, reference = example.target.float(), example.reference.float()
    clips, device = len(target), target.device
    drawn = torch.randn(clips, generator=generator, device=device)
    scalings = preconditioning(sigma := (config.sigma_mean + config.sigma_spread * drawn).exp())
    noise = torch.randn(target.shape, generator=generator, device=device)
    noisy = target + sigma[:, None, None, None, None] * noise
    kept = torch.rand(clips, generator=generator, device=device) >= config.dropout
    condition = _left_out(network, example.condition, kept)
    features = network.reference(reference.to(network.dtype), condition.embedding, interaction)
    made = network.unet(
        (scalings.scale * noisy).to(network.dtype),
        scalings.noise_level,
        condition,
        features,
        frames_alone=frames_alone,
    ).float()
    error = (made - (target - scalings.skip * noisy) / scalings.out).square().mean()
    clean = scalings.skip * noisy + scalings.out * made
    deviation = strength_loss(latent_strength(target, reference), latent_strength(clean, reference))
    return {"loss": error + config.strength_weight * deviation, "error": error, "deviation": deviation}


def _left_out(network: SvdNetwork, condition: Condition, kept: Tensor) -> Condition:
    nothing = network.no_embedding(len(kept)).to(condition.embedding.dtype).expand_as(condition.embedding)
    if network.image_encoder is None:  # the learned vector, here with its gradient
        return replace(condition, embedding=nothing, strength_kept=kept)
    embedding = torch.where(kept[:, None, None], condition.embedding, nothing)
    return replace(condition, embedding=embedding, strength_kept=kept)
