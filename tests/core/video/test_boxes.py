import contextlib
import struct
from fractions import Fraction

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialdreamer_core.video.boxes import (
    Box,
    BoxError,
    hdr_boxes,
    parse_boxes,
    rewrite_video_entry,
    scan_file,
    stereo_boxes,
    tag_stereo,
    video_entries,
)
from tests.core.video.made import HAS_FFPROBE, HDR10, ffprobe, make_source, packets_of, shown_times, stereo_of

QUICK = settings(max_examples=50, deadline=None)
KINDS = st.sampled_from([b"free", b"name", b"abcd", b"st3d"])
LEAVES = st.builds(Box, KINDS, st.binary(max_size=12), large=st.booleans())
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(
        Box,
        st.sampled_from([b"moov", b"trak", b"vexu"]),
        st.just(b""),
        st.lists(inner, max_size=3).map(tuple),
        st.sampled_from([b"", bytes(4)]),
        st.booleans(),
    ),
    max_leaves=6,
)


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "a.mp4"
    make_source(path, audio=("aac", "aac"))
    return path


def order(path):
    with path.open("rb") as file:
        return [span.kind for span in scan_file(file)]


def contents(path):
    """All that tagging must not touch: packets of every stream and the times of the pictures."""
    with av.open(str(path)) as container:
        count = len(container.streams)
    return [packets_of(path, k) for k in range(count)], shown_times(path)


@QUICK
@given(st.lists(TREES, max_size=4).map(tuple))
def test_boxes_survive_writing_and_reading(boxes):
    assert parse_boxes(b"".join(box.to_bytes() for box in boxes)) == (boxes, b"")


@QUICK
@given(st.binary(max_size=200))
def test_reading_noise_gives_boxes_or_a_clean_error(data):
    try:
        boxes, tail = parse_boxes(data)
    except BoxError:
        return
    assert b"".join(box.to_bytes() for box in boxes) + tail == data


@QUICK
@given(st.lists(TREES, min_size=1, max_size=3), st.data())
def test_a_wrong_size_gives_boxes_or_a_clean_error(boxes, data):
    raw = bytearray(b"".join(box.to_bytes() for box in boxes))
    at = data.draw(st.integers(0, len(raw) - 4))
    raw[at : at + 4] = struct.pack(">I", data.draw(st.sampled_from([0, 1, 7, 9, 0x7FFFFFFF, 0xFFFFFFFF])))
    with contextlib.suppress(BoxError):
        parse_boxes(bytes(raw))


@QUICK
@given(st.lists(TREES, min_size=1, max_size=3), st.data())
def test_a_cut_file_gives_boxes_or_a_clean_error(boxes, data):
    raw = b"".join(box.to_bytes() for box in boxes)
    with contextlib.suppress(BoxError):
        parse_boxes(raw[: data.draw(st.integers(0, len(raw)))])


def test_boxes_that_nest_without_end_are_refused():
    box = Box(b"free")
    for _ in range(40):
        box = Box(b"moov", children=(box,))
    with pytest.raises(BoxError, match="nest deeper"):
        parse_boxes(box.to_bytes())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_damaged_file_is_tagged_or_refused_but_never_crashes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("evil") / "a.mp4"
    raw = bytearray(_sound_file(tmp_path_factory))
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw)))]
    for _ in range(data.draw(st.integers(0, 6))):
        if raw:
            raw[data.draw(st.integers(max(0, len(raw) - 3000), len(raw) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(raw)
    try:
        rewrite_video_entry(path, stereo_boxes("full-sbs"), index_first=True, sample_aspect=Fraction(1))
    except BoxError as error:
        assert str(path) in str(error)  # noqa: PT017


_FILES = {}


def _sound_file(factory):
    if "a" not in _FILES:
        path = factory.mktemp("sound") / "a.mp4"
        make_source(path, pts=range(0, 5 * 512, 512))
        _FILES["a"] = path.read_bytes()
    return _FILES["a"]


@pytest.mark.parametrize("index_first", [False, True])
@pytest.mark.parametrize(("layout", "kind"), [("full-sbs", 1), ("half-sbs", 1), ("full-tb", 2), ("half-tb", 2)])
@pytest.mark.parametrize("swap", [False, True])
def test_a_tagged_file_says_its_layout_and_keeps_everything(video, index_first, layout, kind, swap):
    before = contents(video)
    rewrite_video_entry(video, stereo_boxes(layout, swap_eyes=swap), index_first=index_first)
    assert stereo_of(video) == (kind, swap)
    assert contents(video) == before


def test_an_index_that_comes_first_can_be_tagged_and_grow(tmp_path, video):
    rewrite_video_entry(video, (), index_first=True)
    before = contents(video)
    assert order(video).index(b"moov") < order(video).index(b"mdat")
    tag_stereo(video, "full-tb", 90.0)
    assert contents(video) == before
    assert stereo_of(video) == (2, False)


def test_an_index_that_comes_first_can_shrink(video):
    rewrite_video_entry(video, (), index_first=True)
    bare, before = video.read_bytes(), contents(video)
    tag_stereo(video, "full-sbs", 60.0)
    tag_stereo(video, "anaglyph-dubois")
    assert video.read_bytes() == bare
    assert contents(video) == before


def test_what_follows_the_index_stays(video):
    with video.open("ab") as file:
        file.write(Box(b"free", b"kept").to_bytes())
    before = contents(video)
    rewrite_video_entry(video, stereo_boxes("full-sbs"), index_first=True)
    assert contents(video) == before
    assert video.read_bytes().endswith(b"freekept")
    tag_stereo(video, "rgbd")
    assert contents(video) == before
    assert video.read_bytes().endswith(b"freekept")


@pytest.mark.parametrize("index_first", [False, True])
def test_tagging_twice_changes_nothing(video, index_first):
    boxes = stereo_boxes("half-sbs", hfov_deg=63.5) + hdr_boxes(HDR10)
    rewrite_video_entry(video, boxes, index_first=index_first)
    once = video.read_bytes()
    rewrite_video_entry(video, boxes, index_first=index_first)
    assert video.read_bytes() == once


def test_another_layout_replaces_the_first(video):
    tag_stereo(video, "full-sbs", 60.0)
    tag_stereo(video, "full-tb")
    (entry,) = video_entries(video)
    kinds = [box.kind for box in entry.children]
    assert (kinds.count(b"st3d"), kinds.count(b"vexu"), kinds.count(b"hfov")) == (1, 1, 0)
    assert stereo_of(video) == (2, False)


def test_the_stereo_boxes_hold_what_players_look_for():
    st3d, vexu, hfov = stereo_boxes("full-sbs", hfov_deg=63.5)
    assert st3d.to_bytes() == b"\0\0\0\x0dst3d\0\0\0\0\x02"
    eyes, pack = vexu.children
    assert [box.kind for box in eyes.children] == [b"stri", b"hero"]
    assert eyes.children[0].payload == b"\0\0\0\0\x03"
    assert pack.children[0].payload == b"\0\0\0\0side"
    assert hfov.payload == struct.pack(">I", 63_500)


def test_a_swapped_file_says_so_in_the_boxes():
    st3d, vexu = stereo_boxes("half-sbs", swap_eyes=True)
    assert st3d.payload[-1] == 4
    assert vexu.children[0].children[0].payload[-1] == 0b1011
    assert [box.kind for box in stereo_boxes("full-tb", swap_eyes=True)] == [b"vexu"]


def test_a_field_of_view_out_of_range_is_refused():
    for angle in (0.0, 360.0, -1.0):
        with pytest.raises(ValueError, match="field of view"):
            stereo_boxes("full-sbs", hfov_deg=angle)


def test_hdr_boxes_hold_the_numbers_of_the_source(video):
    mdcv, clli = hdr_boxes(HDR10)
    expected = (13250, 34500, 7500, 3000, 34000, 16000, 15635, 16450, 10_000_000, 50)
    assert struct.unpack(">8H2I", mdcv.payload) == expected
    assert struct.unpack(">2H", clli.payload) == (1000, 400)
    rewrite_video_entry(video, (mdcv, clli))
    (entry,) = video_entries(video)
    assert mdcv in entry.children


def test_offsets_beyond_32_bits_get_64():
    base = (1 << 32) - 100
    stco = Box(b"stco", struct.pack(">II2I", 0, 2, base, base + 50))
    handler = Box(b"hdlr", bytes(8) + b"vide" + bytes(13))
    entry = Box(b"avc1", bytes(78))
    stsd = Box(b"stsd", struct.pack(">II", 0, 1), (entry,))
    table = Box(b"minf", children=(Box(b"stbl", children=(stsd, stco)),))
    moov = Box(b"moov", children=(Box(b"trak", children=(Box(b"mdia", children=(handler, table)),)),))
    grown = _grow(moov)
    assert struct.unpack(">II2Q", grown.payload) == (0, 2, base + 200 + 8, base + 50 + 200 + 8)


def _grow(moov):
    """Settle an index that grows by 200 bytes, as ``rewrite_video_entry`` does, without moving 4 GiB."""
    from spatialdreamer_core.video import boxes

    old = boxes.Span(b"moov", 0, len(moov.to_bytes()))
    longer = boxes._map_video(moov, lambda trak: boxes._tag_track(trak, (Box(b"free", bytes(192)),), {b"free"}, None))
    settled = boxes.parse_boxes(boxes._settle(longer, old, 0))[0][0]
    table = settled.children[0].children[0].children[1].children[0]
    return table.children[1]


def test_a_file_without_video_or_index_is_refused(tmp_path):
    path = tmp_path / "a.mp4"
    for data, message in [
        (b"", "index boxes"),
        (Box(b"ftyp", b"isom").to_bytes(), "index boxes"),
        (Box(b"moov", children=()).to_bytes(), "no video track"),
        (Box(b"moof").to_bytes(), "fragmented"),
        (b"\0\0\1\0mdat", "says 256 bytes"),
        (b"\0\0\0\1mdat\0\0", "ends inside a box header"),
    ]:
        path.write_bytes(data)
        with pytest.raises(BoxError, match=message):
            tag_stereo(path, "full-sbs")


@pytest.mark.ffprobe
@pytest.mark.skipif(not HAS_FFPROBE, reason="ffprobe is not installed")
@pytest.mark.parametrize(("layout", "name"), [("half-sbs", "side by side"), ("full-tb", "top and bottom")])
def test_ffprobe_reads_the_tags_and_every_packet(video, layout, name):
    before = ffprobe(video, "stream=index,nb_read_packets,duration", "-count_packets")["streams"]
    rewrite_video_entry(video, stereo_boxes(layout, hfov_deg=60.0), index_first=True)
    after = ffprobe(video, "stream=index,nb_read_packets,duration:stream_side_data=type", "-count_packets")["streams"]
    assert name in [data.get("type") for data in after[0].pop("side_data_list")]
    assert [stream.items() >= old.items() for stream, old in zip(after, before, strict=True)] == [True] * 3
