"""The manifest of pairs: one row per planned clip, made, filtered or failed, with its scores, measures and cost.

Made of the same machinery as the manifest of conversions (``store/rows.py``). Names hold their unit; a share is in
[0, 1]; disparity is in percent of the picture's width, positive in front of the screen.
"""

from dataclasses import fields

import pyarrow as pa

from spatialdreamer_core.corpus.filters import ClipScores
from spatialdreamer_core.dvg.sample import PairMetrics
from spatialdreamer_core.store.rows import COUNT, REAL, TEXT, TIME, RowTable, table_schema

PAIRS_VERSION = "1.0"
"""major.minor: a new column raises the minor, anything that an older reader would misread the major."""
PAIRS_VERSION_KEY = b"spatialdreamer.pairs_version"

IDENTITY: dict[str, pa.DataType] = {
    "clip_id": TEXT,  # 24 hex digits, see plan.clip_id; the sample's key
    "source_uri": TEXT,  # path or URL as given
    "source_id": TEXT,  # by content, 16 hex digits
    "shot": COUNT,  # from 0, in the source
    "start_frame": COUNT,  # in the source's scan
    "end_frame": COUNT,  # one past the last
    "frame_step": COUNT,  # source frames from one frame of the clip to the next
    "start_pts": COUNT,  # ticks
    "end_pts": COUNT,  # of the last frame, ticks
    "start_s": REAL,
    "end_s": REAL,
    "frames": COUNT,
    "width": COUNT,  # of the bucket
    "height": COUNT,
    "split": TEXT,  # train or val
    "depth_digest": TEXT,  # of the weights, or of the source's ready depth
}
SCORES: dict[str, pa.DataType] = {  # known before a clip is decoded
    "upscale": REAL,  # how much the source is enlarged; below 1 it is shrunk
}
PLACE: dict[str, pa.DataType] = {
    "generation": COUNT,  # of the plan; grows when sources come or clips are tried again
    "shard": TEXT,  # null for clips that no shard is to hold
}
_OUTCOME = {
    "schema_version": TEXT,
    "work_key": TEXT,  # names stage, settings and weights: settings lie in .spatialdreamer/pairs/KEY/work.json
    "run_id": TEXT,
    "code_version": TEXT,
    "depth_name": TEXT,
    "status": TEXT,  # done, filtered or failed
    "reason": TEXT,  # code, null if done
    "message": TEXT,  # its sentence
    "attempts": COUNT,
    "verdict": TEXT,  # train, review or reject; null if not done
    "verdict_reasons": TEXT,  # why not train: codes joined by commas
    "file": TEXT,  # the tar, below the output place
    "offset": COUNT,  # where the sample begins in it
    "bytes": COUNT,
    "sha256": TEXT,  # of those bytes
}
_DRAWN = {
    "mode": TEXT,  # analytic or double
    "target_eye": TEXT,  # left or right
    "seed": COUNT,
    "disparity_pct": REAL,  # from the farthest to the nearest, percent of the width
    "convergence": REAL,  # inverse depth on the screen
    "dilation_px": COUNT,
    "crop_pct": REAL,
    "rotate_deg": REAL,
}
FILTERS: dict[str, pa.DataType] = {field.name: REAL for field in fields(ClipScores)}
"""See ``corpus.filters.ClipScores``; known of clips that were made or filtered out, not of near-duplicates."""
MEASURES: dict[str, pa.DataType] = {field.name: REAL for field in fields(PairMetrics) if field.type is float}
"""See ``dvg.sample.PairMetrics``."""
STAGES = ("decode", "flow", "depth", "pair", "encode", "write")
_COST = {
    **{f"{stage}_s": REAL for stage in STAGES},
    "total_s": REAL,
    "fps": REAL,  # frames / total_s
    "peak_memory_mb": REAL,
    "worker": TEXT,
    "host": TEXT,
    "started_at": TIME,
    "ended_at": TIME,
}
DRAWN = tuple(_DRAWN)

PAIRS_SCHEMA = table_schema(
    {**IDENTITY, **SCORES, **PLACE, **_OUTCOME, **_DRAWN, **FILTERS, **MEASURES, **_COST},
    frozenset({"source_uri", "status"}),
    PAIRS_VERSION_KEY,
    PAIRS_VERSION,
)
"""One row per planned clip; of a source that cannot be read there is one row without clip."""

PAIRS = RowTable(
    schema=PAIRS_SCHEMA,
    schema_name="PAIRS_SCHEMA",
    version=PAIRS_VERSION,
    version_key=PAIRS_VERSION_KEY,
    statuses=("done", "filtered", "failed"),
    identity=("work_key", "source_uri", "clip_id"),
    better=(("status", "ascending"), ("attempts", "descending"), ("ended_at", "descending")),  # done < failed
)
"""Of several rows for one clip a done one wins, then the one with more attempts, then the later."""

DUCKDB_EXAMPLES: dict[str, str] = {
    "What there is to train on": """
        SELECT split, width, height, count(*) AS clips, sum(frames) AS frames, round(sum(bytes) / 1e9, 2) AS gb
        FROM 'pairs.parquet' WHERE verdict = 'train' GROUP BY ALL ORDER BY ALL
    """,
    "Why clips are left out": """
        SELECT status, coalesce(reason, verdict_reasons) AS why, count(*) AS clips
        FROM 'pairs.parquet' WHERE verdict IS DISTINCT FROM 'train' GROUP BY ALL ORDER BY clips DESC
    """,
    "Where the time goes": """
        SELECT round(sum(decode_s) / sum(total_s), 3) AS decode, round(sum(depth_s) / sum(total_s), 3) AS depth,
               round(sum(pair_s) / sum(total_s), 3) AS pair, round(sum(encode_s) / sum(total_s), 3) AS encode,
               round(sum(frames) / sum(total_s), 2) AS fps
        FROM 'pairs.parquet' WHERE status = 'done'
    """,
}
"""SQL for DuckDB, run in the output folder."""
