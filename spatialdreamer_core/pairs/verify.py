"""Prove a dataset: digests of every shard and sample, every picture decoded, every planned clip in one place only."""

import hashlib
import json
from collections import Counter
from dataclasses import dataclass

import pyarrow.compute as pc

from spatialdreamer_core.errors import SpatialDreamerError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.commits import Sample, ShardCommit, read_commits
from spatialdreamer_core.pairs.members import from_members
from spatialdreamer_core.pairs.plan import latest, read_plan
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.store.tar import END, read_piece


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as the records say.

    Attributes:
        where: Shard file, or work.
        clip_id: The sample; empty if it concerns the whole.
        message: One sentence.
    """

    where: str
    clip_id: str
    message: str


def verify_shard(place: Place, commit: ShardCommit, *, decode: bool = True) -> list[Problem]:
    """Check a finished shard against its record.

    Args:
        place: Output of make-pairs.
        commit: Its record.
        decode: Whether every picture is decoded too; else only bytes are compared.

    Raises:
        StoreError: If the store does not answer.
    """
    if not commit.file:
        return [] if not commit.samples else [Problem(commit.shard, "", "samples without a file")]
    if place.size(commit.file) is None:
        return [Problem(commit.file, "", "is gone; remove its commit record and run make-pairs again")]
    problems, whole, at = [], hashlib.sha256(), 0
    with place.local_copy(commit.file) as path, path.open("rb") as file:
        for sample in commit.samples:
            if sample.offset != at:
                problems.append(
                    Problem(commit.file, sample.clip_id, f"begins at {at}, its record says {sample.offset}")
                )
            data = file.read(sample.bytes)
            whole.update(data)
            at += sample.bytes
            problems += _check_sample(commit, sample, data, decode)
        rest = file.read()
    whole.update(rest)
    if rest != END:
        problems.append(Problem(commit.file, "", f"ends in {len(rest)} bytes that are no end of a tar file"))
    if at + len(rest) != commit.bytes or whole.hexdigest() != commit.sha256:
        problems.append(Problem(commit.file, "", "is not what was committed: its digest differs"))
    return problems


def _check_sample(commit: ShardCommit, sample: Sample, data: bytes, decode: bool) -> list[Problem]:
    if hashlib.sha256(data).hexdigest() != sample.sha256:
        return [Problem(commit.file, sample.clip_id, "is not what was committed: its digest differs")]
    if not decode:
        return []
    try:
        key, members = read_piece(data, f"{commit.file} at {sample.offset}")
        pair = from_members(key, members)
    except SpatialDreamerError as error:
        return [Problem(commit.file, sample.clip_id, str(error))]
    shape = (commit.frames, commit.height, commit.width)
    if key != sample.clip_id or pair.mask.shape != shape:
        said = f"holds {key} of {list(pair.mask.shape)}, its record says {sample.clip_id} of {list(shape)}"
        return [Problem(commit.file, sample.clip_id, said)]
    if pair.condition[pair.mask].any():
        return [Problem(commit.file, sample.clip_id, "its condition shows something where it is masked")]
    return []


@dataclass(frozen=True, slots=True)
class Accounts:
    """Where the planned clips of a work are.

    Attributes:
        planned: Clips that shards are to hold.
        in_shards: Samples of finished shards.
        filtered: Filtered out while they were made.
        set_aside: Failed, waiting for a retry.
        open: Not through yet: the run is not finished.
        problems: Clips in two places, or in a shard that was not planned for them.
    """

    planned: int
    in_shards: int
    filtered: int
    set_aside: int
    open: int
    problems: tuple[Problem, ...]


def account(place: Place, work_key: str) -> Accounts:
    """Say where every planned clip of a work is.

    Raises:
        StoreError: If the store does not answer or a record is torn.
    """
    plan = latest(read_plan(place, work_key))
    planned = plan.filter(pc.equal(plan["status"], "planned"))
    where = dict(zip(planned["clip_id"].to_pylist(), planned["shard"].to_pylist(), strict=True))
    commits = read_commits(place, work_key)
    failed = place.read_many(place.keys(naming.failed_folder(work_key)))
    set_aside = {json.loads(data)["row"]["clip_id"] for data in failed.values()}
    places: Counter[str] = Counter()
    problems = []
    for name, commit in commits.items():
        clips = [*(sample.clip_id for sample in commit.samples), *commit.filtered]
        places.update(clips)
        problems += [
            Problem(commit.file or name, clip, f"is not planned for this shard but for {where.get(clip)}")
            for clip in clips
            if where.get(clip) != name
        ]
    problems += [Problem(work_key, clip, f"is in {n} finished shards") for clip, n in places.items() if n > 1]
    in_shards = sum(len(commit.samples) for commit in commits.values())
    filtered = sum(len(commit.filtered) for commit in commits.values())
    through = set(places)
    return Accounts(
        planned=len(where),
        in_shards=in_shards,
        filtered=filtered,
        set_aside=len(set_aside - through),
        open=len(set(where) - through - set_aside),
        problems=tuple(problems),
    )
