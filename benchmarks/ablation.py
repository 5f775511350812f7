"""The paper's ablation on ``mini``: ``python -m benchmarks.ablation STEREO... --pairs P --plain-pairs Q --work W``.

Four networks are trained on frames from the same data, seed and steps: the U-Net alone, with the reference as channels
of its input, with RefinerNet, with the deviation strength too. From the last one four are trained on clips: with and
without temporal interaction learning (TIL), from pairs whose masks were made steady along optical flow (DVG, the usual
``--pairs``) and from pairs whose masks were not (``--plain-pairs``: the same films with ``mask: {refine: off}``). They
paint into holes of true disparity, without background that neighbouring frames revealed, and are measured as
``benchmarks.holes`` measures, and by FVD over all windows of 10 frames.

A training that was interrupted goes on, a finished one is not done again, measured rows are kept: run it again at will.
``--only`` names parts, so that trainings can be spread over nights or machines.

Source: arXiv 2411.11934, ablation table.
"""

import argparse
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.__main__ import say
from benchmarks.hole_worlds import write_clips
from benchmarks.holes import Bench, Row, made_views
from flows.evaluate_config import EvaluateRunConfig
from flows.run_evaluate import load_networks
from flows.run_train import run_train
from flows.train_config import train_run_config
from flows.train_progress import told_speed
from spatialdreamer_core.config import FillConfig
from spatialdreamer_core.evaluate.clip import load_clip
from spatialdreamer_core.evaluate.config import EvaluateConfig, Method
from spatialdreamer_core.evaluate.material import ClipRef, find_material
from spatialdreamer_core.evaluate.render import open_refiner
from spatialdreamer_core.metrics.fvd import frechet_distance
from spatialdreamer_core.store.place import canonical_json
from spatialdreamer_core.training.stereo.progress import TrainProgress

FILL = FillConfig(name="background", temporal=False)
FVD_FRAMES = 10
"""Frames of a window; windows begin at every frame, for the rendered clips are few."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One row.

    Attributes:
        name: Of the row.
        key: Of its folder and on the command line.
        switches: Settings of ``MiniConfig``.
        steady: For clips: whether it trains on pairs with steady masks.
        paper: The paper's (PSNR, SSIM, LPIPS) for frames, its (FVD,) for clips.
    """

    name: str
    key: str
    switches: dict[str, Any]
    steady: bool = True
    paper: tuple[float, ...] = ()


_STILL = {"til": False, "temporal": False}
STILLS = (
    Variant("U-Net only", "unet", _STILL | {"reference": "none", "strength": False}, paper=(23.73, 0.880, 0.06)),
    Variant("+ reference as channels", "concat", _STILL | {"reference": "concat", "strength": False}),
    Variant(
        "+ RefinerNet", "refiner", _STILL | {"reference": "refiner", "strength": False}, paper=(30.20, 0.895, 0.043)
    ),
    Variant("+ RefinerNet + strength", "strength", _STILL, paper=(32.26, 0.916, 0.038)),
)
CLIPS = (
    Variant("frames joined", "video", {"til": False}, steady=False, paper=(184.0,)),
    Variant("+ TIL", "til", {}, steady=False, paper=(123.5,)),
    Variant("+ DVG", "dvg", {"til": False}, paper=(85.21,)),
    Variant("+ TIL + DVG", "both", {}, paper=(67.09,)),
)
COLUMNS = (
    ("psnr", "PSNR", 2, 1),
    ("ssim", "SSIM", 4, 1),
    ("lpips_alex", "LPIPS", 4, 1),
    ("psnr_hole", "PSNR holes", 2, 1),
    ("psnr_interior", "interior", 2, 1),
    ("near_alex_interior", "LPIPS alex near interior", 4, 1),
    ("near_vgg_interior", "vgg", 4, 1),
    ("e_warp_hole", "E*_warp holes", 2, 1000),
    ("fvd", "FVD", 1, 1),
)
RISING = ("psnr", "ssim", "psnr_hole", "psnr_interior")


def main() -> None:
    """Train what is missing, measure what is missing, print the tables."""
    arguments = _arguments()
    chosen = set(arguments.only.split(",")) if arguments.only else {one.key for one in STILLS + CLIPS}
    weights = _train_all(arguments, chosen)
    refs = [ref for ref in find_material(arguments.stereo) if ref.disparity] if arguments.stereo else []
    write_clips(arguments.work / "clips")
    rendered = find_material([str(arguments.work / "clips")])
    fill = Method(name="classical fill", kind="fill", fill=FILL)
    bench = Bench(arguments.work / "rows", ("alex", "vgg"))
    for variants, material in ((STILLS, [*refs, *rendered]), (CLIPS, rendered)):
        methods = [fill] + [_method(one, weights[one.key]) for one in variants if one.key in weights]
        if len(methods) == 1:
            continue
        rows = {ref.name: bench.rows(ref, methods) for ref in material}
        means = {method.name: _mean([by[method.name] for by in rows.values()]) for method in methods}
        if variants is CLIPS:
            for name, value in fvd(rendered, methods).items():
                means[name]["fvd"] = value
        say(f"\n{', '.join(rows)}\n\n{table(means, variants)}\n\n")
        for line in orders(means, variants):
            say(f"{line}\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stereo", nargs="*", help="folders of stereo pairs with true disparity, never trained on")
    parser.add_argument("--work", type=Path, required=True, help="trainings, rendered clips and rows are kept here")
    parser.add_argument("--pairs", help="output of make-pairs")
    parser.add_argument("--plain-pairs", help="the same films with mask: {refine: off}; without it no rows on clips")
    parser.add_argument(
        "--pictures", help="pictures with depth for the rows on frames, as `train --pictures` takes them"
    )
    parser.add_argument("--steps", type=int, default=600, help="of each training on frames")
    parser.add_argument("--clip-steps", type=int, default=300, help="of each training on clips")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", action="store_true", help="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--network", type=json.loads, default={}, help="settings of all, such as '{\"embedding\": 32}'")
    parser.add_argument("--only", help=f"of {','.join(one.key for one in STILLS + CLIPS)}; all if not given")
    return parser.parse_args()


def _train_all(arguments: argparse.Namespace, chosen: set[str]) -> dict[str, Path]:
    """The folders of weights by key; what clips begin with is trained if they are wanted."""
    common = {
        "batch": arguments.batch, "rate": arguments.rate, "ema": 0.99, "seed": arguments.seed, "half": arguments.half,
        "warmup": 50,
    }  # fmt: skip
    made: dict[str, Path] = {}
    clips = [one for one in CLIPS if one.key in chosen and arguments.plain_pairs and arguments.pairs]
    for one in STILLS:
        if one.key in chosen or (clips and one is STILLS[-1]):
            data = {"pairs": arguments.pairs, "pictures": arguments.pictures, "steps": arguments.steps}
            made[one.key] = _trained(arguments, one, common | data | {"stage": 1})
    for one in clips:
        data = {"pairs": arguments.pairs if one.steady else arguments.plain_pairs, "steps": arguments.clip_steps}
        start = str(made[STILLS[-1].key])
        made[one.key] = _trained(arguments, one, common | data | {"stage": 2, "start_from": start})
    return made


def _trained(arguments: argparse.Namespace, one: Variant, train: dict[str, Any]) -> Path:
    train = train | {"size": "mini", "network": arguments.network | one.switches}
    name = hashlib.sha256(canonical_json(train)).hexdigest()[:8]
    output = arguments.work / f"{one.key}-{name}"
    settings = {
        "output": str(output),
        "threads": arguments.threads,
        "train": {key: value for key, value in train.items() if value is not None},
        "pace": {"validate_every": 10 * train["steps"], "save_every": 100},
    }

    def tell(event: TrainProgress) -> None:
        if event.message:
            say(f"{one.key}: {event.message}\n")
        elif event.step and event.step % 50 == 0:
            say(f"{one.key}: step {event.step}/{event.steps}, {told_speed(event)}\n")

    report = run_train(train_run_config(settings, one.key), tell)
    if report.stopped != "done":
        raise SystemExit(f"{one.key}: stopped at step {report.step}; run the command again to go on")
    weights: Path = output / "weights"
    return weights


def _method(one: Variant, weights: Path) -> Method:
    return Method(name=one.name, kind="fill", fill=FILL, refine=str(weights))


def _mean(rows: Sequence[Row]) -> Row:
    columns = {column for row in rows for column in row}
    return {column: float(np.mean([row[column] for row in rows if column in row])) for column in columns}


def fvd(refs: Sequence[ClipRef], methods: Sequence[Method]) -> dict[str, float]:
    """FVD of each method: I3D logits of every window of 10 frames of every clip, against the true views."""
    config = EvaluateConfig(lpips=(), fvd=True)
    i3d = load_networks(EvaluateRunConfig(material=("-",), output="-", evaluate=config)).networks.i3d
    assert i3d is not None
    refiners = {method.name: open_refiner(method.refine) for method in methods if method.refine is not None}
    truth: list[Any] = []
    found: dict[str, list[Any]] = {method.name: [] for method in methods}
    for ref in refs:
        clip = load_clip(ref, start=0, count=FVD_FRAMES + 2)
        views = {method.name: made_views(clip, method, refiners.get(method.name)) for method in methods}
        for first in range(len(clip.right) - FVD_FRAMES + 1):
            window = slice(first, first + FVD_FRAMES)
            truth.append(i3d.logits(list(clip.right[window])))
            for name, made in views.items():
                found[name].append(i3d.logits(list(made[window])))
    return {name: frechet_distance(np.array(own), np.array(truth)) for name, own in found.items()}


def table(means: Mapping[str, Row], variants: Sequence[Variant]) -> str:
    """Markdown, with the paper's figures at the right: PSNR / SSIM / LPIPS, or FVD."""
    held = [column for column in COLUMNS if any(column[0] in row for row in means.values())]
    paper = {one.name: " / ".join(f"{value:g}" for value in one.paper) for one in variants}
    lines = [["network", *(title for _, title, _, _ in held), "paper"], ["---"] * (2 + len(held))]
    for name, row in means.items():
        cells = [f"{factor * row[key]:.{digits}f}" if key in row else "–" for key, _, digits, factor in held]
        lines.append([name, *cells, paper.get(name) or "–"])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def orders(means: Mapping[str, Row], variants: Sequence[Variant]) -> list[str]:
    """Say for each figure whether every row of the variants is better than the one above it."""
    names = [one.name for one in variants if one.name in means]
    lines = []
    for key, title, _, _ in COLUMNS:
        values = [means[name].get(key) for name in names]
        if None in values or len(values) < 2:
            continue
        sign = 1 if key in RISING else -1
        wrong = [
            f"{after} is not better than {before}"
            for (before, a), (after, b) in itertools.pairwise(zip(names, values, strict=True))
            if sign * b <= sign * a  # type: ignore[operator]
        ]
        lines.append(f"{title}: {'; '.join(wrong) if wrong else 'in the order of the paper'}")
    return lines


if __name__ == "__main__":
    main()
