"""How long the measures of ``evaluate`` take: ``python -m benchmarks.metrics CLIP``, 16 frames of 512x288.

The clip's own frames are the left view; right views are rendered with a made disparity, one filled by ours (judged) and
one by Telea (taken for true). Least of three; LPIPS and FVD where their weights are cached.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.made import sized_video
from benchmarks.splat import made_disparity
from flows.evaluate_config import EvaluateRunConfig
from flows.run_evaluate import load_networks
from spatialdreamer_core.evaluate.clip import StereoClip, range_with_room
from spatialdreamer_core.evaluate.config import EvaluateConfig, LpipsName, parse_method
from spatialdreamer_core.evaluate.frames_in import read_clip
from spatialdreamer_core.evaluate.material import ClipRef
from spatialdreamer_core.evaluate.measure import Networks, measure_clip
from spatialdreamer_core.evaluate.render import render_right
from spatialdreamer_core.geometry.splat import forward_map

WIDTH, HEIGHT, FRAMES = 512, 288, 16


def least_s(work: Callable[[], object], repeats: int = 3) -> tuple[float, float]:
    """Least wall time and least processor time of a few runs, after one to warm up."""
    work()
    walls, processors = [], []
    for _ in range(repeats):
        begin, spent = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - begin)
        processors.append(time.process_time() - spent)
    return min(walls), min(processors)


def made_clip(source: Path, folder: Path) -> tuple[StereoClip, dict[str, np.ndarray]]:
    """A clip with everything true about it, and the view that is judged."""
    left = read_clip(sized_video(source, folder / "m.mkv", width=WIDTH, height=HEIGHT, frames=FRAMES), 0, FRAMES)
    disparity = [made_disparity(HEIGHT, WIDTH)] * FRAMES
    right, judged = (render_right(left, disparity, parse_method(name)).frames for name in ("telea", "ours"))
    known = [np.ones((HEIGHT, WIDTH), bool)] * FRAMES
    shown = [forward_map(d) for d in disparity]
    ref, room = ClipRef("made", source, None), range_with_room(disparity, known)
    return StereoClip(ref, left, right, disparity, known, shown, "given", "right", room), {"ours": judged}


def main() -> None:
    """Measure and print."""
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clip", type=Path)
    source = parser.parse_args().clip
    with tempfile.TemporaryDirectory() as folder:
        clip, views = made_clip(source, Path(folder))
    config = EvaluateConfig()
    plain = least_s(lambda: measure_clip(clip, views, config, Networks()))
    lines = [("all but LPIPS and FVD", plain)]
    names: tuple[tuple[LpipsName, ...], ...] = (("alex",), ("alex", "vgg"))
    for chosen in names:
        settings = EvaluateRunConfig(material=("-",), output="-", evaluate=EvaluateConfig(lpips=chosen))
        loaded = load_networks(settings).networks
        title = "and LPIPS alex" if chosen == ("alex",) else f"and LPIPS vgg on every {config.vgg_every}. frame"
        lines.append((title, least_s(lambda n=loaded: measure_clip(clip, views, config, n))))  # type: ignore[misc]
    settings = EvaluateRunConfig(material=("-",), output="-", evaluate=EvaluateConfig(lpips=(), fvd=True))
    i3d = load_networks(settings).networks.i3d
    lines.append(("FVD features of one clip", least_s(lambda: i3d.logits(list(views["ours"])), 1)))
    for what, (wall, processor) in lines:
        sys.stdout.write(f"{what:36s} {wall:6.2f} s wall {processor:6.2f} s of processors\n")


if __name__ == "__main__":
    main()
