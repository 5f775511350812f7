"""Convert with a network that paints: only holes change, and cutting a shot still changes no byte."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spatialdreamer_core.config import ConvertConfig, DepthConfig, FillConfig, GateConfig, RefineConfig, StereoConfig
from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.convert.eyes import EyeMaker, StereoFrame
from spatialdreamer_core.convert.plan import SourcePlan, plan_from_bytes, plan_to_bytes, work_key
from spatialdreamer_core.convert.planning import plan_source
from spatialdreamer_core.convert.rehearse import rehearse
from spatialdreamer_core.convert.retake import plan_retake
from spatialdreamer_core.convert.segment import convert_segment
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.geometry.holes import find_hole_runs
from spatialdreamer_core.metrics.seams import luma_gaps, seam_step
from spatialdreamer_core.refine.mini import MiniRefiner
from spatialdreamer_core.refine.protocol import LEAST_HOLE_PX
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.decode import working_format
from spatialdreamer_core.video.segments import Segment
from tests.core.convert.test_eyes import BrightIsNear
from tests.core.refine.made import assert_same_outside, rgb_of
from tests.core.refine.stand_in import write_stand_in
from tests.media import scene, write_video

FRAMES = 27
CONFIG = ConvertConfig(
    depth=DepthConfig(width=64, key_interval=4),
    stereo=StereoConfig(strength_pct=10.0),
    fill=FillConfig(temporal=False),
    segment_frames=24,
)


@pytest.fixture(scope="module")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> MiniRefiner:
    return MiniRefiner(write_stand_in(tmp_path_factory.mktemp("mini"), bright=0.3))


def planned(folder: Path, refiner: MiniRefiner | None, bits: int = 8) -> SourcePlan:
    film = write_video(
        folder / "film.mkv",
        scene(FRAMES, width=162, height=90, speed=0.7),
        codec="libx264" if bits == 8 else "libx265",
        pixel_format="yuv420p" if bits == 8 else "yuv420p10le",
    )
    return plan_source(str(film), CONFIG, BrightIsNear(), Place(str(folder / "out")), refiner)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory, refiner: MiniRefiner) -> SourcePlan:
    return planned(tmp_path_factory.mktemp("refined"), refiner)


def made(
    plan: SourcePlan, refiner: MiniRefiner | None, start: int, end: int, config: ConvertConfig = CONFIG
) -> Iterator[StereoFrame]:
    segment = Segment(0, 0, 0, FRAMES, start, end)
    codec = "h264" if plan.info.video.bits == 8 else "hevc"
    layout = working_format(plan.info, codec)
    return EyeMaker(
        plan, segment, config, BrightIsNear(), create_flow("dis-fast"), layout, StageClock(), refiner
    ).stereo_frames()


def assert_same_eyes(ours: list[StereoFrame], theirs: list[StereoFrame]) -> None:
    assert [one.index for one in ours] == [one.index for one in theirs]
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one.right.planes, other.right.planes, strict=True):
            np.testing.assert_array_equal(a, b)
        assert one.refined_share == other.refined_share


def wide_holes(frame: StereoFrame) -> float:
    """Share of a frame in wide holes that do not touch its sides."""
    runs = find_hole_runs(frame.source_x)
    width = runs.stop - runs.start
    return float(width[(width >= LEAST_HOLE_PX) & ~runs.border].sum() / frame.source_x.size)


def test_cutting_a_refined_shot_anywhere_gives_the_same_bytes(plan: SourcePlan, refiner: MiniRefiner) -> None:
    whole = list(made(plan, refiner, 0, FRAMES))
    assert all(one.refined_share > 0 for one in whole)
    cuts = [(0, 4), (4, 8), (8, 24), (24, FRAMES)]
    assert_same_eyes(whole, [one for start, end in cuts for one in made(plan, refiner, start, end)])


@pytest.mark.parametrize("bits", [8, 10])
def test_refining_changes_holes_alone_and_leaves_the_left_eye(tmp_path: Path, refiner: MiniRefiner, bits: int) -> None:
    plan = planned(tmp_path, refiner, bits)
    unrefined = replace(plan, shots=tuple(replace(shot, refined=False) for shot in plan.shots))
    for one, other in zip(made(plan, refiner, 4, 8), made(unrefined, refiner, 4, 8), strict=True):
        assert_same_outside(one.right, other.right, one.source_x)
        hole = np.isnan(one.source_x)
        assert (one.right.y[hole] != other.right.y[hole]).mean() > 0.2
        np.testing.assert_array_equal(one.left.y, other.left.y)
        assert other.refined_share == 0 < one.refined_share < hole.mean()


def test_no_pulse_where_segments_meet(plan: SourcePlan, refiner: MiniRefiner) -> None:
    every = replace(CONFIG, depth=replace(CONFIG.depth, key_interval=1))
    at_seams, elsewhere = [], []
    for first in (1, 2, 3):  # every frame begins a segment once, so that what the film does there counts on both sides
        cuts = [0, *range(first, FRAMES, 3), FRAMES]
        frames = [one for start, end in pairwise(cuts) for one in made(plan, refiner, start, end, every)]
        left, right = (
            [rgb_of(getattr(one, eye)).transpose(1, 2, 0) * 255 for one in frames] for eye in ("left", "right")
        )
        step = seam_step(luma_gaps(left, right), cuts[1:-1])
        at_seams.append(step.at_seams)
        elsewhere.append(step.elsewhere)
    assert sum(at_seams) <= 1.2 * sum(elsewhere)


def test_the_plan_records_which_shots_are_refined_and_why(
    tmp_path: Path, refiner: MiniRefiner, plan: SourcePlan
) -> None:
    (shot,) = plan.shots
    assert (plan.refiner_name, plan.refiner_digest) == ("mini", refiner.digest)
    assert shot.refined
    found = float(np.mean([wide_holes(one) for one in made(plan, refiner, 0, 4)]))
    assert 0.5 * found < (shot.hole_share or 0) < 2.5 * found  # where everything is edge, one hides the other's hole
    assert shot.refine_reason == f"holes {100 * (shot.hole_share or 0):.2f} % of the picture, 0.50 % earn it"
    assert 0 < shot.geometric < 0.1
    assert plan_from_bytes(plan_to_bytes(plan), "plan.npz").shots == plan.shots
    (none,) = planned(tmp_path, None).shots
    assert (none.refined, none.refine_reason) == (False, "no weights")


def test_a_retake_stays_refined_and_is_told_the_smaller_deviation(plan: SourcePlan) -> None:
    (safer,) = plan_retake(plan, {0: ["e_warp_ratio"]}, {0: frozenset()}, GateConfig(strength_share=0.5)).plan.shots
    assert (safer.refined, safer.refine_reason) == (True, plan.shots[0].refine_reason)
    assert safer.geometric == pytest.approx(plan.shots[0].geometric / 2)


def test_work_is_named_by_the_refiner_and_its_settings_and_by_neither_without_one() -> None:
    def key(digest: str = "", **refine: object) -> str:
        return work_key(replace(CONFIG, refine=RefineConfig(**refine)), "depth", digest)  # type: ignore[arg-type]

    assert key() == key(name="none") == key(name="mini", deviation=0.5)
    names = [
        key(),
        key("a"),
        key("b"),
        key("a", name="mini"),
        key("a", deviation=0.5),
        key("a", least_hole_share=0.5),
        key("a", borders=True),
    ]
    assert len(set(names)) == len(names)
    assert key("a", name="mini") == key("a", name="mini", least_hole_share=0.0, weights="elsewhere")


def test_a_segment_planned_with_another_refiner_is_refused_before_it_is_made(plan: SourcePlan, tmp_path: Path) -> None:
    place = Place(str(tmp_path))
    with pytest.raises(
        ConfigError, match=r"film.mkv: planned with refiner mini-.*, but this machine has none; install"
    ):
        convert_segment(plan, plan.segments[0], CONFIG, BrightIsNear(), create_flow("dis-fast"), place, run_id="r")
    assert not place.keys(".spatialdreamer")


def test_a_rehearsal_runs_the_network(refiner: MiniRefiner, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, session = [], refiner.paint.session

    class Counting:
        def run(self, *given: Any) -> Any:
            seen.append(given)
            return session.run(*given)

    monkeypatch.setattr(refiner, "paint", replace(refiner.paint, session=Counting()))
    rehearse(ConvertConfig(), create_flow("dis-fast"), refiner)
    assert seen
