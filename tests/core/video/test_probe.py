import struct
from fractions import Fraction

import av
import fsspec
import pytest

from spatialdreamer_core.errors import ConfigError, UnreadableSourceError
from spatialdreamer_core.video.media import list_sources, open_source, source_id
from spatialdreamer_core.video.probe import mastering_text, probe
from tests.media import grey_frames, scene, write_video

HDR = (
    "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc:hdr10=1:"
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1):max-cll=1000,400"
)


def test_ordinary_file_is_described(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_frames(10, 64, 36), rate=Fraction(30_000, 1001), audio_s=0.3)
    info = probe(str(path))
    video = info.video
    assert (video.codec, video.width, video.height, video.bits) == ("h264", 64, 36, 8)
    assert (video.rotation, video.sample_aspect, video.interlaced, video.stereo) == (0, 1, False, "")
    assert video.average_rate == Fraction(30_000, 1001)
    assert [other.kind for other in info.others] == ["audio"]
    assert info.bytes == path.stat().st_size
    assert info.duration_s == pytest.approx(10 * 1001 / 30_000, abs=0.1)
    assert info.notes == ()


def test_largest_of_several_video_streams_is_chosen_and_the_other_is_named(tmp_path):
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = []
        for width, height in ((32, 18), (64, 36)):
            stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast"})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            streams.append(stream)
        for stream in streams:
            for number, rgb in enumerate(grey_frames(3, stream.width, stream.height)):
                frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
                frame.pts = number
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    info = probe(str(path))
    assert (info.video.index, info.video.width) == (1, 64)
    assert "video stream 0 (h264) is left out" in info.notes[0]


def test_cover_art_is_no_video_stream(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_frames(3, 24, 18), cover=True)
    info = probe(str(path))
    assert (info.video.codec, info.video.width) == ("h264", 24)
    assert [other.kind for other in info.others] == ["attachment"]


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_rotation_turns_size_and_sample_aspect(tmp_path, rotation):
    def prepare(stream):
        stream.set_display_rotation(rotation)
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    video = probe(str(write_video(tmp_path / "a.mp4", grey_frames(3, 64, 36), on_stream=prepare))).video
    quarter = rotation % 180 == 90
    assert video.rotation == rotation
    assert (video.width, video.height) == ((36, 64) if quarter else (64, 36))
    assert video.sample_aspect == (Fraction(3, 4) if quarter else Fraction(4, 3))


def test_mirrored_display_matrix_is_noted(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_frames(3), on_stream=lambda s: s.set_display_rotation(0, hflip=True))
    info = probe(str(path))
    assert info.video.rotation == 0
    assert any("mirrors" in note for note in info.notes)


def test_colour_is_read_from_the_stream(tmp_path):
    def prepare(stream):
        context = stream.codec_context
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = 9, 16, 9, 1

    colour = probe(str(write_video(tmp_path / "a.mp4", grey_frames(3), on_stream=prepare))).video.colour
    assert (colour.primaries, colour.transfer, colour.matrix, colour.range) == (9, 16, 9, 1)


def test_full_range_is_kept(tmp_path):
    path = write_video(tmp_path / "a.mkv", grey_frames(3), codec="mjpeg", pixel_format="yuvj420p")
    assert probe(str(path)).video.colour.range == 2


def test_hdr10_data_come_in_the_encoders_own_words(tmp_path):
    options = {"preset": "ultrafast", "x265-params": HDR}
    path = write_video(
        tmp_path / "a.mp4", scene(3, 64, 36), codec="libx265", pixel_format="yuv420p10le", options=options
    )
    video = probe(str(path)).video
    assert video.bits == 10
    assert video.colour.mastering_display == "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    assert video.colour.content_light == (1000, 400)
    assert (video.colour.primaries, video.colour.transfer, video.colour.matrix) == (9, 16, 9)


def test_mastering_display_without_luminance_is_left_out():
    numbers = [34000, 50000] * 10
    assert mastering_text(struct.pack("=20i2i", *numbers, 1, 0)) is None
    assert mastering_text(None) is None


def test_interlaced_source_is_noted(tmp_path):
    options = {"preset": "ultrafast", "x264-params": "tff=1"}
    info = probe(str(write_video(tmp_path / "a.mp4", scene(4, 64, 64), options=options)))
    assert info.video.interlaced
    assert any("interlaced" in note for note in info.notes)


@pytest.mark.parametrize("tagged", ["sei", "matroska"])
def test_source_that_is_stereo_already_is_noted(tmp_path, tagged):
    options = {"preset": "ultrafast"}
    if tagged == "sei":
        options["x264-params"] = "frame-packing=3"

    def prepare(stream):
        if tagged == "matroska":
            stream.metadata["stereo_mode"] = "left_right"

    info = probe(str(write_video(tmp_path / "a.mkv", grey_frames(3, 64, 18), options=options, on_stream=prepare)))
    assert info.video.stereo == "side by side"
    assert any("stereo already" in note for note in info.notes)


def test_identity_follows_the_content_and_not_the_name(tmp_path):
    path = write_video(tmp_path / "a.mp4", grey_frames(3))
    copy = tmp_path / "Ünï cödé 100% #1: [x].mp4"
    copy.write_bytes(path.read_bytes())
    assert source_id(str(copy)) == source_id(str(path)) == probe(str(copy)).source_id
    copy.write_bytes(path.read_bytes() + b"\0")
    assert source_id(str(copy)) != source_id(str(path))


def test_large_files_differ_in_their_middle_too(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    data = bytearray(5 << 20)
    a.write_bytes(data)
    data[len(data) // 2] = 1
    b.write_bytes(data)
    assert source_id(str(a)) != source_id(str(b))
    assert len(source_id(str(a))) == 16


@pytest.mark.parametrize("scheme", ["memory://films/a b#1.mp4", "file://"])
def test_urls_are_read(tmp_path, scheme):
    path = write_video(tmp_path / "a.mp4", grey_frames(3))
    url = scheme + str(path) if scheme == "file://" else scheme
    if url.startswith("memory"):
        with fsspec.open(url, "wb") as handle:
            handle.write(path.read_bytes())
    info = probe(url)
    assert info.video.width == 32
    assert info.source_id == source_id(str(path))


def test_playlists_and_scripts_reach_no_other_file(tmp_path):
    write_video(tmp_path / "secret.ts", grey_frames(3))
    (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile secret.ts\n")
    (tmp_path / "play.m3u8").write_text("#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:4,\nsecret.ts\n#EXT-X-ENDLIST\n")
    for name in ("list.mp4", "play.m3u8"):
        with pytest.raises(UnreadableSourceError, match=name), open_source(str(tmp_path / name)):
            pass


def test_folders_globs_lists_and_urls_are_searched(tmp_path):
    films = tmp_path / "films"
    for name in ("b.mkv", "a 1.mp4", "sub/c%20.MOV", "sub/.hidden.mp4", ".cache/d.mp4", "notes.txt"):
        (films / name).parent.mkdir(parents=True, exist_ok=True)
        (films / name).touch()
    (films / "results" / ".spatialdreamer").mkdir(parents=True)
    (films / "results" / "a 1.3D.mkv").touch()
    expected = [str(films / name) for name in ("a 1.mp4", "b.mkv", "sub/c%20.MOV")]
    assert list_sources([str(films)]) == expected
    assert list_sources([str(films), str(films / "b.mkv"), str(films / "*.mkv")]) == expected
    assert list_sources([str(films / "**/*.MOV")]) == expected[2:]
    assert list_sources([str(films)], include=["*.mkv", "*.mp4"], exclude=["*a 1*"]) == expected[1:2]
    (films / "list.txt").write_text(f"# mine\nb.mkv\n\n{expected[0]}\n")
    assert list_sources([f"@{films / 'list.txt'}"]) == expected[:2]
    for name in ("x.mp4", "deep/y.webm", ".z.mp4"):
        with fsspec.open(f"memory://shelf/{name}", "wb") as handle:
            handle.write(b"")
    assert list_sources(["memory://shelf"]) == ["memory:///shelf/deep/y.webm", "memory:///shelf/x.mp4"]
    assert list_sources(["memory://shelf/*.mp4"]) == ["memory:///shelf/x.mp4"]


def test_nothing_found_says_what_was_looked_at(tmp_path):
    with pytest.raises(ConfigError, match=r"no video found in .*nowhere\.mp4.*does not exist: .*nowhere\.mp4"):
        list_sources([str(tmp_path / "nowhere.mp4")])
    with pytest.raises(ConfigError, match="no video found in"):
        list_sources([str(tmp_path)])


def test_missing_file_beside_others_stays_to_fail_on_its_own(tmp_path):
    (tmp_path / "a.mp4").touch()
    found = list_sources([str(tmp_path / "a.mp4"), str(tmp_path / "gone.mp4")])
    assert found == [str(tmp_path / "a.mp4"), str(tmp_path / "gone.mp4")]
