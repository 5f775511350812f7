"""The dashboard: what it asks of a library, what it refuses, and the real page in a real browser."""

import base64
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import cv2
import duckdb
import numpy as np
import pytest
from typer.testing import CliRunner

from flows.cli import app
from flows.commands import dashboard as command
from flows.dashboard import pairs, queries
from flows.dashboard.app import escaped
from flows.dashboard.library import Latest, Library, checked_key, open_library
from flows.dashboard.preview import preview
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs.manifest import PAIRS
from spatialdreamer_core.store.manifest import write_fragment
from spatialdreamer_core.store.place import Place
from tests.browser import asked_for, browser, needs_browser
from tests.core.report.test_pairs_page import ROWS as PAIR_ROWS
from tests.flows import conftest
from tests.media import scene, write_video

NOON = datetime(2026, 5, 6, 12, tzinfo=UTC)
FAST = '{"encode":{"layout":"full-sbs"},"quality":"fast","stereo":{"swap_eyes":false}}'
BEST = '{"encode":{"layout":"full-sbs"},"quality":"best","stereo":{"swap_eyes":false}}'


def row(segment: int, uri: str = "films/a.mp4", **more: Any) -> dict[str, Any]:
    base = {"source_uri": uri, "segment": segment, "shot": 0, "status": "done", "start_s": 4.0 * segment}
    base |= {"end_s": 4.0 * segment + 4, "frames": 100, "total_s": 5.0, "comfort_score": 90.0, "gate": "pass"}
    return base | {"gate_reasons": [], "ended_at": NOON, "settings": FAST, "depth_name": "builtin"} | more


ROWS = [
    row(0),
    row(1, comfort_score=40.0, gate="fail", gate_reasons=["comfort_score"], ended_at=NOON + timedelta(days=9)),
    row(0, "films/B.mp4", comfort_score=70.0, gate="review", gate_reasons=["comfort_score"], settings=BEST),
    row(1, "films/B.mp4", depth_name="large", depth_digest="abc"),
    {"source_uri": "films/c.mp4", "segment": -1, "status": "failed", "reason": "unreadable", "message": "torn"},
]


def library_of(folder: Path, rows: list[dict[str, Any]]) -> Library:
    write_fragment(rows, folder / "manifest.parquet")
    return open_library(str(folder))


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return library_of(tmp_path, ROWS)


def test_the_head_adds_up(library: Library) -> None:
    found = queries.totals(library)
    assert (found["files"], found["files_failed"], found["clips"], found["failed"]) == (3, 1, 5, 1)
    assert (found["video_s"], found["frames"], found["work_s"], found["comfort"]) == (16.0, 400, 20.0, 80.0)
    assert (found["judged"], found["passed"], found["review"]) == (4, 2, 1)


def test_progress_and_quality_go_by_day(library: Library) -> None:
    assert queries.progress(library)["hours in all"].to_pylist() == pytest.approx([12 / 3600, 16 / 3600])
    assert queries.quality_over_time(library)["comfort"].to_pylist() == [pytest.approx(83.3), 40.0]
    assert queries.quality_over_time(library)["gate passed %"].to_pylist() == [pytest.approx(66.7), 0.0]


def test_settings_are_compared_by_what_differs(library: Library) -> None:
    found = queries.by_settings(library)
    assert [(one["quality"], one["clips"]) for one in found] == [("fast", 3), ("best", 1)]
    assert "encode.layout" not in found[0]


def test_models_are_compared(library: Library) -> None:
    table = queries.by_model(library)
    assert list(zip(table["model"].to_pylist(), table["clips"].to_pylist(), strict=True)) == [
        ("builtin", 3),
        ("large", 1),
    ]
    assert set(queries.comfort_by_model(library)["model"].to_pylist()) == {"builtin", "large abc"}
    assert queries.models(library) == ["builtin", "large"]


def test_verdicts_and_their_reasons_are_counted(library: Library) -> None:
    reasons = queries.gate_reasons(library).to_pylist()
    assert reasons == [{"why": "comfort_score", "pass": 0, "review": 1, "fail": 1, "not judged": 0}]
    assert queries.comfort_spread(library)["comfort"].to_pylist() == [40, 70, 90]


def test_failures_are_told_by_reason(library: Library) -> None:
    assert queries.failures(library) == [{"reason": "unreadable", "clips": 1, "files": 1}]
    assert queries.failed_clips(library, None)["message"].to_pylist() == ["torn"]
    assert queries.failed_clips(library, "hung").num_rows == 0


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, [("films/a.mp4", 1), ("films/B.mp4", 0), ("films/a.mp4", 0), ("films/B.mp4", 1)]),
        ({"text": "b.MP4"}, [("films/B.mp4", 0), ("films/B.mp4", 1)]),
        ({"gate": ("fail", "review")}, [("films/a.mp4", 1), ("films/B.mp4", 0)]),
        ({"model": ("large",)}, [("films/B.mp4", 1)]),
        ({"text": "' OR 1=1 --"}, []),
    ],
)
def test_clips_are_found(library: Library, wanted: dict[str, Any], found: list[tuple[str, int]]) -> None:
    table = queries.clips(library, queries.Wanted(**wanted))
    assert list(zip(table["file"].to_pylist(), table["clip"].to_pylist(), strict=True)) == found


def test_every_way_of_sorting_is_one_that_the_library_knows(library: Library) -> None:
    for sort in queries.SORTS:
        assert queries.clips(library, queries.Wanted(sort=sort)).num_rows == 4


def test_a_clip_is_looked_up_with_its_settings(library: Library) -> None:
    clip = queries.clip_at(library, "films/B.mp4", 0)
    assert clip is not None
    assert (clip["comfort_score"], clip["settings"]) == (70.0, BEST)
    assert queries.clip_number(library, clip["number"]) == clip
    assert queries.clip_at(library, "films/nothing.mp4", 0) is None


def test_no_query_reaches_files_or_loads_code(library: Library, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    for query in (f"SELECT * FROM '{tmp_path}/secret.csv'", "INSTALL httpfs", f"COPY clips TO '{tmp_path}/x.csv'"):
        with pytest.raises(duckdb.Error):
            library.ask(query)
    with pytest.raises(duckdb.Error):
        library.ask("SET enable_external_access = true")
    assert not (tmp_path / "x.csv").exists()


def test_keys_that_lead_out_of_the_library_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "out"
    (root / "in").mkdir(parents=True)
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    (root / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (root / "in" / "film.mkv").write_bytes(b"film")
    place = Place(str(root))
    for key in ("../secret.jpg", str(tmp_path / "secret.jpg"), "in/../../secret.jpg", "link.jpg"):
        with pytest.raises(StoreError, match=r"(out|outside) of the output"):
            checked_key(place, key)
    assert checked_key(place, "in/film.mkv") == "in/film.mkv"


def test_a_new_manifest_is_read_and_an_old_one_is_not_read_again(tmp_path: Path) -> None:
    write_fragment(ROWS, tmp_path / "manifest.parquet")
    latest = Latest(str(tmp_path))
    first = latest()
    assert latest() is first
    write_fragment(ROWS[:2], tmp_path / "manifest.parquet")
    assert (first.rows, latest().rows) == (5, 2)


def test_a_dataset_of_pairs_is_asked_other_questions(tmp_path: Path) -> None:
    PAIRS.write(PAIR_ROWS, tmp_path / "pairs.parquet")
    library = open_library(str(tmp_path))
    found = pairs.totals(library)
    assert (library.kind, found["clips"], found["pairs"], found["train"], found["shards"]) == ("pairs", 5, 3, 1, 2)
    reasons = {(row["outcome"], row["why"]): row["clips"] for row in pairs.left_out(library).to_pylist()}
    assert reasons == {
        ("review", "few_holes"): 1,
        ("review", "steady"): 1,
        ("reject", "few_holes"): 1,
        ("filtered", "dark"): 1,
        ("failed", "decode_failed"): 1,
    }
    assert pairs.shards(library)["pairs"].to_pylist() == [2, 1]
    assert sum(pairs.holes(library)["pairs"].to_pylist()) == 4
    assert pairs.by_source(library)["file"].to_pylist() == ["films/b.mp4", "films/a.mp4"]


def test_names_are_shown_as_they_stand() -> None:
    assert escaped("a_b ![x](http://host/x.png)") == r"a_b \!\[x\]\(http\:\/\/host\/x\.png\)"


RED, BLUE = (200, 30, 30), (30, 30, 200)


def packed(layout: str, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> np.ndarray:
    """One picture of a layout: the first eye of one colour, the second of another."""
    picture = np.empty((64, 96, 3), np.uint8)
    picture[:] = top
    match layout:
        case "full-sbs" | "half-sbs":
            picture[:, 48:] = bottom
        case "full-tb":
            picture[32:] = bottom
        case "interleaved":
            picture[1::2] = bottom
    return picture


def halves(mp4: bytes, tmp_path: Path, at: int = 0) -> list[int]:
    """Which of R, G and B is strongest in the left and in the right half of a picture."""
    (tmp_path / "preview.mp4").write_bytes(mp4)
    with av.open(str(tmp_path / "preview.mp4")) as container:
        picture = list(container.decode(video=0))[at].to_ndarray(format="rgb24")
    middle = picture.shape[1] // 2
    return [int(half.mean(axis=(0, 1)).argmax()) for half in (picture[:, :middle], picture[:, middle:])]


@pytest.mark.parametrize("layout", ["full-sbs", "half-sbs", "full-tb", "interleaved"])
@pytest.mark.parametrize("swapped", [False, True])
def test_a_preview_has_the_left_eye_left_whatever_the_layout(tmp_path: Path, layout: str, swapped: bool) -> None:
    pixels = "yuv444p" if layout == "interleaved" else "yuv420p"
    write_video(tmp_path / "a.mkv", [packed(layout, RED, BLUE)] * 5, pixel_format=pixels)
    clip = {"output": ["a.mkv"], "start_s": 0.0, "end_s": 0.2, "width": 48, "height": 32}
    shown = preview(Place(str(tmp_path)), clip, layout, swapped=swapped)
    assert (shown.stereo, shown.width, shown.height) == (True, 96, 32)
    assert halves(shown.mp4, tmp_path) == ([2, 0] if swapped else [0, 2])


def test_a_preview_shows_the_clip_and_no_other(tmp_path: Path) -> None:
    first, second = packed("full-sbs", RED, BLUE), packed("full-sbs", BLUE, RED)
    write_video(tmp_path / "a.mkv", [first] * 30 + [second] * 30)
    clip = {"output": ["a.mkv"], "start_s": 1.2, "end_s": 2.4, "width": 48, "height": 64}
    shown = preview(Place(str(tmp_path)), clip, "full-sbs", swapped=False)
    assert [halves(shown.mp4, tmp_path, at) for at in (0, -1)] == [[2, 0], [2, 0]]


def test_a_preview_of_two_files_and_of_what_has_no_eyes(tmp_path: Path) -> None:
    write_video(tmp_path / "l.mkv", [packed("", RED, RED)] * 5)
    write_video(tmp_path / "r.mkv", [packed("", BLUE, BLUE)] * 5)
    clip = {"output": ["l.mkv", "r.mkv"], "start_s": 0.0, "end_s": 0.2, "width": 96, "height": 64}
    shown = preview(Place(str(tmp_path)), clip, "left-right-files", swapped=False)
    assert halves(shown.mp4, tmp_path) == [0, 2]
    flat = preview(Place(str(tmp_path)), clip, "anaglyph-dubois", swapped=False)
    assert (flat.stereo, flat.width) == (False, 96)


def test_a_clip_without_a_finished_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="not finished"):
        preview(Place(str(tmp_path)), {"output": None}, "full-sbs", swapped=False)


def test_what_cannot_be_shown_is_told_before_anything_is_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = CliRunner().invoke(app, ["dashboard", str(tmp_path)])
    assert missing.exit_code == 1
    assert "no manifest.parquet there" in missing.stderr
    (tmp_path / "manifest.parquet").write_bytes(b"PAR1 torn")
    torn = CliRunner().invoke(app, ["dashboard", str(tmp_path)])
    assert torn.exit_code == 1
    assert "not a readable Parquet file" in torn.stderr
    monkeypatch.setattr(command, "NEEDED", ("streamlit", "no_such_package"))
    bare = CliRunner().invoke(app, ["dashboard", str(tmp_path)])
    assert bare.exit_code == 2
    assert "needs no_such_package; pip install 'spatialdreamer[dashboard]'" in bare.stderr


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, conftest.Library]]:
    """The dashboard of a converted film and a broken one, as the command serves it."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "films").mkdir()
    write_video(folder / "films" / "pan.mkv", scene(24, width=96, height=54))
    (folder / "films" / "broken.mp4").write_bytes(b"no film")
    library = conftest.Library(folder / "films", folder / "out")
    library.convert(**{"convert.segment_frames": 12})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parents[2]
    log = (folder / "log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "dashboard", str(library.output), "--port", str(port)],
        cwd=root, env=os.environ | {"PYTHONPATH": str(root)}, stdout=log, stderr=log,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(600):
            assert server.poll() is None, (folder / "log").read_text()
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield url, library
    finally:
        server.terminate()
        server.wait(20)
        log.close()


@pytest.fixture(scope="module")
def page(served: tuple[str, conftest.Library], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browser(tmp_path_factory.mktemp("profile")) as driver:
        driver.implicitly_wait(20)
        yield driver


def body(page: Any, words: str) -> str:
    """The text of the page, once these words are in it."""
    for _ in range(200):
        text = str(page.find_element("tag name", "body").text)
        if words in text:
            return text
        time.sleep(0.1)
    raise AssertionError(f"{words!r} never came: {text}")


def test_only_this_machine_is_listened_to(served: tuple[str, conftest.Library]) -> None:
    port = int(served[0].rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    addresses = {match[1] for match in re.finditer(rf"^\s*\d+: ([0-9A-F]+):{port:04X} \S+ 0A", listening, re.MULTILINE)}
    assert addresses == {"0100007F"}


@pytest.mark.parametrize("path", ["/../../../etc/hostname", "/app/static/pan.mkv", "/static/../../../../etc/hostname"])
def test_no_address_serves_a_file_of_this_machine(served: tuple[str, conftest.Library], path: str) -> None:
    port = int(served[0].rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert Path("/etc/hostname").read_bytes().strip() not in answer
    assert b"matroska" not in answer


@pytest.mark.browser
@needs_browser
def test_the_views_show_the_library_and_ask_nobody_else(page: Any, served: tuple[str, conftest.Library]) -> None:
    page.get(served[0])
    assert "1 failed" in body(page, "Files\n2")
    for view, words in {
        "Quality": "Clips by comfort",
        "Models and settings": "Comfort by model",
        "Failures": "Cannot be opened: 1 clip of 1 file, unreadable",
        "Clips": "2 clips; choose one",
    }.items():
        page.find_element("xpath", f"//button[normalize-space()='{view}']").click()
        body(page, words)
    assert not page.find_elements("css selector", "[data-testid=stException]")
    hosts = {address.partition("://")[2].partition("/")[0] for address in asked_for(page) if "://" in address}
    assert hosts == {served[0].partition("://")[2]}


@pytest.mark.browser
@needs_browser
def test_a_link_opens_a_clip_and_it_plays_in_stereo(page: Any, served: tuple[str, conftest.Library]) -> None:
    url, library = served
    page.get(f"{url}/?clip={quote(str(library.films / 'pan.mkv'))}&segment=1")
    body(page, "pan.mkv, clip 1")
    page.switch_to.frame(page.find_element("css selector", "iframe[srcdoc]"))
    canvas = page.find_element("css selector", "canvas")
    sizes, means = {}, {}
    for view in ("Side by side", "Red-cyan", "Left", "Right", "Wiggle"):
        page.find_element("xpath", f"//button[text()='{view}']").click()
        page.execute_async_script("setTimeout(arguments[0], 300)")
        sizes[view] = page.execute_script("return [arguments[0].width, arguments[0].height]", canvas)
        data = page.execute_script("return arguments[0].toDataURL()", canvas).partition(",")[2]
        picture = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        means[view] = picture.reshape(-1, 3).mean(axis=0)[::-1]
    page.switch_to.default_content()
    assert sizes["Side by side"] == [192, 54]
    assert {tuple(size) for view, size in sizes.items() if view != "Side by side"} == {(96, 54)}
    assert min(mean.min() for mean in means.values()) > 20, "nothing is black"
    assert means["Red-cyan"] == pytest.approx([means["Left"][0], *means["Right"][1:]], abs=8)


@pytest.mark.browser
@needs_browser
def test_a_link_to_a_clip_that_is_not_there_says_so(page: Any, served: tuple[str, conftest.Library]) -> None:
    page.get(f"{served[0]}/?clip=../../etc/passwd&segment=0")
    body(page, "There is no clip 0 of ../../etc/passwd in this library.")
