"""How much brighter the made eye is than the left one, of all of both and of what both show.

``python -m benchmarks.luminance CLIP...``: some seconds of each, as ``convert`` makes them before encoding. A strip at
one border is in the left eye alone and one at the other in the made eye alone, as with two cameras, so the means of
whole eyes differ by what stands there. Beside it: the made eye outside its holes less the left eye where it looks,
pixel by pixel, which only warping and rounding can change. In levels of 8 bit; steps are from frame to frame.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.convert.eyes import EyeMaker, StereoFrame
from spatialdreamer_core.convert.planning import plan_source
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.metrics.eyes import luma_difference
from spatialdreamer_core.metrics.temporal import Steps
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.decode import working_format
from spatialdreamer_core.video.encode import resolve_codec


def seen_difference(frame: StereoFrame) -> float:
    """Mean of the made eye less the left eye, over the pixels of the made eye that the left eye shows."""
    left, right, at = frame.left.y, frame.right.y, frame.source_x
    shown = ~np.isnan(at)
    rows, columns = np.nonzero(shown)
    place = at[shown]
    first = np.floor(place).astype(np.intp)
    share = place - first
    here, there = left[rows, first], left[rows, np.minimum(first + 1, left.shape[1] - 1)]
    expected = here + share * (there.astype(np.float32) - here)
    return float((right[rows, columns] - expected).mean(dtype=np.float64)) / (1 << (frame.left.format.bits - 8))


def measure(clip: Path, seconds: float) -> list[tuple[float, ...]]:
    """Of each shot: mean difference and largest step, of whole eyes and of what both show."""
    config = ConvertConfig(duration_s=seconds)
    estimator, flow = create_depth_estimator(config.depth), create_flow(config.flow)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        plan = plan_source(str(clip), config, estimator, Place(folder))
        pixel_format = working_format(plan.info, resolve_codec(config.encode.codec, plan.info.video.bits))
        for segment in plan.segments:
            whole, seen = Steps(), Steps()
            maker = EyeMaker(plan, segment, config, estimator, flow, pixel_format, StageClock())
            for frame in maker.stereo_frames():
                whole.add(frame.index, luma_difference(frame.left, frame.right))
                seen.add(frame.index, seen_difference(frame))
            rows.append(tuple(x or 0.0 for s in (whole, seen) for x in (s.mean, s.largest_step)))
    return rows


def main() -> None:
    """Print a row for every shot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=2.0)
    arguments = parser.parse_args()
    sys.stdout.write(f"{'clip, shot':30s} {'mean':>7s} {'step':>7s} {'mean seen':>10s} {'step seen':>10s}\n")
    for clip in arguments.clips:
        for shot, row in enumerate(measure(clip, arguments.seconds)):
            mean, step, mean_seen, step_seen = row
            name = f"{clip.name} {shot}"
            sys.stdout.write(f"{name:30s} {mean:7.3f} {step:7.3f} {mean_seen:10.3f} {step_seen:10.3f}\n")


if __name__ == "__main__":
    main()
