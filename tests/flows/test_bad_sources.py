"""Sources as libraries hold them: each gets its row with a sentence, and harms no other."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from tests.flows.conftest import Library
from tests.media import decoded, flip_bytes, grey_frames, join_bytes, scene, write_audio, write_video

SMALL: dict[str, Any] = {"width": 48, "height": 32}
NAME = "3D.FSBS_LRF_Full_SBS.mkv"


@pytest.fixture
def folder(tmp_path: Path) -> Library:
    """A folder with one good film."""
    films = tmp_path / "films"
    films.mkdir()
    write_video(films / "good.mkv", scene(6, **SMALL))
    return Library(films, tmp_path / "out")


def rows_of(library: Library, name: str) -> list[dict[str, Any]]:
    return [row for row in library.rows() if row["source_uri"].endswith(name)]


def good_is_made(library: Library) -> bool:
    return len(decoded(library.output / f"good.{NAME}")) == 6 and [
        row["status"] for row in rows_of(library, "good.mkv")
    ] == ["done"]


def short_headed(path: Path) -> None:
    whole = write_video(path, scene(30, **SMALL)).read_bytes()
    path.write_bytes(whole[:300])


def without_its_index(path: Path) -> None:
    whole = write_video(path, scene(30, **SMALL)).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def in_a_codec_nobody_reads(path: Path) -> None:
    data = write_video(path, scene(10, **SMALL)).read_bytes()
    path.write_bytes(data.replace(b"avc1", b"zzz1").replace(b"avcC", b"zzzC"))


def only_sound(path: Path) -> None:
    write_audio(path)


def a_playlist(path: Path) -> None:
    path.write_text(f"#EXTM3U\n#EXTINF:1,\n{path.with_name('good.mkv')}\n")


def text(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>" * 50)


def empty(path: Path) -> None:
    path.touch()


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.with_name("gone.mp4"))


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "headless.mkv": (short_headed, "unreadable|no_video|decode_failed"),
    "torn.mp4": (without_its_index, "unreadable"),
    "strange.mp4": (in_a_codec_nobody_reads, "decode_failed|no_video|unreadable"),
    "song.m4v": (only_sound, "no_video"),
    "list.ts": (a_playlist, "unreadable"),
    "page.mp4": (text, "unreadable"),
    "empty.mp4": (empty, "unreadable"),
}


def test_every_bad_file_gets_one_row_that_says_what_and_what_to_do(folder: Library) -> None:
    for name, (make, _) in BAD.items():
        make(folder.films / name)
    report = folder.convert()
    assert (report.files_done, report.files_failed) == (1, len(BAD))
    assert good_is_made(folder)
    for name, (_, reasons) in BAD.items():
        (row,) = rows_of(folder, name)
        assert (row["status"], row["segment"]) == ("failed", -1), name
        assert row["reason"] in reasons.split("|"), (name, row["reason"], row["message"])
        assert name in row["message"]
        assert re.search(r"; \w+", row["message"]), f"no advice in: {row['message']}"
        assert "Traceback" not in row["message"]
        assert len(row["message"].splitlines()) == 1


def test_a_link_to_nothing_gets_its_row(folder: Library) -> None:
    a_dangling_link(folder.films / "link.mp4")
    folder.convert()
    assert good_is_made(folder)
    (row,) = rows_of(folder, "link.mp4")
    assert row["reason"] == "unreadable"
    assert "link.mp4: no such file; check the path" in row["message"]


def test_an_address_that_does_not_answer_gets_its_row(folder: Library) -> None:
    pytest.importorskip("aiohttp")
    address = "http://127.0.0.1:1/film.mp4"
    report = folder.convert(sources=[str(folder.films), address])
    assert (report.files_done, report.files_failed) == (1, 1)
    assert good_is_made(folder)
    (row,) = rows_of(folder, address)
    assert row["reason"] == "unreadable"
    assert address in row["message"]
    assert "check the address" in row["message"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_and_a_file_without_permission_harm_no_other(folder: Library) -> None:
    closed, secret = folder.films / "closed", write_video(folder.films / "secret.mkv", scene(6, **SMALL))
    closed.mkdir(mode=0)
    secret.chmod(0)
    try:
        folder.convert()
    finally:
        closed.chmod(0o700)
    assert good_is_made(folder)
    (row,) = rows_of(folder, "secret.mkv")
    assert "reading is not permitted" in row["message"]


def test_corrupt_packets_in_the_middle_are_survived_and_counted(folder: Library) -> None:
    film = folder.films / "bruised.mkv"
    write_video(film, scene(40, **SMALL), options={"preset": "ultrafast", "crf": "10", "g": "8"})
    flip_bytes(film, 0.4, 0.6)
    folder.convert()
    assert good_is_made(folder)
    rows = rows_of(folder, "bruised.mkv")
    assert rows
    assert {row["status"] for row in rows} == {"done"}, rows[0]["message"]
    assert all(row["decode_errors"] > 0 for row in rows)
    assert sum(row["frames"] for row in rows) == len(decoded(folder.output / f"bruised.{NAME}"))


def test_a_film_cut_short_is_made_as_far_as_it_goes(folder: Library) -> None:
    film = write_video(folder.films / "short.mkv", scene(60, **SMALL))
    data = film.read_bytes()
    film.write_bytes(data[: len(data) * 2 // 3])
    folder.convert()
    rows = rows_of(folder, "short.mkv")
    assert {row["status"] for row in rows} == {"done"}, rows[0]["message"]
    assert 20 < len(decoded(folder.output / f"short.{NAME}")) < 60


def test_a_size_that_changes_in_the_middle_is_one_failed_row_or_a_whole_film(folder: Library, tmp_path: Path) -> None:
    parts = [
        write_video(tmp_path / "a.ts", scene(20, **SMALL)),
        write_video(tmp_path / "b.ts", scene(20, width=64, height=48)),
    ]
    join_bytes(folder.films / "growing.ts", parts)
    folder.convert()
    assert good_is_made(folder)
    rows = rows_of(folder, "growing.ts")
    if rows[0]["status"] == "failed":
        assert [row["reason"] for row in rows] == ["size_changed"]
        assert "growing.ts" in rows[0]["message"]
    else:
        assert {row["status"] for row in rows} == {"done"}
        sizes = {(picture.width, picture.height) for picture in decoded(folder.output / f"growing.{NAME}")}
        assert sizes == {(96, 32)}


def test_a_stream_without_times_is_made_frame_by_frame(folder: Library) -> None:
    write_video(folder.films / "raw.h264", scene(14, **SMALL))
    folder.convert()
    rows = rows_of(folder, "raw.h264")
    assert {row["status"] for row in rows} == {"done"}, rows[0]["message"]
    assert len(decoded(folder.output / f"raw.{NAME}")) == 14


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 5)])
def test_the_smallest_pictures_are_made_or_refused_in_one_sentence(folder: Library, size: tuple[int, int]) -> None:
    write_video(folder.films / "dot.mkv", grey_frames(4, *size), codec="ffv1", pixel_format="yuv444p", options={})
    folder.convert()
    assert good_is_made(folder)
    rows = rows_of(folder, "dot.mkv")
    assert len(rows) == 1
    if rows[0]["status"] == "failed":
        assert rows[0]["reason"] != "unexpected", rows[0]["message"]
        assert "dot.mkv" in rows[0]["message"]
    else:
        assert len(decoded(folder.output / f"dot.{NAME}")) == 4


def test_a_single_picture_and_one_without_a_rate_are_made(folder: Library) -> None:
    write_video(folder.films / "single.mkv", scene(1, **SMALL))
    uneven = [0, 3, 4, 100, 101, 900]
    write_video(folder.films / "uneven.mkv", scene(6, **SMALL), times=uneven, time_base=Fraction(1, 1000))
    folder.convert()
    assert len(decoded(folder.output / f"single.{NAME}")) == 1
    with av.open(str(folder.output / f"uneven.{NAME}")) as made:
        times = [round(float(picture.time) * 1000) for picture in made.decode(video=0) if picture.time is not None]
    assert times == uneven


def test_names_that_break_shells_and_markup_are_kept(folder: Library) -> None:
    names = ["a b's [bold] 'x'.mkv", "ünï—cødé 日本.mkv", "100% #1?.mkv", "-rf.mkv", "two\nlines.mkv"]
    for number, name in enumerate(names):
        write_video(folder.films / name, scene(2, **SMALL, seed=number))
    report = folder.convert()
    assert (report.files_done, report.files_failed) == (1 + len(names), 0)
    assert {Path(row["source_uri"]).name for row in folder.rows()} == {*names, "good.mkv"}


def test_a_name_that_is_not_utf8_gets_its_row(folder: Library) -> None:
    name = os.fsencode(str(folder.films)) + b"/caf\xe9.mkv"
    try:
        os.link(folder.films / "good.mkv", name)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    done = subprocess.run(
        [
            sys.executable, "-m", "flows.cli", "convert", str(folder.films), "-o", str(folder.output),
            "--executor", "in-process", "--prefect", "off", "--depth-width", "64",
        ],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, errors="replace", timeout=120, check=False,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    assert done.returncode == 3
    assert good_is_made(folder)
    (row,) = [row for row in folder.rows() if row["status"] == "failed"]
    assert "the name is not UTF-8, so no record can name it; rename the file" in row["message"]
