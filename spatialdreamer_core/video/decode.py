"""Exactly the asked frames of a source, upright, in planes, the same bytes wherever decoding began."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spatialdreamer_core.config import Codec
from spatialdreamer_core.errors import DecodeError, SizeChangeError
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame, PixelFormat
from spatialdreamer_core.video.media import open_source
from spatialdreamer_core.video.pictures import Picture, PictureReader, plane_view
from spatialdreamer_core.video.source import SourceInfo, VideoInfo

logger = logging.getLogger(__name__)

_GREY = {"gray": 8, "gray10le": 10}
_FULL_RANGE = 2
_BT709 = 1
_FIRST_STEP_BACK_S = 1.0


def working_format(info: SourceInfo, codec: Codec) -> PixelFormat:
    """Choose the planar format to work in: the source's depth (8 or 10 bit), 4:2:0, or 4:2:2 for ProRes."""
    if codec == "prores":
        return PIXEL_FORMATS["yuv422p10le"]
    return PIXEL_FORMATS["yuv420p" if info.video.bits <= 8 else "yuv420p10le"]


def decode(
    uri: str,
    info: SourceInfo,
    pixel_format: PixelFormat,
    pts: NDArray[np.int64],
    first: int,
    last: int,
    *,
    threads: int = 1,
    counted_from: int | None = None,
) -> Iterator[Frame]:
    """Decode the frames ``[first, last)`` of a scanned source.

    Decoding begins at the key frame before the first wanted frame. Pictures that come before that key frame in
    time but after it in the file are not used (they may lean on what was not read), so the bytes do not depend on
    where decoding began.

    Args:
        uri: The source.
        info: What probing it said.
        pixel_format: The planes to give; when the source has them, they are the decoder's, bit for bit.
        pts: [N] the scan's presentation times, ticks, strictly increasing.
        first: Index into ``pts`` of the first wanted frame.
        last: Index after the last one.
        threads: Decoder threads.
        counted_from: For a scan whose times were made (``scan.timestamps_made``): the pictures that precede
            ``pts[0]`` in the file (``scan.skipped``). Pictures are then counted from the beginning of the file.

    Yields:
        ``last - first`` frames in order, ``pts`` set from the array.

    Raises:
        ValueError: If the range does not lie in ``pts``.
        DecodeError: If a frame that the scan saw does not come.
        SizeChangeError: If the picture size differs from the probed one.
        UnreadableSourceError: If the source cannot be opened or stops answering.
    """
    if not 0 <= first <= last <= len(pts):
        raise ValueError(f"frames [{first}, {last}) do not lie in [0, {len(pts)})")
    if first == last:
        return
    plan = _Plan(uri, info, pts, first, last, threads)
    pictures = _by_time(plan) if counted_from is None else _by_count(plan, counted_from)
    for index, frame in pictures:
        yield convert_frame(frame, info.video, pixel_format, int(pts[index]))


@dataclass(frozen=True, slots=True)
class _Plan:
    uri: str
    info: SourceInfo
    pts: NDArray[np.int64]
    first: int
    last: int
    threads: int

    def missing(self, index: int) -> DecodeError:
        seconds = float(int(self.pts[index]) * self.info.video.time_base)
        return DecodeError(
            f"{self.uri}: frame {index} (at {seconds:.3f} s) was there when the source was scanned and does not "
            f"decode now; check that the file has not changed"
        )


def _by_time(plan: _Plan) -> Iterator[tuple[int, VideoFrame]]:
    """Seek; where seeking fails us, in the beginning or midway, go on from further back."""
    done = plan.first
    for target in _seek_targets(plan):
        with open_source(plan.uri) as container:
            for index, frame in _matched(plan, done, _pictures_from(container, plan, target, int(plan.pts[done]))):
                yield index, frame
                done = index + 1
        if done == plan.last:
            return
        logger.debug("%s: frame %d not met after seeking to %s", plan.uri, done, target)
    raise plan.missing(done)


def _seek_targets(plan: _Plan) -> Iterator[int | None]:
    """Give the times to seek to, ever earlier; None is the beginning of the file."""
    video = plan.info.video
    target = int(plan.pts[plan.first])
    step = max(1, round(_FIRST_STEP_BACK_S / video.time_base))
    for back in (0, step, 4 * step, 16 * step, 64 * step):
        if target - back <= video.start_pts:
            break
        yield target - back
    yield None


def _pictures_from(container: InputContainer, plan: _Plan, target: int | None, wanted: int) -> Iterator[Picture]:
    """Decode from the key frame at or before ``target``; nothing if that one comes after ``wanted``."""
    stream = container.streams[plan.info.video.index]
    assert isinstance(stream, VideoStream)
    reader = PictureReader(container, stream, threads=plan.threads)
    if target is None:
        yield from reader.read()
        return
    try:
        container.seek(target, stream=stream)
    except (av.FFmpegError, OSError):
        return  # this container does not seek
    for picture in reader.read(from_key=True):
        if reader.key_time is None or reader.key_time > wanted:
            return
        if picture.time is not None and picture.time >= reader.key_time:
            yield picture


def _matched(plan: _Plan, index: int, pictures: Iterator[Picture]) -> Iterator[tuple[int, VideoFrame]]:
    """Keep the pictures whose times are wanted, until one is missing."""
    for time, frame in pictures:
        if time is None or time < plan.pts[index]:
            continue
        if time > plan.pts[index]:
            return
        yield index, frame
        index += 1
        if index == plan.last:
            return


def _by_count(plan: _Plan, counted_from: int) -> Iterator[tuple[int, VideoFrame]]:
    with open_source(plan.uri) as container:
        number = -counted_from
        for _, frame in _pictures_from(container, plan, None, 0):
            if number >= plan.first:
                yield number, frame
            number += 1
            if number == plan.last:
                return
        raise plan.missing(max(number, plan.first))


def convert_frame(frame: VideoFrame, video: VideoInfo, pixel_format: PixelFormat, pts: int) -> Frame:
    """Copy a decoded picture into upright planes of the working format.

    Args:
        frame: The decoder's picture.
        video: The probed stream: size and rotation to hold to.
        pixel_format: What to give.
        pts: The time to write into the result.

    Raises:
        SizeChangeError: If the picture is not of the probed size.
        DecodeError: If its format cannot be converted.
    """
    coded = (video.height, video.width) if video.rotation % 180 else (video.width, video.height)
    if (frame.width, frame.height) != coded:
        seconds = float(pts * video.time_base)
        raise SizeChangeError(
            f"the picture changes from {coded[0]}x{coded[1]} to {frame.width}x{frame.height} at {seconds:.3f} s; "
            f"split the file there"
        )
    y, u, v = upright(_planes(frame, pixel_format), pixel_format, video.rotation)
    return Frame(y, u, v, format=pixel_format, pts=pts)


def _planes(frame: VideoFrame, pixel_format: PixelFormat) -> list[NDArray[Any]]:
    """Copy the planes out; swscale runs only if the decoder's format is another one."""
    frame = top_down(frame)
    name = frame.format.name.replace("yuvj", "yuv")
    if _GREY.get(name) == pixel_format.bits:
        luma = plane_view(frame, 0, pixel_format.dtype).copy()
        rows = -(-frame.height // pixel_format.sub_y)
        columns = -(-frame.width // pixel_format.sub_x)
        chroma = np.full((rows, columns), 1 << (pixel_format.bits - 1), pixel_format.dtype)
        return [luma, chroma, chroma.copy()]
    if name != pixel_format.name:
        frame = _converted(frame, pixel_format)
    return [plane_view(frame, index, pixel_format.dtype).copy() for index in range(3)]


def _converted(frame: VideoFrame, pixel_format: PixelFormat) -> VideoFrame:
    try:
        if frame.format.is_rgb or frame.format.has_palette:
            return frame.reformat(format=pixel_format.name, dst_colorspace=_BT709, dst_color_range=1)
        # Without a range of its own swscale squeezes full-range samples into the limited range.
        range_ = 2 if frame.format.name.startswith("yuvj") or frame.color_range == _FULL_RANGE else 1
        return frame.reformat(format=pixel_format.name, src_color_range=range_, dst_color_range=range_)
    except (av.FFmpegError, ValueError) as error:
        raise DecodeError(
            f"pictures in {frame.format.name} cannot be turned into {pixel_format.name} ({error}); convert it first"
        ) from error


def top_down(frame: VideoFrame) -> VideoFrame:
    """Give a frame whose lines run from top to bottom in memory (some decoders write them upwards)."""
    if all(plane.line_size >= 0 for plane in frame.planes):
        return frame
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or Fraction(1, 25)
    )
    copy, sink = graph.add("copy"), graph.add("buffersink")
    source.link_to(copy)
    copy.link_to(sink)
    graph.configure()
    graph.push(frame)
    result = graph.pull()
    assert isinstance(result, VideoFrame)
    return result


def upright(planes: list[NDArray[Any]], pixel_format: PixelFormat, rotation: int) -> list[NDArray[Any]]:
    """Turn planes counter-clockwise by a multiple of 90 degrees.

    Where the chroma grid does not turn into itself (4:2:2 by a quarter, odd sizes), chroma is spread to luma size,
    turned and averaged back.

    Args:
        planes: Y [H, W], U and V subsampled as the format says.
        pixel_format: Their format.
        rotation: 0, 90, 180 or 270.

    Returns:
        Contiguous planes of the turned picture.
    """
    if rotation == 0:
        return planes
    turns = rotation // 90
    luma, *chroma = planes
    height, width = luma.shape
    square = pixel_format.sub_x == pixel_format.sub_y or rotation == 180
    if square and height % pixel_format.sub_y == 0 and width % pixel_format.sub_x == 0:
        turned = [np.rot90(plane, turns) for plane in chroma]
    else:
        turned = [_turn_chroma(plane, luma.shape, pixel_format, turns) for plane in chroma]
    return [np.ascontiguousarray(plane) for plane in (np.rot90(luma, turns), *turned)]


def _turn_chroma(
    plane: NDArray[Any], luma_shape: tuple[int, ...], pixel_format: PixelFormat, turns: int
) -> NDArray[Any]:
    full = plane.repeat(pixel_format.sub_y, axis=0).repeat(pixel_format.sub_x, axis=1)
    full = np.rot90(full[: luma_shape[0], : luma_shape[1]], turns)
    pad_y, pad_x = -full.shape[0] % pixel_format.sub_y, -full.shape[1] % pixel_format.sub_x
    full = np.pad(full, ((0, pad_y), (0, pad_x)), mode="edge").astype(np.uint32)
    rows, columns = full.shape[0] // pixel_format.sub_y, full.shape[1] // pixel_format.sub_x
    cells = full.reshape(rows, pixel_format.sub_y, columns, pixel_format.sub_x)
    count = pixel_format.sub_y * pixel_format.sub_x
    mean: NDArray[Any] = (cells.sum(axis=(1, 3)) + count // 2) // count
    return mean.astype(plane.dtype)
