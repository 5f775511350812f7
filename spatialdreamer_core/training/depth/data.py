"""Training pictures from shards, cut, mirrored, recoloured; hand-labelled points of real pictures.

Shards hold drawn pictures (depth known everywhere) or real ones (NaN where nobody knows).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spatialdreamer_core.depth.builtin import network_size
from spatialdreamer_core.errors import ConfigError

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
SIZES_EARLY = ((128, 224), (128, 224), (160, 192), (160, 160))
SIZES_LATE = ((160, 288), (160, 288), (192, 224), (192, 192))
LATE = 0.7
"""Small pictures first: on CPU the number of pictures seen counts more than their size, until the last part."""
MAX_POINTS = 64
MOST_UNKNOWN = 0.6
"""A cut of which more than this share is unknown is made once more."""


class Batch(NamedTuple):
    """Pictures [B, 3, H, W] in [0, 1] and inverse depth [B, 1, H / 2, W / 2] in 1 / metres, NaN where unknown."""

    pictures: Tensor
    inverse_depth: Tensor


def shape_at(progress: float, rng: np.random.Generator) -> tuple[int, int]:
    """Rows and columns of a batch at this share of the training."""
    sizes = SIZES_EARLY if progress < LATE else SIZES_LATE
    return sizes[int(rng.integers(len(sizes)))]


def recolour(picture: F32, rng: np.random.Generator) -> F32:
    """Change light, colour and noise of [H, W, 3] in [0, 255]; gives [0, 1]."""
    x = picture / np.float32(255)
    x = x ** np.float32(np.exp(rng.normal(0, 0.25)))
    light = rng.uniform(0.08, 0.4) if rng.random() < 0.06 else np.exp(rng.normal(0, 0.22))
    x = x * (light * np.exp(rng.normal(0, 0.07, 3))).astype(np.float32)
    grey = x.mean(axis=2, keepdims=True)
    x = grey + (x - grey) * np.float32(0 if rng.random() < 0.1 else np.clip(rng.normal(0.9, 0.35), 0, 1.8))
    x = (x - 0.45) * np.float32(np.exp(rng.normal(0, 0.15))) + np.float32(0.45 + rng.normal(0, 0.04))
    if rng.random() < 0.5:
        x = x + rng.normal(0, abs(rng.normal(0, 0.03)), x.shape).astype(np.float32)
    return np.asarray(np.clip(x, 0, 1), np.float32)


def cut(picture: U8, depth: F32, size: tuple[int, int], rng: np.random.Generator) -> tuple[U8, F32]:
    """A random part in the wanted size, mirrored at times; the aspect may change by a tenth."""
    h, w = picture.shape[:2]
    aspect = size[1] / size[0] * np.exp(rng.uniform(-0.1, 0.1))
    share = rng.uniform(0.6, 1.0)
    ch = min(h, w / aspect) * share
    cw = ch * aspect
    ch_i, cw_i = max(8, int(ch)), max(8, min(w, int(cw)))
    top, left = int(rng.integers(h - ch_i + 1)), int(rng.integers(w - cw_i + 1))
    a = cv2.resize(picture[top : top + ch_i, left : left + cw_i], (size[1], size[0]), interpolation=cv2.INTER_AREA)
    b = cv2.resize(
        depth[top : top + ch_i, left : left + cw_i], (size[1] // 2, size[0] // 2), interpolation=cv2.INTER_NEAREST
    )
    if rng.random() < 0.5:
        a, b = a[:, ::-1], b[:, ::-1]
    return np.ascontiguousarray(a), np.ascontiguousarray(b)


class Shards:
    """All pictures of a folder of shards, in memory; ``refresh`` takes in shards that appeared since."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: set[Path] = set()
        self.pictures: list[U8] = []
        self.depths: list[NDArray[np.float16]] = []
        self.refresh()
        if not self.pictures:
            raise ConfigError(f"training pictures {folder}: no shard there; run `train-depth draw` first")

    def __len__(self) -> int:
        return len(self.pictures)

    def refresh(self) -> None:
        """Look for new shards."""
        for path in sorted(self._folder.glob("[!.]*.npz")):
            if path in self._seen:
                continue
            with np.load(path) as data:
                self.pictures += list(data["pictures"])
                self.depths += list(data["inverse_depth"])
            self._seen.add(path)

    def batch(self, size: int, rng: np.random.Generator, progress: float) -> Batch:
        """A random batch; what it holds depends on ``rng``, ``progress`` and the shards taken in so far."""
        shape = shape_at(progress, rng)
        pictures, depths = [], []
        for i in rng.integers(len(self), size=size):
            a, b = cut(self.pictures[i], self.depths[i].astype(np.float32), shape, rng)
            if np.isnan(b).mean() > MOST_UNKNOWN:
                a, b = cut(self.pictures[i], self.depths[i].astype(np.float32), shape, rng)
            pictures.append(recolour(a.astype(np.float32), rng))
            depths.append(b)
        return Batch(
            torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2), torch.from_numpy(np.stack(depths))[:, None]
        )


class Points:
    """Real pictures with inverse depth at some hand-set points.

    The folder holds PNG pictures and ``points.json``: {"name.png": [[x, y, inverse depth], ...]} with x and y as shares
    of the width and height, inverse depth in [0, 1].
    """

    def __init__(self, folder: Path) -> None:
        table = json.loads((folder / "points.json").read_text())
        self._items: list[tuple[U8, F32]] = []
        for name, rows in sorted(table.items()):
            picture = cv2.imread(str(folder / name), cv2.IMREAD_COLOR)
            if picture is None:
                raise ConfigError(f"labelled picture {folder / name}: cannot be read; remove it from points.json")
            self._items.append((np.asarray(picture[..., ::-1], np.uint8), np.asarray(rows, np.float32)))

    def batch(self, size: int, rng: np.random.Generator, progress: float) -> tuple[Tensor, Tensor, Tensor]:
        """Pictures [B, 3, H, W], places [B, N, 2] in [-1, 1], values [B, N] (NaN: no point)."""
        shape = shape_at(progress, rng)
        pictures, places, values = [], [], []
        for i in rng.integers(len(self._items), size=size):
            picture, rows = self._items[int(i)]
            h, w = picture.shape[:2]
            share = rng.uniform(0.75, 1.0, 2)
            ch, cw = int(h * share[0]), int(w * share[1])
            top, left = int(rng.integers(h - ch + 1)), int(rng.integers(w - cw + 1))
            part = cv2.resize(picture[top : top + ch, left : left + cw], shape[::-1], interpolation=cv2.INTER_AREA)
            x = (rows[:, 0] * w - left) / cw * 2 - 1
            y = (rows[:, 1] * h - top) / ch * 2 - 1
            if rng.random() < 0.5:
                part, x = part[:, ::-1], -x
            inside = (np.abs(x) < 0.99) & (np.abs(y) < 0.99)
            place = np.full((MAX_POINTS, 2), 2, np.float32)
            value = np.full(MAX_POINTS, np.nan, np.float32)
            n = min(int(inside.sum()), MAX_POINTS)
            place[:n] = np.stack([x, y], axis=1)[inside][:n]
            value[:n] = rows[inside, 2][:n]
            pictures.append(recolour(np.ascontiguousarray(part).astype(np.float32), rng))
            places.append(place)
            values.append(value)
        return (
            torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2),
            torch.from_numpy(np.stack(places)),
            torch.from_numpy(np.stack(values)),
        )


def whole(shards: Shards) -> Iterator[tuple[Tensor, F32]]:
    """Every picture uncut: [1, 3, h, w] as the network sees it, and its inverse depth at its own size."""
    for picture, depth in zip(shards.pictures, shards.depths, strict=True):
        rows, columns = network_size(*picture.shape[:2])
        small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        yield torch.from_numpy(small).permute(2, 0, 1)[None], depth.astype(np.float32)
