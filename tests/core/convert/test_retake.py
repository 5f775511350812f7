from spatialdreamer_core.config import GateConfig
from spatialdreamer_core.convert.retake import safer_stereo
from spatialdreamer_core.geometry.disparity import ShotStereo

GATE = GateConfig(strength_share=0.5)


def test_the_second_take_is_less_deep_with_the_screen_where_it_was():
    assert safer_stereo(ShotStereo(2.0, 0.6), frozenset({"flicker"}), GATE) == ShotStereo(1.0, 0.6)


def test_what_stands_out_too_far_is_also_moved_back():
    assert safer_stereo(ShotStereo(2.0, 0.6), frozenset({"window"}), GATE) == ShotStereo(1.0, 0.8)
    assert safer_stereo(ShotStereo(2.0, 1.0), frozenset({"front"}), GATE) == ShotStereo(1.0, 1.0)
