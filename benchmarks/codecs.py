"""``python -m benchmarks.codecs CLIP...``: how small and how fast the codecs are that a sample's pictures could have.

The first clip of each file, 16 frames of 512x288; processor time of one thread, least of several.
"""

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.splat import least_ms
from spatialdreamer_core.pairs.videos import OPTIONS, decode_rgb, encode_rgb

Rgb = NDArray[np.uint8]
REPEATS = 3
FRAMES, WIDTH, HEIGHT = 16, 512, 288


def first_frames(path: Path) -> Rgb:
    """The first frames of a video, shrunk: [T, H, W, 3]."""
    pictures: list[Rgb] = []
    with av.open(str(path), "r") as container:
        for frame in container.decode(video=0):
            rgb = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
            pictures.append(np.asarray(cv2.resize(rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8))
            if len(pictures) == FRAMES:
                break
    return np.stack(pictures)


def pictures(suffix: str, parameters: tuple[int, ...], frames: Rgb) -> list[bytes]:
    """Each frame as a picture of its own."""
    return [cv2.imencode(suffix, frame[..., ::-1], parameters)[1].tobytes() for frame in frames]


def read_pictures(data: list[bytes]) -> Rgb:
    """And back."""
    decoded = [np.asarray(cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_COLOR), np.uint8) for one in data]
    return np.stack([picture[..., ::-1] for picture in decoded])


def x264(preset: str, **more: str) -> Callable[[Rgb], bytes]:
    """Lossless H.264 in RGB."""
    return partial(encode_rgb, options={"qp": "0", "threads": "1", "preset": preset} | more)


CODECS: Mapping[str, tuple[Callable[[Rgb], Any], Callable[[Any], Rgb]]] = {
    "x264 RGB lossless as shipped": (partial(encode_rgb, options=OPTIONS), partial(decode_rgb, name="")),
    "x264 RGB ultrafast, fastdecode": (x264("ultrafast", tune="fastdecode"), partial(decode_rgb, name="")),
    "x264 RGB veryfast, fastdecode": (x264("veryfast", tune="fastdecode"), partial(decode_rgb, name="")),
    "x264 RGB veryfast (CABAC)": (x264("veryfast"), partial(decode_rgb, name="")),
    "x264 RGB qp 4 veryfast, fastdecode": (
        x264("veryfast", tune="fastdecode", qp="4"), partial(decode_rgb, name="")
    ),
    "FFV1": (
        partial(encode_rgb, codec="ffv1", pixel_format="bgr0", container="matroska", options={"level": "3"}),
        partial(decode_rgb, name=""),
    ),
    "PNG, level 1": (partial(pictures, ".png", (cv2.IMWRITE_PNG_COMPRESSION, 1)), read_pictures),
    "WebP lossless": (partial(pictures, ".webp", (cv2.IMWRITE_WEBP_QUALITY, 101)), read_pictures),
    "JPEG 98, 4:4:4": (
        partial(
            pictures,
            ".jpg",
            (cv2.IMWRITE_JPEG_QUALITY, 98, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ),
        read_pictures,
    ),
}  # fmt: skip


def codec_row(name: str, clips: list[Rgb]) -> tuple[float, float, float, int]:
    """Size as a share of the raw pictures, encode and decode ms a frame, largest error in levels."""
    encode, decode = CODECS[name]
    size = encoded = decoded = 0.0
    worst = 0
    for frames in clips:
        data = encode(frames)
        size += len(data) if isinstance(data, bytes) else sum(map(len, data))
        encoded += least_ms(partial(encode, frames), REPEATS)
        decoded += least_ms(partial(decode, data), REPEATS)
        worst = max(worst, int(np.abs(decode(data).astype(np.int16) - frames).max()))
    count = sum(len(frames) for frames in clips)
    return size / sum(frames.nbytes for frames in clips), encoded / count, decoded / count, worst


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, help="real clips")
    clips = [first_frames(path) for path in parser.parse_args().clips]
    sys.stdout.write(f"{'codec':36s} {'size':>6s} {'encode':>9s} {'decode':>9s} {'error':>6s}\n")
    for name in CODECS:
        size, encode, decode, worst = codec_row(name, clips)
        sys.stdout.write(f"{name:36s} {100 * size:5.1f} % {encode:6.2f} ms {decode:6.2f} ms {worst:6d}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
