"""From packets to the decoder's pictures: corrupt packets are survived and counted, never silently fatal."""

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spatialdreamer_core.errors import DecodeError, UnreadableSourceError

# So many demuxer errors in a row without a packet between them end the reading.
_MAX_DEMUX_ERRORS = 16


class Picture(NamedTuple):
    """One decoded picture.

    Attributes:
        time: Presentation time in ticks of the stream as the file says it, or None where it says nothing.
        frame: The decoder's frame; valid as long as it is held.
    """

    time: int | None
    frame: VideoFrame


class PictureReader:
    """Decode one video stream, in presentation order.

    Attributes:
        errors: Packets that the demuxer or the decoder refused so far.
        key_time: After ``read(from_key=True)`` began: the time of the key packet that decoding began with.
    """

    def __init__(self, container: InputContainer, stream: VideoStream, *, threads: int = 1, fast: bool = False) -> None:
        """Set the decoder up.

        Args:
            container: The opened source.
            stream: Its video stream; not used by another reader.
            threads: Decoder threads; one keeps damaged streams deterministic too.
            fast: Skip deblocking: good enough to look for shots, not to show.
        """
        self.errors = 0
        self.key_time: int | None = None
        self._container = container
        self._stream = stream
        context = stream.codec_context
        if context is not None and not context.is_open:
            context.thread_count = threads
            context.thread_type = "AUTO" if threads > 1 else "SLICE"
            if fast:
                context.options = {"skip_loop_filter": "all"}

    def read(self, *, from_key: bool = False) -> Iterator[Picture]:
        """Yield the pictures from the current position on.

        Args:
            from_key: Drop packets before the first key packet, for use after a seek.

        Raises:
            DecodeError: If this build of FFmpeg has no decoder for the stream.
            UnreadableSourceError: If the file or its store stops answering in the middle.
        """
        if self._stream.codec_context is None:
            raise DecodeError(f"no decoder for the video of {self._container.name}; convert it with another tool first")
        waiting = from_key
        for packet in self._packets():
            flush = packet.size == 0
            if flush and (packet.pts is not None or packet.dts is not None):
                continue  # AVI's "same picture again": to the decoder it would mean the end of the stream
            if waiting and not flush:
                if not packet.is_keyframe:
                    continue
                self.key_time = packet.pts if packet.pts is not None else packet.dts
                waiting = False
            try:
                frames = packet.decode()
            except av.error.MemoryError:
                raise
            except av.error.EOFError:
                continue
            except av.FFmpegError:
                self.errors += not flush
                continue
            for frame in frames:
                yield Picture(frame.pts if frame.pts is not None else frame.dts, frame)

    def _packets(self) -> Iterator[Any]:
        failures = 0
        while True:
            try:
                for packet in self._container.demux(self._stream):
                    failures = 0
                    yield packet
                return
            except (av.error.InvalidDataError, IndexError):
                # A damaged place in the container; what follows may be fine again. PyAV raises IndexError where
                # the damage looks like a new stream.
                self.errors += 1
                failures += 1
                if failures >= _MAX_DEMUX_ERRORS:
                    return
            except MemoryError:
                raise
            except Exception as error:  # a store's own errors come through FFmpeg unchanged
                raise self._lost(error) from error

    def _lost(self, error: Exception) -> UnreadableSourceError:
        return UnreadableSourceError(
            f"{self._container.name}: reading stopped in the middle ({error}); check the disk or the network"
        )


def ticks_per_picture(stream_rate: Fraction | None, time_base: Fraction) -> int:
    """Turn a frame rate into the distance of two pictures in ticks, at least 1."""
    if not stream_rate or stream_rate <= 0:
        stream_rate = Fraction(25)
    return max(1, math.floor(1 / (stream_rate * time_base) + Fraction(1, 2)))


def plane_view(frame: VideoFrame, index: int, dtype: type[np.uint8] | type[np.uint16]) -> NDArray[Any]:
    """Look at one plane of a planar frame without copying.

    Args:
        frame: A frame with a planar format and lines from top to bottom.
        index: Which plane.
        dtype: The sample type.

    Returns:
        [H, W] view into the decoder's memory; copy it before the frame goes.
    """
    plane = frame.planes[index]
    itemsize = np.dtype(dtype).itemsize
    lines = np.frombuffer(memoryview(plane), dtype=dtype)
    stride = plane.line_size // itemsize
    return lines[: stride * plane.height].reshape(plane.height, stride)[:, : plane.width]
