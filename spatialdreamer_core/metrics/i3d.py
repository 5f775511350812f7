"""I3D, the video network whose Kinetics-400 logits FVD compares. Needs torch (the ``metrics`` extra).

Source: Carreira and Zisserman, "Quo Vadis, Action Recognition? A New Model and the Kinetics Dataset", CVPR 2017.
Tensor names are those of the well-known torch port, so that its state dictionary can be used as well as ours.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.metrics.fidelity import Picture

SIDE = 224
LEAST_FRAMES = 9
"""Fewer frames leave nothing for the last pooling, which spans two of every eight."""
CLASSES = 400
_BN_EPS = 1e-3
_BRANCHES = ("b0", "b1a", "b1b", "b2a", "b2b", "b3b")
_MIXED = (("3b", "3c"), ("4b", "4c", "4d", "4e", "4f"), ("5b", "5c"))
_POOLS = (((3, 3, 3), (2, 2, 2)), ((2, 2, 2), (2, 2, 2)))
_UNITS = (
    "Conv3d_1a_7x7",
    "Conv3d_2b_1x1",
    "Conv3d_2c_3x3",
    *(f"Mixed_{name}.{branch}" for group in _MIXED for name in group for branch in _BRANCHES),
)


class I3d:
    """The network; normalisation is folded into its convolutions.

    Args:
        tensors: ``UNIT.conv3d.weight``, ``UNIT.bn.bias|running_mean|running_var`` (``bn.weight`` if it has one),
            ``logits.conv3d.weight|bias``.
        device: Where to compute.

    Raises:
        WeightsError: If tensors are missing or of other shapes.
    """

    def __init__(self, tensors: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        self._device = torch.device(device)
        self._units: dict[str, tuple[Tensor, Tensor]] = {}
        try:
            for unit in _UNITS:
                kernel = np.asarray(tensors[f"{unit}.conv3d.weight"], np.float64)
                gain = 1 / np.sqrt(np.asarray(tensors[f"{unit}.bn.running_var"], np.float64) + _BN_EPS)
                gain *= np.asarray(tensors.get(f"{unit}.bn.weight", 1.0), np.float64)
                shift = tensors[f"{unit}.bn.bias"] - np.asarray(tensors[f"{unit}.bn.running_mean"], np.float64) * gain
                self._units[unit] = self._tensor(kernel * gain[:, None, None, None, None]), self._tensor(shift)
            weight, bias = tensors["logits.conv3d.weight"], tensors["logits.conv3d.bias"]
            if weight.shape != (CLASSES, 1024, 1, 1, 1):
                raise WeightsError(f"i3d: logits are {list(weight.shape)}, not those of Kinetics-400")
            self._units["logits"] = self._tensor(weight), self._tensor(bias)
        except (KeyError, ValueError, IndexError) as error:
            raise WeightsError(f"i3d: these are not its weights ({error}); get i3d-kinetics400") from error

    @torch.inference_mode()
    def logits(self, frames: Sequence[Picture]) -> NDArray[np.float64]:
        """Class logits of one clip, averaged over time.

        Args:
            frames: [H, W, 3] uint8 RGB each, at least 9; brought to 224 x 224 (bilinear, aspect not kept) and [-1, 1].

        Returns:
            [400].

        Raises:
            ValueError: If there are too few frames.
        """
        if len(frames) < LEAST_FRAMES:
            raise ValueError(f"i3d needs at least {LEAST_FRAMES} frames, got {len(frames)}")
        clip = torch.stack([self._small(frame) for frame in frames], dim=1)[None]  # [1, 3, T, 224, 224]
        x = self._unit("Conv3d_1a_7x7", clip, (2, 2, 2))
        x = _max_pool(x, (1, 3, 3), (1, 2, 2))
        x = self._unit("Conv3d_2c_3x3", self._unit("Conv3d_2b_1x1", x))
        x = _max_pool(x, (1, 3, 3), (1, 2, 2))
        for group, names in enumerate(_MIXED):
            for name in names:
                x = self._mixed(f"Mixed_{name}", x)
            if group < len(_POOLS):
                x = _max_pool(x, *_POOLS[group])
        x = F.avg_pool3d(x, (2, 7, 7), stride=1)
        weight, bias = self._units["logits"]
        return np.asarray(F.conv3d(x, weight, bias).mean((2, 3, 4))[0].double().cpu().numpy(), np.float64)

    def _small(self, frame: Picture) -> Tensor:
        pixels = torch.tensor(frame, device=self._device).permute(2, 0, 1)[None].float()
        return F.interpolate(pixels, (SIDE, SIDE), mode="bilinear", align_corners=False)[0] / 127.5 - 1

    def _unit(self, name: str, x: Tensor, stride: tuple[int, int, int] = (1, 1, 1)) -> Tensor:
        weight, bias = self._units[name]
        kernel = (weight.shape[2], weight.shape[3], weight.shape[4])
        return torch.relu_(F.conv3d(F.pad(x, _same(x, kernel, stride)), weight, bias, stride))

    def _mixed(self, name: str, x: Tensor) -> Tensor:
        def unit(branch: str, y: Tensor) -> Tensor:
            return self._unit(f"{name}.{branch}", y)

        pooled = _max_pool(x, (3, 3, 3), (1, 1, 1))
        return torch.cat(
            [unit("b0", x), unit("b1b", unit("b1a", x)), unit("b2b", unit("b2a", x)), unit("b3b", pooled)], dim=1
        )

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.tensor(np.asarray(values), dtype=torch.float32, device=self._device)


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """Read the torch port's own file (``i3d_pretrained_400.pt``), tensors only.

    Raises:
        WeightsError: If it cannot be read as that.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {name: tensor.numpy() for name, tensor in state.items()}
    except Exception as error:  # torch raises many kinds
        text = " ".join(str(error).split())[:200]
        raise WeightsError(f"{path}: no state dictionary of tensors ({text}); give i3d_pretrained_400.pt") from error


def _same(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> list[int]:
    """TensorFlow's SAME padding, last axis first: what is odd goes to the end."""
    padding: list[int] = []
    for size, k, s in zip(x.shape[2:], kernel, stride, strict=True):
        total = max(k - s if size % s == 0 else k - size % s, 0)
        padding = [total // 2, total - total // 2, *padding]
    return padding


def _max_pool(x: Tensor, kernel: tuple[int, int, int], stride: tuple[int, int, int]) -> Tensor:
    # what comes in is not negative, so zeros around it never win
    return F.max_pool3d(F.pad(x, _same(x, kernel, stride)), kernel, stride)
