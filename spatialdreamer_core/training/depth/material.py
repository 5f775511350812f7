"""Everything that one step of the depth training sees, made of chance, progress and the pictures alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.store.folders import files_below
from spatialdreamer_core.training.depth.data import Batch, Points, Shards, cut, recolour, shape_at

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
SUFFIXES = (".png", ".jpg", ".jpeg")
HIDDEN = (0.1, 0.45)
"""Sides of the patches that are painted over, as shares of the picture's."""


class Twice(NamedTuple):
    """Pictures without depth, seen twice, [B, 3, H, W] in [0, 1]: as they are, and in other light, blurred, in part."""

    plain: Tensor
    changed: Tensor


class Seen(NamedTuple):
    """What one step sees; None for what there is none of.

    Attributes:
        drawn: Pictures with exact depth.
        labelled: Pictures, places and values of hand-set points; see ``Points.batch``.
        measured: Pictures with depth that is known in places.
        twice: Pictures without depth.
    """

    drawn: Batch
    labelled: tuple[Tensor, Tensor, Tensor] | None
    measured: Batch | None
    twice: Twice | None


class Frames:
    """Real pictures of a folder without any depth."""

    def __init__(self, folder: Path) -> None:
        found = (cv2.imread(str(p)) for p in files_below(folder) if p.suffix.lower() in SUFFIXES)
        self._pictures = [np.ascontiguousarray(one[..., ::-1], np.uint8) for one in found if one is not None]
        if not self._pictures:
            raise ConfigError(f"pictures {folder}: no PNG or JPEG there that can be read")

    def batch(self, size: int, rng: np.random.Generator, progress: float) -> Twice:
        """Random parts of random pictures, and the same parts changed beyond what a camera does."""
        shape = shape_at(progress, rng)
        plain, changed = [], []
        for i in rng.integers(len(self._pictures), size=size):
            picture = self._pictures[i]
            nothing = np.zeros(picture.shape[:2], np.float32)
            part = cut(picture, nothing, shape, rng)[0]
            plain.append(part.astype(np.float32) / 255)
            changed.append(hidden(recolour(softened(part, rng).astype(np.float32), rng), rng))
        both = (torch.from_numpy(np.stack(some)).permute(0, 3, 1, 2) for some in (plain, changed))
        return Twice(*both)


def softened(picture: U8, rng: np.random.Generator) -> U8:
    """[H, W, 3] blurred, or coded as a bad JPEG, each at times."""
    if rng.random() < 0.4:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 2.0))), np.uint8)
    if rng.random() < 0.3:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(15, 80))])[1]
        picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return picture


def hidden(picture: F32, rng: np.random.Generator) -> F32:
    """[H, W, 3] with up to two patches of one colour: what lies there has to follow from the rest."""
    h, w = picture.shape[:2]
    for _ in range(int(rng.integers(0, 3))):
        ph, pw = (max(1, int(side * rng.uniform(*HIDDEN))) for side in (h, w))
        top, left = int(rng.integers(h - ph + 1)), int(rng.integers(w - pw + 1))
        picture[top : top + ph, left : left + pw] = rng.uniform(0, 1, 3)
    return picture


@dataclass(frozen=True, slots=True)
class Sizes:
    """Pictures of each kind in a step."""

    drawn: int
    labelled: int
    measured: int
    twice: int


class Material:
    """The pictures of a training.

    Attributes:
        drawn: Shards with exact depth.
    """

    def __init__(
        self, drawn: Path, labelled: Path | None, measured: Path | None, frames: Path | None, sizes: Sizes, seed: int,
        worker: int = 0,
    ) -> None:  # fmt: skip
        self.drawn = Shards(drawn)
        self._labelled = None if labelled is None else Points(labelled)
        self._measured = None if measured is None else Shards(measured)
        self._frames = None if frames is None else Frames(frames)
        self._sizes, self._seed, self._worker = sizes, seed, worker

    def refresh(self) -> None:
        """Take in shards that appeared since."""
        self.drawn.refresh()
        if self._measured is not None:
            self._measured.refresh()

    def seen(self, order: tuple[int, float]) -> Seen:
        """What the step with this number sees at this progress in [0, 1]."""
        step, progress = order
        rng = np.random.default_rng([self._seed, self._worker, step])
        sizes = self._sizes
        drawn = self.drawn.batch(sizes.drawn, rng, progress)
        labelled = None if self._labelled is None else self._labelled.batch(sizes.labelled, rng, progress)
        measured = None if self._measured is None else self._measured.batch(sizes.measured, rng, progress)
        twice = None if self._frames is None else self._frames.batch(sizes.twice, rng, progress)
        return Seen(drawn, labelled, measured, twice)


def orders(first: int, progress_at: Callable[[int], float]) -> Iterator[tuple[int, float]]:
    """Steps without end, each with the progress at the time it is asked for."""
    return ((step, progress_at(step)) for step in count(first))
