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


@pytest.mark.parametrize(("estimator", "noted"), [(Ramp(), False), (Seeing(0.0), True), (Seeing(0.4), False)])
def test_a_clip_without_usable_parallax_says_so_in_its_row(tmp_path, estimator, noted):
    write_video(tmp_path / "v.mkv", scene(6, width=64, height=48))
    config, place = ConvertConfig(depth=DepthConfig(width=64)), Place(str(tmp_path / "out"))
    plan = plan_source(str(tmp_path / "v.mkv"), config, estimator, place)
    again = plan_source(str(tmp_path / "v.mkv"), config, estimator, place)  # as it is read back
    assert again.shots[0].parallax == plan.shots[0].parallax == getattr(estimator, "share", None)
    commit = convert_segment(again, again.segments[0], config, estimator, DisFlow(), place, run_id="r")
    assert any("no usable parallax" in note for note in commit.row["notes"]) is noted
