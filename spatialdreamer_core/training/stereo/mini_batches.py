"""Training batches of the mini network: tiles with holes, of single pictures and of clips from make-pairs.

A left-eye target is mirrored, so that the network only ever makes right eyes.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from itertools import count
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.dvg.render import render_pair
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.geometry.fill import fill_holes
from spatialdreamer_core.geometry.splat import DEFAULT_TEAR_PX, MAX_TEAR_PX
from spatialdreamer_core.models.mini.config import TILE
from spatialdreamer_core.models.mini.inputs import HoleMaps, hole_maps, tile_inputs, tile_picture, tile_shift
from spatialdreamer_core.training.ahead import made_ahead
from spatialdreamer_core.training.data import PairsBatch, PairsData
from spatialdreamer_core.training.stereo.foregrounds import cut_out, paste, silhouette
from spatialdreamer_core.training.stereo.picture_bank import DeepPicture
from spatialdreamer_core.video.rgb_planes import rgb_frame, rgb_picture

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
CUT = (144, 304)
"""Rows and columns of the part of a picture that a pair is made of: a tile, and room for what hides it."""
RANGE_PX = (5.0, 72.0)
STRENGTH_PCT = (2.0, 10.0)
FILL = FillConfig(name="background", temporal=False)
WIDE_PX = 4
"""Narrower holes are left to the classical fill, so tiles are placed at wider ones."""
BORDER_SHARE = 0.25
"""Share of the tiles that are placed at such a border."""
REAL_SHARE = 0.5
"""Share of the pictures that are photographs, where there are any: they are few, and what films look like."""
SMOOTH_PX = 32.0
"""How far the estimated depth of a photograph is smoothed: so far that it has no edges. Estimated edges lie beside the
true ones, so what would be hidden by them is in part what stands in front, and the network learns to paint that."""
TRIES = 8
Tile = tuple[F32, F32, F32, F32, float]
"""Inputs, reference, truth, weight and strength."""


@dataclass(frozen=True, slots=True)
class MiniBatch:
    """B tiles over T frames.

    Attributes:
        tiles: [B, T, 9, 128, 128] float32, see ``models.mini.inputs``.
        references: [B, T, 3, 128, 128] float32 in [0, 1].
        truth: [B, T, 3, 128, 128] float32 in [0, 1].
        weight: [B, T, 1, 128, 128] float32, 0 outside of holes.
        strength: [B] float32, median size of the disparity as a share of the width.
    """

    tiles: Tensor
    references: Tensor
    truth: Tensor
    weight: Tensor
    strength: Tensor

    def to(self, device: torch.device | str) -> "MiniBatch":
        """The same on another device."""
        return replace(
            self, **{one.name: getattr(self, one.name).to(device, non_blocking=True) for one in fields(self)}
        )

    def pin_memory(self) -> "MiniBatch":
        """The same in page-locked memory."""
        return replace(self, **{one.name: getattr(self, one.name).pin_memory() for one in fields(self)})


@dataclass(frozen=True, slots=True)
class TrueView:
    """A right eye of which everything is known, and what the left eye shows of it.

    Attributes:
        truth: [H, W, 3] the right eye.
        maps: Its holes.
        reference: [H, W, 3] the left eye.
        strength: Median size of the disparity as a share of the width.
    """

    truth: U8
    maps: HoleMaps
    reference: U8
    strength: float


def true_view(
    truth: U8, condition: U8, reference: U8, mask: NDArray[np.bool_], disparity: F32, width_px: float
) -> TrueView:
    """Describe a pair whose target is a right eye.

    Args:
        truth: [H, W, 3].
        condition: [H, W, 3], anything where masked.
        reference: [H, W, 3].
        mask: [H, W], True where the condition has no pixels.
        disparity: [H, W] px of the target's pixels.
        width_px: Width of the whole picture.
    """
    source_x = np.arange(mask.shape[1], dtype=np.float32) + disparity
    source_x[mask] = np.nan
    filled = rgb_picture(fill_holes(rgb_frame(condition), source_x, FILL))
    strength = float(np.median(np.abs(disparity))) / width_px
    return TrueView(truth, hole_maps(filled, source_x), reference, strength)


def place_tile(view: TrueView, draw: np.random.Generator) -> tuple[int, int] | None:
    """Top and left of a tile about a random wide hole; None if there is none."""
    runs = view.maps.runs
    at_border = draw.random() < BORDER_SHARE
    wide = np.flatnonzero(((runs.stop - runs.start) >= WIDE_PX) & (runs.border == at_border) & (runs.side != 0))
    if wide.size == 0:
        return None
    length = (runs.stop - runs.start)[wide].astype(np.float64)
    one = int(draw.choice(wide, p=length / length.sum()))
    jitter = draw.integers(-TILE // 2 + 8, TILE // 2 - 8, size=2)
    h, w = view.maps.hole.shape
    top = int(runs.row[one]) - TILE // 2 + int(jitter[0])
    left = int(runs.start[one] + runs.stop[one]) // 2 - TILE // 2 + int(jitter[1])
    return int(np.clip(top, 0, max(h - TILE, 0))), int(np.clip(left, 0, max(w - TILE, 0)))


def cut_tile(view: TrueView, top: int, left: int) -> tuple[F32, F32, F32, F32]:
    """Inputs, reference, truth and weight of a tile; see ``MiniBatch``."""
    shift = tile_shift(view.maps, top, left)
    tile = tile_inputs(view.maps, top, left, shift)
    return tile, tile_picture(view.reference, top, left + shift), tile_picture(view.truth, top, left), tile[6:7].copy()


class PictureTiles:
    """Tiles of single pictures; what is drawn depends on the generator alone."""

    def __init__(self, bank: list[DeepPicture]) -> None:
        self._bank = bank
        self._exact = [one for one in bank if one.exact]
        self._real = [one for one in bank if not one.exact]

    def view(self, draw: np.random.Generator) -> TrueView:
        """A random part of a random picture, with something pasted before it most of the time, as a right eye."""
        one = self._any(draw)
        picture, nearness = _cut(one, draw)
        picture = _recoloured(picture, draw)
        pasted = int(draw.choice(4, p=(0.3, 0.4, 0.2, 0.1)))
        if not one.exact:
            nearness = np.asarray(cv2.GaussianBlur(nearness, (0, 0), SMOOTH_PX), np.float32)
            pasted = max(pasted, 1)
        range_px = float(np.exp(draw.uniform(*np.log(RANGE_PX))))
        width_px = 100 * range_px / draw.uniform(*STRENGTH_PCT)
        disparity = (nearness - np.float32(draw.uniform(0, 1))) * np.float32(range_px)
        for _ in range(pasted):
            picture, disparity = self._pasted(picture, disparity, range_px, draw)
        tear_px = float(np.clip(0.04 * range_px, DEFAULT_TEAR_PX, MAX_TEAR_PX))
        pair = render_pair(picture, disparity, "right", tear_px=tear_px)
        double = draw.random() < 0.3
        mask = pair.hole if double else pair.lost
        grow = int(draw.integers(0, 3))
        if grow:  # into the background, which lies to the right of what a right eye's holes are behind
            mask = cv2.dilate(mask.astype(np.uint8), np.ones((1, 1 + grow), np.uint8), anchor=(grow, 0)) > 0
        return true_view(picture, pair.back if double else picture, pair.reference, mask, disparity, width_px)

    def tiles(self, count: int, draw: np.random.Generator) -> list[Tile]:
        """So many tiles, at most two of one picture."""
        made: list[Tile] = []
        while len(made) < count:
            view = self.view(draw)
            for _ in range(min(2, count - len(made))):
                where = place_tile(view, draw)
                if where is not None:
                    made.append((*cut_tile(view, *where), view.strength))
        return made

    def _any(self, draw: np.random.Generator) -> DeepPicture:
        real = draw.random() < REAL_SHARE
        some = (self._real if real else self._exact) or self._bank
        return some[int(draw.integers(len(some)))]

    def _pasted(self, picture: U8, disparity: F32, range_px: float, draw: np.random.Generator) -> tuple[U8, F32]:
        shape = picture.shape[0], picture.shape[1]
        step_px = float(draw.uniform(0.15, 0.9)) * range_px
        if self._exact and draw.random() < 0.4:
            cut = cut_out(self._exact[int(draw.integers(len(self._exact)))], shape, draw)
            if cut is not None:
                return paste(picture, disparity, _recoloured(cut[0], draw), cut[1], step_px, draw)
        colours = _cut(self._any(draw), draw)[0]
        return paste(picture, disparity, _recoloured(colours, draw), silhouette(shape, draw), step_px, draw)


def clip_tiles(batch: PairsBatch, count: int, frames: int, draw: np.random.Generator) -> list[Tile]:
    """Tiles of one clip of make-pairs, each of ``frames`` frames in a row, arrays [T, ...]; fewer if it has no holes.

    Args:
        batch: Of one clip, pictures in levels.
        count: Tiles wanted.
        frames: 1 for single frames.
        draw: Places.
    """
    right = bool(batch.target_is_right[0])
    target, condition, reference = (
        _as_right(np.ascontiguousarray(x[0].permute(0, 2, 3, 1).numpy()), right)
        for x in (batch.target, batch.condition, batch.reference)
    )
    mask, disparity = (_as_right(x[0, :, 0].numpy(), right) for x in (batch.mask, batch.disparity))
    views: dict[int, TrueView] = {}

    def view(t: int) -> TrueView:
        if t not in views:
            views[t] = true_view(target[t], condition[t], reference[t], mask[t], disparity[t], mask.shape[2])
        return views[t]

    made: list[Tile] = []
    for _ in range(count + TRIES):
        first = int(draw.integers(len(target) - frames + 1))
        where = place_tile(view(first + frames // 2), draw)
        if where is None or len(made) == count:
            continue
        parts = [cut_tile(view(t), *where) for t in range(first, first + frames)]
        stacked = tuple(np.stack(part) for part in zip(*parts, strict=True))
        made.append((stacked[0], stacked[1], stacked[2], stacked[3], view(first).strength))
    return made


class MiniBatches:
    """Batches without end: of pictures and of clips in turn, as ``clip_share`` says; every batch is of one kind.

    Args:
        pictures: None trains on clips alone.
        pairs: None trains on pictures alone.
        batch: Tiles of a batch; with many frames the frames count, so that a step costs the same.
        frames: Frames of a clip's tiles; 1 in stage 1.
        clip_share: Share of the batches that come from clips.
        seed: Of everything drawn.
        rank: Of this process.
        processes: That make batches of pictures beside this one; 0 makes them in a thread.
    """

    def __init__(
        self, pictures: PictureTiles | None, pairs: PairsData | None, *, batch: int, frames: int, clip_share: float,
        seed: int, rank: int, processes: int = 0,
    ) -> None:  # fmt: skip
        self._pictures, self._pairs = pictures, pairs
        self._batch, self._frames, self._clip_share = batch, frames, clip_share
        self._seed, self._rank, self._processes = seed, rank, processes
        self._state: dict[str, Any] = {"number": 0, "pairs": None}

    def __iter__(self) -> Iterator[MiniBatch]:
        """Go on from the position; the next batch is made while the last one is used."""
        made = self._made()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(next, made)
            while True:
                batch, state = waiting.result()
                waiting = pool.submit(next, made)
                self._state = state
                yield batch

    def _made(self) -> Iterator[tuple[MiniBatch, dict[str, Any]]]:
        """Batches, each with the position after it."""
        clips, first = self._clips(), int(self._state["number"])
        of_pictures = made_ahead(self._of_pictures, count(first), self._processes, pinned=torch.cuda.is_available())
        for number, made in enumerate(of_pictures, first):
            batch = collate(self._of_clips(clips, self._draw(number)[0])) if made is None else made
            pairs = self._pairs.state_dict() if self._pairs is not None else None
            yield batch, {"number": number + 1, "pairs": pairs}

    def _draw(self, number: int) -> tuple[np.random.Generator, bool]:
        """The generator of a batch, and whether the batch is one of pictures."""
        draw = np.random.default_rng([self._seed, self._rank, number])
        return draw, self._pictures is not None and (self._pairs is None or draw.random() >= self._clip_share)

    def _of_pictures(self, number: int) -> MiniBatch | None:
        """The batch with this number; None if it is one of clips."""
        draw, wanted = self._draw(number)
        if not wanted or self._pictures is None:
            return None
        tiles = self._pictures.tiles(self._batch, draw)
        return collate([(a[None], b[None], c[None], d[None], strength) for a, b, c, d, strength in tiles])

    def _of_clips(self, clips: Iterator[PairsBatch], draw: np.random.Generator) -> list[Tile]:
        for _ in range(TRIES):
            tiles = clip_tiles(next(clips), max(1, self._batch // self._frames), self._frames, draw)
            if tiles:
                return tiles
        assert self._pairs is not None
        raise ConfigError(
            f"{self._pairs.url}: {TRIES} clips in a row have no hole {WIDE_PX} px wide; "
            "make pairs with a larger disparity"
        )

    def _clips(self) -> Iterator[PairsBatch]:
        while self._pairs is not None:
            yield from self._pairs

    def state_dict(self) -> dict[str, Any]:
        """The position after the batches that were given out."""
        return self._state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken."""
        self._state = state
        if self._pairs is not None and state["pairs"] is not None:
            self._pairs.load_state_dict(state["pairs"])


def collate(tiles: list[Tile]) -> MiniBatch:
    """Stack tiles of equal length."""
    stacked = [torch.from_numpy(np.stack(part)) for part in list(zip(*tiles, strict=True))[:4]]
    strength = torch.tensor([tile[4] for tile in tiles], dtype=torch.float32)
    return MiniBatch(stacked[0], stacked[1], stacked[2], stacked[3], strength)


def _as_right(frames: NDArray[Any], is_right: bool) -> NDArray[Any]:
    return frames if is_right else np.ascontiguousarray(frames[:, :, ::-1])


def _cut(one: DeepPicture, draw: np.random.Generator) -> tuple[U8, F32]:
    """A random part at a random scale, mirrored at times: [144, 304, 3] and its nearness."""
    h, w = one.picture.shape[:2]
    least = max(CUT[0] / h, CUT[1] / w)
    scale = max(least, float(np.exp(draw.uniform(np.log(0.6), np.log(1.6)))))
    size = max(round(w * scale), CUT[1]), max(round(h * scale), CUT[0])
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    rows, columns = CUT[0] / size[1] * h, CUT[1] / size[0] * w
    top, left = draw.uniform(0, h - rows + 1e-6), draw.uniform(0, w - columns + 1e-6)
    part = slice(int(top), min(int(top) + round(rows), h)), slice(int(left), min(int(left) + round(columns), w))
    picture = cv2.resize(one.picture[part], CUT[::-1], interpolation=kind)
    nearness = cv2.resize(
        one.nearness[part].astype(np.float32), CUT[::-1], interpolation=cv2.INTER_NEAREST if one.exact else 1
    )
    if draw.random() < 0.5:
        picture, nearness = np.ascontiguousarray(picture[:, ::-1]), np.ascontiguousarray(nearness[:, ::-1])
    return np.asarray(picture, np.uint8), np.asarray(nearness, np.float32)


def _recoloured(picture: U8, draw: np.random.Generator) -> U8:
    """Other light and colour."""
    levels = np.linspace(0, 1, 256) ** np.exp(draw.normal(0, 0.2))
    gain = np.exp(draw.normal(0, 0.12)) * np.exp(draw.normal(0, 0.05, 3))
    table = np.clip(levels[:, None] * gain * 255 + 0.5, 0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(picture, table.reshape(256, 1, 3)), np.uint8)
