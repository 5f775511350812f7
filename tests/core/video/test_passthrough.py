import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from spatialdreamer_core.video.join import join
from spatialdreamer_core.video.passthrough import (
    Window,
    format_tags,
    mov_text_packet,
    mov_text_string,
    plain_text,
    stream_tags,
)
from tests.core.video.made import (
    HAS_FFPROBE,
    TICK,
    ffprobe,
    make_source,
    make_spec,
    packets_of,
    shown_times,
    side_data,
    source_info,
    source_pts,
    write_chunk,
)

CONTAINERS = ["mkv", "mp4", "mov"]
FONT = bytes(range(256)) * 8


def convert(source, folder, container, *, keep=slice(None), **more):
    """Encode all pictures of a source as one chunk and join; gives (path, report)."""
    info = source_info(source)
    pts = source_pts(source)[keep]
    spec = make_spec(time_base=info.video.time_base)
    chunk = write_chunk(folder / "chunk.mkv", spec, pts)
    path = folder / f"out.{container}"
    return path, join(str(source), info, [chunk], path, spec, container, **more)


def streams_of(path):
    """(kind, codec, language) of every stream but attachments and chapter lists."""
    with av.open(str(path)) as container:
        return [
            (s.type, s.codec_context.codec.canonical_name, s.metadata.get("language"))
            for s in container.streams
            if s.type in ("video", "audio", "subtitle")
        ]


def texts_of(path, index):
    """(start, duration, text) of every event of a subtitle stream, seconds."""
    with av.open(str(path)) as container:
        stream = container.streams[index]
        codec = stream.codec_context.codec.canonical_name
        events = []
        for packet in container.demux(stream):
            text = mov_text_string(bytes(packet)) if codec == "mov_text" else bytes(packet).decode()
            if packet.size and text:
                events.append((float(packet.pts * stream.time_base), float(packet.duration * stream.time_base), text))
        return events


@pytest.mark.parametrize("container", CONTAINERS)
def test_every_sound_track_is_copied_packet_by_packet(tmp_path, container):
    source = tmp_path / "a.mp4"
    make_source(source, audio=("aac", "ac3", "aac"))
    path, report = convert(source, tmp_path, container)
    for index in (1, 2, 3):
        before, after = packets_of(source, index), packets_of(path, index)
        assert [data for _, data in after] == [data for _, data in before]
        shift = max(abs(a - b) for (a, _), (b, _) in zip(after, before, strict=True))
        assert shift <= Fraction(1, 1000)
    assert [stream[2] for stream in streams_of(path)] == ["jpn", "eng", "ger", "fre"]
    assert len(report.copied) == 3
    assert report.left_out == report.converted == ()


@pytest.mark.parametrize("container", CONTAINERS)
def test_picture_and_sound_keep_their_distance(tmp_path, container):
    source = tmp_path / "a.mkv"
    make_source(source, pts=range(6400, 6400 + 50 * 512, 512), audio=("pcm_s16le",))
    with av.open(str(source)) as made:
        base = Fraction(made.start_time, av.time_base)
    path, _ = convert(source, tmp_path, container)
    picture = shown_times(source)[0] - shown_times(path)[0]
    sound = packets_of(source, 1)[0][0] - packets_of(path, 1)[0][0]
    assert abs(picture - sound) <= Fraction(1, 1000)
    assert abs(picture - base) <= Fraction(1, 1000)
    assert abs(shown_times(path)[0]) <= Fraction(1, 1000)


def test_a_transport_stream_starts_at_zero(tmp_path):
    source = tmp_path / "a.ts"
    make_source(source, tags=(), audio=("mp2",))
    assert source_pts(source)[0] > 0
    for container in ("mkv", "mp4"):
        path, _ = convert(source, tmp_path, container)
        first = min(shown_times(path)[0], packets_of(path, 1)[0][0])
        assert abs(first) < Fraction(1, 20)
        assert len(shown_times(path)) == 50


@pytest.mark.parametrize("name", ["subrip", "ass"])
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_text_subtitles_become_mov_text(tmp_path, name, container):
    source = tmp_path / "a.mkv"
    make_source(source, subtitles=(name,))
    path, report = convert(source, tmp_path, container)
    assert streams_of(path)[2] == ("subtitle", "mov_text", "spa")
    assert texts_of(path, 2) == [(0.2, 0.8, "Hello world"), (1.2, 0.6, "Second\nline é")]
    assert "turned into mov_text" in report.converted[0]


def test_mov_text_becomes_subrip_in_matroska(tmp_path):
    source = tmp_path / "a.mp4"
    make_source(source, subtitles=("mov_text",))
    path, report = convert(source, tmp_path, "mkv")
    assert streams_of(path)[2] == ("subtitle", "subrip", "spa")
    assert texts_of(path, 2) == [(0.2, 0.8, "<i>Hello</i> world"), (1.2, 0.6, "Second\nline é")]
    assert "turned into subrip" in report.converted[0]


def test_mov_text_is_copied_between_mp4_and_mov(tmp_path):
    source = tmp_path / "a.mp4"
    make_source(source, subtitles=("mov_text",))
    for container in ("mp4", "mov"):
        path, report = convert(source, tmp_path, container)
        assert packets_of(path, 2) == packets_of(source, 2)
        with av.open(str(path)) as made:
            assert made.streams[2].codec_context.codec_tag == "tx3g"
        assert not report.converted


@pytest.mark.parametrize("name", ["subrip", "ass"])
def test_text_subtitles_are_copied_into_matroska(tmp_path, name):
    source = tmp_path / "a.mkv"
    make_source(source, subtitles=(name,))
    path, report = convert(source, tmp_path, "mkv")
    assert packets_of(path, 2) == packets_of(source, 2)
    with av.open(str(path)) as made:
        assert made.streams[2].disposition & 64  # forced
    assert not report.converted


def test_chapters_tags_and_fonts_reach_matroska(tmp_path):
    source = tmp_path / "a.mkv"
    make_source(source, chapters=True, font=FONT, tags=(("title", "A film"), ("MOOD", "calm")))
    path, report = convert(source, tmp_path, "mkv")
    with av.open(str(path)) as made:
        chapters = [(float(c["start"] * c["time_base"]), c["metadata"]["title"]) for c in made.chapters()]
        fonts = [s for s in made.streams if s.type == "attachment"]
        assert chapters == [(0.0, "One"), (1.0, "Two")]
        assert (made.metadata["title"], made.metadata["MOOD"]) == ("A film", "calm")
        assert [(f.name, f.mimetype, f.data) for f in fonts] == [("letters.ttf", "application/x-truetype-font", FONT)]
        assert made.streams[1].metadata["title"] == "Track 0"
    assert "attachment letters.ttf" in report.copied
    assert "2 chapters" in report.copied


@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_mp4_says_what_it_cannot_hold(tmp_path, container):
    source = tmp_path / "a.mkv"
    make_source(source, chapters=True, font=FONT, tags=(("title", "A film"), ("MOOD", "calm")))
    path, report = convert(source, tmp_path, container)
    with av.open(str(path)) as made:
        assert [c["metadata"]["title"] for c in made.chapters()] == ["One", "Two"]
        assert made.metadata["title"] == "A film"
        assert made.streams[1].metadata["handler_name"] == "Track 0"
    assert any("holds no attachments" in line for line in report.left_out)
    assert any("MOOD" in note for note in report.notes)


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_date_of_the_film_is_kept(tmp_path, container):
    source = tmp_path / "a.mkv"
    make_source(source, tags=(("creation_time", "2013-12-16T17:44:39.000000Z"),))
    path, report = convert(source, tmp_path, container)
    with av.open(str(path)) as made:
        assert made.metadata.get("creation_time", made.metadata.get("CREATION_TIME")) == "2013-12-16T17:44:39.000000Z"
    assert not report.notes


def test_sound_that_mov_refuses_is_encoded_as_aac(tmp_path):
    source = tmp_path / "a.mkv"
    make_source(source, audio=("flac",))
    path, report = convert(source, tmp_path, "mov")
    assert streams_of(path)[1] == ("audio", "aac", "eng")
    assert "mov does not take flac" in report.converted[0]
    with av.open(str(path)) as made:
        frames = [frame.to_ndarray() for frame in made.decode(audio=0)]
    samples = np.concatenate(frames, axis=1)[0]
    assert len(samples) == pytest.approx(96_000, abs=3000)
    assert np.sqrt(np.mean(samples[8000:80_000] ** 2)) == pytest.approx(8000 / 32768 / np.sqrt(2), rel=0.05)


def test_a_second_picture_stream_is_left_out_and_named(tmp_path):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as made:
        streams = [made.add_stream("mpeg4", rate=25, width=64, height=48, pix_fmt="yuv420p") for _ in range(2)]
        for t in range(5):
            for stream in streams:
                picture = av.VideoFrame.from_ndarray(np.full((72, 64), 90, np.uint8), "yuv420p")
                picture.pts, picture.time_base = t, Fraction(1, 25)
                made.mux(stream.encode(picture))
        for stream in streams:
            made.mux(stream.encode(None))
    path, report = convert(source, tmp_path, "mkv")
    assert len(streams_of(path)) == 1
    assert "video stream 1" in report.left_out[0]


@pytest.mark.parametrize("container", CONTAINERS)
def test_the_rotation_of_the_source_is_not_carried_over(tmp_path, container):
    source = tmp_path / "a.mp4"
    make_source(source, rotate=90)
    with av.open(str(source)) as made:
        frame = next(made.decode(video=0))
        assert frame.rotation == 90
    path, _ = convert(source, tmp_path, container)
    with av.open(str(path)) as made:
        frame = next(made.decode(video=0))
    assert frame.rotation == 0
    assert "DISPLAYMATRIX" not in side_data(frame) or frame.rotation == 0


@pytest.mark.parametrize("container", CONTAINERS)
def test_a_part_of_a_source_takes_that_part_of_everything(tmp_path, container):
    source = tmp_path / "a.mkv"
    make_source(source, subtitles=("subrip",), chapters=True)
    path, _ = convert(source, tmp_path, container, keep=slice(12, 37), start_s=0.48, duration_s=1.0)
    assert shown_times(path)[0] == 0
    assert len(shown_times(path)) == 25
    sound = [at for at, _ in packets_of(path, 1)]
    assert 0 <= sound[0] < Fraction(3, 100)
    assert Fraction(95, 100) < sound[-1] < 1
    texts = [(round(at, 3), round(span, 3)) for at, span, _ in texts_of(path, 2)]
    assert texts == [(0.0, 0.52), (0.72, 0.28)]
    with av.open(str(path)) as made:
        chapters = [[float(c[k] * c["time_base"]) for k in ("start", "end")] for c in made.chapters()]
    assert chapters == [pytest.approx([0, 0.52], abs=2e-3), pytest.approx([0.52, 1.0], abs=2e-3)]


def test_a_duration_alone_ends_everything_there(tmp_path):
    source = tmp_path / "a.mkv"
    make_source(source, subtitles=("subrip",))
    path, _ = convert(source, tmp_path, "mkv", keep=slice(0, 25), duration_s=1.0)
    assert packets_of(path, 1)[-1][0] < 1
    assert [round(at, 3) for at, _, _ in texts_of(path, 2)] == [0.2]


def test_a_source_cut_short_keeps_what_is_there(tmp_path):
    source = tmp_path / "a.mkv"
    make_source(source)
    info, pts = source_info(source), source_pts(source)
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    spec = make_spec(time_base=info.video.time_base)
    chunk = write_chunk(tmp_path / "chunk.mkv", spec, pts[:20])
    report = join(str(source), info, [chunk], tmp_path / "out.mkv", spec, "mkv")
    assert report.frames == 20
    assert len(packets_of(tmp_path / "out.mkv", 1)) > 10


def test_cover_art_stays_cover_art(tmp_path):
    cover = _jpeg()
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as made:
        stream = made.add_stream("mpeg4", rate=25, width=64, height=48, pix_fmt="yuv420p")
        made.add_attachment("cover.jpg", "image/jpeg", cover)
        for t in range(5):
            picture = av.VideoFrame.from_ndarray(np.full((72, 64), 90, np.uint8), "yuv420p")
            picture.pts, picture.time_base = t, Fraction(1, 25)
            made.mux(stream.encode(picture))
        made.mux(stream.encode(None))
    for container in ("mkv", "mp4"):
        path, report = convert(source, tmp_path, container)
        with av.open(str(path)) as made:
            still = [s for s in made.streams.video if s.disposition & 1024]
            assert len(still) == 1
            assert next(bytes(p) for p in made.demux(still) if p.size) == cover
        assert not report.left_out
    _, report = convert(source, tmp_path, "mov")
    assert "no cover art" in report.left_out[0]


def _jpeg():
    context = av.CodecContext.create("mjpeg", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 16, 16, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame(16, 16, "yuvj420p")
    frame.pts = 0
    return b"".join(bytes(p) for p in context.encode(frame) + context.encode(None))


def test_window_keeps_what_begins_inside():
    window = Window(Fraction(1), Fraction(1), Fraction(2))
    assert [window.keeps(Fraction(n, 10)) for n in (9, 10, 19, 20)] == [False, True, True, False]
    assert Window(Fraction(0)).keeps(Fraction(-1))


@pytest.mark.parametrize(
    ("codec", "raw", "words"),
    [
        ("subrip", "<i>Yes</i> <font color=red>no</font>\r\n2 < 3", "Yes no\n2 < 3"),
        ("subrip", "{\\an8}Above", "Above"),
        ("ass", "0,0,Default,,0,0,0,,{\\i1}One, two{\\i0}\\Nthree", "One, two\nthree"),
        ("webvtt", "<v Ann>Fish &amp; chips &lt;3", "Fish & chips <3"),
    ],
)
def test_markup_goes_and_words_stay(codec, raw, words):
    assert plain_text(raw, codec) == words


def test_mov_text_is_length_and_text():
    assert mov_text_packet("é") == b"\0\x02\xc3\xa9"
    assert mov_text_string(b"\0\x02\xc3\xa9" + struct.pack(">I4s", 12, b"styl")) == "é"
    assert mov_text_string(b"\0\x06\xfe\xff\0h\0i") == "hi"
    assert len(mov_text_packet("日" * 40_000)) <= 0xFFFF + 2


def test_tags_of_the_old_muxing_are_dropped():
    assert format_tags({"title": "T", "encoder": "Lavf", "major_brand": "isom"}) == {"title": "T"}
    tags = {"BPS-eng": "1", "_STATISTICS_TAGS": "x", "rotate": "90", "language": "eng", "handler_name": "VideoHandler"}
    assert stream_tags(tags) == {"language": "eng"}
    assert stream_tags({"title": "Comments"}) == {"title": "Comments", "handler_name": "Comments"}


@pytest.mark.ffprobe
@pytest.mark.skipif(not HAS_FFPROBE, reason="ffprobe is not installed")
@pytest.mark.parametrize("container", CONTAINERS)
def test_ffprobe_counts_the_same_packets_and_lengths(tmp_path, container):
    source = tmp_path / "a.mp4"
    make_source(source, audio=("aac", "aac"), subtitles=("mov_text",))
    path, _ = convert(source, tmp_path, container)
    entries = "stream=codec_type,nb_read_packets,duration:stream_tags=language"
    before, after = (ffprobe(p, entries, "-count_packets")["streams"] for p in (source, path))
    for old, new in zip(before, after, strict=True):
        assert (new["codec_type"], new["tags"]["language"]) == (old["codec_type"], old["tags"]["language"])
        if container != "mkv" or old["codec_type"] != "subtitle":  # Matroska needs no empty texts in the gaps
            assert new["nb_read_packets"] == old["nb_read_packets"]
        if container != "mkv":
            assert float(new["duration"]) == pytest.approx(float(old["duration"]), abs=float(TICK))
