"""A dataset as readers see it: which works an output place holds, which shards are finished, where a sample lies."""

from dataclasses import dataclass

from spatialdreamer_core.dvg.sample import PairSample
from spatialdreamer_core.errors import ConfigError, StoreError
from spatialdreamer_core.pairs.commits import Sample, ShardCommit, read_commits
from spatialdreamer_core.pairs.compaction import list_works
from spatialdreamer_core.pairs.members import from_members
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.store.tar import read_piece


@dataclass(frozen=True, slots=True)
class Found:
    """One sample and the shard that holds it."""

    commit: ShardCommit
    sample: Sample


def dataset_shards(place: Place, work_key: str | None = None) -> list[ShardCommit]:
    """Every finished shard with samples, in the order of names; one listing and one small record each.

    Args:
        place: Output of make-pairs.
        work_key: Which work; needed only where there are several (other settings, other shards).

    Raises:
        ConfigError: If there is no dataset, no such work, or several and none is named.
        StoreError: If the place cannot be read.
    """
    commits = read_commits(place, choose_work(place, work_key))
    return [commits[name] for name in sorted(commits) if commits[name].file]


def choose_work(place: Place, work_key: str | None) -> str:
    """The work that is meant.

    Raises:
        ConfigError: See ``dataset_shards``.
    """
    works = sorted(list_works(place))
    if not works:
        raise ConfigError(f"{place} holds no training pairs; give the --output of make-pairs")
    if work_key is not None and work_key not in works:
        raise ConfigError(f"{place} holds no work {work_key!r}; it has {', '.join(works)}")
    if work_key is None and len(works) > 1:
        raise ConfigError(f"{place} holds pairs of several settings, {', '.join(works)}: say which work is meant")
    return work_key or works[0]


def find_sample(place: Place, key: str) -> Found:
    """Find a sample by its key or the beginning of it, in any work.

    Raises:
        ConfigError: If there is none, or several begin so.
    """
    found = [
        Found(commit, sample)
        for work in list_works(place)
        for commit in read_commits(place, work).values()
        for sample in commit.samples
        if sample.clip_id.startswith(key)
    ]
    keys = sorted({one.sample.clip_id for one in found})
    if not keys:
        raise ConfigError(f"{place} holds no sample {key!r}; keys are in the column clip_id of pairs.parquet")
    if len(keys) > 1:
        raise ConfigError(f"{len(keys)} samples begin with {key!r}, such as {keys[0]} and {keys[1]}; give more of it")
    return found[0]


def read_sample(place: Place, file: str, sample: Sample, *, quick: bool = False) -> PairSample:
    """Read one sample; only its own bytes are fetched.

    Args:
        place: Of the dataset.
        file: The shard.
        sample: From its record.
        quick: As for ``from_members``.

    Raises:
        StoreError: If it is gone or damaged.
    """
    data = place.read_range(file, sample.offset, sample.offset + sample.bytes)
    key, members = read_piece(data, f"{file} at {sample.offset}")
    if key != sample.clip_id:
        raise StoreError(f"{file} at {sample.offset}: holds sample {key}, the record says {sample.clip_id}")
    return from_members(key, members, quick=quick)
