from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs.plan import (
    BETWEEN,
    BYTES_PER_PIXEL,
    CLIPS_FOUND,
    PLAN,
    Closed,
    ShardRows,
    _missing_from,
    clip_id,
    extend_plan,
    generation_key,
    latest,
    make_generation,
    plan_from_bytes,
    read_plan,
    without_duplicates,
    write_generation,
)
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.store.rows import table_bytes
from tasks.pairs_library import in_lanes

CLIP_BYTES = 16 * 512 * 288 * BYTES_PER_PIXEL


def found(count: int, source: str = "s", **changes: Any) -> pa.Table:
    """Clips of one source, 16 frames of 512x288 each; shots of ten clips with hashes of their own."""
    rows = []
    for n in range(count):
        row = {
            "clip_id": clip_id(source, 100 * n, 100 * n + 15, 1),
            "source_uri": f"/films/{source}.mkv",
            "source_id": source,
            "shot": n // 10,
            "start_frame": 16 * n,
            "end_frame": 16 * n + 16,
            "frame_step": 1,
            "frames": 16,
            "width": 512,
            "height": 288,
            "split": "train",
            "status": "planned",
        }
        rows.append(
            row | {f"hash_{where}": hash_of(source, n // 10) for where in ("first", "middle", "last")} | changes
        )
    return pa.Table.from_pylist(rows, schema=CLIPS_FOUND)


def hash_of(source: str, shot: int) -> int:
    return int(np.random.default_rng([shot, *source.encode()]).integers(1, 2**63))


def nothing_closed() -> Closed:
    return Closed.none()


def sizes(plan: pa.Table) -> dict[str, int]:
    counted = plan.filter(pc.is_valid(plan["shard"])).group_by("shard").aggregate([("clip_id", "count")])
    return dict(zip(counted["shard"].to_pylist(), counted["clip_id_count"].to_pylist(), strict=True))


def test_shards_of_one_kind_are_equally_full_and_near_the_wanted_size() -> None:
    plan = make_generation(found(103), 1, 10 * CLIP_BYTES)
    assert set(sizes(plan)) == {f"train-512x288-g0001-{n:06d}" for n in range(10)}
    assert set(sizes(plan).values()) == {10, 11}


def test_a_shard_is_filled_by_cost_not_by_count() -> None:
    small = found(40, "small", width=256, height=144)
    plan = make_generation(pa.concat_tables([found(10), small]), 1, 10 * CLIP_BYTES)
    assert sizes(plan) == {"train-512x288-g0001-000000": 10, "train-256x144-g0001-000000": 40}


def test_splits_never_share_a_shard_and_filtered_clips_have_none() -> None:
    out = found(3, "out", status="filtered", reason="too_small")
    plan = make_generation(pa.concat_tables([found(5), found(5, "v", split="val"), out]), 1, 1e12)
    assert set(sizes(plan)) == {"train-512x288-g0001-000000", "val-512x288-g0001-000000"}
    assert plan.filter(pc.equal(plan["status"], "filtered"))["shard"].null_count == 3


def test_the_order_in_which_sources_come_does_not_matter() -> None:
    a, b = found(20, "a"), found(30, "b")
    one = make_generation(pa.concat_tables([a, b]), 1, 7 * CLIP_BYTES)
    assert one.equals(make_generation(pa.concat_tables([b, a]), 1, 7 * CLIP_BYTES))


def test_a_grown_plan_keeps_the_old_generation_byte_for_byte(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    first = extend_plan(place, "w", found(20), nothing_closed, 7 * CLIP_BYTES)
    before = place.read(generation_key("w", 1))
    grown = extend_plan(place, "w", pa.concat_tables([found(20), found(4, "b")]), nothing_closed, 7 * CLIP_BYTES)
    assert place.read(generation_key("w", 1)) == before
    assert grown.slice(0, 20).equals(first)
    assert set(grown["generation"].to_pylist()) == {1, 2}
    again = extend_plan(place, "w", found(20), nothing_closed, 7 * CLIP_BYTES)
    assert again.equals(grown), "nothing new, no generation"


def test_a_clip_that_its_finished_shard_lacks_moves_to_a_new_generation(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    plan = extend_plan(place, "w", found(10), nothing_closed, 1e12)
    clips = plan["clip_id"].to_pylist()
    shard = plan["shard"][0].as_py()
    again = latest(extend_plan(place, "w", found(10), lambda: Closed([shard], pa.chunked_array([clips[:-1]])), 1e12))
    moved = {row["clip_id"]: row["shard"] for row in again.to_pylist()}
    assert moved.pop(clips[-1]) == "train-512x288-g0002-000000"
    assert set(moved.values()) == {shard}


def test_of_two_runs_that_plan_at_once_one_wins_and_the_other_builds_on_it(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    raced = make_generation(found(5, "other"), 1, 1e12)

    def first_the_other() -> Closed:
        write_generation(place, "w", raced, 1)
        return Closed.none()

    plan = extend_plan(place, "w", pa.concat_tables([found(5), found(5, "other")]), first_the_other, 1e12)
    assert plan.num_rows == len(set(plan["clip_id"].to_pylist())) == 10
    assert read_plan(place, "w").equals(plan)


def test_shots_that_look_alike_are_filtered_out_but_never_older_ones(tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    extend_plan(place, "w", found(20), nothing_closed, 1e12, max_duplicate_bits=4)
    twin = found(20, "b")
    for name in ("hash_first", "hash_middle", "hash_last"):
        like = pa.array([value ^ 5 for value in found(10)[name].to_pylist()] + twin[name].to_pylist()[10:], pa.uint64())
        twin = twin.set_column(twin.column_names.index(name), name, like)
    plan = extend_plan(place, "w", twin, nothing_closed, 1e12, max_duplicate_bits=4)
    alike = plan.filter(pc.equal(plan["status"], "filtered")).to_pylist()
    assert {(row["source_id"], row["shot"], row["reason"]) for row in alike} == {("b", 0, "duplicate")}
    assert len(alike) == 10
    assert alike[0]["message"] == "looks like shot 0 of source s"


def test_a_clip_that_shows_what_lies_between_the_clips_of_another_shot_is_filtered_out() -> None:
    plan, twin = found(20), found(10, "b")
    between = [np.array([hash_of("gap", n // 10)] * 3, "<u8").tobytes() for n in range(20)]
    plan = plan.set_column(plan.column_names.index(BETWEEN), BETWEEN, pa.array(between, pa.binary()))
    for name in ("hash_first", "hash_middle", "hash_last"):
        shown = pa.array([hash_of("gap", 1)] * 10, pa.uint64())
        twin = twin.set_column(twin.column_names.index(name), name, shown)
    other = pa.array([np.array([hash_of("c", 0)] * 3, "<u8").tobytes()] * 10, pa.binary())
    twin = twin.set_column(twin.column_names.index(BETWEEN), BETWEEN, other)
    assert set(without_duplicates(twin, plan, 4)["message"].to_pylist()) == {"looks like shot 1 of source s"}


def test_a_plan_from_before_gaps_were_looked_at_is_read_as_one_without() -> None:
    plan = make_generation(found(4), 1, 1e12)
    old = plan_from_bytes(table_bytes(plan.drop_columns([BETWEEN])), "old")
    assert old.equals(plan)


def test_neighbouring_clips_stay_together_and_sources_are_spread() -> None:
    films = pa.concat_tables([found(64, f"film {n}") for n in range(8)])  # 1024 frames each: four runs
    rows = ShardRows(make_generation(films, 1, 32 * CLIP_BYTES))
    assert len(rows.names) == 16
    apart, sources = 0, []
    for name in rows.names:
        held = rows.of(name)
        sources.append(len({row["source_id"] for row in held}))
        apart += sum(b["start_frame"] - a["start_frame"] != 16 for a, b in pairwise(held))
    assert apart <= 32, "few clips have another neighbour than in their film"
    assert sum(count > 1 for count in sources) >= 12, "hardly a shard is one film's"


def test_workers_who_take_turns_go_through_films_of_their_own_forwards() -> None:
    rows = [{"source_id": film, "start_frame": n} for film in "abc" for n in range(4)]
    for lanes in (1, 2, 3):
        ordered = in_lanes(rows, lanes)
        assert len(ordered) == 12
        assert {(row["source_id"], row["start_frame"]) for row in ordered} == {(f, n) for f in "abc" for n in range(4)}
    turns = [in_lanes(rows, 3)[lane::3] for lane in range(3)]
    assert [[row["start_frame"] for row in turn] for turn in turns] == [[0, 1, 2, 3]] * 3
    alone = in_lanes(rows[:4], 2)
    assert [row["start_frame"] for row in alone] == [0, 2, 1, 3], "two workers, one film: each takes a half"


def test_rows_are_found_by_shard_and_clip() -> None:
    plan = make_generation(pa.concat_tables([found(40), found(2, "out", status="filtered")]), 1, 10 * CLIP_BYTES)
    rows = ShardRows(plan)
    assert rows.names == sorted(sizes(plan))
    assert {name: len(rows.of(name)) for name in rows.names} == sizes(plan)
    starts = [row["start_frame"] for row in rows.of(rows.names[1])]
    assert starts == sorted(starts)
    assert ShardRows(PLAN.empty_table()).names == []
    with pytest.raises(ValueError, match="must lie together"):
        ShardRows(plan.take([0, 39, 1]))


def test_a_plan_is_held_once_and_what_is_found_is_not_copied_where_all_of_it_is_new(tmp_path: Path) -> None:
    clips, place = pa.concat_tables([found(2000, f"film {n}") for n in range(4)]).combine_chunks(), Place(str(tmp_path))
    before = pa.total_allocated_bytes()
    plan = extend_plan(place, "w", clips, Closed.none, 10 * CLIP_BYTES)
    once = pa.total_allocated_bytes() - before
    rows = ShardRows(plan)
    assert pa.total_allocated_bytes() - before < 1.1 * once
    assert _missing_from(clips, PLAN.empty_table()) is clips
    every = Closed(rows.names, plan["clip_id"])
    assert extend_plan(place, "w", clips, lambda: every, 10 * CLIP_BYTES).num_rows == plan.num_rows


@pytest.mark.parametrize("data", [b"", b"PAR1 torn", b"x" * 1000])
def test_a_torn_generation_is_told_with_its_place(tmp_path: Path, data: bytes) -> None:
    place = Place(str(tmp_path))
    place.publish(generation_key("w", 1), data)
    with pytest.raises(StoreError, match=r"000001\.parquet cannot be read"):
        read_plan(place, "w")


def test_clip_names_depend_on_content_times_and_step_alone() -> None:
    names = {clip_id("a", 0, 15, 1), clip_id("b", 0, 15, 1), clip_id("a", 1, 15, 1), clip_id("a", 0, 15, 2)}
    assert len(names) == 4
    assert all(len(name) == 24 and int(name, 16) >= 0 for name in names)
