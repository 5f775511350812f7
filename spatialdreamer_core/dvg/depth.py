"""Steady inverse depth of one clip, at the size of its frames: estimated here, or brought from elsewhere."""

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.convert.small import small_size
from spatialdreamer_core.corpus.buckets import Placement, fit
from spatialdreamer_core.depth.edges import snap_edges
from spatialdreamer_core.depth.guided import MEDIAN_PX
from spatialdreamer_core.depth.keys import KeyPlan
from spatialdreamer_core.depth.normalise import DepthRange, normalise, shot_range
from spatialdreamer_core.depth.protocol import DepthEstimator, DepthRequest, estimate, uses_partner
from spatialdreamer_core.depth.stabilise import DepthStabiliser
from spatialdreamer_core.errors import FlatDepthError
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.geometry.upsample import upsample_inverse_depth

LEAST_STEP = 0.05
"""Change of inverse depth over three pixels from which a ramp may be the rest of a step."""
SLOPE = 2.5
"""A ramp whose surroundings (nine pixels) change so many times as much as itself goes on: a slope; an even one, 4."""


def clip_depth(
    frames: NDArray[np.uint8],
    estimator: DepthEstimator,
    config: DepthConfig,
    *,
    indices: NDArray[np.int64],
    pts_s: NDArray[np.float64],
    placement: Placement,
    flow: str = "dis-fast",
) -> NDArray[np.float32]:
    """Give the steady inverse depth of a clip; its range is the clip's own.

    Depth is estimated on the frames as they are placed: on keys, steadied and carried by flow as ``convert`` does.
    Imported depth (``config.import_from``) is read for every frame and placed as the frames were.

    Args:
        frames: [T, H, W, 3] uint8 RGB in their bucket.
        estimator: Bound to this source (``convert.source_depth``).
        config: How depth is made steady.
        indices: [T] numbers of the frames in the source file, from 0.
        pts_s: [T] their times in the source, seconds.
        placement: Where they were cut from.
        flow: Optical flow that carries depth between keys.

    Returns:
        [T, H, W] float32 in [0, 1], 1 nearest.

    Raises:
        DepthError: If depth cannot be had or is not finite.
        FlatDepthError: If it is constant.
    """
    if config.import_from is not None:
        return _imported(frames, estimator, indices, pts_s, placement)
    height, width = frames.shape[1:3]
    size = small_size(width, height, config.width)
    small = [np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8) for frame in frames]
    known = _Remembered(estimator, small, indices, pts_s, config.key_interval)
    stabiliser = DepthStabiliser(
        known,
        create_flow(flow),
        _range(known.depths(), estimator),
        shot_length=len(frames),
        key_interval=config.key_interval,
        reach=config.blend_keys,
        sharpen=_sharpen,
    )
    steady = []
    for t, picture in enumerate(small):
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        steady += stabiliser.push(t, picture, grey, float(pts_s[t]))
    stabiliser.finish()
    return np.stack([_full_size(depth.inverse_depth, small[depth.index], frames[depth.index]) for depth in steady])


class _Remembered:
    """The depth of a clip's keys, estimated once: first it decides the range, then it is made steady."""

    uses_partner = False

    def __init__(
        self,
        estimator: DepthEstimator,
        small: list[NDArray[np.uint8]],
        indices: NDArray[np.int64],
        pts_s: NDArray[np.float64],
        key_interval: int,
    ) -> None:
        self.name, self.digest = estimator.name, estimator.digest
        plan = KeyPlan(len(small), key_interval, partners=uses_partner(estimator))
        self._depth = {
            key: estimate(
                estimator,
                DepthRequest(
                    small[key][None], small[plan.partner(key)][None], indices[key : key + 1], pts_s[key : key + 1]
                ),
            )[0]
            for key in plan.key_frames()
        }

    def depths(self) -> list[NDArray[np.float32]]:
        """All of them, in order."""
        return list(self._depth.values())

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        """Give what is known; frames are numbered within the clip."""
        return np.stack([self._depth[int(index)] for index in request.frame_indices])


def _sharpen(inverse_depth: NDArray[np.float32], picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Make steps of soft ramps, without the guided filter of ``convert``.

    That filter lets a little of the picture's texture into depth. At the 2 % of a converted film nobody sees it; at the
    10 % of a pair it tears floors into specks.
    """
    return np.asarray(cv2.medianBlur(snap_edges(inverse_depth, picture), MEDIAN_PX), np.float32)


def _imported(
    frames: NDArray[np.uint8],
    estimator: DepthEstimator,
    indices: NDArray[np.int64],
    pts_s: NDArray[np.float64],
    placement: Placement,
) -> NDArray[np.float32]:
    columns, rows = (max(1, round(b / s)) for b, s in zip(placement.bucket, placement.size, strict=True))
    blank = np.zeros((1, rows, columns, 3), np.uint8)  # ready depth does not look
    raw = np.stack(
        [
            fit(estimate(estimator, DepthRequest(blank, blank, indices[t : t + 1], pts_s[t : t + 1]))[0], placement)
            for t in range(len(frames))
        ]
    )
    depth_range = _range(list(raw[:: max(1, len(raw) // 4)]), estimator)
    depth = normalise(raw, depth_range)
    return np.stack([steepen(one) for one in depth])


def steepen(inverse_depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make steps of the short ramps that scaling and video coding left of steps, and leave slopes alone.

    Where a ramp is no longer than a few pixels (its surroundings hold little more change than itself), a pixel takes
    the nearest or the farthest of its neighbours, whichever is closer to it; twice. Thin things stay.

    Args:
        inverse_depth: [H, W] in [0, 1].
    """
    out, box, wide = inverse_depth, np.ones((3, 3), np.uint8), np.ones((9, 9), np.uint8)
    for _ in range(2):
        near, far = (np.asarray(filtered, np.float32) for filtered in (cv2.dilate(out, box), cv2.erode(out, box)))
        change, around = near - far, cv2.dilate(out, wide) - cv2.erode(out, wide)
        ramp = (change > LEAST_STEP) & (around < SLOPE * change)
        out = np.where(ramp, np.where(out - far > near - out, near, far), out)
    return out


def _range(raw: list[NDArray[np.float32]], estimator: DepthEstimator) -> DepthRange:
    found = shot_range(raw)
    if found.is_flat:
        raise FlatDepthError(f"depth {estimator.name}: the same everywhere in this clip, so there is nothing to shift")
    return found


def _full_size(
    inverse_depth: NDArray[np.float32], small: NDArray[np.uint8], frame: NDArray[np.uint8]
) -> NDArray[np.float32]:
    grey, guide = (np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), np.uint8) for p in (frame, small))
    return upsample_inverse_depth(inverse_depth, guide, grey)
