import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from spatialdreamer_core.config import LAYOUTS
from spatialdreamer_core.errors import EncodeError
from spatialdreamer_core.video.encode import stereo_mode
from spatialdreamer_core.video.join import Chunk, join
from tests.core.video.made import (
    HAS_FFPROBE,
    HDR10,
    TICK,
    ffprobe,
    first_frame,
    make_source,
    make_spec,
    packets_of,
    shown_times,
    side_data,
    source_info,
    stereo_of,
    write_chunk,
)

PAIRS = [
    (codec, container)
    for codec in ("h264", "hevc", "av1", "prores")
    for container in ("mkv", "mp4", "mov")
    if (codec, container) not in {("prores", "mp4"), ("av1", "mov")}
]
VFR = [0, 512, 1100, 1101, 1800, 4000, 4001, 4700, 9000, 9512, 10024, 10536, 12000, 12512]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "a.mp4"
    make_source(path)
    return path


def joined(source, folder, container, spec, pts, *, cuts=(), **more):
    """Encode ``pts`` in chunks cut at these indices and join them; gives (path, report)."""
    parts = np.split(np.array(list(pts), np.int64), list(cuts))
    chunks = [write_chunk(folder / f"chunk{k}.mkv", spec, part) for k, part in enumerate(parts)]
    path = folder / f"out.{container}"
    return path, join(str(source), source_info(source), chunks, path, spec, container, **more)


@pytest.mark.parametrize(("codec", "container"), PAIRS)
def test_joined_chunks_have_the_frames_and_times_of_the_source(source, tmp_path, codec, container):
    path, report = joined(source, tmp_path, container, make_spec(codec), VFR, cuts=(1, 5, 9))
    exact = [at * TICK for at in VFR]
    if container == "mkv":
        times = shown_times(path)
        assert len(times) == len(exact)
        assert max(abs(a - b) for a, b in zip(times, exact, strict=True)) <= Fraction(
            3, 2000
        )  # rounded, and some are closer than 1 ms
    else:
        assert shown_times(path) == exact
    assert report.frames == len(VFR)


@pytest.mark.parametrize(("codec", "container"), PAIRS)
def test_joined_chunks_decode_like_one_encode(source, tmp_path, codec, container):
    pts = range(0, 24 * 512, 512)
    (tmp_path / "one").mkdir()
    spec = make_spec(codec, crf=None if codec == "prores" else 8)
    one, _ = joined(source, tmp_path / "one", container, spec, pts)
    many, _ = joined(source, tmp_path, container, spec, pts, cuts=(8, 9, 17))
    assert shown_times(one) == shown_times(many)
    assert len(packets_of(one, 0)) == len(packets_of(many, 0)) == 24


@pytest.mark.parametrize("container", ["mkv", "mp4", "mov"])
def test_the_same_chunks_give_the_same_bytes(source, tmp_path, container):
    spec = make_spec("hevc", colour=HDR10)
    first, _ = joined(source, tmp_path, container, spec, range(0, 5120, 512), cuts=(4,))
    data = first.read_bytes()
    second, _ = joined(source, tmp_path, container, spec, range(0, 5120, 512), cuts=(4,))
    assert second.read_bytes() == data


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("swap", [False, True])
def test_every_layout_is_tagged_in_every_container(source, tmp_path, layout, swap):
    kinds = {"full-sbs": 1, "half-sbs": 1, "full-tb": 2, "half-tb": 2}
    spec = make_spec("hevc", layout=layout, swap_eyes=swap)
    for container in ("mkv", "mp4", "mov"):
        path, _ = joined(source, tmp_path, container, spec, [0, 512])
        if container == "mkv":
            with av.open(str(path)) as made:
                assert made.streams.video[0].metadata.get("stereo_mode") == stereo_mode(layout, swap)
        elif layout in kinds:
            assert stereo_of(path) == (kinds[layout], swap)
        else:
            assert stereo_of(path) is None


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_hevc_is_tagged_as_apple_wants_it_and_the_index_comes_first(source, tmp_path, container):
    path, _ = joined(source, tmp_path, container, make_spec("hevc"), range(0, 5120, 512), hfov_deg=60.0)
    data = path.read_bytes()
    with av.open(str(path)) as made:
        assert made.streams.video[0].codec_context.codec_tag == "hvc1"
    assert data.index(b"moov") < data.index(b"mdat")
    assert data[data.index(b"hfov") + 4 :][:4] == (60_000).to_bytes(4, "big")


@pytest.mark.parametrize(("codec", "container"), [pair for pair in PAIRS if pair[0] != "prores"])
def test_hdr10_survives_the_join(source, tmp_path, codec, container):
    path, _ = joined(source, tmp_path, container, make_spec(codec, colour=HDR10), [0, 512])
    frame = first_frame(path)
    assert (frame.color_primaries, frame.color_trc, frame.colorspace) == (9, 16, 9)
    assert struct.unpack_from("<2I", side_data(frame)["CONTENT_LIGHT_LEVEL"]) == (1000, 400)
    if container != "mkv":
        assert b"mdcv" in path.read_bytes()


@pytest.mark.parametrize("codec", ["h264", "hevc", "av1", "prores"])
@pytest.mark.parametrize("layout", ["half-sbs", "half-tb", "rgbd", "interleaved", "anaglyph-dubois"])
def test_the_shape_of_the_samples_is_kept(source, tmp_path, codec, layout):
    spec = make_spec(codec, layout=layout, sample_aspect=Fraction(4, 3))
    for container in ("mkv", "mov" if codec == "prores" else "mp4"):
        path, _ = joined(source, tmp_path, container, spec, [0, 512])
        with av.open(str(path)) as made:
            stream = made.streams.video[0]
            assert stream.sample_aspect_ratio == pytest.approx(Fraction(4, 3), rel=0.03)
            if container == "mkv":
                assert stream.metadata.get("stereo_mode") == stereo_mode(layout)


def test_a_wide_picture_with_narrow_samples_keeps_its_shape_in_matroska(source, tmp_path):
    spec = make_spec("h264", width=256, height=240, sample_aspect=Fraction(2, 1), layout="rgbd")
    path, _ = joined(source, tmp_path, "mkv", spec, [0, 512])
    with av.open(str(path)) as made:
        assert made.streams.video[0].sample_aspect_ratio == pytest.approx(2, rel=0.01)


def test_a_steady_rate_is_promised_and_an_unsteady_one_is_not(source, tmp_path):
    steady, _ = joined(source, tmp_path, "mkv", make_spec(), range(0, 5120, 512))
    assert b"\x23\xe3\x83" in steady.read_bytes()  # DefaultDuration
    unsteady, _ = joined(source, tmp_path, "mkv", make_spec(), VFR)
    assert b"\x23\xe3\x83" not in unsteady.read_bytes()


def test_times_closer_than_a_millisecond_still_rise_in_matroska(source, tmp_path):
    pts = [0, 1, 2, 3, 4, 512, 513, 1024]
    path, _ = joined(source, tmp_path, "mkv", make_spec(), pts)
    times = shown_times(path)
    assert times == [Fraction(t, 1000) for t in (0, 1, 2, 3, 4, 40, 41, 80)]


def test_a_single_picture_is_a_video(source, tmp_path):
    for container in ("mkv", "mp4", "mov"):
        path, report = joined(source, tmp_path, container, make_spec(), [512])
        assert (report.frames, len(shown_times(path))) == (1, 1)


def test_each_eye_of_left_right_files_is_joined_alone(source, tmp_path):
    spec = make_spec(layout="left-right-files")
    for container in ("mkv", "mp4"):
        path, _ = joined(source, tmp_path, container, spec, [0, 512])
        assert stereo_of(path) is None


def test_a_truncated_chunk_is_never_joined(source, tmp_path):
    chunk = write_chunk(tmp_path / "chunk.mkv", make_spec(), range(0, 51200, 512))
    data = chunk.path.read_bytes()
    for share in (0.1, 0.5, 0.8):
        chunk.path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(EncodeError, match=r"chunk\.mkv: "):
            join(str(source), source_info(source), [chunk], tmp_path / "out.mkv", make_spec(), "mkv")


def test_an_empty_or_missing_chunk_names_its_file(source, tmp_path):
    path = tmp_path / "chunk.mkv"
    for make in (lambda: None, lambda: path.write_bytes(b""), lambda: path.write_bytes(b"no video")):
        make()
        with pytest.raises(EncodeError, match=r"chunk\.mkv: "):
            join(str(source), source_info(source), [Chunk(path, np.array([0]))], tmp_path / "o.mkv", make_spec(), "mkv")


@pytest.mark.parametrize("times", [[0, 512], [0, 512, 1024, 1536]])
def test_another_number_of_pictures_than_times_is_an_error(source, tmp_path, times):
    chunk = write_chunk(tmp_path / "chunk.mkv", make_spec(), [0, 512, 1024])
    wrong = Chunk(chunk.path, np.array(times))
    with pytest.raises(EncodeError, match=f"3 pictures where {len(times)} belong"):
        join(str(source), source_info(source), [wrong], tmp_path / "o.mkv", make_spec(), "mkv")


def test_chunks_of_different_settings_do_not_mix(source, tmp_path):
    chunks = [
        write_chunk(tmp_path / "a.mkv", make_spec(), [0, 512]),
        write_chunk(tmp_path / "b.mkv", make_spec(height=64), [1024, 1536]),
    ]
    with pytest.raises(EncodeError, match=r"b\.mkv: .*other settings"):
        join(str(source), source_info(source), chunks, tmp_path / "o.mkv", make_spec(), "mkv")


def test_chunks_out_of_order_are_refused(source, tmp_path):
    chunk = write_chunk(tmp_path / "a.mkv", make_spec(), [0, 512])
    with pytest.raises(EncodeError, match="do not rise"):
        join(str(source), source_info(source), [chunk, chunk], tmp_path / "o.mkv", make_spec(), "mkv")


@pytest.mark.parametrize(("codec", "container"), [("prores", "mp4"), ("av1", "mov")])
def test_a_codec_that_the_container_cannot_hold_is_named(source, tmp_path, codec, container):
    with pytest.raises(EncodeError, match=f"{codec} does not go into {container}"):
        joined(source, tmp_path, container, make_spec(codec), [0, 512])


def test_no_chunks_are_an_error(source, tmp_path):
    with pytest.raises(EncodeError, match="no chunks"):
        join(str(source), source_info(source), [], tmp_path / "o.mkv", make_spec(), "mkv")


@pytest.mark.ffprobe
@pytest.mark.skipif(not HAS_FFPROBE, reason="ffprobe is not installed")
@pytest.mark.parametrize(("codec", "container"), PAIRS)
def test_ffprobe_sees_the_pictures_and_the_layout(source, tmp_path, codec, container):
    for layout, name in (("full-sbs", "side by side"), ("half-tb", "top and bottom")):
        path, _ = joined(source, tmp_path, container, make_spec(codec, layout=layout), VFR, cuts=(6,))
        entries = "stream=codec_name,nb_read_frames,codec_tag_string:stream_side_data=type"
        video = ffprobe(path, entries, "-count_frames", "-select_streams", "v:0")["streams"][0]
        assert (video["codec_name"], int(video["nb_read_frames"])) == (codec, len(VFR))
        assert name in [data.get("type") for data in video["side_data_list"]]
