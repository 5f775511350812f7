"""Carry everything of a source that is not the converted picture into the output: sound, subtitles, fonts, tags.

Packets are copied as they are. What a container cannot take is converted where that loses little (text subtitles,
sound that MP4 and MOV refuse) and otherwise left out with a reason.
"""

import io
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol, cast

import av
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import Disposition, Stream

from spatialdreamer_core.config import Container

logger = logging.getLogger(__name__)

FORMATS: dict[Container, str] = {"mkv": "matroska", "mp4": "mp4", "mov": "mov"}
"""FFmpeg's muxer for each container."""

_MILLI = Fraction(1, 1000)
_TEXT = frozenset({"subrip", "srt", "ass", "ssa", "webvtt", "text", "mov_text"})
# True of the source's own muxing, not of the result: FFmpeg would repeat or contradict them.
_FORMAT_KEYS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
_STREAM_KEYS = frozenset(
    {"encoder", "duration", "rotate", "stereo_mode", "vendor_id", "bps", "number_of_frames", "number_of_bytes"}
)
# Names that muxers make up, not a title that someone gave.
_NO_NAMES = frozenset({"VideoHandler", "SoundHandler", "SubtitleHandler", "DataHandler", "GPAC Streaming Muxer"})
_ASS_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of the source's time is kept, in seconds on the source's own clock.

    Attributes:
        zero: What becomes 0 in the output.
        start: Nothing before it is kept; None keeps all.
        end: Nothing from here on is kept; None keeps all.
    """

    zero: Fraction
    start: Fraction | None = None
    end: Fraction | None = None

    def keeps(self, at: Fraction) -> bool:
        """Whether something that begins at this time is kept."""
        return (self.start is None or at >= self.start) and (self.end is None or at < self.end)


@dataclass(slots=True)
class Outcome:
    """What became of the streams; filled while the output is set up and written.

    Attributes:
        copied: Streams copied packet by packet.
        converted: Streams turned into something else, and what.
        left_out: Streams that are not in the output, and why.
        notes: Other things a user should know.
        tags: The tags that the output was given.
        languages: Language of every output track in order, empty where unknown.
    """

    copied: list[str] = field(default_factory=list)
    converted: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    languages: list[str] = field(default_factory=list)


class Track(Protocol):
    """One output stream that is fed with packets of one source stream."""

    def take(self, packet: "av.Packet[Any]") -> Iterator["av.Packet[Any]"]:
        """Turn a source packet into packets for the output."""

    def finish(self) -> Iterator["av.Packet[Any]"]:
        """Give what is still held back."""


def describe(stream: Stream) -> str:
    """Name a stream for people: ``audio stream 1 (aac, eng)``."""
    words = [codec_name(stream) or "unknown", stream.metadata.get("language", "")]
    return f"{stream.type} stream {stream.index} ({', '.join(word for word in words if word)})"


def codec_name(stream: Stream) -> str:
    """FFmpeg's codec name, empty where it has none."""
    context = stream.codec_context
    return context.codec.canonical_name if context is not None else (stream.name or "")


@dataclass(frozen=True, slots=True)
class Carrier:
    """Sets up the output streams for everything but the picture.

    Attributes:
        source: The source, at its beginning.
        output: The output; its picture stream is already there, nothing has been muxed.
        container: What the output is.
        window: Which time is kept.
        covers: Pictures of the streams that are cover art, by index (see ``read_covers``); used for Matroska.
        outcome: Gets one entry for each stream.
    """

    source: InputContainer
    output: OutputContainer
    container: Container
    window: Window
    covers: dict[int, bytes]
    outcome: Outcome

    def add_tracks(self, video_index: int) -> dict[int, Track]:
        """Add an output stream for every stream of the source but the picture.

        Returns:
            What takes the packets of each source stream that has any, by source index.
        """
        tracks: dict[int, Track] = {}
        for stream in self.source.streams:
            track = None if stream.index == video_index else self._add(stream)
            if track is not None:
                tracks[stream.index] = track
        return tracks

    def copy_chapters(self) -> int:
        """Copy the chapters that begin or last inside the window; gives their number."""
        window, kept = self.window, list[Any]()
        for chapter in self.source.chapters():
            tick = chapter["time_base"] or _MILLI
            clipped = _clip(chapter["start"] * tick, (chapter["end"] - chapter["start"]) * tick, window)
            if clipped is None:
                continue
            start = max(clipped[0] - window.zero, Fraction(0))
            end = clipped[0] + clipped[1] - window.zero
            kept.append({**chapter, "id": len(kept) + 1, "start": round(start / tick), "end": round(end / tick)})
        if kept:
            self.output.set_chapters(kept)
            self.outcome.copied.append(f"{len(kept)} chapters")
        return len(kept)

    def _add(self, stream: Stream) -> Track | None:
        codec, container = codec_name(stream), self.container
        if stream.type == "attachment" or (is_cover(stream) and container == "mkv"):
            self._attach(stream)
            return None
        if stream.type == "video" and not is_cover(stream):
            self._leave(stream, "only one picture is converted")
            return None
        if is_cover(stream) and container == "mov":
            self._leave(stream, "mov holds no cover art")  # FFmpeg would drop it in silence
            return None
        if stream.type == "data" and codec == "bin_data" and self.source.chapters():
            return None  # the chapter list of QuickTime, which is written anew from the chapters
        if stream.type == "data" and container != "mkv" and stream.metadata.get("timecode"):
            return None  # the muxer makes the time code track from the tag
        if stream.type == "subtitle" and _text_target(codec, container) is not None:
            return self._convert_text(stream)
        refused = refusal(stream, container)
        if refused is None:
            self.outcome.copied.append(describe(stream))
            return _CopyTrack(stream, _copy_stream(self.output, stream), self.window)
        if isinstance(stream, AudioStream) and container != "mkv":
            with suppress(av.FFmpegError, ValueError):
                track = _AacTrack(stream, self.output, self.window)
                self.outcome.converted.append(f"{describe(stream)}: {container} does not take {codec}, encoded as aac")
                return track
        self._leave(stream, f"{container} does not take {codec or 'it'} ({refused})")
        return None

    def _leave(self, stream: Stream, reason: str) -> None:
        self.outcome.left_out.append(f"{describe(stream)}: {reason}")

    def _attach(self, stream: Stream) -> None:
        if self.container != "mkv":
            self._leave(stream, f"{self.container} holds no attachments")
            return
        codec = codec_name(stream)
        data = cast(Any, stream).data if stream.type == "attachment" else self.covers.get(stream.index, b"")
        name = stream.metadata.get("filename") or f"cover.{'jpg' if codec == 'mjpeg' else codec}"
        kind = stream.metadata.get("mimetype") or ("image/jpeg" if codec == "mjpeg" else f"image/{codec}")
        if not data:
            self._leave(stream, "it is empty")
            return
        self.output.add_attachment(name, kind, data)
        self.outcome.copied.append(f"attachment {name}")

    def _convert_text(self, stream: Stream) -> Track:
        codec = codec_name(stream)
        target = _text_target(codec, self.container)
        assert target is not None
        made = self.output.add_stream(target)
        cast(Any, made.codec_context).subtitle_header = _ASS_HEADER
        made.time_base = _MILLI
        if target == "mov_text":
            made.codec_context.codec_tag = "tx3g"
        _dress(made, stream)
        self.outcome.converted.append(f"{describe(stream)}: turned into {target}, the words without their styling")
        if target == "subrip":
            return _TextTrack(stream, made, self.window, mov_text_string, str.encode)

        def read(data: bytes) -> str:
            return plain_text(data.decode(errors="replace"), codec)

        return _TextTrack(stream, made, self.window, read, mov_text_packet)


def read_covers(source: InputContainer) -> dict[int, bytes]:
    """Read cover art, by stream index. Reads on in the source: give it one that is opened for this alone.

    Seeking back instead would lose the packets before time 0 that prime the sound.
    """
    covers = [stream for stream in source.streams if is_cover(stream)]
    return {
        stream.index: next((bytes(packet) for packet in source.demux(stream) if packet.size), b"") for stream in covers
    }


def is_cover(stream: Stream) -> bool:
    """Whether a stream is a still picture that belongs to the file, such as cover art."""
    return bool(stream.disposition & Disposition.attached_pic)


def format_tags(metadata: dict[str, str]) -> dict[str, str]:
    """The source's own tags without those that describe its muxing."""
    return {key: _clean(value) for key, value in metadata.items() if key.lower() not in _FORMAT_KEYS}


def stream_tags(metadata: dict[str, str]) -> dict[str, str]:
    """A stream's tags without its muxing, its rotation (pictures are upright by now) and made-up names."""
    kept = {}
    for key, value in metadata.items():
        name = key.lower().split("-")[0]  # mkvtoolnix adds the language: BPS-eng
        if name in _STREAM_KEYS or name.startswith("_statistics"):
            continue
        text = _clean(value)
        if text and not (key == "handler_name" and text in _NO_NAMES):
            kept[key] = text
    if "title" in kept:
        kept.setdefault("handler_name", kept["title"])  # the only name of a track that most MP4 players show
    return kept


def plain_text(text: str, codec: str) -> str:
    """Take the words out of one subtitle event: markup goes, line breaks stay.

    Args:
        text: The packet's text as Matroska and FFmpeg hold it: for ass ``ReadOrder,Layer,Style,...,Text``.
        codec: FFmpeg's codec name.
    """
    if codec in ("ass", "ssa"):
        fields = text.split(",", 8)
        words = re.sub(r"\{[^}]*\}", "", fields[8] if len(fields) == 9 else text)
        return words.replace("\\N", "\n").replace("\\n", "\n").replace("\\h", " ").strip("\r\n")
    words = re.sub(r"\{\\[^}]*\}", "", text)
    words = re.sub(r"</?(?:[ibu]|font|c|v|lang|ruby|rt)(?:[ .][^>]*)?>", "", words, flags=re.IGNORECASE)
    if codec == "webvtt":
        for name, letter in (("&lt;", "<"), ("&gt;", ">"), ("&nbsp;", " "), ("&amp;", "&")):
            words = words.replace(name, letter)
    return words.replace("\r\n", "\n").strip("\r\n")


def mov_text_packet(text: str) -> bytes:
    """Write 3GPP timed text (TS 26.245, 5.17): the length in two bytes, then UTF-8."""
    data = text.encode()[:0xFFFF]
    data = data.decode(errors="ignore").encode()  # cut between letters
    return len(data).to_bytes(2, "big") + data


def mov_text_string(data: bytes) -> str:
    """Read 3GPP timed text; style records behind the text are skipped."""
    raw = data[2 : 2 + int.from_bytes(data[:2], "big")]
    if raw[:2] in (b"\xfe\xff", b"\xff\xfe"):
        return raw.decode("utf-16", errors="replace")
    return raw.decode(errors="replace")


def refusal(stream: Stream, container: Container) -> str | None:
    """Try a stream alone in an empty file of the container; None if it is taken, else the reason."""
    try:
        with av.open(io.BytesIO(), "w", format=FORMATS[container], options={"fflags": "+bitexact"}) as trial:
            _copy_stream(trial, stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return None


def _clean(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable() or letter in "\n\t").strip()


def _copy_stream(output: OutputContainer, stream: Stream) -> Stream:
    copy = output.add_stream_from_template(stream, opaque=True)
    if codec_name(stream) == "mov_text":
        copy.codec_context.codec_tag = "tx3g"  # in MOV the muxer would call it "text", which has another header
    _dress(copy, stream)
    return copy


def _dress(target: Stream, stream: Stream) -> None:
    target.metadata.clear()
    target.metadata.update(stream_tags(stream.metadata))
    target.disposition = stream.disposition


def _text_target(codec: str, container: Container) -> str | None:
    """The codec that a text subtitle must be turned into, or None if it needs no turning."""
    if container == "mkv":
        return "subrip" if codec == "mov_text" else None
    return "mov_text" if codec in _TEXT and codec != "mov_text" else None


class _CopyTrack:
    """Copy packets, shifted by a whole number of ticks so that their spacing stays exact."""

    def __init__(self, stream: Stream, target: Stream, window: Window) -> None:
        self._tick = _tick(stream)
        self._shift = round(window.zero / self._tick)
        self._target = target
        self._window = window
        self._clip = stream.type == "subtitle"
        self._monotonic = stream.type in ("audio", "video")
        self._still = is_cover(stream)
        self._timed_text = codec_name(stream) == "mov_text"
        self._last: int | None = None

    def take(self, packet: "av.Packet[Any]") -> Iterator["av.Packet[Any]"]:
        if self._still:
            packet.pts = packet.dts = self._shift
        pts = packet.dts if packet.pts is None else packet.pts
        if pts is None or (self._timed_text and packet.size <= 2):  # empty texts fill gaps; the muxer makes its own
            return
        dts = pts if packet.dts is None else packet.dts
        if self._clip:
            clipped = _clip(pts * self._tick, (packet.duration or 0) * self._tick, self._window)
            if clipped is None:
                return
            if clipped[0] != pts * self._tick:
                pts = dts = round(clipped[0] / self._tick)
            if packet.duration:
                packet.duration = round(clipped[1] / self._tick)
        elif not self._still and not self._window.keeps(pts * self._tick):
            return
        if self._monotonic and self._last is not None and dts <= self._last:
            dts = self._last + 1  # a glitch of the source; muxers refuse it
            pts = max(pts, dts)
        self._last = dts
        packet.pts, packet.dts = pts - self._shift, dts - self._shift
        packet.stream = self._target
        yield packet

    def finish(self) -> Iterator["av.Packet[Any]"]:
        yield from ()


class _TextTrack:
    """Turn text subtitles of one codec into another one's, event by event."""

    def __init__(
        self,
        stream: Stream,
        target: Stream,
        window: Window,
        read: Callable[[bytes], str],
        write: Callable[[str], bytes],
    ) -> None:
        self._tick = _tick(stream)
        self._target = target
        self._window = window
        self._read = read
        self._write = write

    def take(self, packet: "av.Packet[Any]") -> Iterator["av.Packet[Any]"]:
        text = self._read(bytes(packet))
        if packet.pts is None or not text:  # MP4 fills gaps with empty texts
            return
        clipped = _clip(packet.pts * self._tick, (packet.duration or 0) * self._tick, self._window)
        if clipped is None:
            return
        event: av.Packet[Any] = av.Packet(self._write(text))
        event.pts = event.dts = round((clipped[0] - self._window.zero) / _MILLI)
        event.duration = round(clipped[1] / _MILLI)
        event.time_base = _MILLI
        event.stream = self._target
        event.is_keyframe = True
        yield event

    def finish(self) -> Iterator["av.Packet[Any]"]:
        yield from ()


class _AacTrack:
    """Encode sound as AAC, 80 kbit/s a channel; gaps in it are kept by the times of the frames."""

    def __init__(self, stream: AudioStream, output: OutputContainer, window: Window) -> None:
        rate = stream.codec_context.sample_rate
        if rate not in _AAC_RATES:
            rate = 48_000
        layout = stream.codec_context.layout.name
        self._source = stream
        self._window = window
        self._tick = _tick(stream)
        self._made = output.add_stream("aac", rate=rate)
        context = self._made.codec_context
        context.layout = layout
        context.bit_rate = 80_000 * max(1, stream.codec_context.channels)
        context.thread_count = 1
        self._made.time_base = Fraction(1, rate)
        self._resampler = av.AudioResampler(format="fltp", layout=layout, rate=rate, frame_size=1024)
        _dress(self._made, stream)

    def take(self, packet: "av.Packet[Any]") -> Iterator["av.Packet[Any]"]:
        if packet.pts is None or not self._window.keeps(packet.pts * self._tick):
            return
        with suppress(av.error.InvalidDataError):
            for frame in self._source.codec_context.decode(packet):
                yield from self._encode(frame)

    def finish(self) -> Iterator["av.Packet[Any]"]:
        for frame in self._source.codec_context.decode(None):
            yield from self._encode(frame)
        yield from self._encode(None)
        yield from self._made.encode(None)

    def _encode(self, frame: av.AudioFrame | None) -> Iterator["av.Packet[Any]"]:
        if frame is not None and frame.pts is not None and frame.time_base is not None:
            frame.pts -= round(self._window.zero / Fraction(frame.time_base))
        for part in self._resampler.resample(frame):
            yield from self._made.encode(part)


_AAC_RATES = frozenset({96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350})


def _tick(stream: Stream) -> Fraction:
    return Fraction(stream.time_base) if stream.time_base else _MILLI


def _clip(start: Fraction, duration: Fraction, window: Window) -> tuple[Fraction, Fraction] | None:
    """Cut an event to the window: (start, duration), or None if nothing of it is left."""
    end = start + duration
    if window.start is not None and start < window.start:
        start = window.start
        if end <= start:
            return None
    if window.end is not None:
        if start >= window.end:
            return None
        end = min(end, window.end)
    return start, max(end - start, Fraction(0))
