import json
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import pytest

from spatialdreamer_core.errors import ClipError, SpatialDreamerError
from spatialdreamer_core.report import pictures, tables
from spatialdreamer_core.report.advice import ADVICE
from spatialdreamer_core.report.page import COLUMNS, render_report, write_report
from spatialdreamer_core.report.pictures import MOST_SHEETS
from spatialdreamer_core.store.manifest import read_columns, rows_to_table, write_fragment

NINE = datetime(2024, 5, 6, 9, tzinfo=UTC)
JPEG = b"\xff\xd8made-up\xff\xd9"


def done(segment, uri="films/a.mp4", **more):
    start = 4.0 * segment
    return {
        "source_uri": uri,
        "segment": segment,
        "shot": segment,
        "status": "done",
        "start_s": start,
        "end_s": start + 4,
        "frames": 100,
        "total_s": 5.0,
        "decode_s": 1.0,
        "depth_s": 3.0,
        "comfort_score": 90.0,
        "comfort_verdict": "safe",
        "disparity_p1_pct": -1.0,
        "disparity_p50_pct": 0.0,
        "disparity_p99_pct": 0.8,
        "hole_share_mean": 0.01,
        "hole_share_max": 0.02,
        "settings": '{"stereo":{"strength_pct":null},"quality":"fast"}',
        "work_key": "feed",
        **more,
    }


def failed(segment, uri="films/a.mp4", **more):
    return {"source_uri": uri, "segment": segment, "status": "failed", "reason": "decode_failed"} | more


def no_sheet(_row):
    return None


class Page(HTMLParser):
    """What a browser would see: tags with attributes, texts, and the script's data."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.words, self._inside = [], [], []
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
        self.data = json.loads(data.group(1))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside.append(tag)

    def handle_endtag(self, tag):
        while self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self._inside):
            self.words.append(data)

    def cells(self, table, column):
        found = {label: (kind, values) for label, kind, _, values in self.data["tables"][table]["columns"]}
        kind, values = found[column]
        return [self.data["names"][value] for value in values] if kind == "name" else values


def test_a_finished_run_says_so_and_adds_up():
    rows = [
        done(number, started_at=NINE + timedelta(seconds=4 * number), ended_at=NINE + timedelta(seconds=4 * number + 5))
        for number in range(10)
    ]
    page = Page(render_report(rows, no_sheet))
    assert "All 10 clips are done, of 1 file" in page.text
    assert "Video 40 s 1,000 frames" in page.text
    assert "Wall time 41 s 24.4 frames/s" in page.text
    assert "Worker time 50 s 20.0 frames/s per worker" in page.text
    assert "What failed" not in page.text


def test_wall_time_leaves_out_the_pause_between_two_runs():
    pause = timedelta(days=3)
    rows = [
        done(0, started_at=NINE, ended_at=NINE + timedelta(seconds=10)),
        done(1, started_at=NINE + pause, ended_at=NINE + pause + timedelta(seconds=20)),
    ]
    assert "Wall time 30 s" in Page(render_report(rows, no_sheet)).text


def test_failures_come_first_grouped_with_what_to_do():
    rows = [done(0), *(failed(n, message="frame 7 is torn") for n in (1, 2)), failed(0, "b.mp4", reason="worker_died")]
    page = Page(render_report(rows, no_sheet))
    assert "3 of 4 clips failed, in 2 of 2 files" in page.text
    assert page.text.index("What failed, and what to do") < page.text.index("The run at a glance")
    assert "Cannot be decoded: 2 clips decode_failed " + ADVICE["decode_failed"][1] in page.text
    assert "a.mp4 2 clips frame 7 is torn" in page.text
    assert page.text.index("decode_failed") < page.text.index("worker_died")


def every_error(base):
    return [base, *(error for child in base.__subclasses__() for error in every_error(child))]


@pytest.mark.parametrize("error", [*every_error(ClipError), SpatialDreamerError])
def test_an_error_that_a_clip_can_end_with_has_advice_or_its_name(error):
    rows = [failed(0, reason=error.reason, message="why")]
    page = Page(render_report(rows, no_sheet))
    assert error.reason in page.text
    assert error is SpatialDreamerError or error.reason in ADVICE


def test_text_from_outside_never_becomes_markup():
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>.mp4"
    rows = [
        done(0, evil, notes=[evil], comfort_flags=[evil], settings=json.dumps({evil: evil}), depth_name=evil),
        failed(1, evil, message=evil, reason=evil),
    ]
    html = render_report(rows, lambda row: JPEG, title=evil)
    page = Page(html)
    assert len([tag for tag, _ in page.tags if tag == "script"]) == 2
    assert all(
        attributes.get("src", "").startswith("data:")
        for tag, attributes in page.tags
        if tag == "img" and attributes.get("alt")
    )
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "alert(1)</script>" not in html
    assert page.data["uris"] == [evil]


def test_the_page_asks_the_network_for_nothing():
    html = render_report([done(0)], lambda row: JPEG)
    assert "default-src 'none'" in html
    for _, attributes in Page(html).tags:
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith("data:")
    assert not re.search(r"https?://|@import|url\((?!.\$\{picture)", html)


def test_sheets_are_embedded_once_and_not_too_many():
    asked = []

    def sheet(row):
        asked.append((row["source_uri"], row["segment"]))
        return JPEG

    rows = [done(n, f"{n:03d}.mp4", comfort_score=n / 2, hole_share_max=0.5) for n in range(150)]
    page = Page(render_report(rows, sheet))
    pictures = [attributes for tag, attributes in page.tags if tag == "img" and attributes.get("alt")]
    assert len(pictures) == len(asked) == len(set(asked)) == MOST_SHEETS
    assert asked[:6] == [(f"{n:03d}.mp4", n) for n in range(6)]


def test_a_row_without_a_sheet_gives_its_place_to_the_next():
    rows = [done(n, comfort_score=10.0 + n) for n in range(9)]
    page = Page(render_report(rows, lambda row: JPEG if row["segment"] >= 5 else None))
    assert "Lowest comfort a.mp4 0:20 · comfort 15" in page.text


def test_the_tables_hold_every_clip_and_file():
    rows = [done(1, "x/a.mp4"), done(0, "x/a.mp4", comfort_flags=["front"]), failed(-1, "y/a.mp4", shot=-1)]
    page = Page(render_report(rows, no_sheet))
    assert page.cells("clips", "File") == ["x/a.mp4", "x/a.mp4", "y/a.mp4"]
    assert page.cells("clips", "Clip") == [0, 1, None]
    assert page.cells("clips", "Status") == ["safe", "safe", "failed"]
    assert page.cells("clips", "For") == ["front", "", "decode_failed"]
    assert page.cells("clips", "Holes") == [1.0, 1.0, None]
    assert page.cells("files", "Status") == ["done", "failed"]
    assert page.cells("files", "Frames") == [200, 0]


def test_different_settings_are_told_apart():
    rows = [done(n) for n in range(3)] + [done(9, settings='{"quality":"best"}', work_key="beef", run_id="r2")]
    text = Page(render_report(rows, no_sheet)).text
    assert "3 clips, work feed" in text
    assert "stereo.strength_pct automatic quality fast" in text
    assert "1 clip, work beef" in text
    assert "runs r2" in text


def test_long_runs_draw_a_bounded_number_of_columns():
    rows = [done(n % 50, f"{n // 50:03d}.mp4") for n in range(3000)]
    html = render_report(rows, no_sheet)
    assert 200 < html.count("<title>000.mp4") + html.count('class="hit"') < 600
    assert len(html) < 900_000


def test_no_rows_and_rows_without_measures_are_pages_too():
    assert "Nothing has been converted yet" in Page(render_report([], no_sheet)).text
    bare = Page(render_report([{"source_uri": "a", "segment": 0, "status": "done"}], no_sheet))
    assert "The one clip is done, of 1 file" in bare.text
    assert "The run at a glance" not in bare.text


def test_rows_and_table_give_the_same_file_and_nothing_else_lies_there(tmp_path):
    rows = [done(0), failed(1)]
    write_report(rows, no_sheet, tmp_path / "a.html")
    write_report(rows_to_table(reversed(rows)), no_sheet, str(tmp_path / "b.html"))
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html"]


def test_of_a_large_library_the_tables_hold_what_most_needs_a_look(monkeypatch):
    monkeypatch.setattr(tables, "MOST_CLIPS", 4)
    monkeypatch.setattr(tables, "MOST_FILES", 2)
    rows = [done(n, f"{n}.mp4", comfort_score=50.0 + n) for n in range(6)] + [failed(6, "6.mp4")]
    page = Page(render_report(rows, no_sheet))
    assert page.cells("clips", "File") == ["0.mp4", "1.mp4", "2.mp4", "6.mp4"]
    assert page.cells("files", "File") == ["0.mp4", "6.mp4"]
    assert tuple(page.data["tables"][name]["of"] for name in ("clips", "files")) == (7, 7)
    assert "Files 7 6 finished" in page.text


def test_pictures_are_bounded_in_bytes_too(monkeypatch):
    monkeypatch.setattr(pictures, "MOST_SHEET_BYTES", 2 * len(JPEG))
    html = render_report([done(n, f"{n}.mp4") for n in range(5)], lambda row: JPEG)
    assert html.count("data:image/jpeg") == 2


def test_a_file_tells_the_median_the_extremes_and_the_notes_of_its_clips():
    scores = [70.0, 90.0, None, 85.0]
    rows = [done(n, comfort_score=score, notes=["padded"] if n else []) for n, score in enumerate(scores)]
    rows += [done(0, "z.mp4", comfort_score=None, disparity_p99_pct=2.5, hole_share_mean=None)]
    page = Page(render_report(rows, no_sheet))
    assert page.cells("files", "Comfort") == [85.0, None]
    assert page.cells("files", "Lowest") == [70.0, None]
    assert page.cells("files", "Near") == [0.8, 2.5]
    assert page.cells("files", "Holes") == [1.0, None]
    assert page.cells("files", "Notes") == ["padded", ""]


def test_the_gate_is_told_and_what_does_not_pass_is_shown_first():
    rows = [
        done(0, gate="pass", take=1, comfort_score=60.0),
        done(1, gate="review", gate_reasons=["cut_jump_pct"], take=1),
        done(2, gate="fail", gate_reasons=["hole_share_max"], take=2, strength_pct=1.2),
        failed(3, gate="fail", gate_reasons=["decode_failed"]),
    ]
    page = Page(render_report(rows, lambda row: JPEG))
    assert "Gate 25 % pass; 1 to review, 2 fail; 1 made again" in page.text
    assert page.cells("clips", "Gate") == ["pass", "review", "fail", "fail"]
    assert page.cells("clips", "For") == ["", "cut_jump_pct", "hole_share_max", "decode_failed"]
    assert "Fail the gate a.mp4 0:08" in page.text
    assert "for hole_share_max Lowest comfort" in page.text


def test_the_cost_is_told_for_the_run_and_for_each_machine():
    rows = [done(0, host="a", peak_memory_mb=500.0), done(1, host="b", total_s=10.0, peak_memory_mb=700.0)]
    text = Page(render_report(rows, no_sheet)).text
    assert "Cost 1.88 h of one worker for an hour of video" in text
    assert "b 1 10 s 10.0 700 MB a 1 5 s 20.0 500 MB" in text


def test_some_columns_of_a_file_make_the_same_page_as_its_rows(tmp_path):
    rows = [*(done(n % 7, f"{n // 7}.mp4", notes=["a"], comfort_flags=["front"]) for n in range(40)), failed(50)]
    write_fragment(rows, tmp_path / "manifest.parquet")
    table = read_columns(tmp_path / "manifest.parquet", COLUMNS, "manifest")
    assert table.column_names == list(COLUMNS)
    assert render_report(table, no_sheet) == render_report(rows, no_sheet)
