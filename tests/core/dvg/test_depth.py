from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from spatialdreamer_core.config import DepthConfig
from spatialdreamer_core.corpus.buckets import fit, place_clip
from spatialdreamer_core.depth.imported import ImportedDepth
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.dvg.depth import clip_depth, steepen
from spatialdreamer_core.dvg.draw import draw
from spatialdreamer_core.errors import DepthError, FlatDepthError

T, H, W = 9, 144, 256
INDICES, SECONDS = np.arange(100, 100 + T), np.arange(T) / 25


@dataclass
class Brightness:
    """Bright is near; counts how often it is asked."""

    uses_partner = False
    name: str = "brightness"
    digest: str = "brightness-1"
    asked: int = 0

    def infer(self, request: DepthRequest) -> np.ndarray:
        self.asked += len(request.pictures)
        assert set(request.frame_indices) <= set(INDICES)
        return request.pictures.mean(axis=3).astype(np.float32)


def frames() -> np.ndarray:
    made = np.full((T, H, W, 3), 40, np.uint8)
    made[:, :, :60] = 80
    made[:, 40:100, 100:180] = 220
    return made


def test_estimated_depth_has_the_frames_size_and_steps_where_the_picture_does() -> None:
    estimator = Brightness()
    depth = clip_depth(
        frames(), estimator, DepthConfig(width=128, key_interval=4), indices=INDICES, pts_s=SECONDS,
        placement=place_clip(W, H, (W, H)),
    )  # fmt: skip
    assert depth.shape == (T, H, W)
    assert depth.dtype == np.float32
    assert estimator.asked == 3  # keys 0, 4 and 8, once each
    near, far = depth[:, 45:95, 102:178], depth[:, 45:95, 190:]
    assert near.min() > 0.8
    assert far.max() < 0.2
    assert 0 <= depth.min() < depth.max() <= 1


def test_imported_depth_is_placed_as_the_frames_are(tmp_path: Path) -> None:
    x, y = np.meshgrid(np.arange(320), np.arange(180))
    truth = ((x + 0.5) / 320 * 40_000 + (y + 0.5) / 180 * 20_000).astype(np.uint16)
    for t in range(T):
        cv2.imwrite(str(tmp_path / f"{t:04d}.png"), truth)
    placement = place_clip(640, 360, (W, H), draw("c", PairsConfig()))
    depth = clip_depth(
        np.zeros((T, H, W, 3), np.uint8), ImportedDepth(str(tmp_path)), DepthConfig(import_from=str(tmp_path)),
        indices=np.arange(T), pts_s=SECONDS, placement=placement,
    )  # fmt: skip
    placed = fit(truth.astype(np.float32), placement)
    low, high = np.percentile(placed, (2, 98))
    inner = (placed > low) & (placed < low + 0.85 * (high - low))  # near the top it bends
    assert np.abs(depth[4] - (placed - low) / (high - low))[inner].max() < 0.01


@dataclass
class Flat(Brightness):
    value: float = 3.0

    def infer(self, request: DepthRequest) -> np.ndarray:
        return np.full(request.pictures.shape[:3], self.value, np.float32)


@pytest.mark.parametrize(
    ("value", "error", "reason"), [(3.0, FlatDepthError, "depth_flat"), (np.nan, DepthError, "depth_failed")]
)
def test_constant_or_broken_depth_is_refused_with_its_reason(
    value: float, error: type[DepthError], reason: str
) -> None:
    with pytest.raises(error) as caught:
        clip_depth(
            frames(), Flat(value=value), DepthConfig(), indices=INDICES, pts_s=SECONDS,
            placement=place_clip(W, H, (W, H)),
        )  # fmt: skip
    assert caught.value.reason == reason


def test_short_ramps_become_steps_where_they_stand_and_slopes_stay() -> None:
    truth = np.full((60, 90), 0.2, np.float32)
    truth[20:50, 30:60] = 0.7
    truth[:, 75] = 0.9  # a thin thing
    smeared = np.asarray(cv2.GaussianBlur(truth, (0, 0), 0.7), np.float32)
    steps = steepen(smeared)
    assert np.abs(steps - truth)[:, :70].mean() < 0.2 * np.abs(smeared - truth)[:, :70].mean()
    assert np.abs(steps[30, 20:70] - truth[30, 20:70]).max() < 0.01
    assert steps[:, 75].min() > 0.4
    slope = np.repeat(np.linspace(0, 1, 40, dtype=np.float32)[:, None], 30, axis=1)
    assert (steepen(slope) == slope).all()
