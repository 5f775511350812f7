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


def decode_rgb(data: bytes, name: str) -> NDArray[np.uint8]:
    """Read pictures back.

    Args:
        data: What ``encode_rgb`` gave.
        name: What to call it in errors.

    Returns:
        [T, H, W, 3] uint8 RGB.

    Raises:
        StoreError: If it is no video that decodes.
    """
    try:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            stream.thread_count = 1
            pictures = [np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in container.decode(stream)]
            return np.stack(pictures)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise StoreError(
            f"{name}: not a video that decodes ({error}); remove its shard's commit and run again"
        ) from error
