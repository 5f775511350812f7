import pytest
from hypothesis import given
from hypothesis import strategies as st

from spatialdreamer_core.video.segments import plan_segments


def test_short_shot_is_one_segment():
    (segment,) = plan_segments([0], 50, 120, 4)
    assert (segment.start, segment.end, segment.shot, segment.frames) == (0, 50, 0, 50)


def test_long_shot_is_cut_into_nearly_equal_parts_on_key_frames():
    segments = plan_segments([0, 10], 10 + 250, 120, 4)
    assert [(s.start - s.shot_start, s.frames) for s in segments if s.shot == 1] == [(0, 84), (84, 84), (168, 82)]


def test_file_without_frames_has_no_segments():
    assert plan_segments([], 0, 120, 4) == []


@pytest.mark.parametrize("starts", [[], [1], [0, 0], [0, 60]])
def test_shot_starts_that_do_not_fit_are_refused(starts):
    with pytest.raises(ValueError, match="shot starts"):
        plan_segments(starts, 60, 120, 4)


@given(
    lengths=st.lists(st.integers(1, 700), min_size=1, max_size=8),
    segment_frames=st.integers(1, 300),
    key_interval=st.integers(1, 60),
)
def test_every_frame_lies_in_exactly_one_segment_of_its_shot(lengths, segment_frames, key_interval):
    starts = [sum(lengths[:k]) for k in range(len(lengths))]
    segments = plan_segments(starts, sum(lengths), segment_frames, key_interval)
    assert [f for s in segments for f in range(s.start, s.end)] == list(range(sum(lengths)))
    assert [s.index for s in segments] == list(range(len(segments)))
    for s in segments:
        assert (s.shot_start, s.shot_end) == (starts[s.shot], starts[s.shot] + lengths[s.shot])
        assert s.shot_start <= s.start < s.end <= s.shot_end
        assert (s.start - s.shot_start) % key_interval == 0
        assert s.frames <= max(segment_frames, key_interval)


@given(length=st.integers(1, 3000), segment_frames=st.integers(8, 300), key_interval=st.integers(1, 8))
def test_parts_of_a_shot_differ_by_at_most_two_key_intervals(length, segment_frames, key_interval):
    sizes = [s.frames for s in plan_segments([0], length, segment_frames, key_interval)]
    assert max(sizes) - min(sizes) <= 2 * key_interval
