"""How long one made eye takes, beside a plain copy of the same planes: ``python -m benchmarks.splat``.

The scene is a made one: a floor, a curved background and discs in front, with the small roughness of estimated depth.
Times are processor time of one thread, the least of many, so other load on the machine counts little. Two copies are
timed: of the three planes alone, and of all that the splat is given and gives (planes and disparity in, planes and map
out). The last ratio is to 520 ms, the published figure of a well-known converter's forward warp of such a frame.
"""

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.geometry.splat import forward_map, resample, splat
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame, PixelFormatName

SIZES = ((720, 1280), (1080, 1920))
FORMATS: tuple[PixelFormatName, ...] = ("yuv420p", "yuv420p10le")
REPEATS = 60
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


def bench(height: int, width: int, name: PixelFormatName) -> str:
    """Measure one size and format; a row of the table."""
    frame, disparity = made_frame(height, width, name), made_disparity(height, width)
    source_x = forward_map(disparity)
    planes = frame.planes
    moved = 2 * sum(plane.nbytes for plane in planes) + disparity.nbytes + 3 * source_x.nbytes
    fresh = least_ms(lambda: [np.copy(plane) for plane in planes])
    given = (*planes, disparity)
    taken = [np.empty_like(array) for array in given]
    all_bytes = least_ms(lambda: copy_all(given, taken))
    mapped, sampled = least_ms(lambda: forward_map(disparity)), least_ms(lambda: resample(frame, source_x))
    whole = least_ms(lambda: splat(frame, disparity))
    holes = 100 * np.isnan(source_x).mean()
    rate = OPERATIONS_PER_SAMPLE * disparity.size / whole / 1e6
    return (
        f"{width}x{height} {name:12s} {fresh:7.3f} {all_bytes:9.3f} {mapped:7.2f} {sampled:9.2f} {whole:7.2f} "
        f"{whole / fresh:7.1f} {whole / all_bytes:9.1f} "
        f"{520 / whole:9.0f} {moved / 1e6:7.1f} {rate:8.1f} {holes:6.2f}"
    )


def main() -> None:
    """Print the table."""
    head = f"{'ms, one thread':22s} {'planes':>7s} {'all bytes':>9s} {'map':>7s} {'resample':>9s} {'whole':>7s} "
    sys.stdout.write(head + f"{'/planes':>7s} {'/all':>9s} {'520 ms /':>9s} {'MB':>7s} {'Gop/s':>8s} {'hole %':>6s}\n")
    for height, width in SIZES:
        for name in FORMATS:
            sys.stdout.write(bench(height, width, name) + "\n")


if __name__ == "__main__":
    main()
