"""Pack the pieces of a shard: the tar, its rows, its commit record, in that order; then the pieces go."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spatialdreamer_core import __version__
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.commits import ClipRecord, Sample, ShardCommit, read_clip_records, read_commit
from spatialdreamer_core.pairs.manifest import PAIRS
from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.store.tar import Packed, pack


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard to be packed.

    Attributes:
        work_key: Name of the work.
        name: Of the shard.
        split: ``train`` or ``val``.
        width: Columns of its clips.
        height: Rows.
        frames: Of each clip.
        clips: Names of those that were made or filtered out while they were made.
    """

    work_key: str
    name: str
    split: str
    width: int
    height: int
    frames: int
    clips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PackResult:
    """What became of a shard.

    Attributes:
        commit: Its record; None if clips have to be made again first.
        again: Those clips: their pieces are gone or not what was recorded.
    """

    commit: ShardCommit | None
    again: tuple[str, ...] = ()


def pack_shard(shard: Shard, place: Place, *, run_id: str) -> PackResult:
    """Pack a shard whose clips are all through; of two racing workers one wins, and both get its record.

    Raises:
        StoreError: If something cannot be read or written.
    """
    if (known := read_commit(place, shard.work_key, shard.name)) is not None:
        forget_clips(place, shard.work_key, shard.name)
        return PackResult(known)
    records = read_clip_records(place, shard.work_key, shard.name)
    missing = tuple(clip for clip in shard.clips if clip not in records)
    if missing:
        known = read_commit(place, shard.work_key, shard.name)  # another worker may just have packed it
        return PackResult(known, () if known else missing)
    chosen = [records[clip] for clip in sorted(shard.clips)]
    with_piece = [record for record in chosen if record.piece]
    with place.scratch(".tar") as scratch:
        packed = pack(_local_pieces(with_piece, place), scratch)
        wrong = [r for r, digest in zip(with_piece, packed.digests, strict=True) if r.sha256 != digest]
        if wrong:
            for record in wrong:
                place.remove(naming.clip_key(shard.work_key, shard.name, record.clip_id))
                place.remove(record.piece)
            return PackResult(None, tuple(record.clip_id for record in wrong))
        file = naming.shard_file(shard.work_key, shard.name, packed.sha256) if with_piece else ""
        if file:
            patiently(lambda: place.publish_file(scratch, file))
    commit = _commit(shard, chosen, packed, file, place, run_id)
    key, data = naming.commit_key(shard.work_key, shard.name), commit.to_json().encode()
    if not patiently(lambda: place.create(key, data)):
        other = read_commit(place, shard.work_key, shard.name)
        assert other is not None, "a commit that is there stays there"
        if other.file != file:
            place.remove(file)
        commit = other
    forget_clips(place, shard.work_key, shard.name)
    return PackResult(commit)


def forget_clips(place: Place, work_key: str, shard: str) -> None:
    """Remove what only packing needed: records first, so that none names a piece that is gone."""
    place.remove_folder(naming.clips_folder(work_key, shard))
    place.remove_folder(naming.pieces_folder(work_key, shard))


def _local_pieces(records: Sequence[ClipRecord], place: Place) -> Iterator[Path]:
    for record in records:
        with place.local_copy(record.piece) as path:
            yield path


def _commit(
    shard: Shard, records: Sequence[ClipRecord], packed: Packed, file: str, place: Place, run_id: str
) -> ShardCommit:
    samples, rows = [], []
    places = iter(zip(packed.offsets, packed.digests, strict=True))
    for record in records:
        row: dict[str, Any] = record.row
        if record.piece:
            offset, digest = next(places)
            samples.append(Sample(record.clip_id, offset, record.bytes, digest, row["verdict"]))
            row = row | {"file": file, "offset": offset, "bytes": record.bytes, "sha256": digest}
        rows.append(row)
    data = PAIRS.fragment(rows)
    fragment = naming.fragment_key(shard.work_key, shard.name, hashlib.sha256(data).hexdigest())
    patiently(lambda: place.publish(fragment, data))
    return ShardCommit(
        shard=shard.name,
        file=file,
        sha256=packed.sha256 if file else "",
        bytes=packed.bytes if file else 0,
        split=shard.split,
        width=shard.width,
        height=shard.height,
        frames=shard.frames,
        samples=tuple(samples),
        filtered=tuple(record.clip_id for record in records if not record.piece),
        fragment=fragment,
        run_id=run_id,
        code_version=__version__,
    )
