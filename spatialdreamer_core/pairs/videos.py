"""The lossless video that a sample's pictures are stored as: H.264 in RGB, bit for bit, in MP4.

Chosen by ``python -m benchmarks.codecs`` (BENCHMARKS.md): without CABAC it decodes three times as fast as with it, it
is smaller than every codec that encodes as fast, and among the presets this one costs 1 % of size for 25 % of time.
"""

import io
from collections.abc import Mapping
from typing import cast

import av
import numpy as np
from av.video.stream import VideoStream
from numpy.typing import NDArray

from spatialdreamer_core.errors import StoreError

CODEC = "libx264rgb"
OPTIONS: Mapping[str, str] = {"qp": "0", "preset": "superfast", "tune": "fastdecode", "threads": "1"}
"""One thread: x264's bytes depend on the number of threads."""
_UNSEEN: Mapping[str, str] = {"skip_frame": "all", "probesize": "32"}
"""For opening alone: FFmpeg decodes there to see what is in the file, and throws it away. Without pictures to see it
would read on and on, so it may look at no more bytes than it must."""
RATE = 25
"""Of the stored video only; the clip's own times are in the sample's JSON."""


def encode_rgb(
    frames: NDArray[np.uint8],
    *,
    codec: str = CODEC,
    pixel_format: str = "rgb24",
    container: str = "mp4",
    options: Mapping[str, str] = OPTIONS,
) -> bytes:
    """Store pictures as a video; the same pictures give the same bytes.

    Args:
        frames: [T, H, W, 3] uint8 RGB.
        codec: FFmpeg's encoder.
        pixel_format: What it is fed.
        container: Muxer.
        options: Of the encoder.
    """
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options={"fflags": "+bitexact"}) as output:
        stream = cast(VideoStream, output.add_stream(codec, rate=RATE, options=dict(options)))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        stream.thread_count = 1
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            output.mux(stream.encode(frame.reformat(format=pixel_format)))
        output.mux(stream.encode())
    return buffer.getvalue()


def _copy_planes(frame: av.VideoFrame, into: NDArray[np.uint8]) -> None:
    """Bring a decoded frame to [3, H, W] RGB."""
    if frame.format.name != "gbrp":
        into[:] = frame.to_ndarray(format="rgb24").transpose(2, 0, 1)
        return
    height, width = into.shape[1:]
    for channel, plane in zip((1, 2, 0), frame.planes, strict=True):  # green, blue, red, as the format's name says
        into[channel] = np.asarray(memoryview(plane)).reshape(height, plane.line_size)[:, :width]


def decode_rgb(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read pictures back.

    Args:
        data: What ``encode_rgb`` gave.
        name: What to call it in errors.

    Returns:
        [T, H, W, 3] uint8 RGB, a view of [T, 3, H, W]: the codec works in planes, and so do networks.

    Raises:
        StoreError: If it is no video that decodes.
    """
    try:
        with av.open(io.BytesIO(data), "r", options=dict(_UNSEEN)) as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            stream.codec_context.skip_frame = "DEFAULT"
            planes = np.empty((max(stream.frames, 1), 3, stream.height, stream.width), np.uint8)
            count = 0
            for frame in container.decode(stream):
                if count == len(planes):  # the container does not say how many there are, or is wrong
                    planes = np.concatenate([planes, np.empty_like(planes)])
                _copy_planes(frame, planes[count])
                count += 1
            if not count:
                raise ValueError("no picture in it")
            return planes[:count].transpose(0, 2, 3, 1)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise StoreError(
            f"{name}: not a video that decodes ({error}); remove its shard's commit and run again"
        ) from error
