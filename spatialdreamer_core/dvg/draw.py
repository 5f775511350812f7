"""What is left to chance for a clip, drawn from its name: the same clip and settings, the same numbers, anywhere."""

import hashlib
from dataclasses import dataclass

import numpy as np

from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.dvg.sample import Eye, Mode


@dataclass(frozen=True, slots=True)
class Draw:
    """The numbers of one clip.

    Attributes:
        seed: They were drawn with, from the clip's name and ``PairsConfig.seed``.
        mode: ``analytic`` or ``double``.
        target_eye: Which eye the real clip is.
        disparity_pct: Disparity from inverse depth 0 to 1, percent of the width.
        convergence: The inverse depth that lands on the screen.
        dilation_px: Pixels by which the nearer side of a depth edge grows.
        crop_pct: Part of width and height that is cropped away, percent.
        crop_x: Where the crop lies in what it leaves free, 0 is left and 1 right.
        crop_y: The same from top to bottom.
        rotate_deg: Rotation, degrees, anticlockwise as seen; 0 for most.
    """

    seed: int
    mode: Mode
    target_eye: Eye
    disparity_pct: float
    convergence: float
    dilation_px: int
    crop_pct: float
    crop_x: float
    crop_y: float
    rotate_deg: float


def clip_seed(clip_id: str, seed: int) -> int:
    """Give 63 bits that depend on every letter of the clip's name."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{clip_id}".encode()).digest()[:8]) >> 1


def draw(clip_id: str, config: PairsConfig) -> Draw:
    """Draw a clip's numbers. Each has its own place in the stream, so no setting moves another's number."""
    warp, seed = config.warp, clip_seed(clip_id, config.seed)
    u = np.random.default_rng(seed).random(10)
    low, high = warp.dilation_px
    rotated = u[8] < warp.rotate_share
    sign = -1.0 if u[5] < 0.5 else 1.0
    return Draw(
        seed=seed,
        mode="double" if u[0] < warp.double_share else "analytic",
        target_eye="right" if warp.swap_roles and u[1] < 0.5 else "left",
        disparity_pct=_between(warp.disparity_pct, u[2]),
        convergence=_between(warp.convergence, u[3]),
        dilation_px=low + int(u[4] * (high - low + 1)),
        crop_pct=_between(warp.crop_pct, u[6]),
        crop_x=float(u[7]),
        crop_y=float(u[9]),
        rotate_deg=sign * _between(warp.rotate_deg, u[8] / warp.rotate_share) if rotated else 0.0,
    )


def _between(pair: tuple[float, float], share: float) -> float:
    return float(pair[0] + (pair[1] - pair[0]) * share)
