from fractions import Fraction

import av
import numpy as np
import pytest

from spatialdreamer_core.errors import DecodeError, SizeChangeError
from spatialdreamer_core.video.decode import decode, top_down, upright, working_format
from spatialdreamer_core.video.frames import PIXEL_FORMATS
from spatialdreamer_core.video.pictures import plane_view
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan
from tests.media import decoded, grey_frames, scene, texture, write_video

OPEN_GOP = {
    "libx264": {
        "preset": "ultrafast",
        "x264-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0:b-adapt=0",
    },
    "libx265": {
        "preset": "ultrafast",
        "x265-params": "open-gop=1:keyint=12:min-keyint=12:bframes=3:scenecut=0:b-adapt=0",
    },
    "mpeg2video": {"g": "12", "bf": "2", "q:v": "4"},
}


def frames_of(path, first=0, last=None, pixel_format=None, **options):
    info = probe(str(path))
    seen = scan(str(path), info)
    last = len(seen.pts) if last is None else last
    counted = seen.skipped if seen.timestamps_made else None
    fmt = pixel_format or working_format(info, "auto")
    return list(decode(str(path), info, fmt, seen.pts, first, last, counted_from=counted, **options))


def data(frames):
    return [(frame.pts, *(plane.tobytes() for plane in frame.planes)) for frame in frames]


def test_planes_are_the_decoders_bit_for_bit(tmp_path):
    path = write_video(tmp_path / "a.mp4", scene(6, 52, 38))
    for frame, reference in zip(frames_of(path), decoded(path), strict=True):
        for index, plane in enumerate(frame.planes):
            np.testing.assert_array_equal(plane, plane_view(reference, index, np.uint8))
        assert frame.pts == reference.pts
        assert frame.y.shape == (38, 52)
        assert frame.u.shape == (19, 26)


@pytest.mark.parametrize("name", ["open.mp4", "open.mkv", "open.ts"])
@pytest.mark.parametrize("codec", OPEN_GOP)
def test_frames_are_the_same_bytes_wherever_decoding_begins(tmp_path, codec, name):
    path = write_video(tmp_path / name, scene(48, 64, 36, speed=2), codec=codec, options=OPEN_GOP[codec])
    info = probe(str(path))
    pts = scan(str(path), info).pts
    fmt = working_format(info, "auto")
    whole = data(decode(str(path), info, fmt, pts, 0, 48))
    for first in range(0, 48, 5):
        assert data(decode(str(path), info, fmt, pts, first, min(48, first + 4))) == whole[first : first + 4]


def test_frames_after_a_periodic_intra_refresh_are_the_same_bytes(tmp_path):
    options = {"preset": "ultrafast", "x264-params": "intra-refresh=1:keyint=10:bframes=0"}
    path = write_video(tmp_path / "a.mp4", scene(40, 64, 36, speed=2), options=options)
    assert data(frames_of(path, 23, 29)) == data(frames_of(path))[23:29]


def test_more_decoder_threads_give_the_same_bytes(tmp_path):
    path = write_video(tmp_path / "a.mp4", scene(30, 64, 36))
    assert data(frames_of(path, threads=3)) == data(frames_of(path))


def test_unevenly_spaced_times_come_through(tmp_path):
    times = [0, 40, 73, 200, 233, 1000]
    path = write_video(tmp_path / "a.mkv", grey_frames(6), times=times, time_base=Fraction(1, 1000))
    frames = frames_of(path, 2, 5)
    assert [frame.pts for frame in frames] == [73, 200, 233]
    assert [round(float(frame.y.mean())) for frame in frames] == sorted(round(float(f.y.mean())) for f in frames)


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotated_video_comes_upright(tmp_path, rotation):
    picture = texture(3, 48, 32, cell=6)
    path = write_video(tmp_path / "a.mp4", [picture] * 2, on_stream=lambda s: s.set_display_rotation(rotation))
    flat = write_video(tmp_path / "b.mp4", [picture] * 2)
    turned, straight = frames_of(path)[0], frames_of(flat)[0]
    turns = probe(str(path)).video.rotation // 90
    assert turns
    for a, b in zip(turned.planes, straight.planes, strict=True):
        np.testing.assert_array_equal(a, np.rot90(b, turns))


def test_display_rotation_of_a_quarter_counter_clockwise_brings_the_right_edge_up(tmp_path):
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:, 40:] = 255
    path = write_video(tmp_path / "a.mp4", [picture] * 2, on_stream=lambda s: s.set_display_rotation(90))
    (frame, _) = frames_of(path)
    assert frame.y.shape == (48, 32)
    # FFmpeg's own player decides what is right: a display rotation of +90 is counter-clockwise.
    assert frame.y[:8].mean() > 200
    assert frame.y[8:].mean() < 30


def test_chroma_of_422_turns_by_a_quarter():
    fmt = PIXEL_FORMATS["yuv422p10le"]
    luma = np.arange(4 * 6, dtype=np.uint16).reshape(4, 6)
    chroma = np.arange(4 * 3, dtype=np.uint16).reshape(4, 3) * 10
    y, u, _ = upright([luma, chroma, chroma], fmt, 90)
    assert y.shape == (6, 4)
    assert u.shape == (6, 2)
    np.testing.assert_array_equal(u[0], [(20 + 50 + 1) // 2, (80 + 110 + 1) // 2])


def test_odd_sizes_stay_as_they_are(tmp_path):
    picture = texture(4, 35, 21, cell=6)
    options = {"preset": "ultrafast", "qp": "0"}
    path = write_video(tmp_path / "a.mkv", [picture] * 2, pixel_format="yuv444p", options=options)
    frame = frames_of(path)[0]
    assert frame.y.shape == (21, 35)
    assert frame.u.shape == (11, 18)


def test_odd_sized_420_turns(tmp_path):
    planes = [np.full((21, 35), 7, np.uint8), np.full((11, 18), 90, np.uint8), np.full((11, 18), 60, np.uint8)]
    y, u, v = upright(planes, PIXEL_FORMATS["yuv420p"], 270)
    assert (y.shape, u.shape, v.shape) == ((35, 21), (18, 11), (18, 11))
    assert set(u.ravel()) == {90}


@pytest.mark.parametrize("pixel_format", ["yuv422p", "yuv444p", "yuvj420p", "yuvj444p", "gray"])
def test_luma_of_other_yuv_formats_is_not_touched(tmp_path, pixel_format):
    codec = "mjpeg" if pixel_format.startswith("yuvj") else "ffv1"
    path = write_video(tmp_path / "a.mkv", scene(2, 50, 38), codec=codec, pixel_format=pixel_format)
    frame, reference = frames_of(path)[0], decoded(path)[0]
    np.testing.assert_array_equal(frame.y, plane_view(reference, 0, np.uint8))
    assert frame.u.shape == (19, 25)


def test_grey_video_gets_neutral_chroma(tmp_path):
    path = write_video(tmp_path / "a.mkv", scene(2, 50, 38), codec="ffv1", pixel_format="gray")
    assert set(frames_of(path)[0].u.ravel()) == {128}


def test_palette_and_rgb_become_limited_bt709(tmp_path):
    red = np.zeros((32, 48, 3), np.uint8)
    red[..., 0] = 255
    gif = write_video(tmp_path / "a.gif", [red] * 2, codec="gif", pixel_format="rgb8")
    ffv1 = write_video(tmp_path / "a.mkv", [red] * 2, codec="ffv1", pixel_format="bgr0")
    for path in (gif, ffv1):
        frame = frames_of(path)[0]
        values = [int(plane.mean()) for plane in frame.planes]
        assert np.abs(np.subtract(values, (63, 102, 240))).max() <= 2
        assert (probe(str(path)).video.colour.matrix, probe(str(path)).video.colour.range) == (1, 1)


def test_ten_bits_stay_ten_bits(tmp_path):
    path = write_video(tmp_path / "a.mp4", scene(3, 64, 36), codec="libx265", pixel_format="yuv420p10le")
    frame, reference = frames_of(path)[1], decoded(path)[1]
    assert frame.y.dtype == np.uint16
    np.testing.assert_array_equal(frame.v, plane_view(reference, 2, np.uint16))


def test_prores_works_in_422_and_auto_takes_hevc_for_ten_bits(tmp_path):
    path = write_video(tmp_path / "a.mkv", scene(2, 64, 36), codec="ffv1", pixel_format="yuv420p10le")
    info = probe(str(path))
    assert working_format(info, "prores").name == "yuv422p10le"
    assert working_format(info, "h264").name == "yuv420p10le"


def test_lines_that_run_upwards_in_memory_are_turned_over(tmp_path):
    graph = av.filter.Graph()
    source, flip, sink = (
        graph.add_buffer(width=32, height=18, format="yuv420p", time_base=Fraction(1, 25)),
        graph.add("vflip"),
        graph.add("buffersink"),
    )
    source.link_to(flip)
    flip.link_to(sink)
    graph.configure()
    rgb = texture(1, 32, 18)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format="yuv420p")
    graph.push(frame)
    flipped = graph.pull()
    assert flipped.planes[0].line_size < 0
    np.testing.assert_array_equal(plane_view(top_down(flipped), 0, np.uint8), plane_view(frame, 0, np.uint8)[::-1])


def test_empty_range_gives_nothing_and_a_wrong_one_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_frames(4))
    assert frames_of(path, 2, 2) == []
    with pytest.raises(ValueError, match="do not lie"):
        frames_of(path, 2, 5)


def test_frame_that_is_not_there_is_named(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_frames(4))
    info = probe(str(path))
    pts = np.append(scan(str(path), info).pts, 10**9)
    with pytest.raises(DecodeError, match="frame 4 "):
        list(decode(str(path), info, working_format(info, "auto"), pts, 0, 5))


def test_size_that_differs_from_the_probed_one_is_refused(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_frames(4, 32, 18))
    other = probe(str(write_video(tmp_path / "b.mp4", grey_frames(4, 64, 36))))
    with pytest.raises(SizeChangeError, match="64x36 to 32x18"):
        list(decode(str(path), other, working_format(other, "auto"), scan(str(path), probe(str(path))).pts, 0, 4))
