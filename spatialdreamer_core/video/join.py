"""Join encoded chunks into one finished video, with everything else that the source holds."""

import heapq
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Discard
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spatialdreamer_core.config import Container
from spatialdreamer_core.errors import EncodeError
from spatialdreamer_core.video.boxes import hdr_boxes, rewrite_video_entry, set_facts, stereo_boxes
from spatialdreamer_core.video.encode import CHUNK_TICK, EncodeSpec, raise_if_no_room, stereo_mode
from spatialdreamer_core.video.layouts import arrangement
from spatialdreamer_core.video.matroska import set_shape
from spatialdreamer_core.video.media import open_source
from spatialdreamer_core.video.passthrough import (
    FORMATS,
    Carrier,
    Outcome,
    Track,
    Window,
    format_tags,
    is_cover,
    read_covers,
    stream_tags,
)
from spatialdreamer_core.video.source import SourceInfo

logger = logging.getLogger(__name__)

_REORDER = {"h264": 2, "hevc": 2, "av1": 0, "prores": 0}
"""Pictures by which decoding runs ahead of showing: x264 and x265 reorder by two at most (pyramid of B-pictures)."""
_REFUSED = {("prores", "mp4"), ("av1", "mov")}
"""Codecs that FFmpeg does not write into these containers."""
_MILLI = Fraction(1, 1000)
_ANAGLYPH_CYAN_RED = 10  # Matroska's number of the stereo mode


@dataclass(frozen=True, slots=True)
class Chunk:
    """One encoded chunk and the real times of its pictures.

    Attributes:
        path: The Matroska file that ``ChunkWriter`` wrote.
        pts: [N] int64, presentation times in the source's ticks, rising.
    """

    path: Path
    pts: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class JoinReport:
    """What went into the finished file.

    Attributes:
        frames: Pictures in it.
        copied: Streams copied packet by packet, one line each.
        converted: Streams turned into something that the container takes, and how.
        left_out: Streams that are not in it, and why.
        notes: Other things a user should know, one sentence each.
    """

    frames: int
    copied: tuple[str, ...]
    converted: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]


def join(
    source_uri: str,
    info: SourceInfo,
    chunks: Sequence[Chunk],
    output_path: Path,
    spec: EncodeSpec,
    container: Container,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    hfov_deg: float | None = None,
) -> JoinReport:
    """Join chunks by packet copy and carry over all other streams, chapters and tags of the source.

    The source's start becomes 0 for picture and sound alike; with ``start_s`` its first picture here does. MP4 and
    MOV hold the times of the pictures exactly, Matroska to a millisecond. The same input gives the same bytes.

    Args:
        source_uri: The source: a path or an fsspec URL.
        info: The probed source; says which stream is the picture.
        chunks: All chunks in order; their times rise throughout.
        output_path: A scratch file; publishing it is the caller's job.
        spec: What the chunks were encoded with.
        container: What to write.
        start_s: Where in the source the pictures begin, seconds; anything but 0 trims the other streams too.
        duration_s: How much of the source was converted; None is all of it.
        hfov_deg: Horizontal field of view for MP4 and MOV, degrees; None says nothing.

    Raises:
        EncodeError: If a chunk is damaged, holds another number of pictures than it has times, or differs in its
            settings; or if the container refuses the result.
        UnreadableSourceError: If the source cannot be opened.
        OSError: If the disk is full.
    """
    if (spec.codec, container) in _REFUSED:
        raise EncodeError(
            f"{output_path}: {spec.codec} does not go into {container}; choose another container or codec"
        )
    job = _Job(info, chunks, _all_times(chunks), spec, container)
    outcome = Outcome()
    # AAC begins with a packet before 0 that primes the decoder. Left alone, Matroska would push the picture back by
    # as much; its blocks can hold the small negative time instead. MP4 and MOV have edit lists for it.
    options = {"fflags": "+bitexact"} | ({"avoid_negative_ts": "disabled"} if container == "mkv" else {})
    covers = _covers(source_uri)
    with open_source(source_uri) as source:
        window = _window(source, job, start_s, duration_s)
        try:
            with av.open(str(output_path), "w", format=FORMATS[container], options=options) as output:
                _write(job, Carrier(source, output, container, window, covers, outcome))
        except (av.FFmpegError, ValueError) as error:
            raise_if_no_room(error)
            raise EncodeError(f"{output_path}: {container} refuses what is to be written: {error}") from error
    if container != "mkv":
        boxes = stereo_boxes(spec.layout, swap_eyes=spec.swap_eyes, hfov_deg=hfov_deg) + hdr_boxes(spec.colour)
        rewrite_video_entry(output_path, boxes, index_first=True, sample_aspect=spec.sample_aspect)
        languages = outcome.languages if container == "mov" else ()
        set_facts(output_path, languages=languages, created=_date(outcome.tags.get("creation_time", "")))
    elif spec.sample_aspect != 1:
        own_mode = _ANAGLYPH_CYAN_RED if arrangement(spec.layout) == "anaglyph" else 0
        set_shape(output_path, spec.sample_aspect, stereo_mode=own_mode if job.mode_is_lent else None)
    _note_lost_tags(output_path, outcome)
    return JoinReport(
        len(job.times),
        tuple(outcome.copied),
        tuple(outcome.converted),
        tuple(outcome.left_out),
        tuple(outcome.notes),
    )


def _covers(source_uri: str) -> dict[int, bytes]:
    with open_source(source_uri) as source:
        return read_covers(source)


def _all_times(chunks: Sequence[Chunk]) -> NDArray[np.int64]:
    if not chunks:
        raise EncodeError("there are no chunks to join; nothing was converted")
    times = np.concatenate([chunk.pts for chunk in chunks]).astype(np.int64)
    if not len(times) or np.any(np.diff(times) <= 0):
        raise EncodeError(f"{chunks[0].path}: the times of the chunks do not rise; they are not in order")
    return times


def _window(source: InputContainer, job: "_Job", start_s: float, duration_s: float | None) -> Window:
    tick = job.info.video.time_base
    first, last = int(job.times[0]) * tick, int(job.times[-1]) * tick
    if start_s > 0:
        zero, start = first, first
    else:
        # A whole number of the picture's ticks, so that its times stay exact.
        zero, start = min(Fraction(source.start_time or 0, av.time_base) // tick * tick, first), None
    if duration_s is None:
        return Window(zero, start)
    return Window(zero, start, max(zero + Fraction(duration_s).limit_denominator(10**6), last + job.gap() * tick))


@dataclass(frozen=True, slots=True)
class _Job:
    """All that one join works from: the chunks, the source they were made of and what is wanted."""

    info: SourceInfo
    chunks: Sequence[Chunk]
    times: NDArray[np.int64]
    spec: EncodeSpec
    container: Container

    @property
    def tick(self) -> Fraction:
        """Seconds per tick of the output's picture stream before muxing."""
        return _MILLI if self.container == "mkv" else self.info.video.time_base

    @property
    def mode_is_lent(self) -> bool:
        """Whether the muxer gets a stereo mode that the layout has not.

        FFmpeg writes the shown size only with a mode that halves it, and ``set_shape`` needs it to be there.
        """
        halved = arrangement(self.spec.layout) in ("sbs", "tb", "rows") and self.spec.layout != "rgbd"
        return self.spec.sample_aspect != 1 and not halved

    @property
    def muxed_stereo_mode(self) -> str | None:
        """The stereo mode that the Matroska muxer is given."""
        if self.mode_is_lent:
            return "left_right"
        return stereo_mode(self.spec.layout, self.spec.swap_eyes)

    def gap(self) -> int:
        """How long the last picture is shown, in the source's ticks: as long as the one before it."""
        if len(self.times) > 1:
            return int(self.times[-1] - self.times[-2])
        video = self.info.video
        return max(1, round(1 / (video.average_rate * video.time_base))) if video.average_rate > 0 else 1

    def shown(self, zero: Fraction) -> NDArray[np.int64]:
        """Times in the output's ticks: the source's own for MP4 and MOV, whole, still rising milliseconds for MKV."""
        ticks = self.times - int(zero / self.info.video.time_base)
        if self.container != "mkv":
            return ticks
        scale = self.info.video.time_base / _MILLI
        rounded = (2 * ticks * scale.numerator + scale.denominator) // (2 * scale.denominator)
        steps = np.arange(len(rounded))
        return cast(NDArray[np.int64], np.maximum.accumulate(rounded - steps) + steps)

    def is_steady(self) -> bool:
        """Whether every picture comes at the average rate, up to the rounding of the source's clock."""
        rate, tick = self.info.video.average_rate, self.info.video.time_base
        if rate <= 0 or len(self.times) < 2:
            return rate > 0
        period = float(1 / (rate * tick))
        slack = min(max(1.0, 0.002 / float(tick)), period / 4)
        return bool(np.max(np.abs(self.times - self.times[0] - np.arange(len(self.times)) * period)) <= slack)


def _write(job: _Job, carrier: Carrier) -> None:
    source, output, video = carrier.source, carrier.output, job.info.video
    carrier.outcome.tags.update(format_tags(source.metadata))
    output.metadata.update(carrier.outcome.tags)
    with _open_chunk(job.chunks[0]) as first:
        template = first.streams.video[0]
        stream, extradata = _add_picture(job, output, template), template.codec_context.extradata
        # Without a rate, a muxer does not promise a steady one.
        stream.codec_context.framerate = video.average_rate if job.is_steady() else Fraction(0)
        stream.metadata.update(stream_tags(source.streams[video.index].metadata))
        stream.disposition = source.streams[video.index].disposition
        tracks = carrier.add_tracks(video.index)
        carrier.copy_chapters()
        output.start_encoding()
        carrier.outcome.languages.extend(
            made.metadata.get("language", "") for made in output.streams if not is_cover(made)
        )
    pictures = _pictures(job, stream, job.shown(carrier.window.zero), extradata)
    for packet in heapq.merge(pictures, _others(source, tracks, carrier.outcome), key=_seconds):
        output.mux(packet)


def _add_picture(job: _Job, output: OutputContainer, template: VideoStream) -> VideoStream:
    stream = output.add_stream_from_template(template, opaque=True)
    stream.time_base = job.tick
    stream.codec_context.sample_aspect_ratio = job.spec.sample_aspect
    stream.metadata.clear()
    if job.container == "mkv" and job.muxed_stereo_mode:
        stream.metadata["stereo_mode"] = job.muxed_stereo_mode
    if job.container != "mkv" and job.spec.codec == "hevc":
        stream.codec_context.codec_tag = "hvc1"  # Apple plays no hev1
    return stream


def _open_chunk(chunk: Chunk) -> InputContainer:
    try:
        container = av.open(str(chunk.path), "r", format="matroska")
    except av.FFmpegError as error:
        raise EncodeError(f"{chunk.path}: the chunk cannot be read; encode it again") from error
    if not container.streams.video:
        container.close()
        raise EncodeError(f"{chunk.path}: the chunk holds no picture; encode it again")
    return container


def _pictures(
    job: _Job, stream: VideoStream, shown: NDArray[np.int64], extradata: bytes | None
) -> Iterator["av.Packet[Any]"]:
    """Give all pictures in decoding order with their real times; dts is the rising times, so many pictures earlier."""
    delay = _REORDER[job.spec.codec]
    last = max(1, round(job.gap() * job.info.video.time_base / job.tick))
    step = int(shown[1] - shown[0]) if len(shown) > 1 else last
    decode_times = np.concatenate([shown[0] - step * np.arange(delay, 0, -1), shown])
    ends = np.append(shown[1:], shown[-1] + last)
    base = 0
    for chunk in job.chunks:
        for k, (index, packet) in enumerate(_chunk_packets(chunk, extradata)):
            if k - index > delay:
                raise EncodeError(f"{chunk.path}: picture {index} comes {k - index} places late; lower the B-frames")
            packet.pts = int(shown[base + index])
            packet.dts = int(decode_times[base + k])
            packet.duration = int(ends[base + index] - shown[base + index])
            packet.time_base = job.tick
            packet.stream = stream
            yield packet
        base += len(chunk.pts)


def _chunk_packets(chunk: Chunk, extradata: bytes | None) -> list[tuple[int, "av.Packet[Any]"]]:
    """Read one chunk whole (a chunk is bounded) as (place in showing order, packet), and check it."""
    try:
        with _open_chunk(chunk) as container:
            video = container.streams.video[0]
            if video.codec_context.extradata != extradata:
                raise EncodeError(f"{chunk.path}: the chunk was encoded with other settings than the first one")
            packets = [packet for packet in container.demux(video) if packet.size]
            tick = Fraction(cast(Fraction, video.time_base))
    except av.FFmpegError as error:
        raise EncodeError(f"{chunk.path}: the chunk cannot be read; encode it again") from error
    indices = [round((packet.pts or 0) * tick / CHUNK_TICK) for packet in packets]
    if sorted(indices) != list(range(len(chunk.pts))) or any(packet.is_corrupt for packet in packets):
        raise EncodeError(f"{chunk.path}: {len(packets)} pictures where {len(chunk.pts)} belong; encode it again")
    return list(zip(indices, packets, strict=True))


def _others(source: InputContainer, tracks: dict[int, Track], outcome: Outcome) -> Iterator["av.Packet[Any]"]:
    """Give the packets of all other streams in the order of the source."""
    if not tracks:
        return
    wanted = []
    for stream in source.streams:
        if stream.index in tracks:
            wanted.append(stream)
        else:
            stream.discard = Discard.all  # not even read where the container has an index
    try:
        for packet in source.demux(wanted):
            if packet.size:
                yield from tracks[packet.stream_index].take(packet)
    except av.FFmpegError as error:
        outcome.notes.append(f"sound and subtitles end early, where the source is damaged ({error.strerror})")
        logger.warning("%s: other streams end early: %s", source.name, error)
    for track in tracks.values():
        yield from track.finish()


def _date(text: str) -> datetime | None:
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def _note_lost_tags(path: Path, outcome: Outcome) -> None:
    """Read the tags back: MP4 and MOV hold only those that they have a word for."""
    with av.open(str(path)) as made:
        kept = {key.lower() for key in made.metadata}
    lost = sorted(key for key in outcome.tags if key.lower() not in kept)
    if lost:
        outcome.notes.append(f"the container has no word for the tags {', '.join(lost)}")


def _seconds(packet: "av.Packet[Any]") -> Fraction:
    return (packet.dts or 0) * Fraction(packet.time_base)
