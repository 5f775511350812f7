"""A run of frames of one shot under the full-size network: held, made window by window, given back in order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from spatialdreamer_core.config import SvdConfig
from spatialdreamer_core.errors import RefineError
from spatialdreamer_core.models.svd.frames import InteractionConfig, Meeting, Span, feather, meeting, overlapping_spans
from spatialdreamer_core.models.svd.injection import Interaction
from spatialdreamer_core.models.svd.network import SvdNetwork
from spatialdreamer_core.models.svd.sampler import SamplerConfig, Seen, denoise, see, strength_where_seen
from spatialdreamer_core.refine.protocol import Painted, Patch, RefineFrame, RefineShot
from spatialdreamer_core.refine.svd_tiles import SvdTiles
from spatialdreamer_core.video.colour import rgb_matrix
from spatialdreamer_core.video.frames import Frame
from spatialdreamer_core.video.source import ColourInfo

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Held:
    """What is kept of a frame until its windows are done.

    Attributes:
        frame: As it came; nothing is copied.
        needed: Tiles.
    """

    frame: RefineFrame
    needed: NDArray[np.bool_]


class SvdStream:
    """Paints a run of frames of one shot; see ``RefineStream``."""

    def __init__(
        self, network: SvdNetwork, config: SvdConfig, shot: RefineShot, grid: SvdTiles, start: int, end: int
    ) -> None:
        self._network, self._config, self._shot, self._grid = network, config, shot, grid
        self._device = network.no_image.device
        self._next, self._end = start, end
        self._windows = overlapping_spans(shot.length, config.window, config.window_overlap)
        self._left = [
            (number, meeting(self._windows[number], shot.length, interaction_of(config)))
            for number in self._windows.touching(start, end)
        ]
        self._held: dict[int, _Held] = {}
        self._patches: dict[int, list[Patch]] = {}

    def push(self, frame: RefineFrame) -> Iterator[Painted]:
        """See ``RefineStream.push``."""
        if any(frame.index in met.frames for _, met in self._left):
            self._held[frame.index] = _Held(frame, self._grid.needed(frame, borders=self._shot.borders))
        while self._left and max(self._left[0][1].frames) <= frame.index:
            number, met = self._left.pop(0)
            self._paint(number, met)
            wanted = {index for _, other in self._left for index in other.frames}
            self._held = {index: held for index, held in self._held.items() if index in wanted}
        undone = self._windows[self._left[0][0]].start if self._left else self._end
        while self._next < min(undone, self._end, frame.index + 1):
            yield Painted(self._next, tuple(self._patches.pop(self._next, [])))
            self._next += 1

    def _paint(self, number: int, met: Meeting) -> None:
        window = self._windows[number]
        held = [self._held[index] for index in met.frames]
        inside = held[: window.stop - window.start]
        tiles = [(int(i), int(j)) for i, j in np.argwhere(np.any([one.needed for one in inside], axis=0))]
        if not tiles:
            return
        try:
            canvas = self._denoised(tiles, window, met, held)
            self._decoded(tiles, number, inside, canvas)
        except torch.OutOfMemoryError as error:
            raise RefineError(
                f"svd: out of memory in frames {window.start} to {window.stop} of a shot; give smaller tiles, "
                "a shorter window or less decoded at once, or refine with mini"
            ) from error

    @torch.no_grad()
    def _denoised(self, tiles: list[tuple[int, int]], window: Span, met: Meeting, held: list[_Held]) -> Tensor:
        """[T, 4, rows, columns] scaled latents of the whole padded picture, zero where no tile lies."""
        network, config, step = self._network, self._config, self._network.sizes.latent_step
        frames = window.stop - window.start
        picture = rgb_of(held[frames // 2].frame.left, self._shot.colour, self._grid.height)
        middle = torch.from_numpy(picture)[None].to(self._device)
        embedding = network.embed(middle)
        seen = {tile: self._see(tile, held, frames) for tile in tiles}
        strength = self._strength(list(seen.values()))
        noise = torch.stack([self._noise(index) for index in range(window.start, window.stop)])
        canvas, total = torch.zeros_like(noise), torch.zeros(noise.shape[2:], device=noise.device)
        sampler = SamplerConfig(steps=config.steps, guidance=config.guidance)
        interaction = Interaction(config.own_share, met.partners)
        for (i, j), known in seen.items():
            rows, columns = (
                slice(s.start // step, s.stop // step) for s in (self._grid.rows[i], self._grid.columns[j])
            )
            made = denoise(network, known, noise[None, :, :, rows, columns], embedding, strength, sampler, interaction)
            weight = torch.from_numpy(_mean_of_cells(self._grid.weight(i, j), step)).to(noise.device)
            canvas[:, :, rows, columns] += weight * made[0]
            total[rows, columns] += weight
        return canvas / total.clamp_min(1e-6)

    @torch.no_grad()
    def _decoded(self, tiles: list[tuple[int, int]], number: int, inside: list[_Held], canvas: Tensor) -> None:
        """Turn latents into patches of the frames that need them."""
        network, at_once = self._network, self._config.decode_at_once
        step, window = network.sizes.latent_step, self._windows[number]
        share = feather(self._windows, number)
        for i, j in tiles:
            rows, columns = self._grid.rows[i], self._grid.columns[j]
            part = canvas[:, :, rows.start // step : rows.stop // step, columns.start // step : columns.stop // step]
            height = min(rows.stop, self._grid.height) - rows.start
            width = min(columns.stop, self._grid.width) - columns.start
            weight = np.ascontiguousarray(self._grid.weight(i, j)[:height, :width])
            for first in range(0, len(inside), at_once):
                pictures = network.decode(part[first : first + at_once]).cpu().numpy()
                for place, picture in enumerate(pictures, start=first):
                    if inside[place].needed[i, j] and self._next <= window.start + place < self._end:
                        rgb = np.ascontiguousarray(picture[:, :height, :width])
                        patch = Patch(rows.start, columns.start, rgb, weight * share[place])
                        self._patches.setdefault(window.start + place, []).append(patch)

    def _see(self, tile: tuple[int, int], held: list[_Held], frames: int) -> Seen:
        rows, columns = self._grid.rows[tile[0]], self._grid.columns[tile[1]]
        rendered = self._tensor([one.frame.right for one in held[:frames]], rows, columns)
        reference = self._tensor([one.frame.left for one in held], rows, columns)
        holes = [np.isnan(_part(one.frame.source_x, rows, columns)) for one in held[:frames]]
        mask = np.zeros((frames, rows.stop - rows.start, columns.stop - columns.start), np.bool_)
        mask[:, : holes[0].shape[0], : holes[0].shape[1]] = holes
        told = torch.from_numpy(mask)[None, :, None].to(self._device)
        return see(self._network, rendered, told, reference)

    def _tensor(self, frames: list[Frame], rows: Span, columns: Span) -> Tensor:
        """[1, F, 3, h, w] float32 on the device: a tile of each frame, beyond the picture its border."""
        parts = [rgb_of(_tile(frame, rows, columns), self._shot.colour, self._grid.height) for frame in frames]
        below, beside = (s.stop - s.start - n for s, n in zip((rows, columns), parts[0].shape[1:], strict=True))
        padded = np.pad(np.stack(parts), ((0, 0), (0, 0), (0, below), (0, beside)), mode="edge")
        return torch.from_numpy(padded)[None].to(self._device)

    def _strength(self, seen: list[Seen]) -> Tensor:
        """[1] what the user set, or what the views say."""
        if self._shot.deviation is not None:
            return torch.tensor([self._shot.deviation], device=self._device)
        if self._network.strength == "geometric":
            return torch.tensor([self._shot.geometric], device=self._device)
        scale = self._network.latent_scale
        return torch.stack([strength_where_seen(one, scale) for one in seen]).mean(0)

    def _noise(self, index: int) -> Tensor:
        """[4, rows, columns] of the whole padded picture, from seed and frame alone, the same on every device."""
        rows, columns = (side // self._network.sizes.latent_step for side in self._grid.padded)
        seed = int(np.random.default_rng([self._config.seed, index]).integers(2**63))
        drawn = torch.randn(4, rows, columns, generator=torch.Generator().manual_seed(seed))
        return drawn.to(self._device)


def interaction_of(config: SvdConfig) -> InteractionConfig:
    """Who interacts, of all the settings.

    Raises:
        ConfigError: If that cannot be.
    """
    return InteractionConfig(
        own_share=config.own_share, neighbours=tuple(config.neighbours), key_step=config.key_step, keys=config.keys
    )


def rgb_of(frame: Frame, colour: ColourInfo, picture_height: int) -> F32:
    """[3, H, W] non-linear RGB in [0, 1], chroma brought to luma's size in straight lines.

    Args:
        frame: A picture or a part of one.
        colour: Decides matrix and range.
        picture_height: Rows of the whole picture, which decide an unspecified matrix.
    """
    matrix, offset = rgb_matrix(frame.format.bits, colour, picture_height)
    size = frame.width, frame.height
    planes = [frame.y, *(cv2.resize(plane, size, interpolation=cv2.INTER_LINEAR) for plane in (frame.u, frame.v))]
    yuv = np.stack([plane.astype(np.float32) for plane in planes])
    scaled = matrix.astype(np.float32)
    rgb = np.tensordot(scaled, yuv, 1) - (scaled @ offset.astype(np.float32))[:, None, None]
    return np.asarray(np.clip(rgb, 0, 1), np.float32)


def _tile(frame: Frame, rows: Span, columns: Span) -> Frame:
    """A tile's part of a frame, as far as the picture goes; tiles begin at multiples of 8, so chroma's sites do too."""
    down, across = frame.format.sub_y, frame.format.sub_x
    chroma = Span(rows.start // down, -(-rows.stop // down)), Span(columns.start // across, -(-columns.stop // across))
    y, u, v = _part(frame.y, rows, columns), _part(frame.u, *chroma), _part(frame.v, *chroma)
    return Frame(y, u, v, frame.format, frame.pts)


def _part(plane: NDArray[Any], rows: Span, columns: Span) -> NDArray[Any]:
    return plane[rows.start : rows.stop, columns.start : columns.stop]


def _mean_of_cells(weight: F32, step: int) -> F32:
    cells: Any = F.avg_pool2d(torch.from_numpy(np.ascontiguousarray(weight))[None, None], step)[0, 0].numpy()
    return np.asarray(cells, np.float32)
