"""Read pictures and clips for evaluation: pictures, folders of pictures, arrays, videos; RGB, checked."""

import zipfile
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.depth_frames import pictures_in
from spatialdreamer_core.errors import MaterialError
from spatialdreamer_core.video.media import open_source
from spatialdreamer_core.video.pictures import PictureReader

Clip = NDArray[np.uint8]

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".ppm")
ARRAYS = (".npy", ".npz")
VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")


def read_clip(path: Path, start: int, count: int) -> Clip:
    """Read frames [start, start + count) as far as there are any.

    Args:
        path: A picture (a clip of one frame), a folder of pictures, an ``.npy`` or ``.npz`` of [T, H, W, 3] (uint8, or
            floats in [0, 1]), or a video.
        start: First frame; not looked at for a single picture.
        count: Most frames.

    Returns:
        [T, H, W, 3] uint8 RGB, T >= 1.

    Raises:
        MaterialError: If it is missing, unreadable, holds no such frame, changes its size, or holds NaN.
        UnreadableSourceError: If a video cannot be opened.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        frames = [_picture(file) for file in _pictures(path)[start : start + count]]
    elif not path.is_file():
        raise MaterialError(f"{path}: there is no such file; check the path or the list that names it")
    elif suffix in PICTURES:
        frames = [_picture(path)]
    elif suffix in ARRAYS:
        frames = list(_array(path, start, count))
    elif suffix in VIDEOS:
        frames = _video(path, start, count)
    else:
        raise MaterialError(f"{path}: neither picture, array nor video; give one of {', '.join(PICTURES + VIDEOS)}")
    if not frames:
        raise MaterialError(f"{path}: no frame from frame {start} on; give an earlier --start-frame")
    sizes = {frame.shape for frame in frames}
    if len(sizes) > 1:
        raise MaterialError(f"{path}: frames of different sizes ({', '.join(_size(s) for s in sorted(sizes))})")
    return np.stack(frames)


def count_frames(path: Path) -> int | None:
    """How many frames there are, where that is known without decoding; None for videos."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return len(_pictures(path))
    if suffix in PICTURES:
        return 1
    return None


def _pictures(folder: Path) -> list[Path]:
    return [file for file in pictures_in(folder) if file.suffix.lower() in PICTURES] or sorted(
        file for file in folder.iterdir() if file.suffix.lower() in PICTURES
    )


def _picture(path: Path) -> NDArray[np.uint8]:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise MaterialError(f"{path}: cannot be read as a picture; replace the file")
    return np.ascontiguousarray(picture[..., ::-1], np.uint8)


def _array(path: Path, start: int, count: int) -> NDArray[np.uint8]:
    try:
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
        values = loaded if path.suffix.lower() == ".npy" else loaded[next(iter(loaded))]
    except (OSError, ValueError, StopIteration, EOFError, zipfile.BadZipFile) as error:
        raise MaterialError(f"{path}: no array can be read from it ({error}); replace the file") from error
    if values.ndim == 3:
        values = values[None]
    if values.ndim != 4 or values.shape[3] != 3:
        raise MaterialError(f"{path}: [T, H, W, 3] needed, got {list(values.shape)}")
    values = np.asarray(values[start : start + count])
    if values.dtype == np.uint8:
        return values
    if not np.issubdtype(values.dtype, np.floating):
        raise MaterialError(f"{path}: uint8 or floats in [0, 1] needed, got {values.dtype}")
    broken = ~np.isfinite(values).all(axis=(1, 2, 3))
    if broken.any():
        raise MaterialError(f"{path}: frame {start + int(np.argmax(broken))} holds NaN or infinity; make it again")
    if values.size and (values.min() < -0.01 or values.max() > 1.01):
        raise MaterialError(f"{path}: floats must lie in [0, 1], got {values.min():g} to {values.max():g}")
    return np.asarray(np.clip(values * 255 + 0.5, 0, 255), np.uint8)


def _video(path: Path, start: int, count: int) -> list[NDArray[np.uint8]]:
    with open_source(str(path)) as container:
        if not container.streams.video:
            raise MaterialError(f"{path}: holds no video; give another file")
        reader = PictureReader(container, container.streams.video[0])
        frames = [
            np.asarray(picture.frame.to_ndarray(format="rgb24"), np.uint8)
            for picture in islice(reader.read(), start, start + count)
        ]
        if reader.errors:
            raise MaterialError(
                f"{path}: {reader.errors} packets cannot be decoded; an evaluation needs whole material"
            )
    return frames


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[1]}x{shape[0]}"
