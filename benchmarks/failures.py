"""The failure study: ``python -m benchmarks.failures [--folder WORK]`` renders, evaluates, and renews docs/failures.md.

One thing at a time is made harder in rendered stereo clips (``failure_worlds``), and `evaluate` judges ours twice: with
true disparity (what filling does) and with own depth (what depth does too). Tables and pictures between the marks in
docs/failures.md are written by this program alone; the words around them are by people who looked.
"""

import argparse
import re
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.__main__ import say
from benchmarks.failure_worlds import FACTORS, FRAMES, StereoFrame, clip
from flows.evaluate_config import EvaluateRunConfig
from flows.run_evaluate import run_evaluate
from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.evaluate.clip import load_clip
from spatialdreamer_core.evaluate.config import EvaluateConfig, Protocol, parse_method
from spatialdreamer_core.evaluate.material import ClipRef, find_material
from spatialdreamer_core.evaluate.own_depth import Scale, own_depth
from spatialdreamer_core.evaluate.render import render_right
from spatialdreamer_core.metrics.fidelity import psnr

DOCUMENT = Path(__file__).parents[1] / "docs" / "failures.md"
OURS = parse_method("ours")
PROTOCOLS: tuple[Protocol, ...] = ("true-disparity", "own-depth")
COLUMNS = (
    ("true-disparity", "psnr_hole_interior", "true disparity: PSNR interior", 2, 1.0),
    ("true-disparity", "lpips_alex_hole_interior", "LPIPS interior", 3, 1.0),
    ("true-disparity", "e_warp_hole", "E*_warp holes", 2, 1000.0),
    ("own-depth", "psnr", "own depth: PSNR", 2, 1.0),
    ("own-depth", "lpips_alex", "LPIPS", 3, 1.0),
    ("own-depth", "siou", "SIoU", 3, 1.0),
    ("own-depth", "epe_px", "EPE px", 2, 1.0),
    ("own-depth", "e_warp", "E*_warp", 2, 1000.0),
)
SUBJECTS = {"reflection": "panel"}
"""What is made harder, where it is not what stands in front."""
AROUND_PX = 3
SHOWN = FRAMES // 2
_QUALITY = 82


def main() -> None:
    """Render, evaluate, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keep clips and rows here; a second run goes on from them")
    folder = parser.parse_args().folder
    if folder is not None:
        study(folder)
        return
    with tempfile.TemporaryDirectory() as name:
        study(Path(name))


def study(folder: Path) -> None:
    """Do the whole study in a folder and renew the document."""
    material = folder / "clips"
    for factor, (_, levels) in FACTORS.items():
        for level, world in levels:
            place = material / factor / level
            if not (place / "subjects.npz").is_file() or not (place / "disparity.npz").is_file():
                say(f"rendering {factor} {level}\n")
                write_clip(place, clip(world))
    rows = {protocol: evaluated(material, folder / protocol, protocol) for protocol in PROTOCOLS}
    references = {ref.name: ref for ref in find_material([str(material)])}
    text = DOCUMENT.read_text(encoding="utf-8")
    for factor, (what, levels) in FACTORS.items():
        picture = DOCUMENT.parent / f"failures_{factor}.jpg"
        names = [level for level, _ in levels]
        pictures, subject = [], []
        for level in names:
            ref = references[f"{factor}/{level}"]
            line, figures = look(ref, rows["own-depth"][ref.name], SUBJECTS.get(factor, "front"))
            pictures.append(line)
            subject.append(figures)
        write_jpeg(picture, np.concatenate(pictures))
        table = factor_table(factor, what, names, rows, subject)
        words = "left view, true right view, ours with true disparity, ours with own depth, its error"
        block = f"{table}\n\n![rows by level: {words}]({picture.name})"
        marks = rf"(<!-- {factor} -->\n).*?(<!-- /{factor} -->)"
        text = re.sub(marks, lambda m, b=block: f"{m[1]}{b}\n{m[2]}", text, flags=re.DOTALL)  # type: ignore[misc]
        say(f"\n{factor}\n{table}\n")
    DOCUMENT.write_text(text, encoding="utf-8")


def write_clip(place: Path, frames: list[StereoFrame]) -> None:
    """A clip as folders of pictures and an array of disparity, which comes last."""
    for eye in ("left", "right"):
        (place / eye).mkdir(parents=True, exist_ok=True)
        for t, frame in enumerate(frames):
            cv2.imwrite(str(place / eye / f"{t:03d}.png"), np.ascontiguousarray(getattr(frame, eye)[..., ::-1]))
    front, panel = np.stack([frame.front for frame in frames]), np.stack([frame.panel for frame in frames])
    np.savez_compressed(place / "subjects.npz", front=front, panel=panel)
    np.savez_compressed(place / "disparity.npz", disparity=np.stack([frame.disparity for frame in frames]))


def evaluated(material: Path, output: Path, protocol: Protocol) -> dict[str, dict[str, Any]]:
    """Rows of ours by clip."""
    settings = EvaluateConfig(methods=(OURS,), protocol=protocol, frames=FRAMES, lpips=("alex",), match_every=2)
    config = EvaluateRunConfig(material=(str(material),), output=str(output), evaluate=settings)
    run_evaluate(config, lambda progress: say(f"{protocol} {progress.message}\n") if progress.message else None)
    table = pq.read_table(output / "evaluation.parquet").to_pylist()
    return {row["clip"]: row for row in table if row["method"] == "ours"}


def factor_table(
    factor: str,
    what: str,
    levels: list[str],
    rows: dict[Protocol, dict[str, dict[str, Any]]],
    subject: list[tuple[float, float]],
) -> str:
    """Metric against level, Markdown; first PSNR on the thing itself."""
    name = SUBJECTS.get(factor, "what stands in front")
    titles = [what, f"PSNR on {name}: true disparity", "own depth", *(title for _, _, title, _, _ in COLUMNS)]
    lines = [titles, ["---"] * len(titles)]
    for level, (filled, guessed) in zip(levels, subject, strict=True):
        cells = [level, f"{filled:.2f}", f"{guessed:.2f}"]
        for protocol, name, _, digits, scale in COLUMNS:
            value = rows[protocol][f"{factor}/{level}"][name]  # type: ignore[index]
            cells.append("–" if value is None else f"{value * scale:.{digits}f}")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def look(ref: ClipRef, row: dict[str, Any], subject: str) -> tuple[NDArray[np.uint8], tuple[float, float]]:
    """One row of pictures, and PSNR on the subject (and 3 px around) with true disparity and with own depth."""
    stereo = load_clip(ref, start=0, count=FRAMES)
    scale = Scale(row["scale_strength_pct"], row["scale_offset_pct"], row["scale_rmse_px"])
    depth = own_depth(stereo.left, create_depth_estimator(DepthConfig()), DepthConfig())
    filled, guessed = (
        render_right(stereo.left, disparity, OURS).frames for disparity in (stereo.disparity, depth.disparity(scale))
    )
    around = np.ones((2 * AROUND_PX + 1, 2 * AROUND_PX + 1), np.uint8)
    masks = np.load(ref.left.parent / "subjects.npz")[subject].astype(np.uint8)
    places = [cv2.dilate(mask, around) > 0 for mask in masks]
    figures = [
        float(np.mean([psnr(m, r, w) for m, r, w in zip(made, stereo.right, places, strict=True)]))
        for made in (filled, guessed)
    ]
    true = stereo.right[SHOWN]
    error = np.clip(3 * np.abs(guessed[SHOWN].astype(int) - true), 0, 255).astype(np.uint8)
    line = np.concatenate([stereo.left[SHOWN], true, filled[SHOWN], guessed[SHOWN], error], axis=1)
    return line, (figures[0], figures[1])


def write_jpeg(path: Path, picture: NDArray[np.uint8]) -> None:
    """Half the size, for a page."""
    small = cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), np.ascontiguousarray(small[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])


if __name__ == "__main__":
    main()
