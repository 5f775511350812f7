"""Training pairs as tensors: from a local folder or a URL, in an order that can be taken up again in mid-epoch.

Every finished shard's record says where its samples lie, so the order of an epoch is one permutation of all samples,
drawn from seed and epoch alone: no shuffle buffer, and a position in it is all that has to be remembered. A sample is
some megabytes in one piece, so reading it from anywhere in a shard costs no more than reading it in turn.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from spatialdreamer_core.dvg.sample import PairSample, Verdict
from spatialdreamer_core.errors import ConfigError, StoreError
from spatialdreamer_core.pairs.commits import Sample
from spatialdreamer_core.pairs.dataset import dataset_shards, read_sample
from spatialdreamer_core.store.place import Place

STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class PairsBatch:
    """B pairs of one size; T frames of H rows and W columns.

    Attributes:
        keys: [B] names of the samples.
        target: [B, T, 3, H, W] float32 in [0, 1], or uint8 where levels are asked for: the real clip.
        condition: The same shape and type, what the reference shows of it, 0 where masked.
        reference: The same shape and type, the other view, filled.
        mask: [B, T, 1, H, W] bool, True where the condition has no pixels.
        disparity: [B, T, 1, H, W] float32 px, ``x_left - x_right`` of the target's pixels.
        deviation_strength: [B] float32, how far the views are apart.
        target_is_right: [B] bool, which eye the target is.
        flow: [B, T-1, 2, H, W] float32 px, dx first, to the next frame; None where shards hold none.
    """

    keys: tuple[str, ...]
    target: Tensor
    condition: Tensor
    reference: Tensor
    mask: Tensor
    disparity: Tensor
    deviation_strength: Tensor
    target_is_right: Tensor
    flow: Tensor | None

    def to(self, device: torch.device | str) -> "PairsBatch":
        """The same on another device."""
        moved: dict[str, Any] = {
            one.name: value.to(device, non_blocking=True)
            for one in fields(self)
            if isinstance(value := getattr(self, one.name), Tensor)
        }
        return replace(self, **moved)


@dataclass(frozen=True, slots=True)
class _Where:
    file: str
    sample: Sample
    size: tuple[int, int, int]


@dataclass
class PairsData(IterableDataset[PairsBatch]):
    """Batches of training pairs; iterating gives one epoch, or what is left of it, and then the next.

    Alone it decodes in threads (decoding gives up Python's lock). Inside a ``torch.utils.data.DataLoader`` with
    ``batch_size=None`` each worker process takes every n-th batch, and the loader puts them back into the same order.

    Attributes:
        url: Output of make-pairs.
        split: ``train`` or ``val``.
        batch: Samples in a batch; all of one size.
        seed: Of the order.
        shuffle: Whether the order is drawn, or that of the shards.
        verdicts: Which samples are used.
        rank: Number of this process among those that train together.
        world: How many there are; every one gets equally many batches.
        threads: Batches decoded at once.
        work_key: Which work, where the place holds several.
        drop_last: Whether samples that fill no batch are left out of the epoch.
        levels: Whether pictures come as they are stored, uint8, for who works in levels and needs no float32.

    Raises:
        ConfigError: If there is no such dataset, or no sample fits.
    """

    url: str
    split: str = "train"
    batch: int = 1
    seed: int = 0
    shuffle: bool = True
    verdicts: tuple[Verdict, ...] = ("train",)
    rank: int = 0
    world: int = 1
    threads: int = 2
    work_key: str | None = None
    drop_last: bool = True
    levels: bool = False
    _epoch: int = field(default=0, init=False)
    _done: int = field(default=0, init=False)  # batches of the epoch that all ranks together have had
    _shards: frozenset[str] | None = field(default=None, init=False)  # of an epoch that was begun earlier

    def __post_init__(self) -> None:
        if self.batch < 1 or self.threads < 1 or not 0 <= self.rank < self.world:
            raise ConfigError(f"batch and threads must be at least 1 and rank lie in [0, {self.world}): {self}")
        self._place = Place(self.url)
        self._commits = [c for c in dataset_shards(self._place, self.work_key) if c.split == self.split]
        if not any(sample.verdict in self.verdicts for commit in self._commits for sample in commit.samples):
            raise ConfigError(
                f"{self.url}: no sample of {self.split!r} with verdict {' or '.join(self.verdicts)}; "
                "make more pairs, or give another split or other verdicts"
            )

    @property
    def epoch(self) -> int:
        """The epoch that iterating gives next, from 0."""
        return self._epoch

    def __len__(self) -> int:
        """Batches that this rank gets in a whole epoch."""
        return len(self._order()) // self.world

    def __iter__(self) -> Iterator[PairsBatch]:
        """Give the rest of the epoch; afterwards the next one is due.

        Raises:
            StoreError: If a sample is gone or damaged.
        """
        order = self._order()
        last = len(order) // self.world * self.world  # equally many for every rank
        worker = get_worker_info()
        mine = range(self._done + self.rank, last, self.world)
        if worker is not None:
            mine = mine[worker.id :: worker.num_workers]
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: deque[Future[PairsBatch]] = deque()
            ahead = iter(mine)
            try:
                for _ in mine:
                    while len(waiting) <= self.threads and (number := next(ahead, None)) is not None:
                        waiting.append(pool.submit(self._read, order[number]))
                    made = waiting.popleft().result()
                    self._done += self.world  # before it is given: who saves now has had it
                    yield made
            finally:
                for future in waiting:
                    future.cancel()
        self._epoch, self._done, self._shards = self._epoch + 1, 0, None

    def state_dict(self, batches: int | None = None) -> dict[str, Any]:
        """What is needed to go on exactly here: plain data.

        Args:
            batches: Batches of this epoch that this rank has had; None counts those that were given. Needed where a
                DataLoader with worker processes iterates, for then they are given over there.
        """
        return {
            "version": STATE_VERSION,
            "split": self.split,
            "batch": self.batch,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "verdicts": list(self.verdicts),
            "epoch": self._epoch,
            "done": self._done if batches is None else batches * self.world,
            "shards": sorted(self._shards or {commit.file for commit in self._commits}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where a state was taken, also with another number of ranks.

        Shards that came since join with the next epoch.

        Raises:
            ConfigError: If the state is of other settings, or a shard is gone.
        """
        wanted = {"version": STATE_VERSION, "split": self.split, "batch": self.batch, "seed": self.seed}
        wanted |= {"shuffle": self.shuffle, "verdicts": list(self.verdicts)}
        other = {name: state.get(name) for name, value in wanted.items() if state.get(name) != value}
        if other:
            raise ConfigError(f"the state was taken with {other}, but this is { ({n: wanted[n] for n in other}) }")
        gone = sorted(set(state["shards"]) - {commit.file for commit in self._commits})
        if gone:
            raise ConfigError(
                f"{self.url}: {len(gone)} shards that the state was taken with are gone, such as {gone[0]}"
            )
        self._epoch, self._done, self._shards = state["epoch"], state["done"], frozenset(state["shards"])

    def _order(self) -> list[list[_Where]]:
        """The batches of the epoch, for all ranks, in order."""
        by_size: dict[tuple[int, int, int], list[_Where]] = {}
        for commit in self._commits:
            if self._shards is not None and commit.file not in self._shards:
                continue
            size = commit.frames, commit.height, commit.width
            places = [_Where(commit.file, s, size) for s in commit.samples if s.verdict in self.verdicts]
            by_size.setdefault(size, []).extend(places)
        draw = np.random.default_rng([self.seed, self._epoch])
        batches: list[list[_Where]] = []
        for size in sorted(by_size):
            places = _drawn(by_size[size], draw, self.shuffle)
            cut = [places[at : at + self.batch] for at in range(0, len(places), self.batch)]
            batches += cut[:-1] if self.drop_last and len(cut[-1]) < self.batch else cut
        return _drawn(batches, draw, self.shuffle)

    def _read(self, places: Sequence[_Where]) -> PairsBatch:
        return collate([self._read_one(where) for where in places], levels=self.levels)

    def _read_one(self, where: _Where) -> PairSample:
        pair = read_sample(self._place, where.file, where.sample, quick=True)
        if pair.target.shape[:3] != where.size:
            raise StoreError(
                f"{self.url}/{where.file}: sample {pair.key} has frames, rows, columns {list(pair.target.shape[:3])}, "
                f"its shard's record says {list(where.size)}; remove the shard's commit and run make-pairs again"
            )
        return pair


def collate(pairs: Sequence[PairSample], *, levels: bool = False) -> PairsBatch:
    """Stack pairs of one size into tensors.

    Args:
        pairs: At least one.
        levels: See ``PairsData``.

    Raises:
        ValueError: If their sizes differ.
    """
    meta = [pair.meta.get("meta", pair.meta) for pair in pairs]
    flows = [pair.flow for pair in pairs if pair.flow is not None]
    pictures = _levels if levels else _pictures
    return PairsBatch(
        keys=tuple(pair.key for pair in pairs),
        target=pictures([pair.target for pair in pairs]),
        condition=pictures([pair.condition for pair in pairs]),
        reference=pictures([pair.reference for pair in pairs]),
        mask=_stacked([torch.from_numpy(pair.mask) for pair in pairs]).unsqueeze(2),
        disparity=_stacked([torch.from_numpy(pair.disparity) for pair in pairs]).unsqueeze(2),
        deviation_strength=torch.tensor([float(one["deviation_strength"]) for one in meta]),
        target_is_right=torch.tensor([one.get("target_eye") == "right" for one in meta]),
        flow=_flow(flows) if len(flows) == len(pairs) else None,
    )


def _pictures(clips: Sequence[NDArray[np.uint8]]) -> Tensor:
    frames, height, width, channels = clips[0].shape
    stacked = torch.empty((len(clips), frames, channels, height, width))
    for one, clip in zip(stacked, clips, strict=True):
        for here, frame in zip(one, _planes(clip), strict=True):  # a frame stays in the core's own cache
            here.copy_(frame).div_(255)
    return stacked


def _levels(clips: Sequence[NDArray[np.uint8]]) -> Tensor:
    return _stacked([_planes(clip) for clip in clips])


def _planes(clip: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(clip).permute(0, 3, 1, 2)


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    """One of them is taken as it is: a copy would only cost."""
    return parts[0].unsqueeze(0) if len(parts) == 1 else torch.stack(list(parts))


def _flow(flows: Sequence[NDArray[np.float16]]) -> Tensor:
    return torch.from_numpy(np.stack(flows)).permute(0, 1, 4, 2, 3).to(torch.float32)


def _drawn(items: list[Any], draw: np.random.Generator, shuffle: bool) -> list[Any]:
    return [items[index] for index in draw.permutation(len(items))] if shuffle else items
