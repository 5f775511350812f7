"""Rendered stereo clips to fill holes in: a place of each kind, a moving camera, a thing that crosses near it.

Seeds are ``[20261126, n]`` with the n of ``SEEDS``; training draws its places from ``[20261122, n]``
(``training/depth/generate.py``), so no training ever sees one of these. Textures are drawn, not photographed: anybody
gets the same clips from this file alone.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.worlds.assets import Assets
from spatialdreamer_core.worlds.mesh import Mesh, blob, box, join
from spatialdreamer_core.worlds.places import PLACES, Place, take_view
from spatialdreamer_core.worlds.scene import Camera, Rendered, Scene, render

WIDTH, HEIGHT, FRAMES = 512, 288, 12
SEED = 20261126
SEEDS = {"room": 10, "street": 1, "country": 11, "table": 12, "clutter": 4}
"""By kind; of a few those in which something stands in front of something else."""
RANGE_PX = 36
"""Most disparity between the nearest and the middle distance of a first frame: 7 % of the width, wide holes."""
CROSSING_SHARE, DOLLY_SHARE = 0.008, 0.004
"""The camera's step to the right and forward, as a share of the middle distance."""

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HoleClip:
    """One clip, all of it exact.

    Attributes:
        left: [T, H, W, 3] uint8 RGB.
        right: [T, H, W, 3] uint8 RGB.
        disparity: [T, H, W] float32 px of the left view, ``x_left - x_right``.
    """

    left: NDArray[np.uint8]
    right: NDArray[np.uint8]
    disparity: F32


def clip(kind: str) -> HoleClip:
    """Render the clip of one kind of ``PLACES``; the same pictures whenever it is asked for."""
    rng = np.random.default_rng([SEED, SEEDS[kind]])
    place = PLACES[kind][0](rng, Assets())
    thing = _materials(place, rng)
    wide = WIDTH + RANGE_PX
    scene, camera = take_view(place, rng, height=HEIGHT, width=wide)
    inverse = render(scene, camera, supersample=1, shadow_side=64).inverse_depth
    middle, near = (float(v) for v in np.percentile(inverse[inverse > 0], (50, 99)))
    middle = max(middle, 0.1)  # a view of hardly anything but sky has far things in its middle
    baseline_m = RANGE_PX / (camera.focal_px * max(near - middle, middle))
    # both eyes are cut from wider pictures, so that the middle distance lies on the screen
    shift = round(camera.focal_px * baseline_m * middle)
    frames = []
    for t in range(FRAMES):
        here = camera.stepped(right_m=CROSSING_SHARE * t / middle, forward_m=DOLLY_SHARE * t / middle)
        moved = Scene(join([scene.mesh, _thing(thing, camera, middle, t)]), scene.materials, scene.light, scene.air)
        left, right = render(moved, here), render(moved, here.stepped(right_m=baseline_m))
        frames.append(_cut(left, right, shift, camera.focal_px * baseline_m))
    return HoleClip(*(np.stack(part) for part in zip(*frames, strict=True)))


def _cut(left: Rendered, right: Rendered, shift: int, scale: float) -> tuple[F32, ...]:
    disparity = np.asarray(left.inverse_depth * np.float32(scale) - np.float32(shift), np.float32)
    columns = slice(shift, shift + WIDTH)
    return left.picture[:, columns], right.picture[:, :WIDTH], disparity[:, columns]  # type: ignore[return-value]


def _materials(place: Place, rng: np.random.Generator) -> tuple[int, bool]:
    """Material and shape of what will cross, chosen before the place's table of materials is closed."""
    return place.builder.surface(), bool(rng.random() < 0.5)


def _thing(chosen: tuple[int, bool], camera: Camera, middle: float, t: int) -> Mesh:
    """A box or a stone at half the middle distance, crossing half of the picture against the camera."""
    material, square = chosen
    distance = 0.5 / middle
    half = distance * WIDTH / 2 / camera.focal_px
    share = 0.5 - t / (FRAMES - 1)
    right, down, forward = camera.turn
    at = camera.position + forward * distance + right * (share * half) + down * (0.25 * half)
    radii = np.full(3, 0.18 * half, np.float32)
    return box(at, 2 * radii, material, 0) if square else blob(at, radii, material, rough=0.5, seed=3)


def write_clips(folder: Path) -> list[str]:
    """Render what is not there yet: ``KIND/left``, ``KIND/right`` (PNG) and ``KIND/disparity.npz``, which comes last.

    Returns:
        The kinds that were made now.
    """
    made = []
    for kind in SEEDS:
        place = folder / kind
        if (place / "disparity.npz").is_file():
            continue
        rendered = clip(kind)
        for eye in ("left", "right"):
            (place / eye).mkdir(parents=True, exist_ok=True)
            for t, picture in enumerate(getattr(rendered, eye)):
                cv2.imwrite(str(place / eye / f"{t:03d}.png"), np.ascontiguousarray(picture[..., ::-1]))
        scratch = place / ".disparity.npz"
        np.savez_compressed(scratch, disparity=rendered.disparity)
        scratch.replace(place / "disparity.npz")
        made.append(kind)
    return made
