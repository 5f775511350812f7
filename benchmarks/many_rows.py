"""A manifest of any number of rows, with numbers as a library has them: for measuring pages, not for judging video."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.store.manifest import CLIPS_SCHEMA, SCHEMA_VERSION

CLIPS_PER_FILE = 40
_START = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * 1e6)
_STAGES = ("decode", "shrink", "depth", "flow", "warp", "fill", "refine", "metrics", "encode")
_FLAGS = [[], [], [], ["front"], ["window", "front"], ["flicker"], ["behind", "range"]]


def many_rows(rows: int, seed: int = 0) -> pa.Table:
    """Make a manifest's table: 40 clips a file, one in 200 failed, three models, two settings, 16 machines."""
    rng = np.random.default_rng(seed)
    number = np.arange(rows)
    file, segment = number // CLIPS_PER_FILE, number % CLIPS_PER_FILE
    done = rng.random(rows) > 0.005
    frames = rng.integers(40, 241, rows)
    start_s = segment * 8.0
    total_s = frames / rng.uniform(9, 25, rows)
    score = np.clip(100 - rng.gamma(1.2, 9.0, rows), 0, 100)
    work = file % 6
    models = [("builtin", "d1"), ("builtin", "d2"), ("depth-anything-v2-small", "d3")]
    asked = [json.dumps(asdict(ConvertConfig(quality=quality)), sort_keys=True) for quality in ("fast", "best")]
    share = rng.dirichlet(np.ones(len(_STAGES)), rows) * 0.97
    begun = _START + np.sort(rng.integers(0, 86_400 * 90, rows)) * 1_000_000
    columns: dict[str, Any] = {
        "schema_version": _words([SCHEMA_VERSION], number * 0),
        "source_uri": _words([f"s3://films/season {n // 500:03d}/film {n:06d}.mkv" for n in range(file[-1] + 1)], file),
        "source_id": _words([f"{n:016x}" for n in range(file[-1] + 1)], file),
        "shot": segment // 2,
        "segment": segment,
        "start_frame": segment * 200,
        "end_frame": segment * 200 + frames,
        "start_s": start_s,
        "end_s": start_s + frames / 25,
        "work_key": _words([f"{n:016x}" for n in range(6)], work),
        "run_id": _words([f"run-{n:02d}" for n in range(90)], (begun - _START) // 86_400_000_000),
        "settings": _words(asked, work // 3),
        "depth_name": _words([name for name, _ in models], work % 3),
        "depth_digest": _words([digest for _, digest in models], work % 3),
        "code_version": _words(["0.1.0"], number * 0),
        "strength_pct": rng.uniform(0.8, 2.0, rows),
        "status": _words(["failed", "done"], done.astype(int)),
        "reason": pc.if_else(
            pa.array(done), None, _words(["decode_failed", "worker_died", "hung"], rng.integers(0, 3, rows))
        ),
        "message": pa.array([None if ok else f"clip {n}: frame 7 is torn" for n, ok in enumerate(done)], pa.string()),
        "attempts": np.ones(rows, np.int64),
        "frames": frames,
        "notes": pa.array([[]] * rows, pa.list_(pa.string())),
        "sheet": pa.array([f".spatialdreamer/work/a/b/sheets/{n:06d}.jpg" for n in segment], pa.string()),
        "total_s": total_s,
        "fps": frames / total_s,
        "peak_memory_mb": rng.uniform(350, 900, rows),
        "host": _words([f"node-{n:02d}" for n in range(16)], rng.integers(0, 16, rows)),
        "started_at": pa.array(begun, pa.timestamp("us", tz="UTC")),
        "ended_at": pa.array(begun + (total_s * 1e6).astype(np.int64), pa.timestamp("us", tz="UTC")),
        "luma_step_max": rng.gamma(1.0, 0.15, rows),
        "sharpness_ratio": rng.normal(1.05, 0.03, rows),
        "e_warp_ratio": rng.gamma(20, 0.05, rows),
        "hole_share_mean": rng.beta(1.5, 80, rows),
        "hole_share_max": rng.beta(1.5, 40, rows),
        "disparity_p1_pct": -rng.uniform(0.2, 1.8, rows),
        "disparity_p50_pct": rng.normal(-0.3, 0.2, rows),
        "disparity_p99_pct": rng.uniform(0.0, 1.4, rows),
        "comfort_score": score,
        "comfort_verdict": _words(["unsafe", "borderline", "safe"], np.digitize(score, [50, 80])),
        "comfort_flags": pa.array([_FLAGS[n] for n in rng.integers(0, len(_FLAGS), rows)], pa.list_(pa.string())),
        "cut_jump_pct": rng.gamma(1.0, 0.3, rows),
        "gate": _words(["fail", "review", "pass"], np.where(done, np.digitize(score, [50, 80]), 0)),
        "gate_reasons": pa.array([[] if s >= 80 else ["comfort_score"] for s in score], pa.list_(pa.string())),
        "take": np.ones(rows, np.int64),
    }
    columns |= {f"{stage}_s": share[:, place] * total_s for place, stage in enumerate(_STAGES)}
    measured = {"sharpness_ratio", "e_warp_ratio", "comfort_score", "comfort_verdict", "comfort_flags", "sheet"}
    arrays = []
    for field in CLIPS_SCHEMA:
        values = columns.get(field.name)
        if values is None:
            values = rng.random(rows) if field.type == pa.float64() else pa.nulls(rows, field.type)
        array = pa.array(values).cast(field.type)
        is_measure = field.name in measured or field.name.startswith(("luma_", "hole_", "disparity_"))
        arrays.append(pc.if_else(pa.array(done), array, None) if is_measure else array)
    return pa.Table.from_arrays(arrays, schema=CLIPS_SCHEMA)


def _words(words: list[str], codes: Any) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array(np.asarray(codes, np.int32)), pa.array(words)).cast(pa.string())
