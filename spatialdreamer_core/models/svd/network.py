"""The whole full-size network: both U-Nets, the autoencoder and CLIP's image encoder."""

from typing import Any

import torch
from torch import Tensor, nn

from spatialdreamer_core.models.strength import StrengthEmbedding
from spatialdreamer_core.models.svd.conditioning import clip_pixels
from spatialdreamer_core.models.svd.injection import Reach
from spatialdreamer_core.models.svd.library import AutoencoderKLTemporalDecoder, clip_image_encoder
from spatialdreamer_core.models.svd.sizes import SIZES, Sizes
from spatialdreamer_core.models.svd.unet import RefinerNet, StereoUNet, StrengthKind

ENCODED_AT_ONCE = 4
"""Frames in the encoder at a time."""
FROZEN = ("vae", "image_encoder")
"""Parts that no stage trains."""


class SvdNetwork(nn.Module):
    """Everything between pixels and pixels.

    Args:
        sizes: Of the parts.
        reach: What of the reference a token of the U-Net sees.
        strength: Which deviation strength the U-Net is told.
    """

    def __init__(self, sizes: Sizes, *, reach: Reach = "full", strength: StrengthKind = "latent") -> None:
        super().__init__()
        self.sizes, self.reach, self.strength = sizes, reach, strength
        self.unet = StereoUNet(sizes.unet, reach=reach, strength=strength)
        self.reference = RefinerNet(sizes.reference)
        self.vae = AutoencoderKLTemporalDecoder(**sizes.vae)
        self.image_encoder: Any = None if sizes.image_encoder is None else clip_image_encoder(sizes.image_encoder)
        self.no_image = nn.Parameter(torch.zeros(1, 1, int(sizes.unet["cross_attention_dim"])))
        for name in FROZEN:
            part = getattr(self, name)
            if part is not None:
                part.requires_grad_(False)

    @property
    def latent_scale(self) -> float:
        """By which latents are multiplied to have about unit variance."""
        return float(self.sizes.vae["scaling_factor"])

    @property
    def dtype(self) -> torch.dtype:
        """In which the weights are."""
        return self.no_image.dtype

    def save_memory(self) -> None:
        """Recompute activations in the backward pass instead of keeping them."""
        self.unet.net.enable_gradient_checkpointing()
        self.reference.net.enable_gradient_checkpointing()

    @torch.no_grad()
    def encode(self, frames: Tensor, at_once: int = ENCODED_AT_ONCE) -> Tensor:
        """Give [B, T, 4, H / 8, W / 8] latents, not scaled, of [B, T, 3, H, W] frames in [0, 1].

        Args:
            frames: The pictures; H and W multiples of ``Sizes.picture_step``.
            at_once: Frames in the encoder at a time; it looks at each alone, so the latents do not depend on it.
        """
        parts = [
            self.vae.encode(part.to(self.dtype) * 2 - 1).latent_dist.mode()
            for part in torch.split(frames.flatten(0, 1), at_once)
        ]
        latents: Tensor = torch.cat(parts)
        return latents.reshape(*frames.shape[:2], *latents.shape[1:])

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Give [T, 3, H, W] float32 frames in [0, 1] of [T, 4, h, w] scaled latents, frames smoothed over time."""
        made: Tensor = self.vae.decode(latents.to(self.dtype) / self.latent_scale, num_frames=len(latents)).sample
        return (made.float() / 2 + 0.5).clamp(0, 1)

    def embed(self, frames: Tensor) -> Tensor:
        """Give [B, 1, C] for cross-attention: CLIP's embedding of [B, 3, H, W] frames, or the learned one."""
        if self.image_encoder is None:
            return self.no_embedding(len(frames))
        pixels = clip_pixels(frames, int(self.image_encoder.config.image_size)).to(self.dtype)
        with torch.no_grad():
            embedding: Tensor = self.image_encoder(pixel_values=pixels).image_embeds
        return embedding.unsqueeze(1)

    def no_embedding(self, clips: int) -> Tensor:
        """[B, 1, C] where no picture is told of: learned, zero at first, which is SVD's own."""
        return self.no_image.expand(clips, -1, -1)


def empty_network(sizes: Sizes, *, reach: Reach = "full", strength: StrengthKind = "latent") -> SvdNetwork:
    """A network whose big parts wait for their weights on the meta device, so that none are drawn for nothing.

    What published weights lack - strength, learned embedding - is there, at its beginning.
    """
    without = Sizes(sizes.unet, sizes.reference, sizes.vae, None)
    with torch.device("meta"):
        network = SvdNetwork(without, reach=reach, strength=strength)
    network.sizes = sizes
    if sizes.image_encoder is not None:  # holds tensors that no file has, so it cannot wait
        network.image_encoder = clip_image_encoder(sizes.image_encoder).requires_grad_(False)
    told = network.unet.strength
    network.unet.strength = StrengthEmbedding(told.channels, told.last.out_features, told.scale)
    network.no_image = nn.Parameter(torch.zeros(network.no_image.shape))
    return network


def random_network(
    name: str, *, seed: int = 0, dtype: torch.dtype = torch.float32, image_encoder: bool = True, **more: Any
) -> SvdNetwork:
    """A network of random weights: ``random`` at full size (3.1 billion weights), ``random-tiny`` for trying.

    It lies, and is drawn, where torch puts new tensors: ``with torch.device("cuda")`` spares a GPU's owner the wait.

    Args:
        name: Of ``SIZES``.
        seed: Of the weights; torch's own generator is left as it was.
        dtype: Of the weights.
        image_encoder: Whether CLIP's is part of it.
        more: For ``SvdNetwork``.
    """
    sizes = SIZES[name]()
    if not image_encoder:
        sizes = Sizes(sizes.unet, sizes.reference, sizes.vae, None)
    before, device = torch.get_default_dtype(), torch.get_default_device()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            torch.set_default_dtype(dtype)
            network = SvdNetwork(sizes, **more).eval()
            # the library makes some numbers on the CPU regardless
            return network if device.type == "cpu" else network.to(device)
        finally:
            torch.set_default_dtype(before)
