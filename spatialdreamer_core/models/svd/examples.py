"""From training pairs to what the loss of the full-size network sees."""

from dataclasses import dataclass

import torch
from torch import Tensor

from spatialdreamer_core.models.strength import geometric_strength, latent_strength
from spatialdreamer_core.models.svd.conditioning import mask_on_latents, time_ids, with_grey_holes
from spatialdreamer_core.models.svd.loss import Example
from spatialdreamer_core.models.svd.network import SvdNetwork
from spatialdreamer_core.models.svd.unet import Condition


@dataclass(frozen=True, slots=True)
class PairClip:
    """B clips of T frames as the network is to see them: the target is always a right eye.

    Attributes:
        target: [B, T, 3, H, W] in [0, 1].
        condition: [B, T, 3, H, W], what the reference shows of it.
        reference: [B, T, 3, H, W] the other view.
        mask: [B, T, 1, H, W] bool, True in holes.
        disparity: [B, T, 1, H, W] px.
    """

    target: Tensor
    condition: Tensor
    reference: Tensor
    mask: Tensor
    disparity: Tensor

    def mirrored_where(self, left: Tensor) -> "PairClip":
        """Mirror those clips whose target is a left eye, so that holes always lie on the same side of things.

        Args:
            left: [B] bool.
        """
        which = left[:, None, None, None, None]
        return PairClip(*(torch.where(which, part.flip(-1), part) for part in self._parts()))

    def frames(self, first: Tensor, count: int) -> "PairClip":
        """``count`` frames in a row of each clip, from ``first`` [B] on."""
        places = first[:, None] + torch.arange(count, device=first.device)  # [B, count]
        rows = torch.arange(len(first), device=first.device)[:, None]
        return PairClip(*(part[rows, places] for part in self._parts()))

    def _parts(self) -> tuple[Tensor, ...]:
        return self.target, self.condition, self.reference, self.mask, self.disparity


@torch.no_grad()
def example_of(network: SvdNetwork, clip: PairClip) -> Example:
    """Encode a clip.

    Args:
        network: Its autoencoder and CLIP.
        clip: H and W multiples of 8.
    """
    scale = network.latent_scale
    target, reference = network.encode(clip.target) * scale, network.encode(clip.reference) * scale
    rendered = network.encode(with_grey_holes(clip.condition, clip.mask))
    if network.strength == "latent":
        strength = latent_strength(target.float(), reference.float())
    else:
        strength = geometric_strength(clip.disparity, clip.disparity.shape[-1])
    middle = clip.reference.shape[1] // 2
    condition = Condition(
        rendered,
        mask_on_latents(clip.mask, network.sizes.latent_step),
        network.embed(clip.reference[:, middle]),
        time_ids(len(target), target.device),
        strength,
    )
    return Example(target, reference, condition)
