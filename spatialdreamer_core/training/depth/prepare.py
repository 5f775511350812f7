"""Lay out what worlds are textured with: frames of clips, pictures and skies, in one folder."""

import logging
import os
from collections.abc import Iterable
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

logger = logging.getLogger(__name__)


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
    """Turn equirectangular OpenEXR skies into linear [256, 512, 3] .npy; gives their number."""
    os.environ.setdefault("OPENCV_IO_ENABLE_OPENEXR", "1")
    output.mkdir(parents=True, exist_ok=True)
    count = 0
    for path in skies:
        sky = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if sky is None:
            logger.warning("sky %s: cannot be read, left out", path)
            continue
        linear = cv2.resize(sky[..., 2::-1].astype(np.float32), (512, 256), interpolation=cv2.INTER_AREA)
        np.save(output / f"{path.stem}.npy", np.ascontiguousarray(linear))
        count += 1
    return count
