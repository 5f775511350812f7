"""The mini network: a U-Net that makes the view and a RefinerNet that looks at the reference, in pixel space.

One step from zeros: there is no noise, so the timestep's embedding is one learnt vector. The network works on tiles,
in two halves. ``look`` sees one frame and is made of convolutions; ``paint`` makes a frame from its own look and what a
few frames before and after share of theirs. So a frame is looked at once, however many others ask for it, and a film
has no windows whose seams would show.

Source: arXiv 2411.11934 (RefinerNet, deviation strength, temporal interaction learning); one step with pixel losses
after arXiv 2505.16565.
"""

from copy import deepcopy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spatialdreamer_core.models.attention import attend, interaction, reference_attention
from spatialdreamer_core.models.mini.config import GATE_AT_START, INPUTS, PATCH, TILE, MiniConfig
from spatialdreamer_core.models.strength import StrengthEmbedding

STRENGTH_SCALE = 5000.0
"""Geometric strengths are some hundredths; the sinusoid tells numbers apart that differ by about one."""
MOMENTUM, EPSILON = 0.01, 1e-5
"""Of the statistics: batches of pictures and of clips come in turn, so they have to reach over many."""


class Look(NamedTuple):
    """What ``look`` sees in one frame's tile; B tiles, C0, C1, C2 the widths, and sizes for a tile of 128.

    Attributes:
        fine: [B, C0, 32, 32] of the U-Net.
        middle: [B, C1, 16, 16] of the U-Net.
        coarse: [B, C2, 8, 8] of the U-Net.
        reference_middle: [B, C1, 16, 16] of RefinerNet.
        reference_coarse: [B, C2, 8, 8] of RefinerNet, before its attention.
    """

    fine: Tensor
    middle: Tensor
    coarse: Tensor
    reference_middle: Tensor
    reference_coarse: Tensor


class Shared(NamedTuple):
    """What other frames are told of one frame, computed once however many ask; N = 64 places of 8 x 8.

    Attributes:
        reference_key: [B, heads, N, d] of RefinerNet's attention; empty without it.
        reference_value: [B, heads, N, d] of the same.
        temporal: [B, N, 2 * C2] keys and values of temporal attention, without the place in time; empty without it.
    """

    reference_key: Tensor
    reference_value: Tensor
    temporal: Tensor


class Level(nn.Module):
    """Brings each channel of a map [B, C, h, w] to mean 0 and variance 1, by statistics of what was trained on.

    Whatever reads the residual stream reads it so; else what blocks add grows until activations are dead. A trained
    network's level is a scale and an offset, which the layer that reads it can take over (``fold``).

    Attributes:
        mean: [C].
        variance: [C].
        fixed: Whether training leaves the statistics as they are.

    Source: Ioffe and Szegedy, Batch Normalization, arXiv 1502.03167, without scale and offset of its own.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.fixed = self.folded = False

    def forward(self, x: Tensor) -> Tensor:
        """Same shape."""
        if self.folded:
            return x
        measures = self.training and not self.fixed
        return F.batch_norm(x, self.mean, self.variance, None, None, measures, MOMENTUM, EPSILON)

    @torch.no_grad()
    def fold(self, *readers: nn.Conv2d | nn.Linear, places: nn.Parameter | None = None) -> None:
        """Give scale and offset to the layers that read, and be identity from now on.

        Args:
            readers: Each reads ``level(x)``, or ``level(x) + places``, and pads nothing.
            places: [..., C, ...] with one dimension of C channels, which they add first; it is scaled along.
        """
        scale = (self.variance + EPSILON).rsqrt()
        for reader in readers:
            assert reader.bias is not None
            reader.bias -= reader.weight.flatten(1) @ (self.mean * scale)
            reader.weight *= scale.reshape(1, -1, *[1] * (reader.weight.ndim - 2))
        if places is not None:
            channels = [1] * places.ndim
            channels[1] = -1
            places.div_(scale.reshape(channels))
        self.folded = True


class Block(nn.Module):
    """Residual block: narrow to half, 3 x 3, widen; the embedding shifts what lies between. Begins as identity.

    No depthwise filters: their gradients are slow on CPUs.
    """

    def __init__(self, channels: int, embedding: int = 0) -> None:
        super().__init__()
        half = channels // 2
        self.level = Level(channels)
        self.narrow = nn.Conv2d(channels, half, 1)
        self.shift = nn.Linear(embedding, half) if embedding else None
        self.look = nn.Conv2d(half, half, 3, padding=1)
        self.widen = nn.Conv2d(half, channels, 1)
        _begin_at_zero(self.widen)

    def forward(self, x: Tensor, embedding: Tensor | None = None) -> Tensor:
        """[B, C, h, w] and [B, E] to [B, C, h, w]."""
        y = self.narrow(self.level(x))
        if self.shift is not None and embedding is not None:
            y = y + self.shift(embedding)[:, :, None, None]
        out: Tensor = x + self.widen(F.silu(self.look(F.silu(y))))
        return out

    def fold(self) -> None:
        """See ``Level.fold``."""
        self.level.fold(self.narrow)


class Projections(nn.Module):
    """Queries, keys and values of a map, as [B, heads, N, d]; a learnt embedding tells the columns apart."""

    def __init__(self, channels: int, heads: int, columns: int, names: str = "qkv") -> None:
        super().__init__()
        self.heads, self.names = heads, names
        self.level = Level(channels)
        self.column = nn.Parameter(torch.zeros(1, channels, 1, columns))
        self.project = nn.Conv2d(channels, channels * len(names), 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """[B, C, h, w] to one tensor for each name."""
        batch, channels = x.shape[:2]
        y = self.project(self.level(x) + self.column)
        y = y.reshape(batch, len(self.names), self.heads, channels // self.heads, -1)
        return tuple(y.transpose(3, 4).unbind(1))

    def fold(self) -> None:
        """See ``Level.fold``."""
        self.level.fold(self.project, places=self.column)


class Attention(nn.Module):
    """What attention found, joined and added; begins as identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.join = nn.Conv2d(channels, channels, 1)
        _begin_at_zero(self.join)

    def forward(self, x: Tensor, found: Tensor) -> Tensor:
        """[B, C, h, w] and [B, heads, N, d] to [B, C, h, w]."""
        out: Tensor = x + self.join(found.transpose(2, 3).reshape(x.shape))
        return out


def _begin_at_zero(layer: nn.Conv2d | nn.Linear) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _stage(channels: int, blocks: int) -> nn.ModuleList:
    return nn.ModuleList(Block(channels) for _ in range(blocks))


def _down(inputs: int, outputs: int) -> nn.Sequential:
    """Half the size."""
    return nn.Sequential(Level(inputs), nn.SiLU(), nn.Conv2d(inputs, outputs, 2, stride=2))


def _up(inputs: int, outputs: int, factor: int = 2) -> nn.Sequential:
    """``factor`` times the size, by sub-pixels."""
    spread = nn.Conv2d(inputs, factor * factor * outputs, 1)
    return nn.Sequential(Level(inputs), nn.SiLU(), spread, nn.PixelShuffle(factor))


class Encoder(nn.Module):
    """The looking half of one of the two nets."""

    def __init__(self, inputs: int, widths: tuple[int, int, int], blocks: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.patches = nn.Conv2d(inputs, fine, PATCH, stride=PATCH)
        self.fine, self.middle, self.coarse = (_stage(w, n) for w, n in zip(widths, blocks, strict=True))
        self.to_middle, self.to_coarse = _down(fine, middle), _down(middle, coarse)

    def forward(self, tile: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, inputs, 128, 128] to the three levels."""
        fine = self.patches(tile)
        for block in self.fine:
            fine = block(fine)
        middle = self.to_middle(fine)
        for block in self.middle:
            middle = block(middle)
        coarse = self.to_coarse(middle)
        for block in self.coarse:
            coarse = block(coarse)
        return fine, middle, coarse


class RefinerNet(nn.Module):
    """The U-Net's looking half without temporal layers, over the reference, and the keys and values that it gives."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        _, middle, coarse = config.widths
        self.encoder = Encoder(3, config.widths, (1, 1, 1))
        self.spatial = Projections(coarse, config.heads, TILE // 16)
        self.joined = Attention(coarse)
        self.middle_keys = Projections(middle, config.heads, TILE // 8, "kv")
        self.coarse_keys = Projections(coarse, config.heads, TILE // 16, "kv")
        self.own_share = config.own_share if config.til else 1.0

    def interact(self, coarse: Tensor, others: Shared | None) -> Tensor:
        """Spatial attention over the frame itself and, with what K others share ([B, K, ...]), over those."""
        query, key, value = self.spatial(coarse)
        asked: list[tuple[Tensor, Tensor]] = []
        if others is not None and self.own_share < 1:
            asked = list(zip(others.reference_key.unbind(1), others.reference_value.unbind(1), strict=True))
        out: Tensor = self.joined(coarse, interaction(query, (key, value), asked, self.own_share))
        return out


class MiniNet(nn.Module):
    """Makes the hidden part of a view; see the module.

    Attributes:
        config: Its shape.
    """

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        self.config = config
        fine, middle, coarse = config.widths
        inputs = INPUTS + (3 if config.reference == "concat" else 0)
        self.encoder = Encoder(inputs, config.widths, (1, 2, 2))
        self.refiner = RefinerNet(config) if config.reference == "refiner" else None
        self.timestep = nn.Parameter(torch.zeros(config.embedding))
        self.strength = StrengthEmbedding(32, config.embedding, STRENGTH_SCALE) if config.strength else None
        self.coarse_tokens = Projections(coarse, config.heads, TILE // 16)
        self.coarse_attention = Attention(coarse)
        self.coarse_blocks = nn.ModuleList(Block(coarse, config.embedding) for _ in range(2))
        self.temporal = TemporalAttention(config) if config.temporal else None
        self.to_middle = _up(coarse, middle)
        self.middle_tokens = Projections(middle, config.heads, TILE // 8)
        self.middle_attention = Attention(middle)
        self.middle_blocks = nn.ModuleList(Block(middle, config.embedding) for _ in range(2))
        self.to_fine = _up(middle, fine)
        self.fine_blocks = nn.ModuleList(Block(fine, config.embedding) for _ in range(2))
        self.to_pixels = _up(fine, 4, PATCH)
        self.finish = nn.Conv2d(4 + 7, 6, 3, padding=1)
        self.last = nn.Conv2d(6, 4, 3, padding=1)
        _begin_at_zero(self.last)

    def look(self, tile: Tensor, reference: Tensor) -> Look:
        """Look at one frame.

        Args:
            tile: [B, 9, 128, 128] float32; see ``models.mini.inputs``.
            reference: [B, 3, 128, 128] float32 in [0, 1], the reference view where the tile's background lies there.
        """
        seen = 2 * reference - 1
        shown = torch.cat([tile, seen], 1) if self.config.reference == "concat" else tile
        fine, middle, coarse = self.encoder(shown)
        if self.refiner is None:
            return Look(fine, middle, coarse, torch.zeros_like(middle), torch.zeros_like(coarse))
        _, reference_middle, reference_coarse = self.refiner.encoder(seen)
        return Look(fine, middle, coarse, reference_middle, reference_coarse)

    def share(self, look: Look) -> Shared:
        """What a frame tells those that ask for it; [B, ...]."""
        none = look.coarse.new_zeros(len(look.coarse), 0)
        _, key, value = (none,) * 3 if self.refiner is None else self.refiner.spatial(look.reference_coarse)
        return Shared(key, value, none if self.temporal is None else self.temporal.share(look.coarse))

    def paint(self, tile: Tensor, look: Look, strength: Tensor, others: Shared | None = None) -> Tensor:
        """Make one frame of a tile [B, 9, 128, 128], as for ``look``; the rest as for ``patches``.

        Returns:
            [B, 3, 128, 128] float32 RGB, about [0, 1]; what it says outside of holes means nothing.
        """
        pixels = self.to_pixels[-1](self.patches(look, strength, others))
        out = self.last(F.silu(self.finish(torch.cat([pixels, tile[:, :7]], 1))))
        filled, mirrored = (tile[:, :3] + 1) / 2, (tile[:, 3:6] + 1) / 2
        share = torch.sigmoid(out[:, 3:] + GATE_AT_START)
        made: Tensor = filled + share * (mirrored - filled) + torch.tanh(out[:, :3])
        return made

    def patches(self, look: Look, strength: Tensor, others: Shared | None = None) -> Tensor:
        """All of painting but the last two convolutions.

        Args:
            look: Of this frame.
            strength: [B] geometric deviation strength, a share of the width; see ``models.strength``.
            others: What the K frames at ``config.offsets`` share, [B, K, ...]; None for a single picture.

        Returns:
            [B, 64, 32, 32]: four channels for each of the 4 x 4 pixels of a place.
        """
        embedding = self.timestep.expand(len(look.coarse), -1)
        if self.strength is not None:
            embedding = embedding + self.strength(strength)
        rows = TILE // 16
        coarse = look.coarse
        query, key, value = self.coarse_tokens(coarse)
        if self.refiner is None:
            found = attend(query, key, value, (rows, rows))
        else:
            reference = self.refiner.interact(look.reference_coarse, others)
            injected = self.refiner.coarse_keys(reference)
            found = reference_attention(query, key, value, injected[0], injected[1], (rows, rows))
        coarse = self.coarse_attention(coarse, found)
        if self.temporal is not None and others is not None:
            coarse = self.temporal(coarse, others.temporal)
        for block in self.coarse_blocks:
            coarse = block(coarse, embedding)

        middle = look.middle + self.to_middle(coarse)
        query, key, value = self.middle_tokens(middle)
        if self.refiner is None:
            found = attend(query, key, value, (2 * rows, 2 * rows))
        else:
            injected = self.refiner.middle_keys(look.reference_middle)
            found = reference_attention(query, key, value, injected[0], injected[1], (2 * rows, 2 * rows))
        middle = self.middle_attention(middle, found)
        for block in self.middle_blocks:
            middle = block(middle, embedding)

        fine = look.fine + self.to_fine(middle)
        for block in self.fine_blocks:
            fine = block(fine, embedding)
        out: Tensor = self.to_pixels[:-1](fine)
        return out

    def folded(self) -> "MiniNet":
        """A copy that gives the same with fewer operations; not to be trained."""
        copy = deepcopy(self).eval()
        for part in copy.modules():
            if part is not copy and isinstance(part, (Block, Projections, TemporalAttention)):
                part.fold()
        return copy

    def forward(self, tiles: Tensor, references: Tensor, strength: Tensor) -> Tensor:
        """Make every frame of a clip, or single pictures where T is 1.

        Args:
            tiles: [B, T, 9, 128, 128].
            references: [B, T, 3, 128, 128].
            strength: [B].

        Returns:
            [B, T, 3, 128, 128].
        """
        batch, length = tiles.shape[:2]
        look = self.look(tiles.flatten(0, 1), references.flatten(0, 1))
        others = None
        if length > 1:
            asked = torch.tensor(
                [[t + o if 0 <= t + o < length else t for o in self.config.offsets] for t in range(length)]
            )
            others = Shared(
                *(
                    told.reshape(batch, length, *told.shape[1:])[:, asked.to(told.device)].flatten(0, 1)
                    for told in self.share(look)
                )
            )
        made = self.paint(tiles.flatten(0, 1), look, strength.repeat_interleave(length), others)
        return made.reshape(batch, length, *made.shape[1:])


class TemporalAttention(nn.Module):
    """Each place attends to itself and to the same place in other frames; begins as identity."""

    def __init__(self, config: MiniConfig) -> None:
        super().__init__()
        channels = config.widths[2]
        self.heads = config.heads
        self.level = Level(channels)
        self.frame = nn.Parameter(torch.zeros(len(config.offsets) + 1, channels))
        self.query = nn.Linear(channels, channels)
        self.keys = nn.Linear(channels, 2 * channels)
        self.join = nn.Linear(channels, channels)
        self.begin()

    def begin(self) -> None:
        """Be identity, whatever was learnt."""
        _begin_at_zero(self.join)

    def share(self, x: Tensor) -> Tensor:
        """Keys and values [B, h * w, 2 * C] of a frame [B, C, h, w], without its place in time."""
        shared: Tensor = self.keys(self.level(x).flatten(2).transpose(1, 2))
        return shared

    def forward(self, x: Tensor, others: Tensor) -> Tensor:
        """[B, C, h, w] and what K others share, [B, K, h * w, 2 * C], to [B, C, h, w]."""
        batch, channels, rows, columns = x.shape
        places = batch * rows * columns
        shared = torch.cat([self.share(x)[:, None], others], 1) + F.linear(self.frame, self.keys.weight)[:, None]
        keys = shared.transpose(1, 2).reshape(places, -1, 2, self.heads, channels // self.heads)
        key, value = keys.permute(2, 0, 3, 1, 4).unbind(0)
        query = self.query(self.level(x).flatten(2).transpose(1, 2)).reshape(places, 1, self.heads, -1).transpose(1, 2)
        found = attend(query, key, value).transpose(1, 2).reshape(batch, rows, columns, channels)
        out: Tensor = x + self.join(found).permute(0, 3, 1, 2)
        return out

    def fold(self) -> None:
        """See ``Level.fold``."""
        self.level.fold(self.query, self.keys, places=self.frame)
