"""The manifest: one Parquet table, one row per planned segment, done or failed.

The schema is explicit and only ever grows: within a major version columns are added, never renamed, retyped or
dropped. Every file carries its version in its metadata and in a column. Names hold their unit; a share is in [0, 1];
levels are 8-bit levels; disparity is in percent of the picture's width, positive in front of the screen.
"""

from spatialdreamer_core.metrics.comfort import LOSSES
from spatialdreamer_core.store.rows import COUNT, REAL, TEXT, TEXTS, TIME, RowTable, table_bytes, table_schema

SCHEMA_VERSION = "1.2"
"""major.minor: a new column raises the minor, anything that an older reader would misread the major."""
VERSION_KEY = b"spatialdreamer.schema_version"
STATUSES = ("done", "failed")

_IDENTITY = {
    "schema_version": TEXT,
    "source_uri": TEXT,  # path or URL as given
    "source_id": TEXT,  # by content, 16 hex digits
    "shot": COUNT,  # from 0, in the source
    "segment": COUNT,  # from 0, in the source
    "start_frame": COUNT,  # in the source's scan
    "end_frame": COUNT,  # one past the last
    "start_s": REAL,
    "end_s": REAL,
    "work_key": TEXT,  # names stage, settings and weights: the same work has the same key
    "run_id": TEXT,
    "settings": TEXT,  # canonical JSON
    "depth_name": TEXT,
    "depth_digest": TEXT,  # of weights and code
    "refiner": TEXT,  # network that painted the clip's holes, or none
    "refine_reason": TEXT,  # why, or why not
    "expected_hole_share": REAL,  # of the shot's plan: in holes at least 4 pixels wide between near and far
    "strength_pct": REAL,  # disparity range of the shot, percent of the width
    "convergence": REAL,  # inverse depth on the screen
    "code_version": TEXT,
}
_OUTCOME = {
    "status": TEXT,  # done or failed
    "reason": TEXT,  # code of the error, null if done
    "message": TEXT,  # its sentence
    "attempts": COUNT,
    "frames": COUNT,  # planned; made if done
    "decode_errors": COUNT,  # of the whole source
    "width": COUNT,  # of one eye, luma samples
    "height": COUNT,
    "output": TEXTS,  # files below the output place; null until the source is finished
    "sheet": TEXT,  # contact sheet, below the output place
    "notes": TEXTS,
}
_COST = {
    "decode_s": REAL,
    "shrink_s": REAL,
    "depth_s": REAL,
    "flow_s": REAL,
    "warp_s": REAL,
    "fill_s": REAL,
    "refine_s": REAL,
    "metrics_s": REAL,
    "encode_s": REAL,
    "total_s": REAL,
    "fps": REAL,  # frames / total_s
    "peak_memory_mb": REAL,
    "worker": TEXT,
    "host": TEXT,
    "started_at": TIME,
    "ended_at": TIME,
}
_MEASURES = {
    "luma_diff_mean": REAL,  # mean luma right - left, levels
    "luma_diff_first": REAL,  # of the segment's first frame, for seams
    "luma_diff_last": REAL,
    "luma_step_mean": REAL,  # |change| of that from frame to frame: flicker
    "luma_step_max": REAL,
    "chroma_diff_mean": REAL,  # distance of mean (u, v), levels
    "sharpness_ratio": REAL,  # variance of the Laplacian, right / left
    "vertical_median_px": REAL,
    "vertical_mean_px": REAL,
    "vertical_p95_px": REAL,
    "eye_residual": REAL,  # mean |right - left| of what both show, levels
    "e_warp_left": REAL,  # warp error of the source, luma in [0, 1], squared
    "e_warp_right": REAL,  # of the made eye outside holes
    "e_warp_hole": REAL,  # of the made eye in holes
    "e_warp_ratio": REAL,  # right / left
    "hole_share_mean": REAL,
    "hole_share_max": REAL,
    "hole_step_max": REAL,
    "refined_share": REAL,  # painted by the network, mean
    "disparity_p1_pct": REAL,
    "disparity_p50_pct": REAL,
    "disparity_p99_pct": REAL,
    "disparity_first_p50_pct": REAL,  # of the first frame, for cuts
    "disparity_first_p99_pct": REAL,
    "disparity_last_p50_pct": REAL,
    "disparity_last_p99_pct": REAL,
    "front_share": REAL,  # in front of the comfort limit
    "behind_share": REAL,  # behind it
    "window_pct": REAL,  # mean disparity in front, in the worse side border
    "window_share": REAL,  # share of that border in front
}
_COMFORT = {
    "comfort_score": REAL,  # 0 to 100
    "comfort_verdict": TEXT,  # safe, borderline, unsafe
    "comfort_flags": TEXTS,  # worst first
    **{f"comfort_loss_{name}": REAL for name in LOSSES},
    "cut_jump_pct": REAL,  # change of depth from the shot before
}
_GATE = {
    "gate": TEXT,  # pass, review or fail, by the limits of the run that wrote the row
    "gate_reasons": TEXTS,  # columns that it is for; of a clip that was not made the reason code
    "take": COUNT,  # 1, or 2 if its shot failed the gate and was made again; null if it was not made
}
_REQUIRED = frozenset({"source_uri", "segment", "status"})

CLIPS_SCHEMA = table_schema(
    {**_IDENTITY, **_OUTCOME, **_COST, **_MEASURES, **_COMFORT, **_GATE}, _REQUIRED, VERSION_KEY, SCHEMA_VERSION
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
    "What does not pass the gate": """
        SELECT source_uri, shot, start_s, gate, gate_reasons, take, sheet
        FROM 'manifest.parquet'
        WHERE gate <> 'pass' ORDER BY gate, comfort_score
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

CLIPS = RowTable(
    schema=CLIPS_SCHEMA,
    schema_name="CLIPS_SCHEMA",
    version=SCHEMA_VERSION,
    version_key=VERSION_KEY,
    statuses=STATUSES,
    identity=("source_uri", "segment", "work_key"),
    better=(("status", "ascending"), ("attempts", "descending"), ("ended_at", "descending")),  # done < failed
)
"""Of several rows for one clip a done one wins, then the one with more attempts, then the later."""

rows_to_table, fragment_bytes, write_fragment = CLIPS.from_rows, CLIPS.fragment, CLIPS.write
read_fragment, read_columns = CLIPS.read, CLIPS.read_columns
conform, compact = CLIPS.conform, CLIPS.compact
__all__ = [
    "CLIPS",
    "CLIPS_SCHEMA",
    "DUCKDB_EXAMPLES",
    "POLARS_EXAMPLES",
    "SCHEMA_VERSION",
    "STATUSES",
    "VERSION_KEY",
    "compact",
    "conform",
    "fragment_bytes",
    "read_columns",
    "read_fragment",
    "rows_to_table",
    "table_bytes",
    "write_fragment",
]
