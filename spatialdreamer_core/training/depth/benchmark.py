"""Measure depth estimators on still pictures with truth and on clips with a strong network's depth."""

import itertools
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.training.depth.data import Shards
from spatialdreamer_core.training.depth.figures import StillFigures, fit, ranks, still_figures
from spatialdreamer_core.training.depth.real import Still, read_picture, reported_stills

logger = logging.getLogger(__name__)

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Estimate = Callable[[U8], F32]
"""[h, w, 3] uint8 RGB to [h, w] relative inverse depth."""


def _read_pfm(path: Path) -> F32:
    with path.open("rb") as file:
        file.readline()
        width, height = (int(v) for v in file.readline().split())
        order = "<" if float(file.readline()) < 0 else ">"
        values = np.frombuffer(file.read(), order + "f4").reshape(height, width)
    return np.ascontiguousarray(values[::-1], np.float32)


def stills(data: Path) -> Iterator[Still]:
    """Stereo pairs (measured and matched) and RGB-D frames of the data folder, none of which was trained on."""
    stereo = data / "stereo"
    if (stereo / "motorcycle").is_dir():
        folder = stereo / "motorcycle"
        truth = _read_pfm(folder / "disp0GT.pfm")
        yield Still(
            "stereo",
            np.asarray(read_picture(folder / "im0.png")[..., ::-1], np.uint8),
            truth,
            np.isfinite(truth) & (truth > 0),
        )
    if (stereo / "cones").is_dir():
        quarters = np.asarray(read_picture(stereo / "cones" / "disp2.png", cv2.IMREAD_GRAYSCALE), np.float32)
        truth = np.asarray(quarters / 4, np.float32)
        yield Still(
            "stereo", np.asarray(read_picture(stereo / "cones" / "im2.png")[..., ::-1], np.uint8), truth, truth > 0
        )
    yield from reported_stills(data)


def rendered(folder: Path) -> Iterator[Still]:
    """Rendered pictures kept aside; what is far nearer than the rest is clipped as in training."""
    shards = Shards(folder)
    for picture, depth in zip(shards.pictures, shards.depths, strict=True):
        truth = depth.astype(np.float32)
        truth = np.minimum(truth, 1.3 * np.percentile(truth, 97)).astype(np.float32)
        yield Still("rendered", picture, truth, np.ones(truth.shape, bool))


def measure_stills(estimate: Estimate, pictures: list[Still]) -> dict[str, StillFigures]:
    """Means by group, and over all real pictures under ``real``."""
    rows: dict[str, list[StillFigures]] = {}
    for still in pictures:
        got = still_figures(estimate(still.picture), still.truth, still.known)
        for group in {still.group, "real" if still.group != "rendered" else still.group}:
            rows.setdefault(group, []).append(got)
    return {
        group: StillFigures(*(float(np.mean([getattr(r, k) for r in all_])) for k in ("nrmse", "spearman", "ordinal")))
        for group, all_ in sorted(rows.items())
    }


def _frames(path: Path, every: int, size: tuple[int, int]) -> list[U8]:
    out = []
    with av.open(str(path)) as container:
        for i, frame in enumerate(container.decode(container.streams.video[0])):
            if i % every == 0:
                picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                out.append(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8))
    return out


def inferno_to_inverse(picture: U8) -> F32:
    """Look an inferno picture [h, w, 3] RGB back up: [h, w] in [0, 1], 1 is bright (near)."""
    table = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1].astype(
        np.float32
    )
    flat = picture.reshape(-1, 3).astype(np.float32)
    distance = (flat**2).sum(1)[:, None] - 2 * flat @ table.T + (table**2).sum(1)[None]
    return np.asarray(distance.argmin(axis=1).reshape(picture.shape[:2]) / 255, np.float32)


def measure_clip(estimate: Estimate, clip: Path, reference: Path, *, every: int = 5) -> tuple[float, float]:
    """Spearman and NRMSE over a whole clip, after one scale and offset, at 320x180 of every fifth frame."""
    pictures = _frames(clip, every, (320, 180))
    wanted = [inferno_to_inverse(p) for p in _frames(reference, every, (320, 180))]
    n = min(len(pictures), len(wanted))
    mine = np.stack([estimate(p) for p in pictures[:n]])[:, ::2, ::2].ravel()
    truth = np.stack(wanted[:n])[:, ::2, ::2].ravel()
    scale, offset = fit(mine, truth)
    nrmse = float(np.sqrt(((mine.astype(np.float64) * scale + offset - truth) ** 2).mean()) / max(truth.std(), 1e-9))
    a, b = ranks(mine), ranks(truth)
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a * a).mean() * (b * b).mean()))
    return (float((a * b).mean() / spread) if spread > 1e-9 else 0.0), nrmse


def flicker(estimate: Estimate, clip: Path, frames: int = 40) -> float:
    """Mean change from frame to frame over the spatial deviation, for a camera that stands still."""
    pictures = _frames(clip, 1, (320, 240))[:frames]
    maps = [estimate(p) for p in pictures]
    change = np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(maps)])
    return float(change / max(np.mean([m.std() for m in maps]), 1e-9))


def constant(picture: U8) -> F32:
    """The same everywhere."""
    return np.zeros(picture.shape[:2], np.float32)


def ramp(picture: U8) -> F32:
    """Nearer towards the bottom."""
    h, w = picture.shape[:2]
    return np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[:, None], (h, w)).copy()


def table(
    competitors: dict[str, Estimate], data: Path, held_back: Path | None, static_clip: Path | None
) -> list[dict[str, float | str]]:
    """One row for every competitor."""
    pictures = [*stills(data), *(rendered(held_back) if held_back is not None else [])]
    references = sorted((data / "depth_reference").glob("*_depth_inferno.mp4"))
    rows: list[dict[str, float | str]] = []
    for name, estimate in competitors.items():
        row: dict[str, float | str] = {"depth": name}
        for group, got in measure_stills(estimate, pictures).items():
            row |= {f"{group} nrmse": got.nrmse, f"{group} spearman": got.spearman, f"{group} ordinal": got.ordinal}
        for reference in references:
            clip = reference.name.replace("_depth_inferno", "")
            order, error = measure_clip(estimate, reference.with_name(clip), reference)
            row |= {f"{Path(clip).stem} spearman": order, f"{Path(clip).stem} nrmse": error}
        if static_clip is not None:
            row["static flicker"] = flicker(estimate, static_clip)
        rows.append({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()})
        logger.info("%s", json.dumps(rows[-1]))
    return rows
