"""What is painted into holes, by every method: ``python -m benchmarks.holes PAIRS... --work FOLDER``.

Warped by true disparity, so that nothing but the filling differs. Material: the stereo pairs in the folders given that
have true disparity, and five rendered clips of 12 frames (``hole_worlds``). Figures, each the mean over frames, then
over clips:

* PSNR, SSIM and LPIPS (alex) of the whole picture, PSNR of what both views see;
* PSNR in holes: all, interior ones (between two things), and the strip at the border (never seen, so unknowable);
* LPIPS near holes, alex and vgg: the method's pixels in the holes, **true ones everywhere else**, so that neither the
  warp nor what is far away has a say; the full-size map of the distance averaged over the holes grown by 8 px. For
  interior holes the strip is true too. VGG looks at every sixth frame;
* for video E*_warp in holes (Lai et al., times 1000).

Rows are kept in FOLDER by material, method, weights and code: only what is new is measured.
"""

import argparse
import hashlib
import itertools
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.__main__ import say
from benchmarks.hole_worlds import write_clips
from flows.evaluate_config import EvaluateRunConfig
from flows.run_evaluate import load_networks
from spatialdreamer_core.evaluate.clip import StereoClip, load_clip
from spatialdreamer_core.evaluate.config import EvaluateConfig, Method, parse_method
from spatialdreamer_core.evaluate.frames_in import Clip
from spatialdreamer_core.evaluate.material import ClipRef, find_material
from spatialdreamer_core.evaluate.render import open_refiner, ready_views, render_right
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.metrics.e_warp import both_flows, carried_flow, warp_error
from spatialdreamer_core.metrics.fidelity import Mask, Picture, psnr, similarity
from spatialdreamer_core.refine.protocol import Refiner

ROWS = ("identity", "warp", "telea", "ns", "row", "ours")
NEAR_PX = 8
VGG_EVERY = 6
MOST_FRAMES = 12
EQUAL_PSNR_DB = 100.0
COLUMNS: tuple[tuple[str, str, int, float], ...] = (
    ("psnr", "PSNR", 2, 1),
    ("ssim", "SSIM", 3, 1),
    ("lpips_alex", "LPIPS", 3, 1),
    ("psnr_seen", "PSNR seen", 2, 1),
    ("psnr_hole", "PSNR holes", 2, 1),
    ("psnr_interior", "interior", 2, 1),
    ("psnr_strip", "strip", 2, 1),
    ("near_alex_hole", "LPIPS alex near holes", 3, 1),
    ("near_alex_interior", "interior", 3, 1),
    ("near_alex_strip", "strip", 3, 1),
    ("near_vgg_hole", "LPIPS vgg near holes", 3, 1),
    ("near_vgg_interior", "interior", 3, 1),
    ("near_vgg_strip", "strip", 3, 1),
    ("e_warp_hole", "E*_warp holes", 2, 1000),
)
CODE = (
    "geometry",
    "flow",
    "evaluate/clip.py",
    "evaluate/render.py",
    "metrics/e_warp.py",
    "metrics/fidelity.py",
    "metrics/lpips.py",
)
"""Of the core, what all rows depend on; those of networks also depend on ``refine``."""

Row = dict[str, float]


def main() -> None:
    """Measure what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pairs", nargs="*", help="folders of stereo pairs, as evaluate takes them")
    parser.add_argument("--work", type=Path, required=True, help="rendered clips and measured rows are kept here")
    parser.add_argument("--method", action="append", default=[], help="one row more, as evaluate --method takes it")
    parser.add_argument("--only", action="store_true", help="leave out the usual rows")
    parser.add_argument("--lpips", default="alex,vgg", help="alex is several times as quick")
    parser.add_argument("--no-video", action="store_true", help="leave out the rendered clips")
    parser.add_argument("--json", type=Path, help="write the figures of every clip here")
    arguments = parser.parse_args()
    methods = [parse_method(text) for text in ([] if arguments.only else ROWS)]
    methods += [parse_method(text) for text in arguments.method]
    groups = {"pairs": [ref for ref in find_material(arguments.pairs) if ref.disparity] if arguments.pairs else []}
    if not arguments.no_video:
        clips = arguments.work / "clips"
        if made := write_clips(clips):
            say(f"rendered {', '.join(made)}\n")
        groups["video"] = find_material([str(clips)])
    bench = Bench(arguments.work / "rows", tuple(name for name in arguments.lpips.split(",") if name))
    started, found = time.monotonic(), {}
    for group, refs in groups.items():
        if refs:
            found[group] = {ref.name: bench.rows(ref, methods) for ref in refs}
            say(f"\n{group}: {', '.join(ref.name for ref in refs)}\n\n{table(found[group].values(), methods)}\n")
    say(f"\n{bench.made} rows measured in {time.monotonic() - started:.0f} s\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1), encoding="utf-8")


class Bench:
    """Measures clips and keeps the rows.

    Args:
        folder: Where.
        lpips: Names of networks.
    """

    def __init__(self, folder: Path, lpips: Sequence[str]) -> None:
        self.made = 0
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        settings = EvaluateConfig(lpips=tuple(lpips))  # type: ignore[arg-type]
        loaded = load_networks(EvaluateRunConfig(material=("-",), output="-", evaluate=settings))
        self._networks = loaded.networks.lpips
        self._weights = loaded.lpips_weights
        self._code = {False: code_digest(CODE), True: code_digest((*CODE, "refine"))}
        self._refiners: dict[str, Refiner] = {}

    def rows(self, ref: ClipRef, methods: Sequence[Method]) -> dict[str, Row]:
        """Rows of one clip by method."""
        content = ref.digest()
        files = {method.name: self._folder / f"{self._key(ref, content, method)}.json" for method in methods}
        missing = [method for method in methods if not files[method.name].is_file()]
        if missing:
            clip = load_clip(ref, start=0, count=MOST_FRAMES)
            views = {method.name: made_views(clip, method, self._refiner(method)) for method in missing}
            for name, row in measure(clip, views, self._networks).items():
                scratch = files[name].with_suffix(".part")
                scratch.write_text(json.dumps(row), encoding="utf-8")
                scratch.replace(files[name])
            self.made += len(missing)
        return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}

    def _refiner(self, method: Method) -> Refiner | None:
        if method.refine is None:
            return None
        if method.refine not in self._refiners:
            self._refiners[method.refine] = open_refiner(method.refine)
        return self._refiners[method.refine]

    def _key(self, ref: ClipRef, content: str, method: Method) -> str:
        refiner = self._refiner(method)
        reads = views_digest(method) if refiner is None else refiner.digest
        code = self._code[refiner is not None]
        made_of = [code, self._weights, ref.name, content, asdict(method) | {"name": ""}, reads]
        return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:32]


def code_digest(places: Sequence[str]) -> str:
    """Name the code of packages and files of the core, and of this file."""
    total = hashlib.sha256(Path(__file__).read_bytes())
    root = Path(__file__).parents[1] / "spatialdreamer_core"
    for place in places:
        for file in sorted((root / place).rglob("*.py")) or [root / place]:
            total.update(file.read_bytes())
    return total.hexdigest()


def views_digest(method: Method) -> str:
    """Name the files of ready views."""
    if method.kind != "views":
        return ""
    total = hashlib.sha256()
    for file in sorted(path for path in Path(method.folder or "").rglob("*") if path.is_file()):
        total.update(file.read_bytes())
    return total.hexdigest()


def made_views(clip: StereoClip, method: Method, refiner: Refiner | None) -> Clip:
    """The right views of a method, [T, H, W, 3] uint8."""
    if method.kind == "views":
        return ready_views(Path(method.folder or ""), clip.ref.name, clip.right.shape, 0)
    return render_right(clip.left, clip.disparity, method, refiner).frames


def measure(clip: StereoClip, views: Mapping[str, Clip], networks: Mapping[str, Any]) -> dict[str, Row]:
    """All figures of one clip, by method."""
    gathered: dict[str, dict[str, list[float]]] = {name: {} for name in views}

    def add(name: str, column: str, value: float | None) -> None:
        if value is not None:
            gathered[name].setdefault(column, []).append(min(value, EQUAL_PSNR_DB))

    for t, true in enumerate(clip.right):
        interior, strip = clip.holes(t)
        parts = {"hole": interior | strip, "interior": interior, "strip": strip}
        for name, made in views.items():
            add(name, "psnr", psnr(made[t], true))
            add(name, "ssim", similarity(made[t], true, multi_scale=False).ssim)
            add(name, "psnr_seen", psnr(made[t], true, ~parts["hole"]))
            for part, where in parts.items():
                add(name, f"psnr_{part}", psnr(made[t], true, where))
        for network, lpips in networks.items():
            if network == "vgg" and t % VGG_EVERY:
                continue
            truth = lpips.features(true)
            for name, made in views.items():
                if network == "alex":
                    add(name, "lpips_alex", lpips.between(lpips.features(made[t]), truth))
                for part, value in near_holes(lpips, truth, made[t], true, interior, strip).items():
                    add(name, f"near_{network}_{part}", value)
    for name, values in _temporal(clip, views):
        add(name, "e_warp_hole", values)
    return {name: {column: float(np.mean(values)) for column, values in by.items()} for name, by in gathered.items()}


def near_holes(
    lpips: Any, truth: Any, made: Picture, true: Picture, interior: Mask, strip: Mask
) -> dict[str, float | None]:
    """LPIPS near holes, as the head of this file defines it.

    Args:
        lpips: ``metrics.lpips.Lpips``.
        truth: Its features of the true view.
        made: [H, W, 3] uint8, of which only the holes are looked at.
        true: [H, W, 3] uint8.
        interior: [H, W], holes between things.
        strip: [H, W], holes at the border.
    """
    hole = interior | strip
    both = lpips.features(np.where(hole[..., None], made, true))
    inner = lpips.features(np.where(interior[..., None], made, true)) if strip.any() else both
    return {
        "hole": lpips.inside(both, truth, grown(hole)),
        "interior": lpips.inside(inner, truth, grown(interior)),
        "strip": lpips.inside(both, truth, grown(strip)),
    }


def grown(where: Mask) -> Mask:
    """A mask and what lies within 8 px of it."""
    side = 2 * NEAR_PX + 1
    return np.asarray(cv2.dilate(where.astype(np.uint8), np.ones((side, side), np.uint8)) > 0, bool)


def _temporal(clip: StereoClip, views: Mapping[str, Clip]) -> Iterable[tuple[str, float | None]]:
    estimator = create_flow("dis-medium")
    for t, then in itertools.pairwise(range(len(clip.left))):
        forward, backward = both_flows(clip.left[t], clip.left[then], estimator)
        flow = carried_flow(forward, backward, clip.disparity[t], clip.disparity[then], clip.shown[t], clip.shown[then])
        hole: NDArray[np.bool_] = np.isnan(clip.shown[t])
        for name, made in views.items():
            yield name, warp_error(made[t], made[then], flow, hole)


def table(rows: Iterable[Mapping[str, Row]], methods: Sequence[Method]) -> str:
    """Means over clips, Markdown."""
    clips = list(rows)
    held = [column for column in COLUMNS if any(column[0] in row for clip in clips for row in clip.values())]
    lines = [["method", *(title for _, title, _, _ in held)], ["---"] * (1 + len(held))]
    for method in methods:
        cells = [method.name]
        for column, _, digits, factor in held:
            values = [clip[method.name][column] for clip in clips if column in clip[method.name]]
            cells.append(f"{factor * float(np.mean(values)):.{digits}f}" if values else "–")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    main()
