"""How long one made eye takes, beside a plain copy of the same planes: ``python -m benchmarks.splat``.

The scene is a made one: a floor, a curved background and discs in front, with the small roughness of estimated depth.
Times are processor time of one thread. Two copies are timed: of the three planes alone, and of all that the splat is
given and gives (planes and disparity in, planes and map out).

First one frame over and over, the least of many: what it reads never leaves the cache, so this is the arithmetic. Then
24 frames in turn, the median: each has gone from the cache when its turn comes again, as a film's frames have not been
there before. The ratio to 520 ms is to the published figure of a well-known converter's forward warp of such a frame.
"""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.geometry.splat import forward_map, resample, splat
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame, PixelFormatName
from tasks.process import keep_freed_memory

SIZES = ((720, 1280), (1080, 1920))
FORMATS: tuple[PixelFormatName, ...] = ("yuv420p", "yuv420p10le")
REPEATS = 60
STREAM, ROUNDS = 24, 5
"""Frames in turn, more than any cache here holds, and how often."""
# Per luma sample of 4:2:0: arithmetic of map (about 25), 6 taps (35) and half a sample of 4 taps (13).
OPERATIONS_PER_SAMPLE = 73


def least_ms(work: Callable[[], object], repeats: int = REPEATS) -> float:
    """Time ``work`` often, after once to compile it; the least processor time in ms."""
    work()
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        work()
        times.append(time.thread_time() - start)
    return 1000 * min(times)


def made_frame(height: int, width: int, name: PixelFormatName) -> Frame:
    """Make a frame of noise."""
    form = PIXEL_FORMATS[name]
    rng = np.random.default_rng(0)
    shapes = [(height, width), *[(-(-height // form.sub_y), -(-width // form.sub_x))] * 2]
    y, u, v = (rng.integers(0, 1 << form.bits, shape, form.dtype) for shape in shapes)
    return Frame(y, u, v, form, pts=0)


def made_disparity(height: int, width: int) -> NDArray[np.float32]:
    """Make a plausible depth scene of about 2.5 % of the width."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    disparity = width * (-0.01 + 0.012 * y / height + 0.004 * np.sin(5 * x / width))
    for _ in range(6):
        centre_x, centre_y, radius = rng.uniform((0, 0, 0.05 * width), (width, height, 0.18 * width))
        near = width * (rng.uniform(-0.005, 0.012) + 0.002 * np.cos((x - centre_x) / radius))
        disparity = np.where(np.hypot(x - centre_x, y - centre_y) < radius, near, disparity)
    rough = rng.normal(0, 0.03, (height // 4, width // 4)).astype(np.float32)
    return np.asarray(disparity + cv2.resize(rough, (width, height)), np.float32)


def copy_all(given: Sequence[NDArray[Any]], taken: Sequence[NDArray[Any]]) -> None:
    """Copy arrays into others."""
    for here, there in zip(given, taken, strict=True):
        np.copyto(there, here)


def again(height: int, width: int, name: PixelFormatName) -> str:
    """Measure one frame over and over; a row of the table."""
    frame, disparity = made_frame(height, width, name), made_disparity(height, width)
    source_x = forward_map(disparity)
    planes = frame.planes
    fresh = least_ms(lambda: [np.copy(plane) for plane in planes])
    given = (*planes, disparity)
    taken = [np.empty_like(array) for array in given]
    all_bytes = least_ms(lambda: copy_all(given, taken))
    mapped, sampled = least_ms(lambda: forward_map(disparity)), least_ms(lambda: resample(frame, source_x))
    whole = least_ms(lambda: splat(frame, disparity))
    rate = OPERATIONS_PER_SAMPLE * disparity.size / whole / 1e6
    return (
        f"{width}x{height} {name:12s} {fresh:7.3f} {all_bytes:9.3f} {mapped:7.2f} {sampled:9.2f} {whole:7.2f} "
        f"{whole / fresh:8.1f} {whole / all_bytes:11.1f} {520 / whole:9.0f} {rate:8.1f}"
    )


def in_turn(height: int, width: int, name: PixelFormatName) -> str:
    """Measure a stream of frames; a row of the table."""
    frame, disparity = made_frame(height, width, name), made_disparity(height, width)
    frames = [replace(frame, y=frame.y.copy(), u=frame.u.copy(), v=frame.v.copy()) for _ in range(STREAM)]
    maps = [disparity.copy() for _ in range(STREAM)]
    taken = [[np.empty_like(array) for array in (*frame.planes, disparity)] for _ in range(STREAM)]
    made: list[Any] = [None] * STREAM
    copies, splats = [], []
    for _ in range(ROUNDS):
        for one, far, others in zip(frames, maps, taken, strict=True):
            start = time.thread_time()
            copy_all((*one.planes, far), others)
            copies.append(1000 * (time.thread_time() - start))
        for number, (one, far) in enumerate(zip(frames, maps, strict=True)):
            start = time.thread_time()
            made[number] = splat(one, far)
            splats.append(1000 * (time.thread_time() - start))
    copied, whole = float(np.median(copies[STREAM:])), float(np.median(splats[STREAM:]))
    return f"{width}x{height} {name:12s} {copied:9.3f} {whole:7.2f} {whole / copied:11.1f} {520 / whole:9.0f}"


def main() -> None:
    """Print the tables."""
    keep_freed_memory()  # as workers do
    sys.stdout.write(
        f"{'one frame, ms':22s} {'planes':>7s} {'all bytes':>9s} {'map':>7s} {'resample':>9s} {'whole':>7s} "
        f"{'/ planes':>8s} {'/ all bytes':>11s} {'520 ms /':>9s} {'Gop/s':>8s}\n"
    )
    kinds = [(*size, name) for size in SIZES for name in FORMATS]
    for kind in kinds:
        sys.stdout.write(again(*kind) + "\n")
    sys.stdout.write(
        f"\n{'frames in turn, ms':22s} {'all bytes':>9s} {'whole':>7s} {'/ all bytes':>11s} {'520 ms /':>9s}\n"
    )
    for kind in kinds:
        sys.stdout.write(in_turn(*kind) + "\n")


if __name__ == "__main__":
    main()
