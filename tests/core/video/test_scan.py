import json
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from spatialdreamer_core.errors import NoVideoError
from spatialdreamer_core.video.decode import decode, working_format
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan, turn_bars
from tests.media import decoded, grey_frames, scene, write_video


def scan_file(path, **options):
    return scan(str(path), probe(str(path)), **options)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.mov"])
def test_times_are_those_of_the_file(tmp_path, name):
    options = {"preset": "veryfast", "bf": "3"}
    path = write_video(tmp_path / name, scene(20, 64, 36), options=options, audio_s=0.5)
    seen = scan_file(path)
    assert seen.pts.tolist() == [frame.pts for frame in decoded(path)]
    assert seen.pts.dtype == np.int64
    assert (seen.decode_errors, seen.timestamps_made, seen.notes) == (0, False, ())


def test_variable_frame_rate_is_kept_exactly(tmp_path):
    times = np.cumsum([0, 33, 34, 33, 100, 17, 16, 500, 33, 34]).tolist()
    path = write_video(tmp_path / "a.mkv", grey_frames(10), times=times, time_base=Fraction(1, 1000))
    assert scan_file(path).pts.tolist() == times


@pytest.mark.ffprobe
@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.mkv"])
def test_times_agree_with_ffprobe(tmp_path, name):
    path = write_video(tmp_path / name, scene(20, 64, 36), options={"preset": "veryfast", "bf": "2"})
    command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts", "-of", "json"]
    answer = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True).stdout
    assert scan_file(path).pts.tolist() == [frame["pts"] for frame in json.loads(answer)["frames"]]


def test_shots_are_found(tmp_path):
    pictures = scene(20, 96, 54, seed=1) + scene(15, 96, 54, seed=2) + scene(25, 96, 54, seed=3)
    assert scan_file(write_video(tmp_path / "a.mp4", pictures)).shot_starts.tolist() == [0, 20, 35]


def test_shots_are_found_in_ten_bit_and_packed_formats(tmp_path):
    pictures = scene(15, 96, 54, seed=1) + scene(15, 96, 54, seed=2)
    for codec, pixel_format in (("ffv1", "yuv420p10le"), ("ffv1", "bgr0"), ("rawvideo", "uyvy422"), ("ffv1", "gray")):
        path = write_video(tmp_path / "a.mkv", pictures, codec=codec, pixel_format=pixel_format)
        assert scan_file(path).shot_starts.tolist() == [0, 15]


@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.avi"])
def test_range_selects_frames_and_index_0_is_the_first_of_them(tmp_path, name):
    pictures = scene(25, 96, 54, seed=1) + scene(25, 96, 54, seed=2)
    path = write_video(tmp_path / name, pictures, options={"preset": "ultrafast", "g": "12", "bf": "0"})
    whole, part = scan_file(path), scan_file(path, start_s=0.6, duration_s=1.0)
    np.testing.assert_array_equal(part.pts, whole.pts[15:40])
    assert (whole.shot_starts.tolist(), part.shot_starts.tolist()) == ([0, 25], [0, 10])
    info = probe(str(path))
    fmt = working_format(info, "auto")
    a = list(decode(str(path), info, fmt, part.pts, 3, 6))
    b = list(decode(str(path), info, fmt, whole.pts, 18, 21))
    assert all(np.array_equal(x.y, y.y) and x.pts == y.pts for x, y in zip(a, b, strict=True))


def test_range_that_holds_nothing_says_so(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_frames(10))
    with pytest.raises(NoVideoError, match="no picture in the chosen range from 5 s"):
        scan_file(path, start_s=5)


def test_progress_is_told(tmp_path):
    told = []
    scan_file(write_video(tmp_path / "a.mp4", grey_frames(130, 16, 16, step=1)), on_progress=told.append)
    assert told == [64, 128]


def letterboxed(pictures, top, bottom, left=0, right=0):
    return [np.pad(picture, ((top, bottom), (left, right), (0, 0))) for picture in pictures]


def test_letterbox_is_measured_to_the_row(tmp_path):
    pictures = letterboxed(scene(30, 160, 68, seed=1) + scene(30, 160, 68, seed=2), 16, 16)
    assert scan_file(write_video(tmp_path / "a.mp4", pictures)).letterbox == (16, 16, 0, 0)


def test_pillarbox_in_ten_bits_is_measured(tmp_path):
    pictures = letterboxed(scene(30, 120, 90, seed=1), 0, 0, 20, 20)
    path = write_video(tmp_path / "a.mkv", pictures, codec="ffv1", pixel_format="yuv420p10le")
    assert scan_file(path).letterbox == (0, 0, 20, 20)


def test_bars_that_some_shots_lack_are_none(tmp_path):
    pictures = letterboxed(scene(30, 160, 68, seed=1), 16, 16) + scene(30, 160, 100, seed=2)
    assert scan_file(write_video(tmp_path / "a.mp4", pictures)).letterbox == (0, 0, 0, 0)


def test_subtitles_in_a_bar_and_dark_pictures_do_not_move_it(tmp_path):
    pictures = letterboxed(scene(60, 160, 68, seed=1), 16, 16)
    for picture in pictures[20:40]:
        picture[88:94, 60:100] = 255 * (np.indices((6, 40)).sum(0)[..., None] % 8 == 0)
    pictures[:10] = [np.asarray(picture * 0.02, np.uint8) for picture in pictures[:10]]
    assert scan_file(write_video(tmp_path / "a.mp4", pictures)).letterbox == (16, 16, 0, 0)


def test_dark_floor_is_no_bar(tmp_path):
    pictures = letterboxed(scene(30, 160, 80, seed=1), 0, 20)
    assert scan_file(write_video(tmp_path / "a.mp4", pictures)).letterbox == (0, 0, 0, 0)


def test_bars_turn_with_the_picture(tmp_path):
    bars = (16, 17, 2, 3)
    assert turn_bars(bars, 90) == (3, 2, 16, 17)
    assert turn_bars(turn_bars(bars, 90), 270) == bars
    assert turn_bars(turn_bars(bars, 90), 90) == turn_bars(bars, 180)
    picture = np.zeros((100, 60))
    picture[bars[0] : -bars[1], bars[2] : -bars[3]] = 1
    rows = np.flatnonzero(np.rot90(picture).any(axis=1))
    columns = np.flatnonzero(np.rot90(picture).any(axis=0))
    assert turn_bars(bars, 90) == (rows[0], 60 - rows[-1] - 1, columns[0], 100 - columns[-1] - 1)
