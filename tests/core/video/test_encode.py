import struct
from itertools import pairwise

import av
import numpy as np
import pytest

from spatialdreamer_core.config import LAYOUTS
from spatialdreamer_core.errors import EncodeError
from spatialdreamer_core.video.encode import (
    CHUNK_TICK,
    ChunkWriter,
    _x264_instructions,
    encoded_format,
    resolve_codec,
    stereo_mode,
    to_format,
)
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame
from tests.core.video.made import (
    HAS_FFPROBE,
    HDR10,
    ffprobe,
    first_frame,
    grey_frames,
    make_spec,
    packets_of,
    side_data,
    stereo_of,
    write_chunk,
)

CODECS = ["h264", "hevc", "av1", "prores"]
ODD_TIMES = [1000, 1512, 1513, 2600, 9000, 9001, 9002]


def mean_luma(path):
    """Mean luma of every picture in 8-bit steps."""
    means = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            plane, bits = frame.planes[0], 10 if "10" in frame.format.name else 8
            rows = np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)
            means.append(
                float(rows.view(np.uint16 if bits == 10 else np.uint8)[:, : plane.width].mean()) / 2 ** (bits - 8)
            )
    return means


@pytest.mark.parametrize("codec", CODECS)
def test_a_chunk_holds_every_frame_in_order_and_counts_them(tmp_path, codec):
    spec = make_spec(codec, crf=None if codec == "prores" else 10)
    path = tmp_path / "a.mkv"
    write_chunk(path, spec, range(100, 100 + 30 * 512, 512))
    expected = [frame.y.mean() / 2 ** (spec.format.bits - 8) for frame in grey_frames(range(30), name=spec.format.name)]
    assert mean_luma(path) == pytest.approx(expected, abs=2)


@pytest.mark.parametrize("codec", CODECS)
def test_a_chunk_counts_pictures_whatever_their_times(tmp_path, codec):
    write_chunk(tmp_path / "a.mkv", make_spec(codec), ODD_TIMES)
    times = sorted(at for at, _ in packets_of(tmp_path / "a.mkv", 0))
    assert times == [k * CHUNK_TICK for k in range(len(ODD_TIMES))]


@pytest.mark.parametrize("codec", CODECS)
def test_the_same_frames_give_the_same_bytes(tmp_path, codec):
    for name in ("a", "b"):
        write_chunk(tmp_path / f"{name}.mkv", make_spec(codec, threads=2, colour=HDR10), range(0, 20 * 512, 512))
    assert (tmp_path / "a.mkv").read_bytes() == (tmp_path / "b.mkv").read_bytes()


@pytest.mark.parametrize("codec", CODECS)
def test_the_first_picture_stands_alone(tmp_path, codec):
    write_chunk(tmp_path / "a.mkv", make_spec(codec), range(0, 20 * 512, 512))
    with av.open(str(tmp_path / "a.mkv")) as container:
        packets = [p for p in container.demux(video=0) if p.size]
    assert packets[0].is_keyframe
    assert packets[0].pts == 0


def test_key_frames_come_at_least_every_two_seconds(tmp_path):
    write_chunk(tmp_path / "a.mkv", make_spec("h264"), range(0, 110 * 512, 512))
    with av.open(str(tmp_path / "a.mkv")) as container:
        keys = [round(p.pts * p.time_base / CHUNK_TICK) for p in container.demux(video=0) if p.size and p.is_keyframe]
    assert keys[0] == 0
    assert max(b - a for a, b in pairwise([*keys, 110])) <= 50


@pytest.mark.parametrize("codec", CODECS)
def test_colour_is_read_back(tmp_path, codec):
    write_chunk(tmp_path / "a.mkv", make_spec(codec, colour=HDR10), [0, 512])
    frame = first_frame(tmp_path / "a.mkv")
    assert (frame.color_range, frame.color_primaries, frame.color_trc, frame.colorspace) == (1, 9, 16, 9)


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
def test_hdr10_is_read_back_from_the_bitstream(tmp_path, codec):
    write_chunk(tmp_path / "a.mkv", make_spec(codec, colour=HDR10), [0, 512])
    found = side_data(first_frame(tmp_path / "a.mkv"))
    assert struct.unpack_from("<2I", found["CONTENT_LIGHT_LEVEL"]) == (1000, 400)
    numbers = struct.unpack_from("<20i", found["MASTERING_DISPLAY_METADATA"])
    values = [a / b for a, b in zip(numbers[::2], numbers[1::2], strict=True)]
    red, green, blue, white, (low, high) = values[0:2], values[2:4], values[4:6], values[6:8], values[8:10]
    assert red + green + blue == pytest.approx([0.68, 0.32, 0.265, 0.69, 0.15, 0.06], abs=1e-4)
    assert white == pytest.approx([0.3127, 0.329], abs=1e-4)
    assert (low, high) == pytest.approx((0.005, 1000), rel=0.03)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("swap", [False, True])
def test_every_layout_is_tagged_or_known_to_have_no_tag(tmp_path, layout, swap):
    path = tmp_path / "a.mkv"
    write_chunk(path, make_spec("hevc", layout=layout, swap_eyes=swap), [0])
    with av.open(str(path)) as container:
        assert container.streams.video[0].metadata.get("stereo_mode") == stereo_mode(layout, swap)
    kinds = {"full-sbs": 1, "half-sbs": 1, "full-tb": 2, "half-tb": 2, "interleaved": 6}
    expected = (kinds[layout], swap) if layout in kinds else None
    if not layout.startswith("anaglyph"):  # FFmpeg knows no such stereo type
        assert stereo_of(path) == expected


@pytest.mark.parametrize(("layout", "kind"), [("full-sbs", 1), ("half-tb", 2), ("interleaved", 6)])
def test_h264_says_its_packing_without_a_container(tmp_path, layout, kind):
    write_chunk(tmp_path / "a.mkv", make_spec("h264", layout=layout), [0, 512])
    with av.open(str(tmp_path / "a.mkv")) as source, av.open(str(tmp_path / "a.h264"), "w") as raw:
        stream = raw.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                raw.mux(packet)
    assert stereo_of(tmp_path / "a.h264") == (kind, False)


@pytest.mark.parametrize("codec", CODECS)
def test_a_chunk_cut_off_in_writing_still_plays(tmp_path, codec):
    write_chunk(tmp_path / "a.mkv", make_spec(codec), range(0, 120 * 512, 512))
    data = (tmp_path / "a.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(data[: len(data) * 2 // 3])
    assert len(packets_of(tmp_path / "cut.mkv", 0)) > 10


def test_an_empty_chunk_counts_nothing(tmp_path):
    writer = ChunkWriter(tmp_path / "a.mkv", make_spec())
    assert writer.close() == 0


def test_close_gives_the_number_of_frames(tmp_path):
    writer = ChunkWriter(tmp_path / "a.mkv", make_spec())
    for frame in grey_frames([5, 6, 7]):
        writer.write(frame)
    assert writer.close() == 3


def test_times_that_do_not_rise_are_refused(tmp_path):
    with pytest.raises(EncodeError, match="pts 512 after 512"):
        write_chunk(tmp_path / "a.mkv", make_spec(), [512, 512])


def test_a_frame_of_another_size_is_refused(tmp_path):
    with pytest.raises(EncodeError, match="32x48"), ChunkWriter(tmp_path / "a.mkv", make_spec()) as writer:
        writer.write(next(grey_frames([0], 32, 48)))


def test_settings_that_an_encoder_refuses_name_it(tmp_path):
    with pytest.raises(EncodeError, match="libx264 64x48"):
        write_chunk(tmp_path / "a.mkv", make_spec(preset="no-such-speed"), [0])


@pytest.mark.parametrize(("width", "height"), [(63, 48), (64, 47), (0, 0)])
def test_odd_sizes_are_refused_at_the_door(width, height):
    with pytest.raises(EncodeError, match="even"):
        make_spec(width=width, height=height)


def test_auto_is_h264_for_8_bit_and_hevc_for_10():
    assert [resolve_codec("auto", 8), resolve_codec("auto", 10), resolve_codec("av1", 8)] == ["h264", "hevc", "av1"]


def test_each_codec_is_fed_what_it_takes():
    yuv420, yuv420p10, yuv422p10 = (PIXEL_FORMATS[name] for name in ("yuv420p", "yuv420p10le", "yuv422p10le"))
    assert encoded_format("prores", yuv420) == yuv422p10
    assert encoded_format("av1", yuv422p10) == yuv420p10
    assert encoded_format("h264", yuv422p10) == yuv422p10
    with pytest.raises(EncodeError, match="does not take"):
        make_spec("prores", format=yuv420)


def test_8_bit_420_becomes_10_bit_422_and_back_to_420():
    fmt, target = PIXEL_FORMATS["yuv420p"], PIXEL_FORMATS["yuv422p10le"]
    u = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    frame = Frame(np.full((6, 8), 200, np.uint8), u, u, fmt, 9)
    wide = to_format(frame, target)
    assert np.all(wide.y == 800)
    assert np.array_equal(wide.u[1], np.rint((3 * u[0].astype(int) + u[1]) / 4 * 4))
    back = to_format(wide, PIXEL_FORMATS["yuv420p10le"])
    assert (back.u.shape, back.pts) == ((3, 4), 9)
    assert np.array_equal(back.u[1], u[1].astype(int) * 4)


def test_full_range_white_stays_white_in_10_bit():
    frame = Frame(np.full((2, 2), 255, np.uint8), *([np.full((1, 1), 128, np.uint8)] * 2), PIXEL_FORMATS["yuv420p"], 0)
    assert np.all(to_format(frame, PIXEL_FORMATS["yuv420p10le"], full_range=True).y == 1023)


def test_bits_are_never_dropped():
    with pytest.raises(ValueError, match="lose bits"):
        to_format(next(grey_frames([0], name="yuv420p10le")), PIXEL_FORMATS["yuv420p"])


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1"])
@pytest.mark.ffprobe
@pytest.mark.skipif(not HAS_FFPROBE, reason="ffprobe is not installed")
def test_ffprobe_reads_colour_and_chroma_location(tmp_path, codec):
    write_chunk(tmp_path / "a.mkv", make_spec(codec, colour=HDR10), [0, 512])
    entries = "stream=color_range,color_primaries,color_transfer,color_space,chroma_location,sample_aspect_ratio"
    stream = ffprobe(tmp_path / "a.mkv", entries)["streams"][0]
    assert (stream["color_range"], stream["color_primaries"]) == ("tv", "bt2020")
    assert (stream["color_transfer"], stream["color_space"]) == ("smpte2084", "bt2020nc")
    assert stream["chroma_location"] == "left"


@pytest.mark.parametrize(("features", "params"), [({"avx512f": True}, ["asm=AVX2"]), ({"avx2": True}, []), ({}, [])])
def test_x264_keeps_from_instructions_whose_bytes_vary(features: dict[str, bool], params: list[str]) -> None:
    assert _x264_instructions(features) == params
