import pytest

from spatialdreamer_core.corpus.clips import cut_clips, require_clips
from spatialdreamer_core.dvg.config import ClipsConfig
from spatialdreamer_core.errors import ShortClipError


def test_clips_lie_within_shots_and_the_rest_is_shared_by_both_ends() -> None:
    clips = cut_clips([0, 20, 30], 67, ClipsConfig(frames=16))
    assert [(clip.shot, clip.start, clip.end) for clip in clips] == [(0, 2, 18), (2, 32, 48), (2, 48, 64)]


def test_a_stride_below_the_span_makes_clips_overlap() -> None:
    clips = cut_clips([0], 40, ClipsConfig(frames=16, stride=8))
    assert [clip.start for clip in clips] == [0, 8, 16, 24]


def test_a_step_takes_every_other_frame() -> None:
    (clip,) = cut_clips([0], 10, ClipsConfig(frames=5, frame_step=2))
    assert list(clip.indices) == [0, 2, 4, 6, 8]
    assert clip.end == 9


def test_a_source_of_short_shots_is_refused_with_its_reason() -> None:
    config = ClipsConfig(frames=25)
    assert cut_clips([0, 24], 48, config) == []
    with pytest.raises(ShortClipError, match="25 frames") as caught:
        require_clips("a.mp4", [], 48, config)
    assert caught.value.reason == "too_short"
