"""Draw training pictures: random places, several views each, in shards that appear whole."""

import logging
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.worlds.assets import Assets
from spatialdreamer_core.worlds.places import make_place, take_view
from spatialdreamer_core.worlds.scene import Camera, Rendered, Scene, render

logger = logging.getLogger(__name__)

F32 = NDArray[np.float32]
U8 = NDArray[np.uint8]
NEAR_LIMIT = 1 / 0.35
MAX_TRIES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateConfig:
    """What a set of rendered pictures depends on, apart from the assets.

    Attributes:
        height: Rows.
        width: Columns.
        views: Views of one place.
        shard: Pictures in one file.
    """

    height: int = 216
    width: int = 384
    views: int = 3
    shard: int = 48


def defocus(picture: U8, inverse_depth: F32, focus: float, strength_px: float) -> U8:
    """Blur what is away from the plane of focus; the blur grows with the difference in inverse depth."""
    top = max(float(np.percentile(inverse_depth, 98)), 1e-6)
    radius = np.abs(np.minimum(inverse_depth / top, 1) - focus) * strength_px
    out = picture.astype(np.float32)
    for sigma in (0.7, 1.4, 2.8, 5.6):
        if sigma > strength_px:
            break
        soft = cv2.GaussianBlur(picture, (0, 0), sigma).astype(np.float32)
        share = cv2.GaussianBlur(np.clip((radius - sigma * 0.5) / (sigma * 0.5), 0, 1), (0, 0), sigma)[..., None]
        out = out * (1 - share) + soft * share
    return (out + 0.5).astype(np.uint8)


def lens_and_codec(picture: U8, inverse_depth: F32, rng: np.random.Generator) -> U8:
    """Defocus, motion blur, softness and JPEG, each at times."""
    if rng.random() < 0.35:
        picture = defocus(picture, inverse_depth, float(rng.uniform(0, 1)), float(rng.uniform(1, 9)))
    if rng.random() < 0.12:
        length = int(rng.integers(3, 12))
        kernel = np.zeros((length, length), np.float32)
        cv2.line(kernel, (0, int(rng.integers(length))), (length - 1, int(rng.integers(length))), 1.0)
        picture = np.asarray(cv2.filter2D(picture, -1, kernel / max(float(kernel.sum()), 1e-6)), np.uint8)
    if rng.random() < 0.3:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), float(rng.uniform(0.4, 1.2))), np.uint8)
    if rng.random() < 0.4:
        ok, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))])
        if ok:
            picture = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
    return picture


def worth_showing(inverse_depth: F32, rng: np.random.Generator) -> bool:
    """False for views from inside a cupboard or of one bare wall."""
    if float((inverse_depth > NEAR_LIMIT).mean()) > 0.3:
        return False
    near, far = np.percentile(inverse_depth, [95, 5])
    return bool(near > 1.5 * far or rng.random() < 0.1)


def expose(
    scene: Scene, camera: Camera, rng: np.random.Generator, size: tuple[int, int]
) -> tuple[Rendered, F32 | None]:
    """Draw small, judge the light and the view; gives the small picture and its exposure (None: not worth it)."""
    h, w = size
    small = Camera(camera.position, camera.turn, camera.focal_px * w / camera.width, h, w)
    rough = render(scene, small, supersample=1, shadow_side=192)
    if not worth_showing(rough.inverse_depth, rng):
        return rough, None
    mean = float(((rough.picture / 255.0) ** 2.2).mean())
    target = float(np.exp(rng.normal(np.log(0.2), 0.45)))
    return rough, np.float32(np.clip(target / max(mean, 1e-3), 0.1, 12))  # type: ignore[return-value]


def draw(seed: int, assets: Assets, config: GenerateConfig) -> tuple[list[U8], list[F32]]:
    """The views of the place with this seed: pictures [h, w, 3] and inverse depth [h, w] in 1 / metres."""
    rng = np.random.default_rng([20261122, seed])
    place = make_place(rng, assets)
    pictures: list[U8] = []
    depths: list[F32] = []
    for _ in range(MAX_TRIES):
        scene, camera = take_view(place, rng, height=config.height, width=config.width)
        _, exposure = expose(scene, camera, rng, (config.height // 5, config.width // 5))
        if exposure is None:
            continue
        out = render(scene, camera, exposure=float(exposure))
        pictures.append(lens_and_codec(out.picture, out.inverse_depth, rng))
        depths.append(out.inverse_depth)
        if len(pictures) >= config.views:
            break
    return pictures, depths


def generate(
    output: Path, assets: Assets, config: GenerateConfig, *, first_seed: int, stride: int, shards: int, prefix: str
) -> None:
    """Write ``shards`` files of pictures; seeds go ``first_seed``, ``first_seed + stride``, ...

    Each file holds ``pictures`` [N, h, w, 3] uint8 and ``inverse_depth`` [N, h, w] float16 in 1 / metres.
    """
    output.mkdir(parents=True, exist_ok=True)
    seed = first_seed
    for number in range(shards):
        pictures: list[U8] = []
        depths: list[F32] = []
        while len(pictures) < config.shard:
            got = draw(seed, assets, config)
            pictures += got[0]
            depths += got[1]
            seed += stride
        path = output / f"{prefix}_{number:04d}.npz"
        scratch = output / f".{path.stem}.{uuid4().hex}.npz"
        np.savez(
            scratch, pictures=np.stack(pictures[: config.shard]),
            inverse_depth=np.stack(depths[: config.shard]).astype(np.float16),
        )  # fmt: skip
        scratch.replace(path)
        logger.info("%s: %d pictures", path.name, config.shard)
