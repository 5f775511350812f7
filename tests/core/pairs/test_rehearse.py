from spatialdreamer_core.dvg.config import ClipsConfig, PairsConfig
from spatialdreamer_core.pairs.rehearse import rehearse


def test_a_rehearsal_goes_through_with_usual_and_with_other_settings() -> None:
    rehearse(PairsConfig(clips=ClipsConfig(frames=4)))
    rehearse(PairsConfig(clips=ClipsConfig(frames=2, frame_step=3)))
