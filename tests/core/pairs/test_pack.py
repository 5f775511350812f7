"""Packing a shard: what is checked on the way, and what happens when somebody else packs it too."""

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.commits import read_clip_records, read_commit, read_commits
from spatialdreamer_core.pairs.compaction import register_work
from spatialdreamer_core.pairs.garbage import find_orphans
from spatialdreamer_core.pairs.make_clip import KEPT, publish_clip
from spatialdreamer_core.pairs.pack import Shard, pack_shard
from spatialdreamer_core.pairs.plan import CLIPS_FOUND, Closed, ShardRows, extend_plan
from spatialdreamer_core.store.place import Place
from tests.core.pairs.made import planned_row, publish_made, shard_of


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(str(tmp_path))


def opened(place: Place, clips: int = 3) -> Shard:
    """A shard whose clips are made and not packed."""
    register_work(place, "work", "made", PairsConfig())
    found = pa.Table.from_pylist([planned_row(n) for n in range(clips)], schema=CLIPS_FOUND)
    plan = ShardRows(extend_plan(place, "work", found, Closed.none, 1e12))
    rows = plan.of(plan.names[0])
    for row in rows:
        publish_made(place, row)
    return shard_of(plan.names[0], rows)


def test_a_packed_shard_leaves_neither_pieces_nor_records(place: Place) -> None:
    shard = opened(place)
    commit = pack_shard(shard, place, run_id="r").commit
    assert commit is not None
    assert [sample.clip_id for sample in commit.samples] == sorted(shard.clips)
    assert read_commit(place, "work", shard.name) == commit
    assert place.keys(naming.pieces_folder("work", shard.name)) == []
    assert place.keys(naming.clips_folder("work", shard.name)) == []


def test_a_piece_that_is_not_what_was_recorded_is_to_be_made_again(place: Place) -> None:
    shard = opened(place)
    record = read_clip_records(place, "work", shard.name)[shard.clips[1]]
    place.publish(record.piece, b"x" * record.bytes)
    result = pack_shard(shard, place, run_id="r")
    assert (result.commit, result.again) == (None, (shard.clips[1],))
    assert read_commits(place, "work") == {}
    assert set(read_clip_records(place, "work", shard.name)) == {shard.clips[0], shard.clips[2]}
    assert find_orphans(place) == []


def test_a_piece_that_is_gone_is_to_be_made_again(place: Place) -> None:
    shard = opened(place)
    place.remove(read_clip_records(place, "work", shard.name)[shard.clips[0]].piece)
    assert pack_shard(shard, place, run_id="r").again == (shard.clips[0],)


def test_whoever_comes_late_gets_the_commit_of_whoever_was_first(place: Place) -> None:
    shard = opened(place)
    first = pack_shard(shard, place, run_id="first").commit
    assert pack_shard(shard, place, run_id="second").commit == first
    assert len(place.keys(naming.SHARDS)) == 1


def test_of_two_who_pack_other_bytes_at_once_one_wins_and_the_other_s_shard_goes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard = opened(place)
    create = Place.create

    def beaten(self: Place, key: str, data: bytes) -> bool:
        if "/commits/" in key:  # somebody else commits a shard of other bytes just before
            other = read_commit_from(data)
            create(self, key, dataclasses.replace(other, file="shards/work/other.tar").to_json().encode())
        return create(self, key, data)

    monkeypatch.setattr(Place, "create", beaten)
    commit = pack_shard(shard, place, run_id="r").commit
    assert commit is not None
    assert commit.file == "shards/work/other.tar"
    assert place.keys(naming.SHARDS) == []


def read_commit_from(data: bytes) -> Any:
    from spatialdreamer_core.pairs.commits import shard_commit

    return shard_commit(data, "test")


def test_of_two_who_make_a_clip_at_once_both_get_the_record_of_the_first(place: Place) -> None:
    planned = planned_row(0) | {"shard": "train-96x64-g0001-000000", "generation": 1}
    first = publish_made(place, planned)
    row = {name: planned.get(name) for name in KEPT} | {"work_key": "work", "status": "done", "verdict": "train"}
    second = publish_clip(b"other bytes", row, place, StageClock())
    assert second == first
    assert place.keys(naming.pieces_folder("work", planned["shard"])) == [first.piece]


def test_a_shard_whose_clips_were_all_filtered_out_is_closed_without_a_file(place: Place) -> None:
    planned = planned_row(0) | {"shard": "train-96x64-g0001-000000", "generation": 1}
    row = {name: planned.get(name) for name in KEPT} | {"work_key": "work", "status": "filtered", "reason": "dark"}
    publish_clip(b"", row, place, StageClock())
    commit = pack_shard(shard_of(planned["shard"], [planned]), place, run_id="r").commit
    assert commit is not None
    assert (commit.file, commit.samples, commit.filtered) == ("", (), (planned["clip_id"],))
    assert place.keys(naming.SHARDS) == []
