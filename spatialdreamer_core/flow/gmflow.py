"""GMFlow with one refinement: optical flow, or zero-shot stereo, as global matching. Needs torch (extra ``metrics``).

Features of both pictures look at themselves and at each other in a transformer; every place is matched with all places
of the other picture at 1/8 (a softmax over their likeness, whose mean position is the match), then within 4 pixels at
1/4. Unmatched places take over the flow of places that look alike.

Source: Xu et al., "GMFlow: Learning Optical Flow via Global Matching", CVPR 2022, written from the paper to take its
published weights (two scales, 4.7 M parameters); the tests hold it to matches that are known.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from spatialdreamer_core.errors import WeightsError
from spatialdreamer_core.flow.network_pictures import network_pictures

CHANNELS = 128
LAYERS = 6
MULTIPLE = 32
"""Sides are padded to this: windows of the finer scale are an eighth of a quarter."""
SPLITS = (2, 8)
"""Windows along a side, by scale."""
LOCAL_RADIUS = 4
UPSAMPLING = 4
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_FAR = -100.0
"""Added to the likeness of places that a shifted window holds by accident."""


class _Residual(nn.Module):
    def __init__(self, before: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        changes = stride > 1 or before != channels
        self.downsample = nn.Sequential(nn.Conv2d(before, channels, 1, stride)) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.instance_norm(self.conv1(x)))
        y = F.relu(F.instance_norm(self.conv2(y)))
        return F.relu(y + (x if self.downsample is None else F.instance_norm(self.downsample(x))))


class _Backbone(nn.Module):
    """[B, 3, H, W] to features at 1/8 and 1/4."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.layer1 = nn.Sequential(_Residual(64, 64, 1), _Residual(64, 64, 1))
        self.layer2 = nn.Sequential(_Residual(64, 96, 2), _Residual(96, 96, 1))
        self.layer3 = nn.Sequential(_Residual(96, CHANNELS, 1), _Residual(CHANNELS, CHANNELS, 1))
        self.conv2 = nn.Conv2d(CHANNELS, CHANNELS, 1)
        # one kernel for both scales, at stride 2 and 1
        self.trident_conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = F.relu(F.instance_norm(self.conv1(x)))
        x = self.conv2(self.layer3(self.layer2(self.layer1(x))))
        kernel = self.trident_conv.weight
        return F.conv2d(x, kernel, stride=2, padding=1), F.conv2d(x, kernel, stride=1, padding=1)


class _Attention(nn.Module):
    """One head over windows; the message is normed, mixed by an MLP if there is one, and added."""

    def __init__(self, *, mixes: bool) -> None:
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj, self.merge = (
            nn.Linear(CHANNELS, CHANNELS, bias=False) for _ in range(4)
        )
        self.norm1 = nn.LayerNorm(CHANNELS)
        if mixes:
            wide = 8 * CHANNELS
            self.mlp = nn.Sequential(
                nn.Linear(2 * CHANNELS, wide, bias=False), nn.GELU(), nn.Linear(wide, CHANNELS, bias=False)
            )
            self.norm2 = nn.LayerNorm(CHANNELS)
        self.mixes = mixes

    def forward(self, own: Tensor, other: Tensor, splits: int, *, shifted: bool) -> Tensor:
        """[B, h, w, C] of the picture and of what it looks at."""
        seen = _windowed(self.q_proj(own), self.k_proj(other), self.v_proj(other), splits, shifted=shifted)
        message: Tensor = self.norm1(self.merge(seen))
        if self.mixes:
            message = self.norm2(self.mlp(torch.cat([own, message], dim=-1)))
        return own + message


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn = _Attention(mixes=False)
        self.cross_attn_ffn = _Attention(mixes=True)

    def forward(self, own: Tensor, other: Tensor, splits: int, *, shifted: bool) -> Tensor:
        own = self.self_attn(own, own, splits, shifted=shifted)
        seen: Tensor = self.cross_attn_ffn(own, other, splits, shifted=shifted)
        return seen


class _Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))

    def forward(self, first: Tensor, second: Tensor, splits: int) -> tuple[Tensor, Tensor]:
        """[B, C, h, w] each; both pictures go through the same layers at once."""
        own = torch.cat([first, second]).permute(0, 2, 3, 1)
        for number, layer in enumerate(self.layers):
            own = layer(own, own.roll(len(first), 0), splits, shifted=number % 2 == 1)
        one, two = own.permute(0, 3, 1, 2).chunk(2)
        return one, two


class _Propagation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q_proj, self.k_proj = nn.Linear(CHANNELS, CHANNELS), nn.Linear(CHANNELS, CHANNELS)

    def globally(self, features: Tensor, flow: Tensor) -> Tensor:
        """Flow [B, 2, h, w] as the mean over all places, weighted by likeness."""
        query = self.q_proj(features.flatten(2).transpose(1, 2))
        key = self.k_proj(query)  # of the query: so the published weights were trained
        spread = F.softmax(query @ key.transpose(1, 2) / CHANNELS**0.5, dim=-1) @ flow.flatten(2).transpose(1, 2)
        return spread.transpose(1, 2).reshape(flow.shape)

    def locally(self, features: Tensor, flow: Tensor) -> Tensor:
        """The same over 3 x 3 places."""
        b, c, h, w = features.shape
        rows = features.permute(0, 2, 3, 1)
        query = self.q_proj(rows)
        key = F.unfold(self.k_proj(rows).permute(0, 3, 1, 2), 3, padding=1).view(b, c, 9, h, w)
        weight = F.softmax(torch.einsum("bhwc,bckhw->bkhw", query, key) / c**0.5, dim=1)
        near = F.unfold(flow, 3, padding=1).view(b, 2, 9, h, w)
        return torch.einsum("bkhw,bdkhw->bdhw", weight, near)


class GmFlowNet(nn.Module):
    """The network; names of its parameters are those of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = _Backbone()
        self.transformer = _Transformer()
        self.feature_flow_attn = _Propagation()
        self.upsampler = nn.Sequential(
            nn.Conv2d(CHANNELS + 2, 256, 3, 1, 1), nn.ReLU(), nn.Conv2d(256, UPSAMPLING**2 * 9, 1)
        )

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Flow [B, 2, H, W] px from ``first`` to ``second``, [B, 3, H, W] in [0, 1], sides multiples of 32."""
        features = self.backbone(_normed(torch.cat([first, second])))
        coarse, fine = (scale.chunk(2) for scale in features)
        one, two = self.transformer(*(_placed(part, SPLITS[0]) for part in coarse), SPLITS[0])
        flow = self.feature_flow_attn.globally(one, _match_all(one, two))
        flow = 2 * F.interpolate(flow, scale_factor=2, mode="bilinear", align_corners=True)
        one, two = fine[0], _pulled(fine[1], flow)
        one, two = self.transformer(*(_placed(part, SPLITS[1]) for part in (one, two)), SPLITS[1])
        flow = self.feature_flow_attn.locally(one, flow + _match_near(one, two))
        return self._upsampled(flow, one)

    def _upsampled(self, flow: Tensor, features: Tensor) -> Tensor:
        b, _, h, w = flow.shape
        k = UPSAMPLING
        weight = F.softmax(self.upsampler(torch.cat([flow, features], 1)).view(b, 1, 9, k, k, h, w), dim=2)
        near = F.unfold(k * flow, 3, padding=1).view(b, 2, 9, 1, 1, h, w)
        return (weight * near).sum(2).permute(0, 1, 4, 2, 5, 3).reshape(b, 2, k * h, k * w)


class GmFlow:
    """Optical flow by GMFlow; see ``FlowEstimator``. Seconds for a pair of 512x288 on two cores.

    Args:
        tensors: As the weights ``gmflow`` hold them.
        device: Where to compute.

    Raises:
        WeightsError: If the tensors are of another network.
    """

    name, colour = "gmflow", True

    def __init__(self, tensors: Mapping[str, NDArray[Any]], device: str = "cpu") -> None:
        with torch.device("meta"):
            self._net = GmFlowNet()
        state = {name: torch.tensor(np.asarray(value)) for name, value in tensors.items()}
        try:
            self._net.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise WeightsError("gmflow: these are the weights of another network; get gmflow") from error
        self._device = torch.device(device)
        self._net.to(self._device).eval()

    @torch.inference_mode()
    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Find the motion from ``first`` to ``second``, [H, W, 3] uint8 RGB each (or grey [H, W]).

        Raises:
            ValueError: If the pictures differ in size.
        """
        h, w = first.shape[:2]
        pad = -w % MULTIPLE, -h % MULTIPLE
        pictures = (picture / 255 for picture in network_pictures(first, second, pad, self._device))
        flow = self._net(*pictures)[0, :, :h, :w]
        return np.ascontiguousarray(flow.permute(1, 2, 0).cpu().numpy(), np.float32)


def _normed(pictures: Tensor) -> Tensor:
    mean, std = (pictures.new_tensor(values).view(1, 3, 1, 1) for values in (_MEAN, _STD))
    return (pictures - mean) / std


def _cut(x: Tensor, splits: int) -> Tensor:
    """[B, h, w, C] to [B, splits^2, places, C]."""
    b, h, w, c = x.shape
    parts = x.view(b, splits, h // splits, splits, w // splits, c).transpose(2, 3)
    return parts.reshape(b, splits * splits, -1, c)


def _joined(parts: Tensor, splits: int, h: int, w: int) -> Tensor:
    b, _, _, c = parts.shape
    return parts.view(b, splits, splits, h // splits, w // splits, c).transpose(2, 3).reshape(b, h, w, c)


def _windowed(query: Tensor, key: Tensor, value: Tensor, splits: int, *, shifted: bool) -> Tensor:
    """Attention within windows; shifted ones wrap around, and what wraps does not look at what does not."""
    _, h, w, c = query.shape
    half = (h // splits // 2, w // splits // 2)
    if shifted:
        query, key, value = (x.roll((-half[0], -half[1]), (1, 2)) for x in (query, key, value))
    scores = _cut(query, splits) @ _cut(key, splits).transpose(2, 3) / c**0.5
    if shifted:
        region = _cut(_regions(h, w, (h // splits, w // splits), half).to(query.device), splits)[..., 0]
        scores = scores + _FAR * (region[..., None] != region[..., None, :])
    message = _joined(F.softmax(scores, dim=-1) @ _cut(value, splits), splits, h, w)
    return message.roll(half, (1, 2)) if shifted else message


def _regions(h: int, w: int, window: tuple[int, int], half: tuple[int, int]) -> Tensor:
    """[1, h, w, 1] numbers of the parts that were neighbours before the picture was rolled."""
    rows, columns = torch.arange(h), torch.arange(w)
    band = [
        (at >= side - size).int() + (at >= side - part).int()
        for at, side, size, part in zip((rows, columns), (h, w), window, half, strict=True)
    ]
    return (3 * band[0][:, None] + band[1][None])[None, ..., None]


def _placed(features: Tensor, splits: int) -> Tensor:
    """Add where each place lies within its window, as sines and cosines of both coordinates."""
    _, c, h, w = features.shape
    each = c // 2
    period = 10_000 ** (2 * torch.div(torch.arange(each), 2, rounding_mode="floor") / each)
    angles = []
    for side in (h // splits, w // splits):
        share = torch.arange(1, side + 1) / (side + 1e-6) * 2 * torch.pi
        angle = share[:, None] / period
        angles.append(torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], dim=2).flatten(1))
    down = angles[0][:, None].expand(-1, len(angles[1]), -1)
    across = angles[1][None].expand(len(angles[0]), -1, -1)
    window = torch.cat([down, across], dim=2).permute(2, 0, 1)
    return features + window.repeat(1, splits, splits).to(features)


def _places(h: int, w: int, like: Tensor) -> Tensor:
    """[2, h, w] column and row of each place."""
    rows, columns = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([columns, rows]).to(like)


def _match_all(one: Tensor, two: Tensor) -> Tensor:
    b, c, h, w = one.shape
    likeness = F.softmax(one.flatten(2).transpose(1, 2) @ two.flatten(2) / c**0.5, dim=-1)
    places = _places(h, w, one)
    found = (likeness @ places.flatten(1).T).transpose(1, 2).reshape(b, 2, h, w)
    return found - places


def _match_near(one: Tensor, two: Tensor) -> Tensor:
    b, c, h, w = one.shape
    side = 2 * LOCAL_RADIUS + 1
    near = F.unfold(two, side, padding=LOCAL_RADIUS).view(b, c, side * side, h, w)
    likeness = torch.einsum("bchw,bckhw->bkhw", one, near) / c**0.5
    inside = F.unfold(torch.ones_like(one[:, :1]), side, padding=LOCAL_RADIUS).view(b, side * side, h, w) > 0
    likeness = F.softmax(likeness.masked_fill(~inside, -1e9), dim=1)
    steps = (_places(side, side, one) - LOCAL_RADIUS).flatten(1)
    return torch.einsum("bkhw,dk->bdhw", likeness, steps)


def _pulled(features: Tensor, flow: Tensor) -> Tensor:
    """Features of the second picture at the places where the flow leads; 0 outside."""
    _, _, h, w = features.shape
    at = _places(h, w, flow) + flow
    grid = torch.stack([2 * at[:, 0] / (w - 1) - 1, 2 * at[:, 1] / (h - 1) - 1], dim=-1)
    return F.grid_sample(features, grid, mode="bilinear", padding_mode="zeros", align_corners=True)
