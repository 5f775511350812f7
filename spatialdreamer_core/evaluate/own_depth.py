"""The protocol without true disparity: depth from the left view alone, one scale and offset per clip."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.convert.small import small_size
from spatialdreamer_core.depth.guided import sharpen_depth
from spatialdreamer_core.depth.keys import KeyPlan
from spatialdreamer_core.depth.normalise import shot_range
from spatialdreamer_core.depth.protocol import DepthEstimator, DepthRequest, estimate, uses_partner
from spatialdreamer_core.depth.stabilise import DepthStabiliser
from spatialdreamer_core.errors import MaterialError
from spatialdreamer_core.evaluate.clip import StereoClip
from spatialdreamer_core.evaluate.config import Method
from spatialdreamer_core.evaluate.frames_in import Clip
from spatialdreamer_core.evaluate.render import render_right
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.geometry.upsample import upsample_disparity
from spatialdreamer_core.metrics.matching import match

F32 = NDArray[np.float32]

SEARCH_WIDTH = 480
"""Columns at which the scale is searched."""
COARSE_PCT = (0.0, 0.5, 1.0, 2.0, 3.0, 4.5, 6.5, 9.0, 12.0)
"""Disparity from the farthest to the nearest, percent of the width, tried first; the best is refined twice."""


@dataclass(frozen=True, slots=True)
class OwnDepth:
    """Steady inverse depth of a clip, at the small size.

    Attributes:
        inverse: T times [h, w] float32 in [0, 1], 1 nearest.
        grey: T times [h, w] uint8, the small pictures of green that guide it to full size.
        left: [T, H, W, 3] uint8 RGB.
    """

    inverse: list[F32]
    grey: list[NDArray[np.uint8]]
    left: Clip

    def disparity(self, scale: "Scale") -> list[F32]:
        """[H, W] float32 px for every frame."""
        width = self.left.shape[2]
        out = []
        for inverse, guide, frame in zip(self.inverse, self.grey, self.left, strict=True):
            low = np.asarray((inverse * scale.strength_pct + scale.offset_pct) * width / 100, np.float32)
            out.append(upsample_disparity(low, guide, np.ascontiguousarray(frame[..., 1])))
        return out


@dataclass(frozen=True, slots=True)
class Scale:
    """What turns inverse depth into disparity: ``(inverse * strength + offset) / 100 * width``.

    Attributes:
        strength_pct: From inverse depth 0 to 1, percent of the width.
        offset_pct: At inverse depth 0.
        rmse_px: Of the disparities matched in the made and the true pair, at this scale, in full-size pixels.
    """

    strength_pct: float
    offset_pct: float
    rmse_px: float


def own_depth(left: Clip, estimator: DepthEstimator, config: DepthConfig) -> OwnDepth:
    """Estimate steady depth of a clip as ``convert`` does: keys, blended, sharpened, carried by flow.

    Args:
        left: [T, H, W, 3] uint8 RGB.
        estimator: Depth.
        config: How it is made steady.

    Raises:
        DepthError: If the estimator fails.
    """
    size = small_size(left.shape[2], left.shape[1], config.width)
    small = [np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8) for frame in left]
    plan = KeyPlan(len(small), config.key_interval, config.blend_keys, uses_partner(estimator))
    raw = [
        estimate(
            estimator,
            DepthRequest(small[key][None], small[plan.partner(key)][None], np.array([key]), np.array([key / 25])),
        )[0]
        for key in plan.key_frames()
    ]
    stabiliser = DepthStabiliser(
        estimator,
        create_flow("dis-fast"),
        shot_range(raw),
        shot_length=len(small),
        key_interval=config.key_interval,
        reach=config.blend_keys,
        sharpen=sharpen_depth,
    )
    steady = []
    for t, picture in enumerate(small):
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        steady += stabiliser.push(t, picture, grey, t / 25)
    stabiliser.finish()
    greens = [np.ascontiguousarray(picture[..., 1]) for picture in small]
    return OwnDepth([depth.inverse_depth for depth in steady], greens, left)


def find_scale(clip: StereoClip, depth: OwnDepth, method: Method) -> Scale:
    """Search the scale at which the disparity of the made pair is nearest to that of the true pair.

    On the clip's middle frame, both disparities by the same matcher: coarse, then twice finer around the best. For
    each strength the offset (the convergence) is the median gap between true disparity and the scaled depth, since
    relative depth has no zero and where the screen lies is taste. Searched for every method anew, in the same way.

    Args:
        clip: The true pair.
        depth: Of its left view.
        method: What is judged.

    Raises:
        MaterialError: If nothing of the true pair can be matched.

    Source: the protocol of Behrens et al., "StereoSpace", arXiv 2512.10959: a coarse-to-fine search of one scale for
    the least RMSE of matched disparities. They have no offset, as their views have a metric baseline.
    """
    t = len(clip.left) // 2
    search = _Search(clip, depth, method, t)
    tried = [search.rate(strength) for strength in COARSE_PCT]
    best = min(tried, key=lambda scale: scale.rmse_px)
    place = COARSE_PCT.index(best.strength_pct)
    low, high = COARSE_PCT[max(place - 1, 0)], COARSE_PCT[min(place + 1, len(COARSE_PCT) - 1)]
    for _ in range(2):
        tried = [best, *(search.rate(float(s)) for s in np.linspace(low, high, 6)[1:-1])]
        best = min(tried, key=lambda scale: scale.rmse_px)
        quarter = (high - low) / 5
        low, high = max(0.0, best.strength_pct - quarter), best.strength_pct + quarter
    return best


class _Search:
    """One frame at the size of the search."""

    def __init__(self, clip: StereoClip, depth: OwnDepth, method: Method, t: int) -> None:
        height, width = clip.left.shape[1:3]
        self._shrink = min(1.0, SEARCH_WIDTH / width)
        size = (round(width * self._shrink), round(height * self._shrink))
        self._left, right = (
            np.asarray(cv2.resize(eye[t], size, interpolation=cv2.INTER_AREA), np.uint8)
            for eye in (clip.left, clip.right)
        )
        low, high = (end * self._shrink for end in clip.range_px)
        self._range = low - 0.02 * size[0], high + 0.02 * size[0]
        self._true = match(self._left, right, *self._range)
        self._inverse = np.asarray(cv2.resize(depth.inverse[t], size, interpolation=cv2.INTER_LINEAR), np.float32)
        self._method = method
        if not self._true.known.any():
            raise MaterialError(
                f"clip {clip.ref.name}: nothing of its true pair can be matched, so no scale can be found"
            )

    def rate(self, strength_pct: float) -> Scale:
        """Render at a strength and compare."""
        width = self._left.shape[1]
        known = self._true.known
        scaled = self._inverse * np.float32(strength_pct * width / 100)
        offset = float(np.median(self._true.disparity[known] - scaled[known]))
        made = render_right(self._left[None], [np.asarray(scaled + offset, np.float32)], self._method).frames[0]
        found = match(self._left, made, *self._range)
        both = known & found.known
        gap = found.disparity[both] - self._true.disparity[both]
        rmse = float(np.sqrt(np.mean(gap.astype(np.float64) ** 2))) if both.any() else float("inf")
        return Scale(strength_pct, 100 * offset / width, rmse / self._shrink)
