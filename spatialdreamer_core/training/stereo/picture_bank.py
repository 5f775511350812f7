"""Pictures with inverse depth, that pairs of one frame are made of: drawn ones, and photographs whose is estimated."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.builtin import BuiltinDepth
from spatialdreamer_core.depth.guided import sharpen_depth
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.store.folders import files_below

U8 = NDArray[np.uint8]
F32 = NDArray[np.float32]
SUFFIXES = (".png", ".jpg", ".jpeg")
WIDEST = 960
MOST_UNKNOWN = 0.02
FLAT = 1e-3


@dataclass(frozen=True, slots=True)
class DeepPicture:
    """A picture and how near things are in it.

    Attributes:
        name: Of the file, with the number in it.
        picture: [H, W, 3] uint8 RGB.
        nearness: [H, W] float16 in [0, 1], inverse depth scaled to the picture, 1 nearest.
        exact: Whether the depth is that of a renderer: its edges are those of the picture.
    """

    name: str
    picture: U8
    nearness: NDArray[np.float16]
    exact: bool


def load_pictures(folder: Path, estimator: BuiltinDepth) -> list[DeepPicture]:
    """Read a folder with everything below it: shards of ``train-depth draw`` (npz), and PNG and JPEG photographs.

    Drawn pictures bring their depth; that of photographs is estimated.

    Args:
        folder: Where.
        estimator: For the photographs.

    Raises:
        ConfigError: If there is nothing, or a file cannot be read.
    """
    found: list[DeepPicture] = []
    for path in (p for p in files_below(folder) if p.suffix.lower() in (*SUFFIXES, ".npz")):
        found += _drawn(path) if path.suffix == ".npz" else _photograph(path, estimator)
    if not found:
        raise ConfigError(
            f"pictures {folder}: no .npz shard and no photograph there; "
            "make some with `spatialdreamer train-depth draw`"
        )
    return found


def _drawn(path: Path) -> list[DeepPicture]:
    try:
        with np.load(path) as data:
            pictures, depths = data["pictures"], data["inverse_depth"]
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ConfigError(f"pictures {path}: not a shard of `train-depth draw` ({error}); remove it") from error
    made = []
    for number, (picture, depth) in enumerate(zip(pictures, depths, strict=True)):
        inverse_depth = depth.astype(np.float32)
        if np.isnan(inverse_depth).mean() > MOST_UNKNOWN:
            continue
        nearness = _scaled(np.nan_to_num(inverse_depth))
        if nearness is not None:
            made.append(DeepPicture(f"{path.name}:{number}", picture, nearness, exact=True))
    return made


def _photograph(path: Path, estimator: BuiltinDepth) -> list[DeepPicture]:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise ConfigError(f"pictures {path}: not a picture that can be read; remove it")
    scale = min(1.0, WIDEST / max(picture.shape[:2]))
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    rgb = np.ascontiguousarray(picture[..., ::-1], np.uint8)
    nearness = _scaled(estimator.one(rgb))
    if nearness is None:
        return []
    sharp = sharpen_depth(nearness.astype(np.float32), rgb).astype(np.float16)
    return [DeepPicture(path.name, rgb, sharp, exact=False)]


def _scaled(inverse_depth: F32) -> NDArray[np.float16] | None:
    far, near = (float(value) for value in np.percentile(inverse_depth, (2, 98)))
    if near - far < FLAT * max(abs(near), 1e-6):
        return None
    return np.asarray(np.clip((inverse_depth - far) / (near - far), 0, 1), np.float16)
