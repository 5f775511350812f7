"""Records that say what is finished: of a clip in an open shard, and of a shard. They come after what they name."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.store.place import Place, canonical_json

RECORDS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class ClipRecord:
    """A clip of an open shard that is through.

    Attributes:
        clip_id: Its name.
        piece: Key of its piece of the shard; empty where the clip was filtered out while it was made.
        sha256: Of the piece.
        bytes: Its size.
        row: Its manifest row.
    """

    clip_id: str
    piece: str
    sha256: str
    bytes: int
    row: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """Where one sample lies in its shard.

    Attributes:
        clip_id: Its key.
        offset: Of its first byte.
        bytes: How many; a piece of tar on its own.
        sha256: Of those bytes.
        verdict: ``train``, ``review`` or ``reject``.
    """

    clip_id: str
    offset: int
    bytes: int
    sha256: str
    verdict: str


@dataclass(frozen=True, slots=True)
class ShardCommit:
    """What makes a shard part of the dataset: readers list these, never the tars.

    Attributes:
        shard: Its name.
        file: Key of the tar; empty if every clip of the shard failed or was filtered out.
        sha256: Of the tar.
        bytes: Its size.
        split: ``train`` or ``val``.
        width: Columns of its clips.
        height: Rows.
        frames: Of each clip.
        samples: In the order of the tar.
        filtered: Clips that were filtered out while they were made; like the samples they are through.
        fragment: Key of its manifest rows.
        run_id: The run that packed it.
        code_version: Of this program.
    """

    shard: str
    file: str
    sha256: str
    bytes: int
    split: str
    width: int
    height: int
    frames: int
    samples: tuple[Sample, ...]
    filtered: tuple[str, ...]
    fragment: str
    run_id: str
    code_version: str

    def to_json(self) -> str:
        """As JSON; samples are lists, because there may be many."""
        plain = asdict(self) | {"samples": [list(asdict(sample).values()) for sample in self.samples]}
        return canonical_json(plain).decode()


def shard_commit(data: bytes, where: str) -> ShardCommit:
    """Read the record of a shard.

    Raises:
        StoreError: If it is no such record.
    """
    try:
        plain = json.loads(data)
        samples = tuple(Sample(*sample) for sample in plain["samples"])
        return ShardCommit(**plain | {"samples": samples, "filtered": tuple(plain["filtered"])})
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"commit {where} cannot be read ({error}); remove it and run the same command again"
        ) from error


def each_commit(place: Place, work_key: str) -> Iterator[ShardCommit]:
    """Every finished shard of this work, in order of names: one listing, then the records, some at a time."""
    keys = [key for key in place.keys(naming.commits_folder(work_key)) if key.endswith(".json")]
    for at in range(0, len(keys), RECORDS_AT_ONCE):
        for key, data in place.read_many(keys[at : at + RECORDS_AT_ONCE]).items():
            yield shard_commit(data, key)


def read_commits(place: Place, work_key: str) -> dict[str, ShardCommit]:
    """Every finished shard of this work, by name; a record holds some hundred bytes for every sample."""
    return {commit.shard: commit for commit in each_commit(place, work_key)}


def read_commit(place: Place, work_key: str, shard: str) -> ShardCommit | None:
    """The record of one finished shard, or None."""
    key = naming.commit_key(work_key, shard)
    data = place.read(key)
    return None if data is None else shard_commit(data, key)


def clip_record(data: bytes, where: str) -> ClipRecord:
    """Read the record of a made clip.

    Raises:
        StoreError: If it is no such record.
    """
    try:
        return ClipRecord(**json.loads(data))
    except (ValueError, TypeError) as error:
        raise StoreError(
            f"record {where} cannot be read ({error}); remove it and run the same command again"
        ) from error


def read_clip_records(place: Place, work_key: str, shard: str) -> dict[str, ClipRecord]:
    """The made clips of an open shard whose pieces are there as they were written, by clip id."""
    keys = place.keys(naming.clips_folder(work_key, shard))
    if not keys:
        return {}
    present = set(place.keys(naming.pieces_folder(work_key, shard)))
    records: Iterable[ClipRecord] = (clip_record(data, key) for key, data in place.read_many(keys).items())
    whole = {}
    for record in records:
        if not record.piece or record.piece in present:
            whole[record.clip_id] = record
        else:
            place.remove(naming.clip_key(work_key, shard, record.clip_id))  # its piece is gone: to be made again
    return whole
