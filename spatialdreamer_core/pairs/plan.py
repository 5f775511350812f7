"""The plan: which clips there are, which shard holds each; files that never change once they are written.

A plan is a row of generations. The first lists the clips of the first run; each later one only what has been added:
clips of new sources, and clips to be tried again after their shard was committed without them. So a clip that is in a
shard stays there for good.

Within a generation shards are filled by cost, with runs of neighbouring clips in the order of a hash: sources are
spread over shards and no shard is as long as a source, and yet a worker finds clips side by side, so that a film with
few key frames is not decoded again from the last one for each of its clips.
"""

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from spatialdreamer_core.corpus.duplicates import near_duplicates
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs.manifest import IDENTITY, PLACE, SCORES
from spatialdreamer_core.pairs.naming import plan_folder
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.store.rows import REAL, TEXT, table_bytes

CLIPPER = 1
"""Version of how clips are cut; raise it when the same source would give other clips."""
RUN_FRAMES = 256
"""Clips that begin within so many frames of a source stay together: about what lies between two key frames."""
BYTES_PER_PIXEL = 3.5
"""What a pixel of a clip usually takes in a shard, for filling shards: three lossless videos, mask and disparity."""

HASHES = ("hash_first", "hash_middle", "hash_last")
"""Columns with what a clip looks like; see ``corpus.duplicates``."""
BETWEEN = "hashes_between"
"""What lies between a clip and the next one looks like: little-endian uint64, three a span; null without a gap."""

CLIPS_FOUND: pa.Schema = pa.schema(
    {
        **IDENTITY,
        **SCORES,
        **dict.fromkeys(HASHES, pa.uint64()),
        BETWEEN: pa.binary(),
        "status": TEXT,
        "reason": TEXT,
        "message": TEXT,
    }
)
"""What looking at sources gives: one row per clip; ``status`` is planned or filtered."""
PLAN: pa.Schema = pa.schema(
    [*CLIPS_FOUND, *(pa.field(name, kind) for name, kind in PLACE.items()), pa.field("expected_bytes", REAL)]
)
"""A clip with its place, and what it is expected to take there."""


def clip_id(source_id: str, start_pts: int, end_pts: int, frame_step: int) -> str:
    """Name a clip by what it shows: 24 hex digits that depend on content and times, not on paths or settings."""
    text = f"clip:{CLIPPER}:{source_id}:{start_pts}:{end_pts}:{frame_step}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def make_generation(found: pa.Table, number: int, shard_bytes: float) -> pa.Table:
    """Give every clip of a generation its shard.

    Clips of one split and one size share shards; as many as are needed to stay near ``shard_bytes``, all equally full.

    Args:
        found: Rows of ``CLIPS_FOUND``, no clip twice.
        number: Of the generation, from 1.
        shard_bytes: How large a shard should become.

    Returns:
        The rows of ``PLAN``, sorted by shard; filtered clips come last and have no shard.
    """
    columns = ("split", "width", "height", "run", "source_id", "start_frame", "clip_id")
    order = [("status", "descending"), *((name, "ascending") for name in columns)]
    keyed = found.append_column("run", _runs(found))
    table = found.take(pc.sort_indices(keyed, sort_keys=order))
    planned = table.slice(0, pc.sum(pc.equal(table["status"], "planned")).as_py() or 0)  # they come first
    names = _shard_names(planned, number, shard_bytes)
    shards = pa.chunked_array([names, pa.nulls(table.num_rows - planned.num_rows, TEXT)])
    generation = pa.array(np.full(table.num_rows, number, np.int64))
    expected = pa.array(_expected_bytes(table))
    for name, column in (("generation", generation), ("shard", shards), ("expected_bytes", expected)):
        table = table.append_column(name, column)
    return table.cast(PLAN)


def _runs(clips: pa.Table) -> pa.Array:
    """A hash for the run of neighbouring frames that each clip belongs to, the same for all its clips."""
    sources = clips["source_id"].combine_chunks().dictionary_encode()
    within = clips["start_frame"].to_numpy() // RUN_FRAMES
    span = int(within.max(initial=0)) + 1
    keys, inverse = np.unique(sources.indices.to_numpy().astype(np.int64) * span + within, return_inverse=True)
    names = sources.dictionary.to_pylist()
    hashes = [hashlib.sha256(f"run:{names[key // span]}:{key % span}".encode()).digest()[:8] for key in keys.tolist()]
    return pa.array(np.frombuffer(b"".join(hashes), ">u8").astype(np.uint64)[inverse])


def _expected_bytes(clips: pa.Table) -> NDArray[np.float64]:
    frames, width, height = (clips[name].to_numpy() for name in ("frames", "width", "height"))
    return np.asarray(frames * width * height * BYTES_PER_PIXEL, np.float64)


def _shard_names(planned: pa.Table, number: int, shard_bytes: float) -> pa.Array:
    if planned.num_rows == 0:
        return pa.array([], TEXT)
    columns, expected = {name: planned[name].to_numpy() for name in ("width", "height")}, _expected_bytes(planned)
    split = planned["split"].combine_chunks().dictionary_encode()
    side = split.indices.to_numpy().astype(np.int64)
    group = (side << 40) | (columns["width"] << 20) | columns["height"]
    begins = np.flatnonzero(np.r_[True, group[1:] != group[:-1]])
    ends = np.r_[begins[1:], len(group)]
    parts = []
    for begin, end in zip(begins, ends, strict=True):
        name = f"{split.dictionary[side[begin]]}-{columns['width'][begin]}x{columns['height'][begin]}-g{number:04d}"
        parts.append(np.char.add(f"{name}-", _numbers(expected[begin:end], shard_bytes)))
    return pa.array(np.concatenate(parts).astype(object), TEXT)


def _numbers(expected: NDArray[np.float64], shard_bytes: float) -> NDArray[np.str_]:
    """Which of the equally full shards of one group each clip goes to, as six digits."""
    before = np.cumsum(expected) - expected
    total = float(expected.sum())
    shards = max(1, round(total / shard_bytes))
    index = np.minimum((before + expected / 2) * shards // total, shards - 1).astype(np.int64)
    return np.char.zfill(index.astype(str), 6)


def read_plan(place: Place, work_key: str) -> pa.Table:
    """Every generation of a plan, in order.

    Raises:
        StoreError: If a file of it is torn.
    """
    keys = place.keys(plan_folder(work_key))
    tables = [plan_from_bytes(data, key) for key, data in sorted(place.read_many(keys).items())]
    return pa.concat_tables([PLAN.empty_table(), *tables])


def write_generation(place: Place, work_key: str, generation: pa.Table, number: int) -> bool:
    """Write a generation if nobody else has; False if somebody was first, whose plan is then to be read."""
    return place.create(generation_key(work_key, number), table_bytes(generation))


def generation_key(work_key: str, number: int) -> str:
    """Where a generation lies, below the output place."""
    return f"{plan_folder(work_key)}/{number:06d}.parquet"


def plan_from_bytes(data: bytes, where: str) -> pa.Table:
    """Read one generation.

    Raises:
        StoreError: If it is torn or no plan.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
        if BETWEEN not in table.column_names:  # written before it was there
            table = table.append_column(BETWEEN, pa.nulls(table.num_rows, pa.binary()))
        return table.select(PLAN.names).cast(PLAN)
    except (pa.ArrowException, OSError, ValueError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(
            f"plan {where} cannot be read ({first}); restore it, or begin anew with --no-resume"
        ) from error


def latest(plan: pa.Table) -> pa.Table:
    """One row per clip: where several generations list a clip, the last one says where it belongs."""
    return _one_each(plan, "max")


def _one_each(table: pa.Table, which: Literal["min", "max"]) -> pa.Table:
    """The first or the last row of every clip, in order."""
    numbered = table.append_column("row", pa.array(np.arange(table.num_rows)))
    rows = numbered.group_by("clip_id").aggregate([("row", which)])[f"row_{which}"].to_numpy()
    if len(rows) == table.num_rows:
        return table
    return table.take(pa.array(np.sort(rows), pa.int64()))


@dataclass(frozen=True, slots=True)
class Closed:
    """What is finished.

    Attributes:
        shards: Names of finished shards.
        clips: Clips that are through: in a shard, filtered out, or set aside. Any other clip of a finished shard is
            to be tried again.
    """

    shards: Sequence[str]
    clips: pa.ChunkedArray

    @staticmethod
    def none() -> "Closed":
        """Nothing is finished."""
        return Closed([], pa.chunked_array([], TEXT))


def extend_plan(
    place: Place,
    work_key: str,
    found: pa.Table,
    closed: Callable[[], "Closed"],
    shard_bytes: float,
    max_duplicate_bits: int = -1,
) -> pa.Table:
    """Add a generation if there is something to add: clips that are new, and clips that are to be tried again.

    Args:
        place: Output place.
        work_key: Name of the work.
        found: What looking at the sources gave.
        closed: Says what is finished; asked again when another run was first.
        shard_bytes: How large a shard should become.
        max_duplicate_bits: New shots that look like earlier ones up to so many bits are filtered out; -1 keeps all.

    Returns:
        All generations, the new one last.
    """
    while True:
        plan = read_plan(place, work_key)
        fresh = [_missing_from(found, plan), _left_behind(latest(plan), closed())]
        fresh[0] = without_duplicates(fresh[0], plan, max_duplicate_bits)
        new = pa.concat_tables(fresh)
        if not new.num_rows:
            return plan
        number = (pc.max(plan["generation"]).as_py() or 0) + 1
        generation = make_generation(new, number, shard_bytes)
        if write_generation(place, work_key, generation, number):
            return pa.concat_tables([plan, generation])


def _missing_from(found: pa.Table, plan: pa.Table) -> pa.Table:
    """The clips that no generation lists yet, each once."""
    listed = pc.is_in(found["clip_id"], value_set=plan["clip_id"].combine_chunks())
    new = found.filter(pc.invert(listed)) if pc.any(listed).as_py() else found  # a first plan is as large as a corpus
    return _one_each(new, "min")


def without_duplicates(new: pa.Table, plan: pa.Table, max_bits: int) -> pa.Table:
    """Mark new clips that nearly repeat another shot as filtered.

    Args:
        new: Rows of ``CLIPS_FOUND``.
        plan: Rows of earlier generations, whose clips stay.
        max_bits: See ``near_duplicates``.
    """
    if max_bits < 0 or new.num_rows == 0:
        return new
    # of two that are alike, the one planned before stays, then the one of more pixels; a shot's clips lie together
    order = ("upscale", "source_id", "shot", "start_frame")
    gaps = [BETWEEN] if new[BETWEEN].null_count == 0 else []
    parts = [
        part.filter(pc.equal(part["status"], "planned"))
        .select(["clip_id", *order, *HASHES, *gaps])
        .sort_by([(name, "ascending") for name in order])
        for part in (plan, new)
    ]
    both = pa.concat_tables(parts)
    if both.num_rows == 0:
        return new
    hashes, shots, before = _looks(both), _shot_numbers(both), parts[0].num_rows
    both = both.select(["clip_id", "source_id", "shot"])
    del parts
    pa.default_memory_pool().release_unused()  # sorting took as much again as the table
    kept = near_duplicates(hashes, shots, max_bits)[before:]
    repeats = both.select(["clip_id"]).slice(before).filter(pa.array(kept >= 0))
    if repeats.num_rows == 0:
        return new
    like = both.take(pa.array(kept[kept >= 0]))
    at = pc.index_in(new["clip_id"], value_set=repeats["clip_id"].combine_chunks())
    repeated = pc.and_(pc.is_valid(at), pc.equal(new["status"], "planned"))
    said = pc.binary_join_element_wise(
        "looks like shot ", pc.cast(like["shot"].take(at), TEXT), " of source ", like["source_id"].take(at), ""
    )
    for name, value in (("status", "filtered"), ("reason", "duplicate"), ("message", said)):
        column = pc.if_else(repeated, value, new[name])
        new = new.set_column(new.column_names.index(name), new.schema.field(name), column)
    return new


def _looks(clips: pa.Table) -> NDArray[np.uint64]:
    """[N, 3 k] hashes of clips and of the gaps behind them; one work has one stride, so all have as many."""
    hashes = np.stack([clips[name].to_numpy() for name in HASHES], axis=1)
    if BETWEEN not in clips.column_names or clips[BETWEEN].null_count:
        return hashes  # no gaps, or clips of a plan from before gaps were looked at
    between = np.frombuffer(b"".join(clips[BETWEEN].to_pylist()), "<u8").reshape(len(hashes), -1)
    return np.concatenate([hashes, between.astype(np.uint64)], axis=1)


def _shot_numbers(clips: pa.Table) -> NDArray[np.int64]:
    """Number the shots of clips; a shot that an earlier generation knows keeps its number."""
    sources = clips["source_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    return np.asarray(sources * (int(pc.max(clips["shot"]).as_py()) + 1) + clips["shot"].to_numpy(), np.int64)


def _left_behind(plan: pa.Table, closed: "Closed") -> pa.Table:
    """Planned clips of finished shards that are not through."""
    finished = pc.is_in(plan["shard"], value_set=pa.array(closed.shards, TEXT))
    through = pc.is_in(plan["clip_id"], value_set=closed.clips.combine_chunks())
    return plan.select(CLIPS_FOUND.names).filter(pc.and_not(finished, through)).cast(CLIPS_FOUND)


_IN_TIME = ("source_id", "start_frame", "clip_id")


class ShardRows:
    """A plan's rows by shard, without a copy of the plan; opening a shard costs what it holds.

    Args:
        plan: Rows of ``PLAN``, one per clip, the rows of a shard together as ``make_generation`` gives them.

    Raises:
        ValueError: If a shard's rows lie apart.
    """

    def __init__(self, plan: pa.Table) -> None:
        self._rows = plan
        runs = pc.run_end_encode(plan["shard"].combine_chunks())
        ends = runs.run_ends.to_pylist()
        bounds = zip(runs.values.to_pylist(), zip([0, *ends], ends, strict=False), strict=True)
        held = sorted((shard, where) for shard, where in bounds if shard is not None)
        self._bounds = dict(held)
        if len(self._bounds) < len(held):
            raise ValueError("the rows of a shard must lie together in a plan")

    @property
    def names(self) -> list[str]:
        """Every shard, in order."""
        return list(self._bounds)

    def of(self, shard: str) -> list[dict[str, Any]]:
        """The rows of one shard, source by source, in the order of time."""
        begin, end = self._bounds[shard]
        held = self._rows.slice(begin, end - begin)
        rows: list[dict[str, Any]] = held.sort_by([(name, "ascending") for name in _IN_TIME]).to_pylist()
        return rows
