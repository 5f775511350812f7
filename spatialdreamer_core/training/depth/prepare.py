"""Lay out what worlds are textured with: frames of clips, pictures and skies, in one folder."""

import base64
import binascii
import logging
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.exr import read_exr
from spatialdreamer_core.errors import DepthError

logger = logging.getLogger(__name__)

BRIGHTEST = 60.0
"""Suns are cut here: one texel of a thousand times that would light whole scenes by itself."""


def clip_frames(path: Path, count: int) -> list[NDArray[np.uint8]]:
    """Frames spread evenly over the largest video stream, [H, W, 3] uint8 RGB."""
    with av.open(str(path)) as container:
        stream = max(container.streams.video, key=lambda s: s.width * s.height)
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(stream)]
    picks = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
    return [np.asarray(frames[i], np.uint8) for i in picks]


def prepare_photos(clips: Iterable[Path], pictures: Iterable[Path], output: Path, *, per_clip: int = 16) -> int:
    """Write frames of clips and copies of pictures as PNG, at most 640 wide; gives their number."""
    output.mkdir(parents=True, exist_ok=True)
    count = 0
    for clip in clips:
        for i, frame in enumerate(clip_frames(clip, per_clip)):
            _write(output / f"{clip.stem}_{i:02d}.png", frame)
            count += 1
    for path in pictures:
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is not None:
            _write(output / f"{path.stem}.png", np.asarray(picture[..., ::-1], np.uint8))
            count += 1
    logger.info("photos: %d in %s", count, output)
    return count


def _write(path: Path, picture: NDArray[np.uint8]) -> None:
    scale = min(1.0, 640 / max(picture.shape[:2]))
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), small[..., ::-1])


def prepare_domes(skies: Iterable[Path], output: Path) -> int:
    """Turn equirectangular OpenEXR skies into linear [256, 512, 3] .npy; gives their number.

    Args:
        skies: ``.exr`` files, or ``.exr.js`` modules of the npm package @pmndrs/assets, which hold one as base64.
        output: Folder.
    """
    output.mkdir(parents=True, exist_ok=True)
    count = 0
    for path in skies:
        try:
            sky = read_sky(path)
        except (DepthError, binascii.Error):
            logger.warning("sky %s: cannot be read, left out", path)
            continue
        linear = cv2.resize(sky, (512, 256), interpolation=cv2.INTER_AREA)
        np.save(output / f"{path.name.partition('.')[0]}.npy", np.ascontiguousarray(linear))
        count += 1
    return count


def read_sky(path: Path) -> NDArray[np.float32]:
    """Linear light [H, W, 3] RGB, between 0 and ``BRIGHTEST``."""
    data = path.read_bytes()
    if path.suffix == ".js":
        data = base64.b64decode(data.partition(b"base64,")[2].partition(b"'")[0], validate=True)
    return np.asarray(np.clip(np.nan_to_num(read_exr(data)), 0, BRIGHTEST), np.float32)
