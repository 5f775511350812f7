"""Measure depth estimators on still pictures with truth and on clips with a strong network's depth."""

import itertools
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.convert.small import small_size
from spatialdreamer_core.depth.guided import sharpen_depth
from spatialdreamer_core.depth.normalise import normalise, shot_range
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.depth.stabilise import DepthStabiliser
from spatialdreamer_core.evaluate.clip import read_pfm
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.geometry.upsample import upsample_inverse_depth
from spatialdreamer_core.training.depth.data import Shards
from spatialdreamer_core.training.depth.eyes import EyeFigures, Pair, eye_figures
from spatialdreamer_core.training.depth.figures import StillFigures, fit, ranks, still_figures
from spatialdreamer_core.training.depth.real import Still, read_picture, reported_stills

logger = logging.getLogger(__name__)

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
Estimate = Callable[[U8, U8], F32]
"""[h, w, 3] uint8 RGB and a picture of the same shot some frames away (itself for stills) to [h, w] relative inverse
depth."""
PARTNER_FRAMES = 6
"""As far away as ``convert`` looks."""


def measured_pairs(data: Path) -> Iterator[Pair]:
    """Stereo pairs whose disparity somebody measured."""
    folder = data / "stereo" / "motorcycle"
    if folder.is_dir():
        truth = read_pfm(folder / "disp0GT.pfm")
        yield Pair(_rgb(folder / "im0.png"), _rgb(folder / "im1.png"), truth, np.isfinite(truth) & (truth > 0))
    folder = data / "stereo" / "cones"
    if folder.is_dir():
        quarters = np.asarray(read_picture(folder / "disp2.png", cv2.IMREAD_GRAYSCALE), np.float32)
        truth = np.asarray(quarters / 4, np.float32)
        yield Pair(_rgb(folder / "im2.png"), _rgb(folder / "im6.png"), truth, truth > 0)


def _rgb(path: Path) -> U8:
    return np.ascontiguousarray(read_picture(path)[..., ::-1], np.uint8)


def stills(data: Path) -> Iterator[Still]:
    """Stereo pairs (measured and matched) and RGB-D frames of the data folder, none of which was trained on."""
    for pair in measured_pairs(data):
        yield Still("stereo", pair.left, pair.disparity, pair.known)
    yield from reported_stills(data)


def rendered(folder: Path) -> Iterator[Still]:
    """Rendered pictures kept aside; what is far nearer than the rest is clipped as in training."""
    shards = Shards(folder)
    for picture, depth in zip(shards.pictures, shards.depths, strict=True):
        truth = depth.astype(np.float32)
        truth = np.minimum(truth, 1.3 * np.percentile(truth, 97)).astype(np.float32)
        yield Still("rendered", picture, truth, np.ones(truth.shape, bool))


WITHIN = {"stereo": ("real", "unseen"), "oakd": ("real", "unseen"), "lab": ("real",)}
"""The wider groups of a group. The laboratory's other frames trained, so its figures are of a known place."""
STILL_NAMES = tuple(field.name for field in fields(StillFigures))


def measure_stills(estimate: Estimate, pictures: list[Still]) -> dict[str, StillFigures]:
    """Means by group, and over the groups of ``WITHIN``."""
    rows: dict[str, list[StillFigures]] = {}
    for still in pictures:
        got = still_figures(estimate(still.picture, still.picture), still.truth, still.known)
        for group in (still.group, *WITHIN.get(still.group, ())):
            rows.setdefault(group, []).append(got)
    return {
        group: StillFigures(*(float(np.nanmean([getattr(r, name) for r in all_])) for name in STILL_NAMES))
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


def frames_between(path: Path, share: float, around: int, width: int) -> tuple[list[U8], int]:
    """The frames around a place in a clip, at most ``width`` wide, and which of them is the place."""
    with av.open(str(path)) as container:
        stream = max(container.streams.video, key=lambda s: s.width * s.height)
        total = sum(1 for _ in container.decode(stream))
    middle = min(int(share * total), total - 1)
    first, last, out = max(0, middle - around), min(total, middle + around + 1), []
    with av.open(str(path)) as container:
        stream = max(container.streams.video, key=lambda s: s.width * s.height)
        for i, frame in enumerate(container.decode(stream)):
            if first <= i < last:
                picture = np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
                scale = min(1.0, width / picture.shape[1])
                size = (2 * round(picture.shape[1] * scale / 2), 2 * round(picture.shape[0] * scale / 2))
                out.append(np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8))
    return out, middle - first


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
    pictures = _frames(clip, 1, (320, 180))
    wanted = [inferno_to_inverse(p) for p in _frames(reference, every, (320, 180))]
    indices = range(0, len(pictures), every)
    n = min(len(indices), len(wanted))
    mine = np.stack([estimate(pictures[i], _partner(pictures, i)) for i in indices[:n]])[:, ::2, ::2].ravel()
    truth = np.stack(wanted[:n])[:, ::2, ::2].ravel()
    scale, offset = fit(mine, truth)
    nrmse = float(np.sqrt(((mine.astype(np.float64) * scale + offset - truth) ** 2).mean()) / max(truth.std(), 1e-9))
    a, b = ranks(mine), ranks(truth)
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a * a).mean() * (b * b).mean()))
    return (float((a * b).mean() / spread) if spread > 1e-9 else 0.0), nrmse


def _partner(pictures: list[U8], index: int) -> U8:
    later = index + PARTNER_FRAMES
    return pictures[later] if later < len(pictures) else pictures[max(index - PARTNER_FRAMES, 0)]


def flicker(maps: Sequence[F32]) -> float:
    """Mean change from frame to frame over the spatial deviation, for a camera that stands still."""
    change = np.mean([np.abs(b - a).mean() for a, b in itertools.pairwise(maps)])
    return float(change / max(np.mean([m.std() for m in maps]), 1e-9))


def drift(maps: Sequence[F32], ends: int = 5) -> float:
    """Mean change from the first to the last maps over the spatial deviation, for a camera that stands still."""
    first, last = np.mean(maps[:ends], axis=0), np.mean(maps[-ends:], axis=0)
    return float(np.abs(last - first).mean() / max(np.mean([m.std() for m in maps]), 1e-9))


class _Plain:
    """An estimate as an estimator, for the stabiliser."""

    name, digest = "measured", "measured"

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate

    def infer(self, request: DepthRequest) -> F32:
        return np.stack([self._estimate(p, q) for p, q in zip(request.pictures, request.partners, strict=True)])


def steady_maps(estimate: Estimate, pictures: list[U8]) -> list[F32]:
    """Depth of a shot as ``convert`` carries it from key to key, [h, w] in [0, 1] for each frame."""
    config = DepthConfig()
    found = shot_range([estimate(pictures[i], _partner(pictures, i)) for i in range(0, len(pictures), 12)])
    stabiliser = DepthStabiliser(
        _Plain(estimate), create_flow("dis-fast"), found, shot_length=len(pictures),
        key_interval=config.key_interval, reach=config.blend_keys, sharpen=sharpen_depth,
    )  # fmt: skip
    steady: list[F32] = []
    for index, picture in enumerate(pictures):
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        steady += [depth.inverse_depth for depth in stabiliser.push(index, picture, grey)]
    stabiliser.finish()
    return steady


STATIC_FRAMES = 60


def measure_static(estimate: Estimate, clip: Path) -> dict[str, float]:
    """Flicker of single frames, and flicker and drift of what ``convert`` sees, of a camera that stands still."""
    pictures = _frames(clip, 1, (320, 240))[:STATIC_FRAMES]
    steady = steady_maps(estimate, pictures)
    single = [estimate(picture, picture) for picture in pictures]
    return {"static flicker": flicker(single), "steady flicker": flicker(steady), "steady drift": drift(steady)}


def measure_eyes(estimate: Estimate | None, found: list[Pair]) -> dict[str, float]:
    """Mean figures of the right views made from an estimate, as sharp as ``convert`` makes it, or from the truth."""
    rows = []
    for pair in found:
        depth = None
        if estimate is not None:
            depth = full_size(estimate(pair.left, pair.left), pair.left)
        rows.append(eye_figures(pair, depth))
    names = [field.name for field in fields(EyeFigures)]
    return {f"eye {name}": float(np.mean([getattr(row, name) for row in rows])) for name in names}


def full_size(raw: F32, picture: U8) -> F32:
    """Bring a map [H, W] through the small size at which ``convert`` sharpens, and back to the picture's."""
    h, w = picture.shape[:2]
    size = small_size(w, h, DepthConfig().width)
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    depth = np.asarray(cv2.resize(raw, size, interpolation=cv2.INTER_AREA), np.float32)
    sharp = sharpen_depth(normalise(depth, shot_range([depth])), small)
    luma, guide = (np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), np.uint8) for p in (picture, small))
    return upsample_inverse_depth(sharp, guide, luma)


def constant(picture: U8, partner: U8) -> F32:
    """The same everywhere."""
    return np.zeros(picture.shape[:2], np.float32)


def ramp(picture: U8, partner: U8) -> F32:
    """Nearer towards the bottom."""
    h, w = picture.shape[:2]
    return np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[:, None], (h, w)).copy()


def table(
    competitors: dict[str, Estimate], data: Path, held_back: Path | None, static_clip: Path | None
) -> list[dict[str, float | str]]:
    """One row for every competitor."""
    pictures = [*stills(data), *(rendered(held_back) if held_back is not None else [])]
    references = sorted((data / "depth_reference").glob("*_depth_inferno.mp4"))
    pairs = list(measured_pairs(data))
    rows: list[dict[str, float | str]] = []
    for name, estimate in competitors.items():
        row: dict[str, float | str] = {"depth": name}
        for group, got in measure_stills(estimate, pictures).items():
            row |= {f"{group} {figure}": getattr(got, figure) for figure in STILL_NAMES}
        for reference in references:
            clip = reference.name.replace("_depth_inferno", "")
            order, error = measure_clip(estimate, reference.with_name(clip), reference)
            row |= {f"{Path(clip).stem} spearman": order, f"{Path(clip).stem} nrmse": error}
        if static_clip is not None:
            row |= measure_static(estimate, static_clip)
        if pairs:
            row |= measure_eyes(estimate, pairs)
        rows.append(_rounded(row))
        logger.info("%s", json.dumps(rows[-1]))
    if pairs:
        rows.append(_rounded({"depth": "true disparity"} | measure_eyes(None, pairs)))
    return rows


def _rounded(row: dict[str, float | str]) -> dict[str, float | str]:
    return {k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}
