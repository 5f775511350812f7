"""What convert costs by size and quality: ``python -m benchmarks.efficiency CLIP``, one worker, Markdown.

A real clip is scaled to each size; the time of a frame is the worker's own (start-up left out), the memory its peak. Of
several runs the quickest counts.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks.convert import measure
from benchmarks.made import sized_video

SIZES = ((640, 360), (1280, 720), (1920, 1080))
QUALITIES = ("fast", "best")
FRAMES = 48
STAGES = ("decode_s", "depth_s", "flow_s", "warp_s", "fill_s", "refine_s", "metrics_s", "encode_s")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--height", type=int, choices=[height for _, height in SIZES], help="only this size")
    arguments = parser.parse_args()
    titles = ["size", "quality", "ms a frame", "frames/s", "peak MB", *(name[:-2] for name in STAGES)]
    write(titles)
    write(["---"] * len(titles))
    with tempfile.TemporaryDirectory() as name:
        for width, height in (size for size in SIZES if arguments.height in (None, size[1])):
            video = sized_video(
                arguments.clip, Path(name, f"{width}.mkv"), width=width, height=height, frames=arguments.frames
            )
            for quality in QUALITIES:
                runs = [
                    row(video, Path(name, f"{width}-{quality}-{n}"), f"{width}x{height}", quality)
                    for n in range(arguments.repeats)
                ]
                write(min(runs, key=lambda cells: float(cells[2])))


def row(video: Path, output: Path, size: str, quality: str) -> list[str]:
    """One run; the last columns are milliseconds a frame of each stage."""
    made = measure([video], output, 1, convert={"quality": quality})
    frames = sum(clip["frames"] for clip in made.rows)
    spent = 1000 * sum(clip["total_s"] for clip in made.rows) / frames
    stages = (1000 * sum(clip[name] or 0.0 for clip in made.rows) / frames for name in STAGES)
    peak = made.worst("peak_memory_mb")
    return [size, quality, f"{spent:.1f}", f"{1000 / spent:.1f}", f"{peak:.0f}", *(f"{ms:.1f}" for ms in stages)]


def write(cells: list[str]) -> None:
    """Print a line of the table at once."""
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
