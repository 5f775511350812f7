import numpy as np
import pytest

from spatialdreamer_core.config import ConvertConfig, DepthConfig
from spatialdreamer_core.convert.planning import plan_source
from spatialdreamer_core.convert.segment import convert_segment
from spatialdreamer_core.flow.dis import DisFlow
from spatialdreamer_core.store.place import Place
from tests.media import scene, write_video


class Ramp:
    name, digest = "ramp", "ramp-1"

    def infer(self, request):
        n, h, w = request.pictures.shape[:3]
        return np.broadcast_to(np.linspace(0, 1, h, dtype=np.float32)[None, :, None], (n, h, w)).copy()


class Seeing(Ramp):
    """Says how much it saw of motion."""

    def __init__(self, share):
        self.share = share

    def parallax_share(self, request):
        return self.share


def converted(tmp_path, estimator):
    write_video(tmp_path / "v.mkv", scene(6, width=64, height=48))
    config, place = ConvertConfig(depth=DepthConfig(width=64)), Place(str(tmp_path / "out"))
    plan = plan_source(str(tmp_path / "v.mkv"), config, estimator, place)
    again = plan_source(str(tmp_path / "v.mkv"), config, estimator, place)  # as it is read back
    assert again.shots == plan.shots
    return convert_segment(again, again.segments[0], config, estimator, DisFlow(), place, run_id="r").row


class Judging(Ramp):
    """Says how sure it is."""

    def __init__(self, sure):
        self.sure = sure

    def confidence(self, picture):
        return self.sure


@pytest.mark.parametrize(("estimator", "noted"), [(Ramp(), False), (Judging(0.1), True), (Judging(0.9), False)])
def test_a_clip_whose_depth_is_hardly_to_be_trusted_says_so_in_its_row(tmp_path, estimator, noted):
    row = converted(tmp_path, estimator)
    assert any("hardly to be trusted" in note for note in row["notes"]) is noted


@pytest.mark.parametrize(("estimator", "noted"), [(Ramp(), False), (Seeing(0.0), True), (Seeing(0.4), False)])
def test_a_clip_without_usable_parallax_says_so_in_its_row(tmp_path, estimator, noted):
    row = converted(tmp_path, estimator)
    assert any("no usable parallax" in note for note in row["notes"]) is noted
