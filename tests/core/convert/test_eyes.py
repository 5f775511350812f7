"""The two promises of convert, before any encoder: the left eye untouched, and no seams wherever a shot is cut."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from spatialdreamer_core.config import ConvertConfig, DepthConfig, FillConfig
from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.convert.eyes import EyeMaker, StereoFrame
from spatialdreamer_core.convert.plan import SourcePlan, plan_from_bytes, plan_to_bytes
from spatialdreamer_core.convert.planning import plan_source
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.decode import decode, working_format
from spatialdreamer_core.video.segments import Segment
from tests.media import scene, write_video

FRAMES = 43
CONFIG = ConvertConfig(depth=DepthConfig(width=64, key_interval=4), segment_frames=40)


class BrightIsNear:
    """Depth with many edges, a little different in every frame."""

    name, digest = "bright", "bright-1"

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        wobble = 1 + 0.05 * np.sin(request.frame_indices)[:, None, None]
        return np.asarray(request.pictures.mean(axis=3) * wobble, np.float32)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SourcePlan:
    folder = tmp_path_factory.mktemp("eyes")
    film = write_video(folder / "film.mkv", scene(FRAMES, width=98, height=54, speed=0.7))
    return plan_source(str(film), CONFIG, BrightIsNear(), Place(str(folder / "out")))


def made(plan: SourcePlan, start: int, end: int, config: ConvertConfig = CONFIG) -> Iterator[StereoFrame]:
    segment = Segment(0, 0, 0, FRAMES, start, end)
    pixel_format = working_format(plan.info, "h264")
    maker = EyeMaker(plan, segment, config, BrightIsNear(), create_flow("dis-fast"), pixel_format, StageClock())
    return maker.stereo_frames()


def test_cutting_a_shot_anywhere_gives_the_same_bytes_as_not_cutting_it(plan: SourcePlan) -> None:
    whole = list(made(plan, 0, FRAMES))
    parts = [frame for start, end in [(0, 8), (8, 12), (12, 32), (32, FRAMES)] for frame in made(plan, start, end)]
    assert [frame.index for frame in parts] == list(range(FRAMES))
    for one, other in zip(whole, parts, strict=True):
        for ours, theirs in zip(one.right.planes, other.right.planes, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(one.inverse_depth, other.inverse_depth)


def test_the_left_eye_is_the_decoded_source_bit_for_bit(plan: SourcePlan) -> None:
    source = decode(plan.info.uri, plan.info, working_format(plan.info, "h264"), plan.scan.pts, 0, FRAMES)
    for stereo, frame in zip(made(plan, 0, FRAMES), source, strict=True):
        for ours, theirs in zip(stereo.left.planes, frame.planes, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert stereo.left.pts == frame.pts


def test_outside_the_mask_the_made_eye_does_not_depend_on_the_fill(plan: SourcePlan) -> None:
    rows = replace(CONFIG, fill=FillConfig(name="telea"))
    filled_differently = zip(made(plan, 8, 16), made(plan, 8, 16, rows), strict=True)
    for one, other in filled_differently:
        hole = np.isnan(one.source_x)
        assert hole.any()
        np.testing.assert_array_equal(one.right.y[~hole], other.right.y[~hole])
        assert (one.right.y[hole] != other.right.y[hole]).any()


def test_a_plan_survives_storage_and_a_torn_one_is_named(plan: SourcePlan) -> None:
    data = plan_to_bytes(plan)
    again = plan_from_bytes(data, "plan.npz")
    assert (again.info, again.shots, again.segments) == (plan.info, plan.shots, plan.segments)
    np.testing.assert_array_equal(again.scan.pts, plan.scan.pts)
    assert plan_to_bytes(again) == data
    with pytest.raises(StoreError, match=r"plan plan.npz cannot be read .*; delete it and run again"):
        plan_from_bytes(data[: len(data) // 2], "plan.npz")
