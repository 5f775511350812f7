"""Look at a source before any work: which stream to convert, how it is to be shown, what colour it has."""

import logging
import math
import struct
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice

from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from spatialdreamer_core.errors import DecodeError, NoVideoError
from spatialdreamer_core.video.media import open_source, source_id, source_size
from spatialdreamer_core.video.pictures import Picture, PictureReader
from spatialdreamer_core.video.source import ColourInfo, SourceInfo, StreamInfo, VideoInfo

logger = logging.getLogger(__name__)

# FFmpeg's AVStereo3DType, by number.
_STEREO_TYPES = (
    "",
    "side by side",
    "top and bottom",
    "frame alternate",
    "checkerboard",
    "side by side (quincunx subsampling)",
    "interleaved lines",
    "interleaved columns",
    "unspecified",
)
_UNSPECIFIED = 2
_BT709 = 1
_LIMITED = 1
_LOOK_AT = 3  # decode so many pictures: side data may begin with the second


def probe(uri: str) -> SourceInfo:
    """Look at a source and decode its first pictures.

    Of several video streams the one with the largest picture that decodes is chosen; cover art never is.

    Args:
        uri: A path or an fsspec URL.

    Raises:
        UnreadableSourceError: If it cannot be opened or is no media file that we read.
        NoVideoError: If it has no video stream (cover art does not count), or one without a picture.
        DecodeError: If there is video, but no stream of it can be decoded.
    """
    with open_source(uri) as container:
        stream, pictures = _choose(container, uri)
        notes: list[str] = []
        video = _video_info(stream, pictures, notes)
        others = tuple(_stream_info(other) for other in container.streams if other.index != stream.index)
        notes += [
            f"video stream {other.index} ({other.codec}) is left out; stream {stream.index} is converted"
            for other in others
            if other.kind == "video"
        ]
        container_name, chapters = container.format.name, len(container.chapters())
        duration = _duration(container, stream)
    return SourceInfo(
        uri=uri,
        source_id=source_id(uri),
        container=container_name,
        bytes=source_size(uri),
        duration_s=duration,
        video=video,
        others=others,
        chapters=chapters,
        notes=tuple(notes),
    )


def _choose(container: InputContainer, uri: str) -> tuple[VideoStream, list[Picture]]:
    candidates = [stream for stream in container.streams if stream.type == "video" and not _is_cover(stream)]
    if not candidates:
        cover = " but cover art" if any(stream.type == "video" for stream in container.streams) else ""
        raise NoVideoError(f"{uri}: no video stream{cover}; nothing here can be converted")
    candidates.sort(key=lambda stream: (-_area(stream), not stream.disposition & Disposition.default, stream.index))
    refused: list[str] = []
    for rank, stream in enumerate(candidates):
        assert isinstance(stream, VideoStream)
        if stream.codec_context is None:
            refused.append(f"stream {stream.index}: no decoder")
            continue
        if rank:
            _rewind(container)
        reader = PictureReader(container, stream)
        pictures = list(islice(reader.read(), _LOOK_AT))
        if pictures:
            return stream, pictures
        if reader.errors:
            refused.append(f"stream {stream.index}: {stream.codec_context.name} refused {reader.errors} packets")
    if refused:
        raise DecodeError(
            f"{uri}: the video cannot be decoded ({'; '.join(refused)}); convert it with another tool first"
        )
    raise NoVideoError(f"{uri}: the video stream holds no picture; the file may be cut short, check it")


def _rewind(container: InputContainer) -> None:
    if container.start_time is not None:
        container.seek(container.start_time)


def _is_cover(stream: Stream) -> bool:
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _area(stream: Stream) -> int:
    context = stream.codec_context
    return int(context.width * context.height) if isinstance(context, VideoCodecContext) else 0


def _stream_info(stream: Stream) -> StreamInfo:
    context = stream.codec_context
    return StreamInfo(
        index=stream.index,
        kind="attachment" if _is_cover(stream) else stream.type,
        codec=context.codec.canonical_name if context is not None else "",
        language=stream.metadata.get("language", ""),
        title=stream.metadata.get("title", ""),
    )


def _duration(container: InputContainer, stream: VideoStream) -> float:
    if container.duration is not None and container.duration > 0:
        return container.duration / 1e6
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return 0.0


def _video_info(stream: VideoStream, pictures: list[Picture], notes: list[str]) -> VideoInfo:
    first = pictures[0].frame
    frames = [picture.frame for picture in pictures]
    rotation = _rotation(frames, notes)
    width, height = first.width, first.height
    aspect = stream.sample_aspect_ratio or Fraction(1)
    if aspect <= 0:
        aspect = Fraction(1)
    if rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    interlaced = any(frame.interlaced_frame for frame in frames)
    if interlaced:
        notes.append("the pictures are interlaced and are converted as they are; deinterlace first for clean motion")
    time_base = stream.time_base or Fraction(1, 90_000)
    start = pictures[0].time if pictures[0].time is not None else stream.start_time or 0
    return VideoInfo(
        index=stream.index,
        codec=stream.codec_context.codec.canonical_name,
        width=width,
        height=height,
        rotation=rotation,
        sample_aspect=aspect,
        pixel_format=first.format.name,
        bits=max((part.bits for part in first.format.components), default=8),
        interlaced=interlaced,
        time_base=time_base,
        average_rate=_rate(stream, container_is_avi=stream.container.format.name == "avi"),
        start_pts=start,
        colour=_colour(frames, rotation, notes),
        stereo=_stereo(stream, frames, notes),
    )


def _rate(stream: VideoStream, *, container_is_avi: bool) -> Fraction:
    # AVI counts B-frame slots into its average, so that the guess from the codec is nearer.
    rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
    for rate in (rates[1], rates[0], rates[2]) if container_is_avi else rates:
        if rate and rate > 0:
            return Fraction(rate)
    return Fraction(25)


def _side_data(frames: Iterable[VideoFrame], name: str) -> bytes | None:
    for frame in frames:
        try:
            return bytes(frame.side_data[name])  # type: ignore[literal-required]
        except (KeyError, ValueError):
            continue
    return None


def _rotation(frames: list[VideoFrame], notes: list[str]) -> int:
    """Give the quarter turns, in degrees counter-clockwise, that show the picture upright."""
    data = _side_data(frames, "DISPLAYMATRIX")
    if data is None or len(data) < 36:
        return 0
    a, b, _, c, d, *_ = struct.unpack("<9i", data[:36])
    if a * d - b * c < 0:
        notes.append("the display matrix mirrors the picture; it is turned upright but stays unmirrored")
        a, b = -a, -b  # take the mirror out from under the turn
    if not (a or b):
        return 0
    degrees = -math.degrees(math.atan2(b, a)) % 360
    quarter = round(degrees / 90) * 90 % 360
    if abs((degrees - quarter + 180) % 360 - 180) > 1:
        notes.append(f"the display matrix turns by {degrees:.0f} degrees; {quarter} are applied")
    return quarter


def _colour(frames: list[VideoFrame], rotation: int, notes: list[str]) -> ColourInfo:
    first = frames[0]
    matrix, range_ = int(first.colorspace), int(first.color_range)
    if first.format.name.startswith("yuvj"):
        range_ = 2
    if first.format.is_rgb or first.format.has_palette:
        matrix, range_ = _BT709, _LIMITED  # what decoding turns RGB into
    for name, text in (
        ("DOVI_METADATA", "Dolby Vision"),
        ("DOVI_RPU_BUFFER", "Dolby Vision"),
        ("DYNAMIC_HDR_PLUS", "HDR10+"),
    ):
        if _side_data(frames, name) is not None:
            note = f"{text} metadata of each picture are not carried over; the base picture is converted"
            if note not in notes:
                notes.append(note)
    light = _side_data(frames, "CONTENT_LIGHT_LEVEL")
    return ColourInfo(
        range=range_,
        primaries=int(first.color_primaries),
        transfer=int(first.color_trc),
        matrix=matrix,
        chroma_location=0,
        mastering_display=mastering_text(_side_data(frames, "MASTERING_DISPLAY_METADATA")),
        content_light=struct.unpack_from("=II", light) if light is not None and len(light) >= 8 else None,
    )


def mastering_text(data: bytes | None) -> str | None:
    """Turn FFmpeg's mastering display structure into x265's text.

    Args:
        data: Ten rationals (R, G, B and white point as x, y; least, greatest luminance) and two flags, or None.

    Returns:
        ``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)`` in units of 0.00002 and 0.0001 cd/m2, or None where incomplete.
    """
    if data is None or len(data) < 88:
        return None
    numbers = struct.unpack_from("=20i", data)
    has_primaries, has_luminance = struct.unpack_from("=2i", data, 80)
    if not has_primaries or not has_luminance or 0 in numbers[1::2]:
        return None
    parts = [Fraction(top, bottom) for top, bottom in zip(numbers[::2], numbers[1::2], strict=True)]
    rx, ry, gx, gy, bx, by, wx, wy = (round(part * 50_000) for part in parts[:8])
    low, high = (round(part * 10_000) for part in parts[8:])
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({high},{low})"


def _stereo(stream: VideoStream, frames: list[VideoFrame], notes: list[str]) -> str:
    kind = ""
    data = _side_data(frames, "STEREO3D")
    if data is not None and len(data) >= 4:
        number = struct.unpack_from("=i", data)[0]
        kind = _STEREO_TYPES[number] if 0 <= number < len(_STEREO_TYPES) else "unspecified"
    tag = stream.metadata.get("stereo_mode", "mono")
    if not kind and tag != "mono":
        kind = tag.replace("_", " ")
    if kind:
        notes.append(f"the source says that it is stereo already ({kind}); both eyes are taken for one picture")
    return kind
