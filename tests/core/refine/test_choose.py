from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.config import RefineConfig
from spatialdreamer_core.depth.normalise import DepthRange
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.geometry.disparity import ShotStereo, disparity_from_inverse_depth
from spatialdreamer_core.geometry.splat import forward_map
from spatialdreamer_core.refine import mini, registry
from spatialdreamer_core.refine.choose import (
    EARNS_FROM,
    choose,
    count_falls,
    expected_hole_share,
    least_hole_share,
    paints_borders,
)
from spatialdreamer_core.refine.protocol import RefineShot, RefineStream
from spatialdreamer_core.refine.registry import create_refiner, found_name, list_refiners
from tests.core.refine.stand_in import write_stand_in

WIDTH = 1280
ONE_FRAME = 1e6


@dataclass
class Wide:
    """A refiner that looks at so many frames on each side."""

    reach: int = 6
    name: str = "wide"
    digest: str = "wide-1"

    def span(self, length: int, start: int, end: int) -> tuple[int, int]:
        return max(0, start - self.reach), min(length, end + self.reach)

    def open(self, shot: RefineShot, start: int, end: int) -> RefineStream:
        raise NotImplementedError


def boards(width: int, near: list[tuple[int, int, float]]) -> NDArray[np.float32]:
    """Inverse depth of a wall at 0 and boards before it."""
    depth = np.zeros((90, width), np.float32)
    for first, stop, height in near:
        depth[20:80, first:stop] = height
    return depth


def true_share(depth: NDArray[np.float32], stereo: ShotStereo) -> float:
    """What the splat opens at full size, without the strips at the sides."""
    full = np.repeat(np.repeat(depth, WIDTH // depth.shape[1], 0), WIDTH // depth.shape[1], 1)
    disparity = disparity_from_inverse_depth(
        full, strength_pct=stereo.strength_pct, convergence=stereo.convergence, width_px=WIDTH
    )
    hole = np.isnan(forward_map(disparity))
    return float(hole[:, 60:-60].sum() / hole.size)


@pytest.mark.parametrize("near", [[(60, 100, 1.0)], [(60, 100, 1.0), (150, 155, 0.5), (200, 290, 0.7)]])
@pytest.mark.parametrize("raw_scale", [1.0, 37.0])
def test_the_expected_share_of_holes_is_what_the_splat_opens(near, raw_scale):
    depth = boards(320, near)
    stereo = ShotStereo(2.5, 0.3)
    share = expected_hole_share([count_falls(depth * raw_scale + 5)], DepthRange(5.0, 5.0 + raw_scale), stereo, WIDTH)
    assert share == pytest.approx(true_share(depth, stereo), rel=0.1)


def test_edges_that_the_small_map_blurs_count_as_much_and_slopes_do_not():
    sharp = boards(320, [(60, 100, 1.0)])
    soft = sharp.copy()
    for x in range(99, 102):
        soft[20:80, x] = 1 - (x - 98) / 4
    slope = np.tile(np.linspace(1, 0, 320, dtype=np.float32), (90, 1))
    stereo, whole = ShotStereo(2.5, 0.3), DepthRange(0, 1)
    hard, mild, none = (expected_hole_share([count_falls(d)], whole, stereo, WIDTH) for d in (sharp, soft, slope))
    assert mild == pytest.approx(hard, rel=0.3)
    assert none == 0


def test_holes_narrower_than_four_pixels_and_flat_shots_count_nothing():
    depth = boards(320, [(60, 100, 0.1)])
    assert expected_hole_share([count_falls(depth)], DepthRange(0, 1), ShotStereo(2.5, 0.3), WIDTH) == 0  # 3.2 px
    assert expected_hole_share([count_falls(depth)], DepthRange(0, 1), ShotStereo(3.5, 0.3), WIDTH) > 0
    flat = np.full((90, 320), 3, np.float32)
    assert expected_hole_share([count_falls(flat)], DepthRange(3, 3), ShotStereo(2.5, 0.3), WIDTH) == 0


def test_fast_refines_the_shots_that_earn_it_and_best_every_one():
    auto = RefineConfig()
    earned, idle = (choose(share, auto, "fast", Wide(), ONE_FRAME) for share in (EARNS_FROM, 0.9 * EARNS_FROM))
    assert (earned.refined, earned.reason) == (True, "holes 0.50 % of the picture, 0.50 % earn it")
    assert (idle.refined, idle.reason) == (False, "holes 0.45 % of the picture, 0.50 % earn it")
    assert choose(0.0, auto, "best", Wide(), ONE_FRAME).refined
    assert choose(0.0, RefineConfig(name="mini"), "fast", Wide(), ONE_FRAME).refined
    assert not choose(0.01, RefineConfig(name="mini", least_hole_share=0.02), "best", Wide(), ONE_FRAME).refined
    assert least_hole_share(RefineConfig(least_hole_share=0.02), "fast") == 0.02


def test_fast_leaves_the_strips_at_the_sides_to_the_fill_unless_told_otherwise():
    assert not paints_borders(RefineConfig(), "fast")
    assert paints_borders(RefineConfig(), "best")
    assert paints_borders(RefineConfig(name="mini"), "fast")
    assert paints_borders(RefineConfig(borders=True), "fast")
    assert not paints_borders(RefineConfig(name="mini", borders=False), "best")


def test_without_a_refiner_or_with_pictures_too_large_for_its_window_a_shot_says_so():
    assert choose(0.5, RefineConfig(name="none"), "best", None, ONE_FRAME).reason == "not asked for"
    assert choose(0.5, RefineConfig(), "best", None, ONE_FRAME).reason == "no weights"
    large = choose(0.5, RefineConfig(), "best", Wide(reach=30), 1e8)
    assert (large.refined, large.reason) == (False, "pictures too large for its window")


def test_without_weights_auto_goes_without_and_mini_says_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(mini, "SHA256", {})
    assert create_refiner(RefineConfig()) is None
    assert found_name(RefineConfig()) == "none"
    with pytest.raises(ConfigError, match=r"this package holds no weights of it; name a folder.*or use --refine none"):
        create_refiner(RefineConfig(name="mini"))
    (line,) = [one for one in list_refiners() if one.name == "mini"]
    assert "not in this package" in line.state


def test_weights_of_ones_own_are_taken_from_their_folder(tmp_path):
    weights = str(write_stand_in(tmp_path / "own"))
    refiner = create_refiner(RefineConfig(weights=weights))
    assert refiner is not None
    assert refiner.name == "mini"
    assert create_refiner(RefineConfig(name="none", weights=weights)) is None
    with pytest.raises(ConfigError, match=r"refine weights nowhere: no such folder"):
        registry.create_refiner(RefineConfig(name="mini", weights="nowhere"))
