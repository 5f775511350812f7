"""``python -m benchmarks CLIP...``: one table of what convert reaches on this machine, ratios in one run."""

import argparse
import os
import platform
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import convert, dataset, splat
from benchmarks.made import sized_video

FILES = 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clips", nargs="+", type=Path, help="real clips; those that are not 1280x720 are scaled")
    parser.add_argument("--long-s", type=int, default=600, help="length of the long video for the memory row, seconds")
    arguments = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    say(f"{datetime.now(UTC):%Y-%m-%d}, {platform.platform()}, {workers} cores, Python {platform.python_version()}\n\n")
    splat.main()
    say("\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = [as_720p(clip, folder) for clip in arguments.clips]
        show(convert.speed_rows(clips, folder, workers))
        first = arguments.clips[0]
        small = {"width": 320, "height": 180}
        short, long = (
            sized_video(first, folder / f"{seconds} s.mkv", frames=25 * seconds, **small)
            for seconds in (10, arguments.long_s)
        )
        show(convert.memory_rows(short, long, folder))
        full = sized_video(first, folder / "10 s of 1920x1080.mkv", width=1920, height=1080, frames=250)
        peak = convert.measure([full], folder / "full", 1).worst("peak_memory_mb")
        show([("peak memory of a worker, 1920x1080, MB", f"{peak:.0f}", "< 1500", peak < 1500)])
        library = [
            sized_video(first, folder / f"film {n:02d}.mkv", frames=150 + 10 * n, width=480, height=270)
            for n in range(FILES)
        ]
        show(convert.library_rows(library, folder, workers))
        show(dataset.plan_rows(1_000_000))
        (folder / "dataset").mkdir()
        show(dataset.dataset_rows(clips, folder / "dataset"))


def as_720p(clip: Path, folder: Path) -> Path:
    """The clip itself if it is 1280x720, else a scaled copy."""
    import av

    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        if (stream.width, stream.height) == (1280, 720):
            return clip
    return sized_video(clip, folder / f"{clip.stem}.mkv", width=1280, height=720, frames=300)


def show(rows: list[tuple[str, str, str, bool]]) -> None:
    """Print rows of (what, measured, wanted, met)."""
    for what, measured, wanted, met in rows:
        say(f"{what:58s} {measured:>18s}  {wanted:10s} {'' if met else 'MISSED'}\n")


def say(text: str) -> None:
    """Print at once."""
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
