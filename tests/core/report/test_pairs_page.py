from spatialdreamer_core.pairs.manifest import PAIRS
from spatialdreamer_core.report.pairs_page import COLUMNS, render_pairs_report
from tests.core.report.test_page import Page


def pair(number, uri="films/a.mp4", **more):
    base = {"source_uri": uri, "clip_id": f"{number:024x}", "start_frame": 16 * number, "start_s": number / 2}
    base |= {"frames": 16, "status": "done", "verdict": "train", "verdict_reasons": "", "split": "train"}
    return base | {"shard": "train-0", "bytes": 2_000_000, "hole_share": 0.03, "total_s": 2.0, "work_key": "k"} | more


ROWS = [
    pair(0),
    pair(1, verdict="review", verdict_reasons="few_holes,steady", hole_share=0.01, shard="train-1"),
    pair(2, verdict="reject", verdict_reasons="few_holes", hole_share=0.0),
    pair(3, status="filtered", verdict=None, reason="dark", shard=None, hole_share=None, bytes=None),
    pair(0, "films/b.mp4", status="failed", verdict=None, reason="decode_failed", message="torn", shard=None),
]


def test_a_dataset_says_what_is_in_it_and_what_is_not():
    page = Page(render_pairs_report(ROWS))
    assert "3 pairs made, 1 of them to train on; 1 clip failed" in page.text
    assert "Clips 5 1 filtered out, 1 failed" in page.text
    assert "To train on 1 1 to review, 1 rejected" in page.text
    assert "Shards 2 0.01 GB" in page.text
    assert "Cannot be decoded: 1 clip" in page.text


def test_reasons_are_counted_word_by_word():
    text = Page(render_pairs_report(ROWS)).text
    assert "few_holes 2, 66.7 % steady 1, 33.3 %" in text
    assert "dark 1, 100.0 %" in text


def test_the_tables_hold_shards_files_and_clips():
    page = Page(render_pairs_report(reversed(ROWS)))
    assert page.cells("shards", "Shard") == ["train-0", "train-1"]
    assert (page.cells("shards", "Pairs"), page.cells("shards", "MB")) == ([2, 1], [4.0, 2.0])
    assert (page.cells("files", "Train"), page.cells("files", "Filtered")) == ([1, 0], [1, 0])
    assert page.cells("clips", "File") == ["a.mp4"] * 4 + ["b.mp4"]
    assert page.cells("clips", "Verdict") == ["train", "review", "reject", None, None]
    assert page.cells("clips", "For") == ["", "few_holes,steady", "few_holes", "dark", "decode_failed"]


def test_no_rows_and_some_columns_make_pages_too(tmp_path):
    assert "No pair has been planned yet" in Page(render_pairs_report([])).text
    PAIRS.write(ROWS, tmp_path / "pairs.parquet")
    table = PAIRS.read_columns(tmp_path / "pairs.parquet", COLUMNS, "pairs")
    assert render_pairs_report(table) == render_pairs_report(ROWS)
