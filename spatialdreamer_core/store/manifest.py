"""The manifest: one Parquet table, one row per planned segment, done or failed.

The schema is explicit and only ever grows: within a major version columns are added, never renamed, retyped or
dropped. Every file carries its version in its metadata and in a column. Names hold their unit; a share is in [0, 1];
levels are 8-bit levels; disparity is in percent of the picture's width, positive in front of the screen.
"""

import io
import math
import numbers
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.metrics.comfort import LOSSES

SCHEMA_VERSION = "1.0"
"""major.minor: a new column raises the minor, anything that an older reader would misread the major."""
VERSION_KEY = b"spatialdreamer.schema_version"
STATUSES = ("done", "failed")

_TEXT, _COUNT, _REAL = pa.string(), pa.int64(), pa.float64()
_TEXTS, _TIME = pa.list_(pa.string()), pa.timestamp("us", tz="UTC")

_IDENTITY = {
    "schema_version": _TEXT,
    "source_uri": _TEXT,  # path or URL as given
    "source_id": _TEXT,  # by content, 16 hex digits
    "shot": _COUNT,  # from 0, in the source
    "segment": _COUNT,  # from 0, in the source
    "start_frame": _COUNT,  # in the source's scan
    "end_frame": _COUNT,  # one past the last
    "start_s": _REAL,
    "end_s": _REAL,
    "work_key": _TEXT,  # names stage, settings and weights: the same work has the same key
    "run_id": _TEXT,
    "settings": _TEXT,  # canonical JSON
    "depth_name": _TEXT,
    "depth_digest": _TEXT,  # of weights and code
    "strength_pct": _REAL,  # disparity range of the shot, percent of the width
    "convergence": _REAL,  # inverse depth on the screen
    "code_version": _TEXT,
}
_OUTCOME = {
    "status": _TEXT,  # done or failed
    "reason": _TEXT,  # code of the error, null if done
    "message": _TEXT,  # its sentence
    "attempts": _COUNT,
    "frames": _COUNT,  # planned; made if done
    "decode_errors": _COUNT,  # of the whole source
    "width": _COUNT,  # of one eye, luma samples
    "height": _COUNT,
    "output": _TEXTS,  # files below the output place; null until the source is finished
    "sheet": _TEXT,  # contact sheet, below the output place
    "notes": _TEXTS,
}
_COST = {
    "decode_s": _REAL,
    "shrink_s": _REAL,
    "depth_s": _REAL,
    "flow_s": _REAL,
    "warp_s": _REAL,
    "fill_s": _REAL,
    "metrics_s": _REAL,
    "encode_s": _REAL,
    "total_s": _REAL,
    "fps": _REAL,  # frames / total_s
    "peak_memory_mb": _REAL,
    "worker": _TEXT,
    "host": _TEXT,
    "started_at": _TIME,
    "ended_at": _TIME,
}
_MEASURES = {
    "luma_diff_mean": _REAL,  # mean luma right - left, levels
    "luma_diff_first": _REAL,  # of the segment's first frame, for seams
    "luma_diff_last": _REAL,
    "luma_step_mean": _REAL,  # |change| of that from frame to frame: flicker
    "luma_step_max": _REAL,
    "chroma_diff_mean": _REAL,  # distance of mean (u, v), levels
    "sharpness_ratio": _REAL,  # variance of the Laplacian, right / left
    "vertical_median_px": _REAL,
    "vertical_mean_px": _REAL,
    "vertical_p95_px": _REAL,
    "eye_residual": _REAL,  # mean |right - left| of what both show, levels
    "e_warp_left": _REAL,  # warp error of the source, luma in [0, 1], squared
    "e_warp_right": _REAL,  # of the made eye outside holes
    "e_warp_hole": _REAL,  # of the made eye in holes
    "e_warp_ratio": _REAL,  # right / left
    "hole_share_mean": _REAL,
    "hole_share_max": _REAL,
    "hole_step_max": _REAL,
    "disparity_p1_pct": _REAL,
    "disparity_p50_pct": _REAL,
    "disparity_p99_pct": _REAL,
    "disparity_first_p50_pct": _REAL,  # of the first frame, for cuts
    "disparity_first_p99_pct": _REAL,
    "disparity_last_p50_pct": _REAL,
    "disparity_last_p99_pct": _REAL,
    "front_share": _REAL,  # in front of the comfort limit
    "behind_share": _REAL,  # behind it
    "window_pct": _REAL,  # mean disparity in front, in the worse side border
    "window_share": _REAL,  # share of that border in front
}
_COMFORT = {
    "comfort_score": _REAL,  # 0 to 100
    "comfort_verdict": _TEXT,  # safe, borderline, unsafe
    "comfort_flags": _TEXTS,  # worst first
    **{f"comfort_loss_{name}": _REAL for name in LOSSES},
    "cut_jump_pct": _REAL,  # change of depth from the shot before
}
_REQUIRED = frozenset({"source_uri", "segment", "status"})

CLIPS_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field(name, kind, nullable=name not in _REQUIRED)
        for part in (_IDENTITY, _OUTCOME, _COST, _MEASURES, _COMFORT)
        for name, kind in part.items()
    ],
    metadata={VERSION_KEY: SCHEMA_VERSION.encode()},
)
"""One row per segment. ``source_uri``, ``segment`` and ``status`` are never null; nothing else is promised."""

DUCKDB_EXAMPLES: dict[str, str] = {
    "How far each file is": """
        SELECT source_uri, count(*) AS clips, count(*) FILTER (status = 'done') AS done,
               sum(frames) AS frames, round(avg(comfort_score), 1) AS comfort
        FROM 'manifest.parquet'
        GROUP BY source_uri ORDER BY source_uri
    """,
    "What failed, and why": """
        SELECT source_uri, shot, start_s, reason, message, attempts
        FROM 'manifest.parquet'
        WHERE status = 'failed' ORDER BY reason, source_uri, segment
    """,
    "The clips to look at first": """
        SELECT source_uri, start_s, comfort_score, comfort_flags, hole_share_max, luma_step_max
        FROM 'manifest.parquet'
        WHERE status = 'done' ORDER BY comfort_score, hole_share_max DESC LIMIT 20
    """,
    "Where the time goes": """
        SELECT round(sum(depth_s) / sum(total_s), 3) AS depth, round(sum(warp_s) / sum(total_s), 3) AS warp,
               round(sum(encode_s) / sum(total_s), 3) AS encode, round(sum(frames) / sum(total_s), 2) AS fps
        FROM 'manifest.parquet' WHERE status = 'done'
    """,
}
"""SQL for DuckDB, run in the output folder."""

POLARS_EXAMPLES: dict[str, str] = {
    "How far each file is": """
        pl.scan_parquet("manifest.parquet").group_by("source_uri").agg(
            pl.len().alias("clips"),
            (pl.col("status") == "done").sum().alias("done"),
            pl.col("comfort_score").mean().round(1).alias("comfort"),
        ).sort("source_uri").collect()
    """,
    "Depth jumps at cuts": """
        pl.scan_parquet("manifest.parquet").filter(pl.col("cut_jump_pct") > 1.5)
        .select("source_uri", "shot", "start_s", "cut_jump_pct").sort("cut_jump_pct", descending=True).collect()
    """,
}
"""Python expressions for Polars (``import polars as pl``), evaluated in the output folder."""


def rows_to_table(rows: Iterable[Mapping[str, Any]]) -> pa.Table:
    """Turn rows into a table of ``CLIPS_SCHEMA``; a missing key becomes null.

    Args:
        rows: One mapping per segment. ``schema_version`` is set here. Times are datetimes with a time zone, or such
            in ISO 8601 text.

    Raises:
        ValueError: If a key is no column, a value has the wrong type or is not finite, the status is unknown, or a
            required column is missing. The message names row, column and value.
    """
    plain = list(rows)
    for number, row in enumerate(plain):
        _check_keys(number, row)
    return pa.Table.from_arrays([_column(field, plain) for field in CLIPS_SCHEMA], schema=CLIPS_SCHEMA)


def fragment_bytes(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Give the bytes of a Parquet file that holds these rows.

    Raises:
        ValueError: See ``rows_to_table``.
    """
    return table_bytes(rows_to_table(rows))


def table_bytes(table: pa.Table) -> bytes:
    """Give the bytes of a Parquet file that holds this table; the same table gives the same bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", version="2.6", row_group_size=64_000)
    return sink.getvalue()


def write_fragment(rows: Iterable[Mapping[str, Any]] | pa.Table, where: str | Path | IO[bytes]) -> None:
    """Write rows as one Parquet file.

    A path appears whole or not at all.

    Args:
        rows: Rows, or a table of ``CLIPS_SCHEMA``.
        where: Path of a local file, or a binary file open for writing.

    Raises:
        ValueError: See ``rows_to_table``.
    """
    data = table_bytes(rows) if isinstance(rows, pa.Table) else fragment_bytes(rows)
    if not isinstance(where, (str, Path)):
        where.write(data)
        return
    path = Path(where)
    scratch = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_fragment(where: bytes | str | Path | IO[bytes], name: str | None = None) -> pa.Table:
    """Read a manifest file, of this version or an older one, as a table of ``CLIPS_SCHEMA``.

    Args:
        where: The bytes of the file, its local path, or a binary file open for reading.
        name: What to call it in errors; None takes the path.

    Raises:
        StoreError: If the file is missing, torn, no manifest, or of a newer major version.
    """
    called = name or (str(where) if isinstance(where, (str, Path)) else "manifest")
    try:
        opened = (
            pa.BufferReader(where) if isinstance(where, bytes) else str(where) if isinstance(where, Path) else where
        )
        with pq.ParquetFile(opened) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(f"{called}: not a readable Parquet file ({first_line}); delete it and run again") from error
    return conform(table, called)


def conform(table: pa.Table, name: str = "manifest") -> pa.Table:
    """Bring a table to ``CLIPS_SCHEMA``: columns it lacks become null, columns of a newer minor are left out.

    Args:
        table: As read.
        name: What to call it in errors.

    Raises:
        StoreError: If it is no manifest, is of a newer major version, or a column cannot take its type.
    """
    version = (table.schema.metadata or {}).get(VERSION_KEY)
    if version is None:
        raise StoreError(f"{name}: a Parquet file, but not a manifest of this program; move it away")
    if _major(version.decode(), name) > _major(SCHEMA_VERSION, name):
        raise StoreError(
            f"{name}: written by a newer version (schema {version.decode()}, this program reads {SCHEMA_VERSION}); "
            "update this program"
        )
    columns = []
    for field in CLIPS_SCHEMA:
        if field.name not in table.column_names:
            if not field.nullable:
                raise StoreError(f"{name}: column {field.name} is missing; delete the file and run again")
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        try:
            columns.append(table.column(field.name).cast(field.type))
        except pa.ArrowException as error:
            raise StoreError(
                f"{name}: column {field.name} is no {field.type}; delete the file and run again"
            ) from error
    return pa.Table.from_arrays(columns, schema=CLIPS_SCHEMA)


def compact(tables: Iterable[pa.Table]) -> pa.Table:
    """Join fragments into one table, sorted by source and segment, one row for each planned clip.

    Where several rows tell of one clip (same source, segment and work key), a done one wins, then the one with more
    attempts, then the later.

    Args:
        tables: Of this version or an older one; none gives an empty table.

    Raises:
        StoreError: See ``conform``.
    """
    fragments = [conform(table, f"fragment {number}") for number, table in enumerate(tables)]
    joined = pa.concat_tables([CLIPS_SCHEMA.empty_table(), *fragments]).combine_chunks()
    keys = [("source_uri", "ascending"), ("segment", "ascending"), ("work_key", "ascending")]
    better = [("status", "ascending"), ("attempts", "descending"), ("ended_at", "descending")]  # done < failed
    order = pc.sort_indices(joined, sort_keys=keys + better)
    joined = joined.take(order)
    identities = zip(*(joined.column(name).to_pylist() for name, _ in keys), strict=True)
    seen: set[tuple[Any, ...]] = set()
    first = []
    for identity in identities:
        first.append(identity not in seen)
        seen.add(identity)
    return joined.filter(pa.array(first, pa.bool_())).replace_schema_metadata(CLIPS_SCHEMA.metadata)


def _check_keys(number: int, row: Mapping[str, Any]) -> None:
    if not _NAMES.issuperset(row):
        unknown = ", ".join(repr(key) for key in sorted(set(row) - _NAMES))
        raise ValueError(f"row {number}: no column is called {unknown}; see CLIPS_SCHEMA")
    if row.get("status") not in STATUSES:
        raise ValueError(f"row {number}: status must be one of {', '.join(STATUSES)}, got {row.get('status')!r}")


def _column(field: pa.Field, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
    name, nullable = field.name, field.nullable
    if name == "schema_version":
        return pa.array([SCHEMA_VERSION] * len(rows), field.type)
    take, wanted = _TAKERS[field.type]
    values: list[Any] = []
    for number, row in enumerate(rows):
        value = row.get(name)
        if value is None and not nullable:
            raise ValueError(f"row {number}: {name} is missing")
        try:
            values.append(None if value is None else take(value))
        except (TypeError, ValueError):
            raise ValueError(f"row {number}: {name} must be {wanted}, got {value!r}") from None
    return pa.array(values, field.type)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not -(2**63) <= int(value) < 2**63:
        raise TypeError
    return int(value)


def _finite(value: Any) -> float:
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
        raise TypeError
    if not math.isfinite(value):
        raise ValueError
    return float(value)


def _list_of_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        raise TypeError
    return [_text(item) for item in value]


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise TypeError
    return moment


_NAMES = frozenset(CLIPS_SCHEMA.names)
_TAKERS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    _TEXT: (_text, "text"),
    _COUNT: (_whole, "a whole number"),
    _REAL: (_finite, "a finite number"),
    _TEXTS: (_list_of_texts, "a list of texts"),
    _TIME: (_moment, "a datetime with a time zone"),
}


def _major(version: str, name: str) -> int:
    head = version.partition(".")[0]
    if not head.isdecimal():
        raise StoreError(f"{name}: schema version {version!r} is no version; delete the file and run again")
    return int(head)
