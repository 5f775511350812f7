"""One pass over all pictures of a source: when each is shown, where shots begin, what is damaged."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

import av
import cv2
import numpy as np
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spatialdreamer_core.errors import DecodeError, NoVideoError, SizeChangeError
from spatialdreamer_core.video.decode import top_down
from spatialdreamer_core.video.letterbox import BarFinder, Bars
from spatialdreamer_core.video.media import open_source
from spatialdreamer_core.video.pictures import Picture, PictureReader, plane_view, ticks_per_picture
from spatialdreamer_core.video.shots import SMALL, ShotDetector
from spatialdreamer_core.video.source import SourceInfo, SourceScan, VideoInfo

logger = logging.getLogger(__name__)

_Clock = Literal["seek", "times", "count"]

_BARS_PER_SECOND = 5
_PROGRESS_EVERY = 64
_FULL_RANGE = 2
# Planar YUV whose luma and chroma can be read as they are: bits per sample by name.
_PLANAR = {
    f"{family}{sub}{suffix}": bits
    for family in ("yuv", "yuvj")
    for sub in ("420p", "422p", "444p", "440p")
    for suffix, bits in (("", 8), ("10le", 10), ("12le", 12))
}


def scan(
    uri: str,
    info: SourceInfo,
    *,
    start_s: float = 0.0,
    duration_s: float | None = None,
    on_progress: Callable[[int], None] | None = None,
    on_picture: Callable[[int, VideoFrame], None] | None = None,
    threads: int = 1,
) -> SourceScan:
    """Decode every picture once, at low quality, and note what later steps rely on.

    Args:
        uri: The source.
        info: What probing it said.
        start_s: Begin with the first picture at or after so many seconds from the first picture of the file.
        duration_s: Stop before the first picture at or after so many seconds from there; None goes to the end.
        on_progress: Called now and then with the number of pictures seen.
        on_picture: Called with the index and the decoded (not yet upright) picture of every selected one; begins
            again at 0 if the file has to be read again.
        threads: Decoder threads.

    Returns:
        The scan of the selected pictures: index 0 is the first one selected, in ``pts`` as in ``shot_starts``.
        Times are as the file has them; only missing or repeated ones are made from the frame rate, and then
        ``timestamps_made`` is set and ``skipped`` counts the pictures of the file before index 0.

    Raises:
        NoVideoError: If there is no picture, or none in the selected range.
        DecodeError: If there are packets but none can be decoded.
        SizeChangeError: If the picture size changes.
        UnreadableSourceError: If the source cannot be opened or stops answering.
    """
    order: list[_Clock] = ["seek", "times", "count"] if start_s > 0 else ["times", "count"]
    for clock in order:
        one = _Pass(uri, info, start_s, duration_s, clock)
        if one.run(on_progress, on_picture, threads):
            return one.result()
        logger.debug("%s: times by %s are not usable", uri, clock)
    raise AssertionError("counting always succeeds")


@dataclass(slots=True)
class _Pass:
    """One reading of the source with one way of telling the time.

    ``seek`` trusts the file and begins near the start; ``times`` reads from the beginning and mends single bad
    times; ``count`` gives every picture the same duration.
    """

    uri: str
    info: SourceInfo
    start_s: float
    duration_s: float | None
    clock: _Clock
    _times: list[int] = field(init=False, default_factory=list)
    _made: int = field(init=False, default=0)
    _seen: int = field(init=False, default=0)
    _skipped: int = field(init=False, default=0)
    _errors: int = field(init=False, default=0)
    _previous: int | None = field(init=False, default=None)
    _offset: int = field(init=False, default=0)
    _detector: ShotDetector = field(init=False)
    _bars: BarFinder = field(init=False)

    def __post_init__(self) -> None:
        video = self.info.video
        self._detector = ShotDetector(video.average_rate)
        self._bars = BarFinder(black=0 if video.colour.range == _FULL_RANGE else 16)

    def run(
        self,
        on_progress: Callable[[int], None] | None,
        on_picture: Callable[[int, VideoFrame], None] | None,
        threads: int,
    ) -> bool:
        """Read; False if this way of telling the time does not hold."""
        video = self.info.video
        begin = video.start_pts + _ticks(self.start_s, video)
        end = None if self.duration_s is None else begin + _ticks(self.duration_s, video)
        small = SmallPictures(video)
        bars_every = max(1, round(video.average_rate / _BARS_PER_SECOND))
        with self._pictures(begin, threads) as (reader, pictures):
            for raw, frame in pictures:
                time = self._time(raw)
                if time is None:
                    return False
                self._seen += 1
                if time < begin:
                    self._skipped += 1
                    continue
                if end is not None and time >= end:
                    break
                self._check_size(frame, time)
                index = len(self._times)
                self._times.append(time)
                self._detector.push(index, small.bgr(frame))
                if index % bars_every == 0:
                    self._bars.push(index, *small.luma(frame))
                if on_picture is not None:
                    on_picture(index, frame)
                if on_progress is not None and (index + 1) % _PROGRESS_EVERY == 0:
                    on_progress(index + 1)
            self._errors = reader.errors
        if self.clock == "seek":
            return bool(self._times) and not self._errors
        return True

    @contextmanager
    def _pictures(self, begin: int, threads: int) -> Iterator[tuple[PictureReader, Iterator[Picture]]]:
        with open_source(self.uri) as container:
            stream = container.streams[self.info.video.index]
            assert isinstance(stream, VideoStream)
            reader = PictureReader(container, stream, threads=threads, fast=True)
            if self.clock != "seek":
                yield reader, reader.read()
                return
            try:
                container.seek(begin, stream=stream)
            except (av.FFmpegError, OSError):
                yield reader, iter(())
                return
            yield reader, self._after_seek(reader, begin)

    def _after_seek(self, reader: PictureReader, begin: int) -> Iterator[Picture]:
        for picture in reader.read(from_key=True):
            if reader.key_time is None or reader.key_time > begin:
                return
            if picture.time is None or picture.time >= reader.key_time:
                yield picture

    def _time(self, raw: int | None) -> int | None:
        """Place a picture in time, always after the one before; None gives this way of telling the time up."""
        video = self.info.video
        step = ticks_per_picture(video.average_rate, video.time_base)
        previous = self._previous
        if self.clock == "count":
            self._made += 1
            # Rounded from the start, so that an odd rate does not drift.
            time = video.start_pts + round(self._seen / (video.average_rate * video.time_base))
            time = time if previous is None else max(time, previous + 1)
        elif raw is not None and (previous is None or raw + self._offset > previous):
            time = raw + self._offset
        else:
            self._made += 1
            if self.clock == "seek" or previous is None or self._made > max(3, self._seen // 50):
                return None
            if raw is not None and previous - raw - self._offset > 2 * step:
                self._offset += previous + step - raw - self._offset  # the clock was set back: go on from here
                time = previous + step
            else:
                time = previous + (step if raw is None else max(1, step // 2))
        self._previous = time
        return time

    def _check_size(self, frame: VideoFrame, time: int) -> None:
        video = self.info.video
        width, height = (video.height, video.width) if video.rotation % 180 else (video.width, video.height)
        if (frame.width, frame.height) != (width, height):
            seconds = float((time - video.start_pts) * video.time_base)
            raise SizeChangeError(
                f"{self.uri}: the picture changes from {width}x{height} to {frame.width}x{frame.height} at "
                f"{seconds:.3f} s; split the file there"
            )

    def result(self) -> SourceScan:
        """Put together what the pass has seen."""
        if not self._times:
            self._raise_empty()
        starts = self._detector.finish()
        notes: list[str] = []
        if self._errors:
            notes.append(f"{self._errors} damaged packets were skipped; pictures are missing or smeared around them")
        if self._made:
            notes.append(
                f"{self._made} of {self._seen} times were missing or repeated and are made from the frame rate "
                f"({float(self.info.video.average_rate):.3f}/s); rewrapping the file with true times is faster to read"
            )
        return SourceScan(
            pts=np.array(self._times, np.int64),
            shot_starts=starts,
            decode_errors=self._errors,
            timestamps_made=self._made > 0,
            letterbox=turn_bars(self._bars.finish(starts), self.info.video.rotation),
            notes=tuple(notes),
            skipped=self._skipped,
        )

    def _raise_empty(self) -> None:
        if self._seen:
            raise NoVideoError(
                f"{self.uri}: no picture in the chosen range from {self.start_s:g} s, the file has {self._seen} "
                f"pictures; choose an earlier start or a longer duration"
            )
        if self._errors:
            raise DecodeError(f"{self.uri}: the decoder refused all {self._errors} packets; the file is damaged")
        raise NoVideoError(f"{self.uri}: the video stream holds no picture; the file may be cut short, check it")


def _ticks(seconds: float, video: VideoInfo) -> int:
    return round(Fraction(seconds) / video.time_base)


def turn_bars(bars: Bars, rotation: int) -> Bars:
    """Turn (top, bottom, left, right) counter-clockwise with the picture."""
    top, bottom, left, right = bars
    return {0: bars, 90: (right, left, top, bottom), 180: (bottom, top, right, left), 270: (left, right, bottom, top)}[
        rotation
    ]


class SmallPictures:
    """Make small BGR pictures and full-size luma from decoded frames, without a colour conversion at full size."""

    def __init__(self, video: VideoInfo) -> None:
        self._full_range = video.colour.range == _FULL_RANGE

    def bgr(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """Give the [54, 96, 3] picture that the shot detector wants; its colours are only roughly right."""
        bits = _PLANAR.get(frame.format.name)
        frame = top_down(frame)
        if bits is None:
            frame = frame.reformat(width=SMALL[0], height=SMALL[1], format="yuv444p", interpolation="AREA")
            bits = 8
        planes: list[NDArray[Any]] = [_shrunk(_plane(frame, index, bits)) >> (bits - 8) for index in range(3)]
        # OpenCV's order is Y, V, U here.
        small = cv2.merge([planes[index].astype(np.uint8) for index in (0, 2, 1)])
        return np.asarray(cv2.cvtColor(small, cv2.COLOR_YCrCb2BGR), np.uint8)

    def luma(self, frame: VideoFrame) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int]:
        """Give the full-size luma and its bits per sample."""
        bits = _PLANAR.get(frame.format.name)
        frame = top_down(frame)
        if bits is None:
            range_ = 2 if self._full_range else 1
            frame, bits = frame.reformat(format="yuv420p", src_color_range=range_, dst_color_range=range_), 8
        return _plane(frame, 0, bits), bits


def _plane(frame: VideoFrame, index: int, bits: int) -> NDArray[Any]:
    return plane_view(frame, index, np.uint8 if bits == 8 else np.uint16)


def _shrunk(plane: NDArray[Any]) -> NDArray[Any]:
    # Sampled at three times the size first: as good to look at as the mean of all samples, in a tenth of the time.
    sampled = cv2.resize(plane, (3 * SMALL[0], 3 * SMALL[1]), interpolation=cv2.INTER_LINEAR)
    result: NDArray[Any] = cv2.resize(sampled, SMALL, interpolation=cv2.INTER_AREA)
    return result
