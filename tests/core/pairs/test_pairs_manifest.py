import os
from pathlib import Path

import pytest

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs.manifest import DUCKDB_EXAMPLES, PAIRS
from spatialdreamer_core.store.manifest import CLIPS

ROWS = [
    {"clip_id": "a", "source_uri": "x.mkv", "status": "done", "verdict": "train", "split": "train", "frames": 16,
     "width": 512, "height": 288, "bytes": 10**9, "total_s": 2.0, "decode_s": 1.0, "depth_s": 0.5, "pair_s": 0.25,
     "encode_s": 0.25},
    {"clip_id": "b", "source_uri": "x.mkv", "status": "done", "verdict": "review", "verdict_reasons": "hole_share",
     "split": "train", "frames": 16, "width": 512, "height": 288, "total_s": 2.0},
    {"clip_id": "c", "source_uri": "x.mkv", "status": "filtered", "reason": "dark"},
    {"source_uri": "y.mkv", "status": "failed", "reason": "unreadable", "message": "y.mkv: no film"},
]  # fmt: skip


def test_the_queries_of_the_documents_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    duckdb = pytest.importorskip("duckdb")
    PAIRS.write(ROWS, tmp_path / "pairs.parquet")
    monkeypatch.chdir(tmp_path)
    answers = {title: duckdb.sql(query).fetchall() for title, query in DUCKDB_EXAMPLES.items()}
    assert answers["What there is to train on"] == [("train", 512, 288, 1, 16, 1.0)]
    assert set(answers["Why clips are left out"]) == {
        ("done", "hole_share", 1), ("filtered", "dark", 1), ("failed", "unreadable", 1)
    }  # fmt: skip
    assert os.path.exists("pairs.parquet")


def test_of_several_rows_for_one_clip_the_done_one_stays() -> None:
    failed = ROWS[0] | {"status": "failed", "verdict": None, "reason": "hung"}
    table = PAIRS.compact([PAIRS.from_rows([failed, ROWS[2]]), PAIRS.from_rows([ROWS[0]])])
    assert [(row["clip_id"], row["status"]) for row in table.to_pylist()] == [("a", "done"), ("c", "filtered")]


def test_a_manifest_of_conversions_is_none_of_pairs_and_the_other_way_round() -> None:
    of_clips = CLIPS.fragment([{"source_uri": "x", "segment": 0, "status": "done"}])
    with pytest.raises(StoreError, match="not a manifest"):
        PAIRS.read(of_clips, "manifest.parquet")
    with pytest.raises(StoreError, match="not a manifest"):
        CLIPS.read(PAIRS.fragment(ROWS), "pairs.parquet")


def test_every_measure_has_its_column() -> None:
    wanted = {"motion_px", "blur", "text_share", "hole_share", "cycle_psnr_db", "flow_confidence", "mask_growth",
              "mask_stability", "deviation_strength", "disparity_p02_pct", "disparity_p98_pct"}  # fmt: skip
    assert wanted <= set(PAIRS.schema.names)
