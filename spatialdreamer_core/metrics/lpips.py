"""LPIPS, the learned perceptual distance, with AlexNet or VGG16. Needs torch (the ``metrics`` extra).

For each of five layers the features of both pictures are brought to unit length per pixel, their squared difference is
weighed per channel by learned weights, and the layers' maps are summed::

    LPIPS = sum_l mean_x sum_c w_lc (f_lc(a, x) - f_lc(b, x))^2          f of unit length over c

Source: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018; version 0.1
of the weights. AlexNet is what most papers print; VGG gives other values, so the network is always named.
"""

from collections.abc import Mapping
from typing import Any, Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.metrics.fidelity import Mask, Picture

Network = Literal["alex", "vgg"]

_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
_EPS = 1e-10
# (stride, padding, pooling before, whether the layer is compared) of every convolution
_LAYERS: dict[Network, tuple[tuple[int, int, int, bool], ...]] = {
    "alex": ((4, 2, 0, True), (1, 2, 3, True), (1, 1, 3, True), (1, 1, 0, True), (1, 1, 0, True)),
    "vgg": tuple((1, 1, 2 if layer in (2, 4, 7, 10) else 0, layer in (1, 3, 6, 9, 12)) for layer in range(13)),
}
LEAST_SIDE: dict[Network, int] = {"alex": 31, "vgg": 16}
"""Smaller pictures leave nothing in the last layer."""

Features = list[Tensor]
"""[1, C, h, w] of each layer, of unit length over C."""


def layer_features(pictures: Tensor, network: Network, weights: Mapping[str, Tensor]) -> Features:
    """What a network sees in pictures; gradients flow back to them.

    Args:
        pictures: [B, 3, H, W] in [-1, 1].
        network: Which.
        weights: ``trunk.N.weight|bias``.

    Returns:
        [B, C, h, w] of each layer that is compared, of unit length over C.
    """
    x = (pictures - pictures.new_tensor(_SHIFT).reshape(1, 3, 1, 1)) / pictures.new_tensor(_SCALE).reshape(1, 3, 1, 1)
    kept: Features = []
    for n, (stride, padding, pool, compared) in enumerate(_LAYERS[network]):
        if pool:
            x = F.max_pool2d(x, pool, 2)
        x = torch.relu(F.conv2d(x, weights[f"trunk.{n}.weight"], weights[f"trunk.{n}.bias"], stride, padding))
        if compared:
            kept.append(x / (torch.sqrt((x * x).sum(1, keepdim=True) + _EPS**2) + _EPS))
    return kept


class Lpips:
    """The distance with one network.

    Args:
        network: ``alex`` or ``vgg``.
        tensors: ``trunk.N.weight|bias`` and ``linear.N``, as the weights ``lpips-alex`` and ``lpips-vgg`` hold them.
        device: Where to compute.

    Raises:
        WeightsError: If the tensors are of another network.
    """

    def __init__(self, network: Network, tensors: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        self.network = network
        self._device = torch.device(device)
        self._layers = _LAYERS[network]
        compared = sum(layer[3] for layer in self._layers)
        names = [f"trunk.{n}.{kind}" for n in range(len(self._layers)) for kind in ("weight", "bias")]
        names += [f"linear.{n}" for n in range(compared)]
        if sorted(names) != sorted(tensors):
            raise WeightsError(f"lpips {network}: these are the weights of another network; get lpips-{network}")
        # NHWC is a third faster on the CPU
        self._weights = {
            name: torch.tensor(np.asarray(array), device=self._device).contiguous(
                memory_format=torch.channels_last if array.ndim == 4 else torch.contiguous_format
            )
            for name, array in tensors.items()
        }

    def distance(self, made: Picture, true: Picture) -> float:
        """The distance of two pictures, 0 for equal ones.

        Args:
            made: [H, W, 3] uint8 RGB.
            true: [H, W, 3] uint8 RGB.

        Raises:
            ValueError: If the sizes differ or are too small for the network.
        """
        return self.between(self.features(made), self.features(true))

    @torch.inference_mode()
    def features(self, picture: Picture) -> Features:
        """What the network sees in a picture; kept, so that many made pictures can be held against one true one."""
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise ValueError(f"[H, W, 3] uint8 needed, got {list(picture.shape)} {picture.dtype}")
        if min(picture.shape[:2]) < LEAST_SIDE[self.network]:
            raise ValueError(f"lpips {self.network} needs {LEAST_SIDE[self.network]} px a side, got {picture.shape}")
        pixels = torch.tensor(picture, device=self._device).permute(2, 0, 1)[None]
        x = pixels.to(torch.float32, memory_format=torch.channels_last) / 127.5 - 1
        return layer_features(x, self.network, self._weights)

    @torch.inference_mode()
    def between(self, made: Features, true: Features) -> float:
        """The distance from features.

        Raises:
            ValueError: If the pictures' sizes differ.
        """
        return float(sum(layer.double().mean() for layer in self._maps(made, true)))

    @torch.inference_mode()
    def inside(self, made: Features, true: Features, where: Mask) -> float | None:
        """The distance within a mask: the layers' maps are brought to full size and averaged over the mask.

        The network looks around each pixel, so what lies beside the mask still has a say.

        Args:
            made: Features of a picture [H, W, 3].
            true: Those of the other.
            where: [H, W], which pixels count.

        Returns:
            None where the mask is empty.
        """
        if not where.any():
            return None
        h, w = where.shape
        total = np.zeros((h, w), np.float32)
        for layer in self._maps(made, true):
            # half-pixel centres, bilinear: what torch's upsampling does, at a third of its time
            total += cv2.resize(layer[0].cpu().numpy(), (w, h), interpolation=cv2.INTER_LINEAR)
        return float(total[where].mean(dtype=np.float64))

    def _maps(self, made: Features, true: Features) -> list[Tensor]:
        """[1, h, w] of each layer."""
        maps = []
        for n, (a, b) in enumerate(zip(made, true, strict=True)):
            if a.shape != b.shape:
                raise ValueError(f"pictures of one size needed, got features {list(a.shape)} and {list(b.shape)}")
            maps.append(torch.einsum("bchw,c->bhw", (a - b) ** 2, self._weights[f"linear.{n}"]))
        return maps
