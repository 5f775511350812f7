"""Real pictures with measured depth as training shards, and which of them are kept aside to measure with.

The split is by place in the folder, not by taste: of the laboratory's frames, in the order they were taken, the first
sixteen train, four develop and the last twenty are reported. The stereo pairs only measure: matching is too often wrong
to teach.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import ConfigError

logger = logging.getLogger(__name__)

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
LAB_TRAIN, LAB_DEV = 16, 20
"""Laboratory frames below the first number train, below the second develop, the rest are reported."""
NEAREST_M = 0.2
WIDTH = 384
EDGE_PX = 5
"""What lies so near to a jump of measured depth is not taught: colour and depth see the edge at different places."""


@dataclass(frozen=True, slots=True)
class Still:
    """A picture [h, w, 3], its inverse depth or disparity [h, w], and where that is known."""

    group: str
    picture: U8
    truth: F32
    known: NDArray[np.bool_]


def read_picture(path: Path, flag: int = cv2.IMREAD_COLOR) -> NDArray[np.generic]:
    """Any picture OpenCV reads, [h, w, 3] BGR or as ``flag`` says.

    Raises:
        ConfigError: If it cannot be read.
    """
    picture = cv2.imread(str(path), flag)
    if picture is None:
        raise ConfigError(f"picture {path}: cannot be read; is the data folder complete?")
    return np.asarray(picture)


def matched_disparity(left: U8, right: U8, highest: int) -> tuple[F32, NDArray[np.bool_]]:
    """Disparity of a rectified pair by semi-global matching, known where left and right agree within a pixel."""
    matcher = cv2.StereoSGBM.create(0, highest, 5, 8 * 25, 32 * 25, 1, 31, 8, 80, 2, cv2.STEREO_SGBM_MODE_HH)
    forward = np.asarray(matcher.compute(left, right), np.float32) / np.float32(16)
    mirrored = np.asarray(matcher.compute(right[:, ::-1].copy(), left[:, ::-1].copy()), np.float32) / np.float32(16)
    backward = mirrored[:, ::-1]
    columns = np.arange(left.shape[1])[None] - np.rint(forward).astype(int)
    there = np.take_along_axis(backward, np.clip(columns, 0, left.shape[1] - 1), axis=1)
    known = (forward > 0) & (columns >= 0) & (np.abs(there - forward) < 1)
    return np.asarray(forward, np.float32), np.asarray(known, bool)


def lab_frames(data: Path) -> list[Still]:
    """The laboratory's RGB-D frames in the order they were taken."""
    out = []
    for path in sorted((data / "rgbd" / "lab" / "rgb").glob("*.png"), key=lambda p: int(p.stem)):
        millimetres = read_picture(data / "rgbd" / "lab" / "depth" / path.name, cv2.IMREAD_UNCHANGED)
        depth = np.asarray(millimetres, np.float32) / 1000
        known = depth > NEAREST_M
        truth = np.where(known, 1 / np.maximum(depth, NEAREST_M), 0).astype(np.float32)
        out.append(Still("lab", np.asarray(read_picture(path)[..., ::-1], np.uint8), truth, known))
    return out


def matched_pairs(data: Path) -> list[Still]:
    """The OAK-D pairs by name, their disparity matched."""
    out = []
    for path in sorted((data / "stereo" / "oakd").glob("*_left.png")):
        left = np.asarray(read_picture(path), np.uint8)
        right = np.asarray(read_picture(path.with_name(path.name.replace("_left", "_right"))), np.uint8)
        truth, known = matched_disparity(left, right, 128)
        out.append(Still("oakd", np.ascontiguousarray(left[..., ::-1]), truth, known))
    return out


def training_stills(data: Path) -> list[Still]:
    """What of the measured pictures may train."""
    return lab_frames(data)[:LAB_TRAIN]


def development_stills(data: Path) -> list[Still]:
    """Measured pictures to choose a checkpoint by."""
    return lab_frames(data)[LAB_TRAIN:LAB_DEV]


def reported_stills(data: Path) -> Iterator[Still]:
    """Measured pictures that neither train nor choose anything."""
    yield from matched_pairs(data)
    yield from lab_frames(data)[LAB_DEV:]


def unknown_at_jumps(still: Still) -> F32:
    """The truth with NaN where it is unknown or beside a jump."""
    truth = np.where(still.known, still.truth, np.nan).astype(np.float32)
    filled = np.where(still.known, still.truth, 0).astype(np.float32)
    size = np.ones((EDGE_PX, EDGE_PX), np.uint8)
    high = cv2.dilate(filled, size)
    low = cv2.erode(np.where(still.known, still.truth, filled.max()).astype(np.float32), size)
    truth[high > 1.15 * low + 0.01] = np.nan
    return truth


def write_shard(path: Path, pictures: list[U8], inverse_depth: list[F32]) -> None:
    """One file of equally large pictures and their inverse depth, NaN where unknown; appears whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.stem}.{uuid4().hex}.npz")
    np.savez(scratch, pictures=np.stack(pictures), inverse_depth=np.stack(inverse_depth).astype(np.float16))
    scratch.replace(path)
    logger.info("%s: %d pictures", path.name, len(pictures))


def write_stills(stills: list[Still], path: Path) -> int:
    """A shard of measured pictures, all brought to the size of the first at ``WIDTH`` columns."""
    if not stills:
        raise ConfigError(f"shard {path}: there is no measured picture; point at a folder with rgbd/lab")
    h, w = stills[0].picture.shape[:2]
    size = (WIDTH, round(WIDTH * h / w))
    pictures = [np.asarray(cv2.resize(s.picture, size, interpolation=cv2.INTER_AREA), np.uint8) for s in stills]
    depths = [
        np.asarray(cv2.resize(unknown_at_jumps(s), size, interpolation=cv2.INTER_NEAREST), np.float32) for s in stills
    ]
    write_shard(path, pictures, depths)
    return len(stills)
