"""How long each step of one training pair takes: ``python -m benchmarks.pairs CLIP``; one thread, depth given.

Processor time of one thread, the least of several, so other load on the machine counts little.
"""

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.splat import least_ms
from spatialdreamer_core.convert.source_depth import source_depth
from spatialdreamer_core.corpus.buckets import place_clip
from spatialdreamer_core.corpus.clips import cut_clips
from spatialdreamer_core.corpus.filters import score_clip
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.dvg.config import PairsConfig, bucket_size
from spatialdreamer_core.dvg.flows import clip_flows
from spatialdreamer_core.dvg.make import make_pair
from spatialdreamer_core.dvg.sample import PairSample
from spatialdreamer_core.pairs.clip_frames import PlacedClip
from spatialdreamer_core.pairs.members import to_members
from spatialdreamer_core.store.tar import piece_bytes
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan

REPEATS = 4
WANTED_PER_CORE = 20.0
"""Target frames a second: 40 on two cores."""


def step_times(clip: Path, size: str = "512x288") -> dict[str, float]:
    """Measure the steps of a real clip's first pair; milliseconds per target frame.

    Args:
        clip: A video with a shot of 16 frames at least.
        size: Bucket, whatever the clip's shape.
    """
    config = PairsConfig()
    info = probe(str(clip))
    scanned, video = scan(str(clip), info), info.video
    part = cut_clips(scanned.shot_starts, len(scanned.pts), config.clips)[0]
    placement = place_clip(video.width, video.height, bucket_size(size), sample_aspect=video.sample_aspect)
    placed = PlacedClip(info, scanned, part, placement)
    frames = placed.frames()
    estimator = source_depth(create_depth_estimator(config.depth), info, scanned)
    depth = placed.depth(frames, estimator, config)
    flows = clip_flows(frames, config.mask)
    found = {
        "decode and place": least_ms(placed.frames, REPEATS),
        "depth": least_ms(lambda: placed.depth(frames, estimator, config), REPEATS),
        "flow both ways": least_ms(lambda: clip_flows(frames, config.mask), REPEATS),
        "scores": least_ms(lambda: score_clip(frames, flows), REPEATS),
    }
    for name, share in (("analytic", 0.0), ("double", 1.0)):
        this = replace(config, warp=replace(config.warp, double_share=share))
        pair, _ = make_pair(frames, depth, this, "bench", flows)
        found[f"pair, {name}"] = least_ms(partial(make_pair, frames, depth, this, "bench", flows), REPEATS)
        found[f"encode, {name}"] = least_ms(partial(_encode, pair), REPEATS)
    return {name: float(time / len(frames)) for name, time in found.items()}


def _encode(pair: PairSample) -> bytes:
    return piece_bytes("bench", to_members(pair, {}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, help="real clips")
    parser.add_argument("--size", default="512x288", help="bucket")
    arguments = parser.parse_args()
    tables = [step_times(clip, arguments.size) for clip in arguments.clips]
    for name in tables[0]:
        say(f"{name:20s} {np.mean([times[name] for times in tables]):7.2f} ms a frame\n")
    for name in ("analytic", "double"):
        steps = ("flow both ways", "scores", f"pair, {name}", f"encode, {name}")
        total = float(np.mean([sum(times[step] for step in steps) for times in tables]))
        say(f"{name}: flow, scores, pair and encode {total:.1f} ms, {1000 / total:.1f} frames/s a core, ")
        say(f"wanted {WANTED_PER_CORE:g}{'' if 1000 / total >= WANTED_PER_CORE else ' MISSED'}\n")


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
