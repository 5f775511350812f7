"""Small videos, chunks and sources for the tests of encoding and joining."""

import json
import shutil
import struct
import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from spatialdreamer_core.video.encode import ChunkWriter, EncodeSpec
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame
from spatialdreamer_core.video.join import Chunk
from spatialdreamer_core.video.source import ColourInfo, SourceInfo, VideoInfo

HDR10 = ColourInfo(
    range=1,
    primaries=9,
    transfer=16,
    matrix=9,
    chroma_location=1,
    mastering_display="G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)",
    content_light=(1000, 400),
)
FORMAT_OF = {"h264": "yuv420p", "hevc": "yuv420p10le", "av1": "yuv420p10le", "prores": "yuv422p10le"}
TICK = Fraction(1, 12800)
SRT = [(200, 800, "<i>Hello</i> world"), (1200, 600, "Second\nline é")]
HEADER = b"[Script Info]\nScriptType: v4.00+\n[V4+ Styles]\nFormat: Name\nStyle: Default\n[Events]\nFormat: Text\n"


def grey_frames(pts, width=64, height=48, name="yuv420p"):
    """Frame t is grey ``40 + 4 t`` with a bright row that moves, so a lost or swapped one shows."""
    fmt = PIXEL_FORMATS[name]
    scale, chroma = 1 << (fmt.bits - 8), (height // fmt.sub_y, width // fmt.sub_x)
    for t, at in enumerate(pts):
        y = np.full((height, width), (40 + 4 * t % 160) * scale, fmt.dtype)
        y[t % height] = 220 * scale
        grey = np.full(chroma, 128 * scale, fmt.dtype)
        yield Frame(y, grey, grey, fmt, int(at))


def make_spec(codec="h264", **changes):
    settings = {
        "codec": codec,
        "width": 64,
        "height": 48,
        "format": PIXEL_FORMATS[FORMAT_OF[codec]],
        "time_base": TICK,
        "rate": Fraction(25),
    }
    return EncodeSpec(**(settings | changes))


def write_chunk(path: Path, spec, pts):
    with ChunkWriter(path, spec) as writer:
        for frame in grey_frames(pts, spec.width, spec.height, spec.format.name):
            writer.write(frame)
    return Chunk(path, np.array(pts, np.int64))


def make_source(
    path: Path,
    *,
    pts=range(0, 50 * 512, 512),
    audio=("aac",),
    subtitles=(),
    chapters=False,
    font=b"",
    rotate=0,
    tags=(("title", "A film"),),
    audio_rate=48_000,
):
    """Write a source: grey pictures, tones, subtitles, chapters, an attachment. Packets are interleaved by time."""
    with av.open(str(path), "w") as output:
        output.metadata.update(dict(tags))
        video = output.add_stream("mpeg4", rate=25, width=64, height=48, pix_fmt="yuv420p")
        video.codec_context.time_base = video.time_base = TICK
        if rotate:
            video.set_display_rotation(rotate)
        video.metadata["language"] = "jpn"
        tones = [output.add_stream(name, rate=audio_rate) for name in audio]
        for k, tone in enumerate(tones):
            tone.metadata.update({"language": ("eng", "ger", "fre", "ita")[k], "title": f"Track {k}"})
            tone.codec_context.layout = "mono"
        texts = [output.add_stream(name) for name in subtitles]
        for text in texts:
            text.codec_context.subtitle_header = HEADER
            text.time_base = Fraction(1, 1000)
            text.metadata["language"] = "spa"
            text.disposition = 64  # forced
        if font:
            output.add_attachment("letters.ttf", "application/x-truetype-font", font)
        if chapters:
            milli = Fraction(1, 1000)
            output.set_chapters(
                [
                    {"id": 1, "start": 0, "end": 1000, "time_base": milli, "metadata": {"title": "One"}},
                    {"id": 2, "start": 1000, "end": 2000, "time_base": milli, "metadata": {"title": "Two"}},
                ]
            )
        packets = list(_video_packets(video, pts))
        seconds = float((max(pts) - min(pts) + 512) * TICK)
        for tone in tones:
            packets += _tone_packets(tone, seconds, float(min(pts) * TICK), audio_rate)
        for text, name in zip(texts, subtitles, strict=True):
            packets += _text_packets(text, name)
        output.start_encoding()
        for packet in sorted(packets, key=lambda p: p.dts * p.time_base):
            output.mux(packet)


def _video_packets(stream, pts):
    for frame in grey_frames(pts):
        picture = av.VideoFrame.from_ndarray(
            np.concatenate([frame.y, frame.u.reshape(12, 64), frame.v.reshape(12, 64)]), "yuv420p"
        )
        picture.pts, picture.time_base = frame.pts, TICK
        yield from stream.encode(picture)
    yield from stream.encode(None)


def _tone_packets(stream, seconds, start, rate):
    context = stream.codec_context
    context.open()
    size = context.frame_size or 1024
    kind = {"s16": np.int16, "fltp": np.float32, "s16p": np.int16, "flt": np.float32}[context.format.name]
    packets = []
    for at in range(0, int(seconds * rate), size):
        wave = np.sin((np.arange(size) + at) * 0.06) * (8000 if kind is np.int16 else 0.25)
        frame = av.AudioFrame.from_ndarray(wave.astype(kind)[None], context.format.name, "mono")
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at + round(start * rate)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _text_packets(stream, name):
    for k, (start, duration, text) in enumerate(SRT):
        data = text.encode()
        if name == "ass":
            data = (
                f"{k},0,Default,,0,0,0,,{{\\i1}}{text}".replace("\n", "\\N")
                .replace("<i>", "")
                .replace("</i>", "")
                .encode()
            )
        elif name == "mov_text":
            data = len(data).to_bytes(2, "big") + data
        packet = av.Packet(data)
        packet.pts = packet.dts = start
        packet.duration, packet.time_base, packet.stream = duration, Fraction(1, 1000), stream
        yield packet


def source_info(path: Path):
    with av.open(str(path)) as source:
        video = source.streams.video[0]
        first = video.start_time or 0
        picture = VideoInfo(
            index=video.index,
            codec=video.codec_context.name,
            width=64,
            height=48,
            rotation=0,
            sample_aspect=Fraction(1),
            pixel_format="yuv420p",
            bits=8,
            interlaced=False,
            time_base=video.time_base,
            average_rate=Fraction(25),
            start_pts=first,
            colour=ColourInfo(),
        )
        return SourceInfo(str(path), "0" * 16, source.format.name, 0, 0.0, picture, (), len(source.chapters()))


def source_pts(path: Path):
    """The real times of a source's pictures, in ticks of its stream."""
    with av.open(str(path)) as source:
        return [frame.pts for frame in source.decode(video=0)]


def packets_of(path: Path, index: int):
    """(seconds, bytes) of every packet of a stream."""
    with av.open(str(path)) as container:
        stream = container.streams[index]
        return [(p.pts * stream.time_base, bytes(p)) for p in container.demux(stream) if p.size]


def shown_times(path: Path):
    """Seconds of every decoded picture."""
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def first_frame(path: Path):
    with av.open(str(path)) as container:
        return next(container.decode(video=0))


def side_data(frame) -> dict[str, bytes]:
    """Side data of a frame by name, with every PyAV."""
    names = ("STEREO3D", "MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DISPLAYMATRIX")
    found = {}
    for name in names:
        try:
            found[name] = bytes(frame.side_data[name])
        except (KeyError, ValueError):
            continue
    return found


def stereo_of(path: Path) -> tuple[int, bool] | None:
    """(FFmpeg's stereo type, inverted) of the first picture: 1 side by side, 2 top and bottom, 6 rows."""
    data = side_data(first_frame(path)).get("STEREO3D")
    if data is None:
        return None
    kind, flags = struct.unpack_from("<ii", data)
    return kind, bool(flags & 1)


def rises(values) -> bool:
    return all(a < b for a, b in pairwise(values))


HAS_FFPROBE = shutil.which("ffprobe") is not None


def ffprobe(path: Path, entries: str, *more: str) -> dict:
    command = ["ffprobe", "-v", "error", *more, "-show_entries", entries, "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    assert not done.stderr, done.stderr
    return json.loads(done.stdout)
