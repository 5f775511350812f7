"""What convert makes of kinds of film that have no true right view: ``python -m benchmarks.domains KIND=CLIP...``.

Each clip is converted as people do it, and the file that comes out is judged as a stereo pair that somebody found, with
what needs no truth; the left view is the measure of what a real view has. Kinds are named by who calls, such as
``indoor``, ``animation``, ``portrait``, ``static-camera``.

* matched: share of the left view that semi-global matching finds in the right one and back;
* left-right: mean difference of the left view and the right one read at the matched disparity, where matched, levels;
* range: disparity from the 1st to the 99th percentile, percent of the width; vertical: 95th percentile, px;
* sharpness right / left; flicker: mean step of the luminance difference, levels;
* E*_warp of the right view by the left one's motion, and of the left one (Lai et al., times 1000);
* comfort: the score of ``metrics.comfort``.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.__main__ import say
from spatialdreamer_core.evaluate.clip import StereoClip, load_clip
from spatialdreamer_core.evaluate.config import EvaluateConfig
from spatialdreamer_core.evaluate.material import find_material
from spatialdreamer_core.evaluate.measure import Networks, Row, measure_clip
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.metrics.e_warp import pair_flow, warp_error

FRAMES = 16
TITLES = (
    "kind", "clip", "matched %", "left-right", "range %", "vertical px", "sharpness", "flicker", "E*_warp right",
    "E*_warp left", "comfort",
)  # fmt: skip


def main() -> None:
    """Convert, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", help="KIND=CLIP")
    parser.add_argument("--start", type=float, default=0.0, help="where in each clip, seconds")
    arguments = parser.parse_args()
    line(TITLES)
    line(["---"] * len(TITLES))
    for given in arguments.clips:
        kind, _, clip = given.partition("=")
        with tempfile.TemporaryDirectory() as name:
            line([kind, Path(clip).name, *judged(converted(Path(clip), arguments.start, Path(name)))])


def converted(clip: Path, start_s: float, folder: Path) -> StereoClip:
    """Run the command on two seconds of a clip and read the pair that it wrote."""
    command = [
        sys.executable, "-m", "flows.cli", "convert", str(clip), "--output", str(folder), "--start", str(start_s),
        "--duration", "2", "--workers", "1", "--crf", "12", "--quiet",
    ]  # fmt: skip
    subprocess.run(command, check=True)
    made = next(folder.glob("*.mkv"))
    return load_clip(find_material([str(made)])[0], start=0, count=FRAMES)


def judged(clip: StereoClip) -> list[str]:
    """The figures of one pair as text."""
    row = measure_clip(clip, {"made": clip.right}, EvaluateConfig(lpips=()), Networks())["made"]
    disparity = np.concatenate([d[k] for d, k in zip(clip.disparity, clip.known, strict=True)])
    low, high = np.percentile(disparity, (1, 99)) * 100 / clip.left.shape[2]
    return [
        f"{100 * np.mean(clip.known):.1f}",
        f"{np.mean([left_right(clip, t) for t in range(len(clip.left))]):.2f}",
        f"{high - low:.2f}",
        text(row, "vertical_p95_px", 2),
        text(row, "sharpness_ratio", 3),
        text(row, "flicker", 3),
        text(row, "e_warp", 2, 1000),
        f"{1000 * left_warp_error(clip):.2f}",
        text(row, "comfort_score", 0),
    ]


def left_right(clip: StereoClip, t: int) -> float:
    """Mean difference of the left view and the right one brought to it, levels."""
    disparity, known = clip.disparity[t], clip.known[t]
    height, width = disparity.shape
    x = np.arange(width, dtype=np.float32) - disparity
    y = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], x.shape)
    pulled = cv2.remap(clip.right[t], x, np.ascontiguousarray(y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return float(np.abs(pulled.astype(np.float32) - clip.left[t])[known].mean())


def left_warp_error(clip: StereoClip) -> float:
    """E_warp of the left view by its own motion: what real pictures have."""
    estimator = create_flow("dis-medium")
    pairs = itertools.pairwise(clip.left)
    errors = [warp_error(one, two, pair_flow(one, two, estimator)) for one, two in pairs]
    return float(np.mean([error for error in errors if error is not None]))


def text(row: Row, name: str, digits: int, factor: float = 1.0) -> str:
    """A figure, or a dash where it could not be measured."""
    return "–" if row.get(name) is None else f"{factor * row[name]:.{digits}f}"


def line(cells: object) -> None:
    """Print a line of the table at once."""
    say(f"| {' | '.join(cells)} |\n")  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
