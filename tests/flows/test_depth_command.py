"""``spatialdreamer depth`` as people type it."""

import json
from pathlib import Path

import cv2
import pytest
from typer.testing import CliRunner, Result

from flows.cli import app
from tests.media import scene, texture, write_video

DONE, USAGE, SOME_FAILED = 0, 2, 3


def depth(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["depth", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    films = tmp_path / "films"
    (films / "sub").mkdir(parents=True)
    write_video(films / "pan.mkv", scene(8, width=64, height=48))
    cv2.imwrite(str(films / "sub" / "photo.JPG"), texture(1, 80, 60))
    (films / "notes.txt").write_text("no picture")
    return films


def test_a_folder_of_pictures_and_videos_becomes_depth_with_its_folders_kept(folder: Path, tmp_path: Path) -> None:
    result = depth(folder, "-o", tmp_path / "out", "--depth-width", "64")
    assert result.exit_code == DONE, result.output
    assert "depth of 2 of 2 sources" in result.stdout
    assert "confidence" in result.stdout
    visible = [p for p in (tmp_path / "out").rglob("*") if p.is_file() and ".spatialdreamer" not in p.parts]
    names = sorted(str(p.relative_to(tmp_path / "out")) for p in visible)
    assert names == [*(f"pan_depth/{i:06d}.png" for i in range(8)), "sub/photo_depth.png"]


def test_json_has_one_line_a_source_and_small_exr_of_every_frame_is_made(folder: Path, tmp_path: Path) -> None:
    options = ("--json", "--format", "exr", "--small", "--every-frame", "--depth-width", "64", "--depth", "cues")
    result = depth(folder / "pan.mkv", "-o", tmp_path / "out", *options)
    assert result.exit_code == DONE, result.output
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    (made,) = [row for row in rows if row["event"] == "depth"]
    assert (made["frames"], made["complete"], made["output"]) == (8, True, "pan_depth")
    assert len(list((tmp_path / "out" / "pan_depth").glob("*.exr"))) == 8


def test_a_bad_source_exits_3_and_the_others_are_written(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_bytes(b"x")
    result = depth(folder, "-o", tmp_path / "out", "--include", "*.png", "--include", "*.JPG", "--exclude", "pan*")
    assert result.exit_code == SOME_FAILED
    assert "bad.png: no picture that can be read" in result.stdout
    assert "1 of 2 sources failed" in result.stderr
    assert (tmp_path / "out" / "sub" / "photo_depth.png").exists()


def test_a_second_run_writes_nothing_and_no_resume_writes_all_again(folder: Path, tmp_path: Path) -> None:
    source, out = folder / "sub" / "photo.JPG", tmp_path / "out"
    depth(source, "-o", out, "-q")
    first = (out / "photo_depth.png").stat().st_mtime_ns
    assert depth(source, "-o", out, "-q").stdout == ""
    assert (out / "photo_depth.png").stat().st_mtime_ns == first
    depth(source, "-o", out, "-q", "--no-resume")
    assert (out / "photo_depth.png").stat().st_mtime_ns > first


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--depth", "nothing"], "no depth estimator is called 'nothing'"),
        (["--depth-width", "1"], "depth width must lie in"),
        (["--include", "*.avi"], "no video found"),
        (["--format", "gif"], "'gif' is not one of"),
    ],
)
def test_wrong_settings_exit_2_in_a_sentence(folder: Path, tmp_path: Path, options: list[str], said: str) -> None:
    result = depth(folder, "-o", tmp_path / "out", *options)
    assert result.exit_code == USAGE, result.output
    assert said in result.stderr
