"""Tiny videos of every kind, made on the spot.

Pictures are RGB uint8 arrays [H, W, 3]; ``write_video`` turns them into a file. Frame t of ``grey_frames`` is
uniformly grey, so that a lost or swapped frame shows at once; ``scene`` has texture for shots, flow and depth.
"""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]


def grey_frames(count: int, width: int = 32, height: int = 18, step: int = 8) -> list[Rgb]:
    """Give uniformly grey pictures; picture t has level ``16 + step * t``."""
    return [np.full((height, width, 3), min(16 + step * t, 255), np.uint8) for t in range(count)]


def texture(seed: int, width: int, height: int, *, cell: int = 12, contrast: float = 1.0) -> Rgb:
    """Give a smooth random picture, another one for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // cell + 2, width // cell + 2, 3)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(128 + (smooth - 128) * contrast, 0, 255).astype(np.uint8)


def scene(
    count: int, width: int = 96, height: int = 54, *, seed: int = 0, speed: float = 1.0, cell: int = 12
) -> list[Rgb]:
    """Give a camera that pans over a texture, ``speed`` columns a picture, a new one per seed."""
    margin = int(abs(speed) * count) + 2
    wide = texture(seed, width + margin, height, cell=cell)
    starts = [int(speed * t) if speed >= 0 else margin + int(speed * t) - 1 for t in range(count)]
    return [np.ascontiguousarray(wide[:, start : start + width]) for start in starts]


def dissolve(first: Sequence[Rgb], second: Sequence[Rgb]) -> list[Rgb]:
    """Blend two equally long runs, linearly from the one to the other."""
    count = len(first)
    shares = [(t + 1) / (count + 1) for t in range(count)]
    return [
        np.round(a * (1 - share) + b * share).astype(np.uint8)
        for a, b, share in zip(first, second, shares, strict=True)
    ]


def write_video(
    path: Path,
    frames: Iterable[Rgb],
    *,
    codec: str = "libx264",
    rate: Fraction | int = 25,
    pixel_format: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    audio_s: float = 0.0,
    cover: bool = False,
    container_format: str | None = None,
    container_options: dict[str, str] | None = None,
    on_stream: Callable[[Any], None] | None = None,
    on_frame: Callable[[av.VideoFrame], None] | None = None,
) -> Path:
    """Encode pictures into a file.

    Args:
        path: Where to; the suffix chooses the container.
        frames: RGB pictures; their number may be zero.
        codec: FFmpeg's encoder.
        rate: Pictures per second.
        pixel_format: Format to encode in.
        options: Encoder options; x264 gets a fast preset and a low crf if none are given.
        times: Presentation times in ticks; None counts up.
        time_base: Seconds a tick; None is one over the rate.
        audio_s: Seconds of tone beside the picture.
        cover: Add a cover picture (mp4 and mkv).
        container_format: Container where the suffix does not tell.
        container_options: Muxer options.
        on_stream: Called with the video stream before encoding (colour, rotation, metadata, ...).
        on_frame: Called with every frame before it is encoded.

    Returns:
        ``path``.
    """
    if options is None:
        options = {"preset": "ultrafast", "crf": "10"} if codec == "libx264" else {}
    if codec == "libx265":
        options = {**options, "x265-params": f"log-level=0:{options.get('x265-params', '')}".rstrip(":")}
    with av.open(str(path), "w", format=container_format, options=container_options or {}) as container:
        stream: Any = container.add_stream(codec, rate=rate, options=options)
        stream.pix_fmt = pixel_format
        stream.time_base = stream.codec_context.time_base = time_base or 1 / Fraction(rate)
        started = False
        audio = container.add_stream("aac", rate=16_000) if audio_s else None
        picture = _add_cover(container) if cover else None
        for number, rgb in enumerate(frames):
            if not started:
                stream.height, stream.width = rgb.shape[:2]
                if on_stream is not None:
                    on_stream(stream)
                started = True
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format=pixel_format)
            frame.pts = times[number] if times is not None else number
            frame.time_base = stream.codec_context.time_base
            frame.pict_type = 0
            if on_frame is not None:
                on_frame(frame)
            container.mux(stream.encode(frame))
        if started:
            container.mux(stream.encode(None))
        if audio is not None:
            _write_tone(container, audio, audio_s)
        if picture is not None:
            _write_cover(container, picture)
    return path


def write_audio(path: Path, seconds: float = 0.5, *, codec: str = "aac", cover: bool = False) -> Path:
    """Write a file that has sound (and cover art) but no video."""
    with av.open(str(path), "w") as container:
        audio = container.add_stream(codec, rate=16_000)
        picture = _add_cover(container) if cover else None
        if picture is not None:
            _write_cover(container, picture)
        _write_tone(container, audio, seconds)
    return path


def _write_tone(container: Any, stream: Any, seconds: float) -> None:
    rate, size = stream.rate, stream.codec_context.frame_size or 1024
    phase = np.arange(int(seconds * rate)) * (2 * np.pi * 440 / rate)
    tone = (np.sin(phase) * 0.3).astype(np.float32)
    for start in range(0, len(tone), size):
        frame = av.AudioFrame.from_ndarray(tone[None, start : start + size], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _add_cover(container: Any) -> Any:
    stream = container.add_stream("mjpeg", rate=1)
    stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _write_cover(container: Any, stream: Any) -> None:
    frame = av.VideoFrame.from_ndarray(texture(99, 32, 32), format="rgb24").reformat(format="yuvj420p")
    frame.pts, frame.time_base = 0, Fraction(1)
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def decoded(path: Path | str, *, stream: int = 0) -> list[av.VideoFrame]:
    """Decode a video stream with PyAV alone, as something to compare with."""
    with av.open(str(path)) as container:
        return list(container.decode(container.streams.video[stream]))


def join_bytes(path: Path, parts: Iterable[Path]) -> Path:
    """Put files behind each other, which MPEG transport streams and raw streams survive."""
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def flip_bytes(path: Path, start: float, end: float, *, every: int = 7) -> Path:
    """Damage a part of a file, given as shares of its length."""
    data = bytearray(path.read_bytes())
    for position in range(int(len(data) * start), int(len(data) * end), every):
        data[position] ^= 0xA5
    path.write_bytes(bytes(data))
    return path
