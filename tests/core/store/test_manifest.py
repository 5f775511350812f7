import io
from datetime import UTC, datetime, timedelta
from textwrap import dedent

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.metrics.shot_metrics import SegmentMetrics
from spatialdreamer_core.store.manifest import (
    CLIPS_SCHEMA,
    DUCKDB_EXAMPLES,
    POLARS_EXAMPLES,
    SCHEMA_VERSION,
    VERSION_KEY,
    compact,
    conform,
    fragment_bytes,
    read_fragment,
    rows_to_table,
    write_fragment,
)

NOON = datetime(2024, 5, 6, 12, tzinfo=UTC)


def row(segment=0, uri="a.mp4", status="done", **more):
    return {"source_uri": uri, "segment": segment, "status": status, "work_key": "k", **more}


def to_bytes(rows):
    buffer = io.BytesIO()
    write_fragment(rows, buffer)
    return buffer.getvalue()


def test_what_is_missing_becomes_null_and_the_version_is_everywhere():
    table = rows_to_table([row(frames=12, total_s=2)])
    assert table.schema.equals(CLIPS_SCHEMA, check_metadata=True)
    only = table.to_pylist()[0]
    assert (only["frames"], only["total_s"], only["reason"]) == (12, 2.0, None)
    assert only["schema_version"] == table.schema.metadata[VERSION_KEY].decode() == SCHEMA_VERSION


def test_every_kind_of_value_comes_back(tmp_path):
    given = row(
        frames=np.int64(3),
        fps=np.float32(1.5),
        notes=["a <b>", "ü"],
        comfort_flags=(),
        started_at=NOON,
        settings='{"a":1}',
    )
    write_fragment([given], tmp_path / "part.parquet")
    back = read_fragment(tmp_path / "part.parquet").to_pylist()[0]
    assert {name: back[name] for name in given} == given | {"comfort_flags": []}
    assert [path.name for path in tmp_path.iterdir()] == ["part.parquet"]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"frame": 3}, "row 1: no column is called 'frame'"),
        ({"frames": 3.0}, "row 1: frames must be a whole number, got 3.0"),
        ({"frames": True}, "frames must be a whole number, got True"),
        ({"fps": "fast"}, "fps must be a finite number, got 'fast'"),
        ({"fps": float("nan")}, "fps must be a finite number, got nan"),
        ({"notes": "one"}, "notes must be a list of texts, got 'one'"),
        ({"started_at": NOON.replace(tzinfo=None)}, "started_at must be a datetime with a time zone"),
        ({"started_at": "noon"}, "started_at must be a datetime with a time zone, got 'noon'"),
        ({"source_uri": 3}, "source_uri must be text"),
        ({"source_uri": None}, "source_uri is missing"),
        ({"status": "ok"}, "status must be one of done, failed, got 'ok'"),
    ],
)
def test_a_wrong_row_is_refused_by_name(bad, message):
    with pytest.raises(ValueError, match=message):
        rows_to_table([row(), row(1) | bad])


def test_a_segments_measures_are_columns():
    measured = SegmentMetrics(create_flow("dis-fast")).row()
    assert set(measured) <= set(CLIPS_SCHEMA.names)
    assert rows_to_table([row() | measured]).num_rows == 1


def test_times_may_come_as_text_and_rows_read_back_may_go_in_again():
    table = rows_to_table([row(started_at="2024-05-06T14:00:00+02:00", output=["a.mkv"])])
    assert table["started_at"].to_pylist() == [NOON]
    assert rows_to_table(read_fragment(fragment_bytes(table.to_pylist())).to_pylist()).equals(table)


def test_the_same_rows_give_the_same_bytes():
    rows = [row(number, notes=[f"n{number}"]) for number in range(50)]
    assert to_bytes(rows) == to_bytes(rows)
    assert to_bytes([]) == to_bytes(rows_to_table([]))


def test_compacting_sorts_and_does_not_depend_on_the_order_of_fragments():
    parts = [rows_to_table([row(2, "b"), row(0, "b")]), rows_to_table([row(5, "a"), row(1, "b")])]
    joined = compact(parts)
    assert list(zip(joined["source_uri"].to_pylist(), joined["segment"].to_pylist(), strict=True)) == [
        ("a", 5),
        ("b", 0),
        ("b", 1),
        ("b", 2),
    ]
    assert to_bytes(joined) == to_bytes(compact(reversed(parts)))
    assert compact([]).num_rows == 0


def test_a_clip_that_was_tried_again_keeps_one_row():
    failed = row(0, status="failed", reason="decode_failed", attempts=3, ended_at=NOON)
    done = row(0, attempts=1, ended_at=NOON - timedelta(hours=1))
    worse = row(1, status="failed", reason="crashed", attempts=1)
    worst = row(1, status="failed", reason="timeout", attempts=2)
    other = row(0, work_key="other settings")
    joined = compact([rows_to_table([failed, worse]), rows_to_table([done, worst, other])]).to_pylist()
    assert [(r["segment"], r["work_key"][0], r["status"], r["reason"]) for r in joined] == [
        (0, "k", "done", None),
        (0, "o", "done", None),
        (1, "k", "failed", "timeout"),
    ]


def test_an_older_fragment_without_a_column_gets_nulls():
    new = rows_to_table([row(1, fps=3.0)])
    old = rows_to_table([row(0, fps=2.0)]).drop_columns(["e_warp_hole", "notes", "fps"])
    joined = compact([new, old])
    assert joined.schema.equals(CLIPS_SCHEMA, check_metadata=True)
    assert joined["fps"].to_pylist() == [None, 3.0]


def test_a_newer_minor_is_read_without_its_columns_and_a_newer_major_refused():
    table = rows_to_table([row()])
    newer = table.append_column("sparkle", pa.array([1]))
    assert conform(newer.replace_schema_metadata({VERSION_KEY: b"1.7"})).schema.equals(CLIPS_SCHEMA)
    with pytest.raises(StoreError, match=r"x: written by a newer version \(schema 2.0, this program reads 1.2\)"):
        conform(table.replace_schema_metadata({VERSION_KEY: b"2.0"}), "x")


def test_torn_and_foreign_files_are_named(tmp_path):
    whole = to_bytes([row()])
    (tmp_path / "torn.parquet").write_bytes(whole[: len(whole) // 2])
    pq.write_table(pa.table({"a": [1]}), tmp_path / "foreign.parquet")
    with pytest.raises(StoreError, match=r"torn\.parquet: not a readable Parquet file"):
        read_fragment(tmp_path / "torn.parquet")
    with pytest.raises(StoreError, match=r"foreign\.parquet: a Parquet file, but not a manifest"):
        read_fragment(tmp_path / "foreign.parquet")
    with pytest.raises(StoreError, match="part 7: not a readable"):
        read_fragment(b"", "part 7")
    with pytest.raises(StoreError, match=r"gone\.parquet"):
        read_fragment(tmp_path / "gone.parquet")


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="status"):
        write_fragment([row(status="?")], tmp_path / "a.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def output_folder(tmp_path, monkeypatch):
    costs = {"frames": 30, "total_s": 2.0, "depth_s": 0.5, "warp_s": 0.25, "encode_s": 1.0}
    rows = [
        row(0, shot=0, comfort_score=90.0, **costs),
        row(1, shot=1, start_s=1.0, comfort_score=40.0, cut_jump_pct=2.0, **costs),
        row(0, "b.mp4", status="failed", reason="crashed"),
    ]
    write_fragment(rows, tmp_path / "manifest.parquet")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("output_folder")
def test_the_duckdb_examples_answer():
    answers = {title: duckdb.sql(query).fetchall() for title, query in DUCKDB_EXAMPLES.items()}
    assert answers["How far each file is"] == [("a.mp4", 2, 2, 60, 65.0), ("b.mp4", 1, 0, None, None)]
    assert [found[3] for found in answers["What failed, and why"]] == ["crashed"]
    assert [found[2] for found in answers["The clips to look at first"]] == [40.0, 90.0]
    assert answers["Where the time goes"] == [(0.25, 0.125, 0.5, 15.0)]


@pytest.mark.usefixtures("output_folder")
def test_the_polars_examples_answer():
    answers = {title: eval(f"({dedent(text).strip()})", {"pl": pl}) for title, text in POLARS_EXAMPLES.items()}
    assert answers["How far each file is"].rows() == [("a.mp4", 2, 2, 65.0), ("b.mp4", 1, 0, None)]
    assert answers["Depth jumps at cuts"].rows() == [("a.mp4", 1, 1.0, 2.0)]
