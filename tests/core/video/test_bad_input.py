"""What people's libraries hold besides good files: each gives the right verdict or the right result."""

from fractions import Fraction

import av
import fsspec
import numpy as np
import pytest

from spatialdreamer_core.errors import DecodeError, NoVideoError, SizeChangeError, UnreadableSourceError
from spatialdreamer_core.video.decode import decode, working_format
from spatialdreamer_core.video.pictures import plane_view
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan
from tests.media import decoded, flip_bytes, grey_frames, join_bytes, scene, write_audio, write_video


def read(path):
    """Probe, scan and decode; give (scan, frames)."""
    info = probe(str(path))
    seen = scan(str(path), info)
    counted = seen.skipped if seen.timestamps_made else None
    fmt = working_format(info, "auto")
    frames = list(decode(str(path), info, fmt, seen.pts, 0, len(seen.pts), counted_from=counted))
    return seen, frames


def test_missing_file_is_unreadable(tmp_path):
    with pytest.raises(UnreadableSourceError, match=r"gone\.mp4: no such file"):
        probe(str(tmp_path / "gone.mp4"))


def test_folder_is_unreadable(tmp_path):
    with pytest.raises(UnreadableSourceError, match="is a folder"):
        probe(str(tmp_path))


def test_empty_file_is_unreadable(tmp_path):
    (tmp_path / "a.mp4").touch()
    with pytest.raises(UnreadableSourceError, match=r"a\.mp4: the file is empty"):
        probe(str(tmp_path / "a.mp4"))


@pytest.mark.parametrize("content", [b"The quick brown fox. " * 200, bytes(range(256)) * 64, b"\0" * 5000])
def test_text_or_noise_under_a_videos_name_is_unreadable(tmp_path, content):
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(UnreadableSourceError, match=r"a\.mp4"):
        probe(str(tmp_path / "a.mp4"))


def test_picture_under_a_videos_name_is_unreadable(tmp_path):
    write_video(tmp_path / "a.png", grey_frames(1), codec="png", pixel_format="rgb24", container_format="image2pipe")
    (tmp_path / "a.png").rename(tmp_path / "a.mp4")
    with pytest.raises(UnreadableSourceError, match=r"a\.mp4"):
        probe(str(tmp_path / "a.mp4"))


@pytest.mark.parametrize("url", ["nosuch://host/a.mp4", "memory://nowhere/a.mp4"])
def test_url_that_cannot_be_reached_is_unreadable(url):
    with pytest.raises(UnreadableSourceError, match=r"a\.mp4"):
        probe(url)


def test_file_without_permission_is_unreadable(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(UnreadableSourceError, match="not permitted"):
        probe(str(tmp_path / "a.mp4"))


def test_store_that_stops_answering_is_no_short_film(tmp_path):
    path = write_video(tmp_path / "a.mkv", scene(60, 96, 54, cell=4))
    with fsspec.open("memory://flaky/a.mkv", "wb") as handle:
        handle.write(path.read_bytes())
    url, info = "memory://flaky/a.mkv", probe("memory://flaky/a.mkv")
    size = path.stat().st_size
    kind = type(fsspec.filesystem("memory").open("/flaky/a.mkv"))
    original = kind.read

    def read_half(self, *args):
        if self.tell() > size // 2:
            raise OSError("connection reset")
        return original(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kind, "read", read_half, raising=False)
        with pytest.raises(UnreadableSourceError, match="stopped in the middle"):
            scan(url, info)


def test_audio_only_has_no_video(tmp_path):
    with pytest.raises(NoVideoError, match="no video stream; "):
        probe(str(write_audio(tmp_path / "a.m4a")))


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.mp3", "libmp3lame")])
def test_music_with_cover_art_has_no_video(tmp_path, name, codec):
    path = write_audio(tmp_path / name, codec=codec, cover=True)
    with pytest.raises(NoVideoError, match="no video stream but cover art"):
        probe(str(path))


def test_stream_without_pictures_has_no_video(tmp_path):
    path = write_video(tmp_path / "a.mkv", grey_frames(1), audio_s=0.3)
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        target.add_stream_from_template(source.streams.video[0])
        audio = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = audio
                target.mux(packet)
    with pytest.raises(NoVideoError, match="holds no picture"):
        probe(str(tmp_path / "b.mkv"))


def test_single_picture_is_one_shot(tmp_path):
    seen, frames = read(write_video(tmp_path / "a.mp4", grey_frames(1)))
    assert (len(seen.pts), seen.shot_starts.tolist(), len(frames)) == (1, [0], 1)


def test_mp4_without_its_index_is_unreadable(tmp_path):
    path = write_video(tmp_path / "a.mp4", scene(40, 96, 54))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableSourceError, match=r"a\.mp4: .*cut short"):
        probe(str(path))


def test_mkv_that_is_cut_short_gives_what_is_there(tmp_path):
    path = write_video(tmp_path / "a.mkv", scene(60, 96, 54, cell=4), options={"preset": "ultrafast", "g": "12"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    seen, frames = read(path)
    assert 20 < len(seen.pts) < 40
    assert [frame.pts for frame in frames] == seen.pts.tolist()


@pytest.mark.parametrize("name", ["a.mkv", "a.ts", "a.mp4"])
def test_damage_in_the_middle_is_survived_and_counted(tmp_path, name):
    options = {"preset": "ultrafast", "g": "10", "crf": "20"}
    path = write_video(tmp_path / name, scene(80, 96, 54, cell=4), options=options)
    whole = len(decoded(path))
    flip_bytes(path, 0.45, 0.55)
    seen, frames = read(path)
    assert whole * 0.6 < len(seen.pts) <= whole
    assert seen.decode_errors > 0 or len(seen.pts) == whole
    assert (np.diff(seen.pts) > 0).all()
    assert [frame.pts for frame in frames] == seen.pts.tolist()


def test_damage_does_not_reach_frames_of_another_group_of_pictures(tmp_path):
    options = {"preset": "ultrafast", "g": "10", "crf": "20"}
    path = write_video(tmp_path / "a.mkv", scene(80, 96, 54, cell=4), options=options)
    good = {frame.pts: plane_view(frame, 0, np.uint8).copy() for frame in decoded(path)}
    flip_bytes(path, 0.5, 0.52)
    info = probe(str(path))
    pts = scan(str(path), info).pts
    last = list(decode(str(path), info, working_format(info, "auto"), pts, len(pts) - 8, len(pts)))
    assert all(np.array_equal(frame.y, good[frame.pts]) for frame in last)


def test_video_that_no_decoder_takes_is_named(tmp_path):
    path = write_video(tmp_path / "a.mkv", scene(10, 96, 54), codec="ffv1", pixel_format="yuv420p")
    data = path.read_bytes()
    assert b"V_FFV1" in data
    path.write_bytes(data.replace(b"V_FFV1", b"V_XYZ1"))
    with pytest.raises(DecodeError, match=r"a\.mkv: the video cannot be decoded"):
        probe(str(path))


def test_stream_whose_every_packet_is_refused_is_named(tmp_path):
    path = write_video(tmp_path / "a.mkv", scene(10, 96, 54, cell=4), codec="ffv1")
    with av.open(str(path)) as source, av.open(str(tmp_path / "b.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                bad = av.Packet(b"\xff" * 40)
                bad.pts, bad.dts, bad.time_base, bad.stream = packet.pts, packet.dts, packet.time_base, stream
                target.mux(bad)
    with pytest.raises(DecodeError, match="ffv1 refused"):
        probe(str(tmp_path / "b.mkv"))


def test_size_change_in_the_middle_is_told_with_its_time(tmp_path):
    first = write_video(tmp_path / "a.ts", scene(25, 96, 54))
    second = write_video(tmp_path / "b.ts", scene(25, 64, 36), times=range(25, 50), time_base=Fraction(1, 25))
    path = join_bytes(tmp_path / "c.ts", [first, second])
    with pytest.raises(SizeChangeError, match=r"c\.ts: the picture changes from 96x54 to 64x36 at 1\.0"):
        scan(str(path), probe(str(path)))


@pytest.mark.parametrize(("name", "codec"), [("a.h264", "libx264"), ("a.m2v", "mpeg2video")])
def test_raw_streams_without_times_get_them_from_the_frame_rate(tmp_path, name, codec):
    pictures = grey_frames(20, 64, 36)
    seen, frames = read(write_video(tmp_path / name, pictures, codec=codec))
    assert len(frames) == 20
    seconds = seen.pts * float(probe(str(tmp_path / name)).video.time_base)
    np.testing.assert_allclose(np.diff(seconds), 1 / 25, atol=1e-3)
    levels = [float(frame.y.mean()) for frame in frames]
    assert levels == sorted(levels)


def test_avi_with_b_frames_keeps_order_and_rate(tmp_path):
    options = {"preset": "veryfast", "bf": "3", "b-pyramid": "1"}
    path = write_video(tmp_path / "a.avi", grey_frames(24, 64, 36), options=options)
    seen, frames = read(path)
    assert seen.timestamps_made
    assert "made from the frame rate" in seen.notes[0]
    levels = [float(frame.y.mean()) for frame in frames]
    assert levels == sorted(levels)
    seconds = seen.pts * float(probe(str(path)).video.time_base)
    np.testing.assert_allclose(np.diff(seconds), 1 / 25, atol=0.021)


def test_counted_frames_can_be_taken_from_the_middle(tmp_path):
    path = write_video(tmp_path / "a.h264", scene(30, 64, 36, speed=2))
    _, whole = read(path)
    info = probe(str(path))
    seen = scan(str(path), info, start_s=0.4, duration_s=0.4)
    assert (seen.skipped, len(seen.pts)) == (10, 10)
    part = list(decode(str(path), info, working_format(info, "auto"), seen.pts, 3, 7, counted_from=seen.skipped))
    for a, b in zip(part, whole[13:17], strict=True):
        np.testing.assert_array_equal(a.y, b.y)


def test_clock_that_is_set_back_goes_on(tmp_path):
    parts = [write_video(tmp_path / f"{n}.ts", scene(20, 64, 36, seed=n)) for n in range(2)]
    seen, frames = read(join_bytes(tmp_path / "c.ts", parts))
    assert len(frames) == len(seen.pts) == 40
    assert seen.timestamps_made
    assert np.diff(seen.pts).tolist() == [3600] * 39


@pytest.mark.parametrize("offset", [-3000, 0, 5000])
def test_start_times_that_are_negative_or_not_zero_are_kept(tmp_path, offset):
    times = [offset + t * 40 for t in range(10)]
    path = write_video(
        tmp_path / "a.mkv",
        grey_frames(10),
        codec="ffv1",
        times=times,
        time_base=Fraction(1, 1000),
        container_options={"avoid_negative_ts": "disabled"},
    )
    reference = [frame.pts for frame in decoded(path)]
    seen, frames = read(path)
    assert seen.pts.tolist() == reference == [frame.pts for frame in frames]
    assert probe(str(path)).video.start_pts == reference[0]
    assert np.diff(reference).min() > 0


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 1)])
def test_smallest_pictures_come_through(tmp_path, size):
    path = write_video(tmp_path / "a.mkv", grey_frames(12, *size), codec="ffv1", pixel_format="yuv444p")
    seen, frames = read(path)
    assert len(frames) == 12
    assert frames[0].y.shape == (size[1], size[0])
    assert seen.shot_starts.tolist() == [0]
    assert seen.letterbox == (0, 0, 0, 0)


def test_one_8k_picture_comes_through(tmp_path):
    picture = np.full((4320, 7680, 3), 90, np.uint8)
    path = write_video(tmp_path / "a.mkv", [picture], codec="rawvideo", pixel_format="gray")
    seen, frames = read(path)
    assert frames[0].y.shape == (4320, 7680)
    assert len(seen.pts) == 1


@pytest.mark.parametrize(
    ("codec", "pixel_format"),
    [
        ("ffv1", "gray"),
        ("ffv1", "gray10le"),
        ("ffv1", "yuv444p"),
        ("ffv1", "yuv410p"),
        ("ffv1", "yuv422p12le"),
        ("ffv1", "bgr0"),
        ("ffv1", "rgb48le"),
        ("ffv1", "yuva420p"),
        ("png", "rgb24"),
        ("png", "pal8"),
        ("png", "rgba"),
        ("rawvideo", "nv12"),
        ("rawvideo", "uyvy422"),
    ],
)
def test_every_pixel_format_is_converted(tmp_path, codec, pixel_format):
    pictures = grey_frames(6, 40, 24, step=30)
    pre = "rgb24" if pixel_format == "pal8" else pixel_format
    path = write_video(tmp_path / ("a.mov" if codec == "png" else "a.mkv"), pictures, codec=codec, pixel_format=pre)
    seen, frames = read(path)
    assert len(frames) == 6
    span = frames[0].format.dtype((1 << frames[0].format.bits) - 1)
    levels = [float(frame.y.mean()) / span for frame in frames]
    assert levels == sorted(levels)
    assert levels[-1] - levels[0] > 0.45
    assert seen.decode_errors == 0
