import math

import cv2
import numpy as np
import pytest

from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.metrics.shot_metrics import SegmentMetrics


def metrics(**options):
    return SegmentMetrics(create_flow("dis-ultrafast"), **options)


def test_equal_eyes_are_perfect(make_frame, texture):
    frame, gathered = make_frame(texture), metrics()
    for index in range(6):
        gathered.add(index, frame, frame, disparity=np.zeros((9, 16), np.float32))
    row = gathered.row()
    assert (row["luma_diff_mean"], row["luma_step_max"], row["chroma_diff_mean"], row["sharpness_ratio"]) == (
        0,
        0,
        0,
        1,
    )
    assert (row["disparity_p1_pct"], row["disparity_p50_pct"], row["disparity_p99_pct"]) == (0, 0, 0)
    assert row["vertical_p95_px"] < 0.01
    assert row["e_warp_right"] == pytest.approx(row["e_warp_left"])
    assert (row["comfort_score"], row["comfort_verdict"], row["comfort_flags"]) == (100.0, "safe", [])


def test_a_brightness_pulse_of_a_single_frame_is_seen(make_frame):
    left, gathered = make_frame(np.full((36, 34), 100)), metrics()
    for index in range(9):
        gathered.add(index, left, make_frame(np.full((36, 34), 104 if index == 6 else 100)))
    row = gathered.row()
    assert row["luma_step_max"] == 4.0
    assert row["luma_step_mean"] == 1.0
    assert row["luma_diff_mean"] == pytest.approx(4 / 9)
    assert (row["luma_diff_first"], row["luma_diff_last"]) == (0.0, 0.0)


def test_disparity_is_told_in_percent_of_the_width(make_frame):
    frame, gathered = make_frame(np.full((36, 200), 100)), metrics()
    depth = np.full((10, 100), -2.0, np.float32)
    depth[:, 90:] = 5.0  # a tenth of the picture, 2.5 % in front, touching the right border
    gathered.add(0, frame, frame, disparity=depth)
    row = gathered.row()
    assert (row["disparity_p1_pct"], row["disparity_p50_pct"], row["disparity_p99_pct"]) == (-1.0, -1.0, 2.5)
    assert row["front_share"] == pytest.approx(0.1)
    assert row["behind_share"] == 0.0
    assert (row["window_share"], row["window_pct"]) == (1.0, 2.5)
    assert row["comfort_flags"] == ["front", "window", "range"]


def test_first_and_last_frame_are_kept_for_the_cuts(make_frame):
    frame, gathered = make_frame(np.full((36, 100), 100)), metrics()
    for index, disparity in enumerate((1.0, 0.0, -0.5)):
        gathered.add(index, frame, frame, disparity=np.full((5, 50), disparity, np.float32))
    row = gathered.row()
    assert (row["disparity_first_p50_pct"], row["disparity_last_p99_pct"]) == (1.0, -0.5)


def test_disparity_beyond_the_histogram_is_held_at_its_end(make_frame):
    frame, gathered = make_frame(np.full((36, 100), 100)), metrics()
    gathered.add(0, frame, frame, disparity=np.full((5, 50), 90.0, np.float32))
    assert gathered.row()["disparity_p50_pct"] == 15.0


def test_hole_share_and_its_largest_step(make_frame):
    frame, gathered = make_frame(np.full((36, 50), 100)), metrics()
    for index, columns in enumerate((0, 5, 1)):
        hole = np.zeros((36, 50), np.bool_)
        hole[:, :columns] = True
        gathered.add(index, frame, frame, hole=hole)
    row = gathered.row()
    assert row["hole_share_max"] == pytest.approx(0.1)
    assert row["hole_share_mean"] == pytest.approx(0.04)
    assert row["hole_step_max"] == pytest.approx(0.1)


def test_a_soft_and_high_right_eye_is_flagged(make_frame, texture):
    soft = np.asarray(cv2.GaussianBlur(texture, (0, 0), 1.5), np.uint8)
    gathered = metrics()
    gathered.add(8, make_frame(texture[:116]), make_frame(soft[4:]), disparity=np.zeros((5, 9), np.float32))
    row = gathered.row()
    assert row["vertical_median_px"] == pytest.approx(4.0, abs=0.2)
    assert row["sharpness_ratio"] < 0.5
    assert row["comfort_flags"] == ["vertical", "sharpness"]


def test_the_warp_error_needs_two_frames_that_follow(make_frame, texture):
    frame, gathered = make_frame(texture), metrics(every=4)
    gathered.add(0, frame, frame)
    assert gathered.row()["e_warp_left"] is None
    gathered.add(2, frame, frame)
    assert gathered.row()["e_warp_left"] is None
    gathered.add(4, frame, frame)
    gathered.add(5, frame, frame)
    assert gathered.row()["e_warp_left"] == pytest.approx(0.0, abs=1e-6)


def test_an_empty_or_flat_segment_gives_none_and_never_nan(make_frame):
    empty = metrics().row()
    assert set(empty.values()) == {None}
    flat = metrics()
    for index in range(3):
        flat.add(
            index, make_frame(np.zeros((4, 6))), make_frame(np.zeros((4, 6))), disparity=np.zeros((4, 6), np.float32)
        )
    row = flat.row()
    assert row.keys() == empty.keys()
    assert row["sharpness_ratio"] is None
    assert all(math.isfinite(value) for value in row.values() if isinstance(value, float))


def test_the_same_frames_give_the_same_row(make_frame, texture):
    def run():
        gathered = metrics(every=2)
        for index in range(5):
            left, right = texture[:, index : index + 200], texture[:, index + 4 : index + 204]
            gathered.add(index, make_frame(left), make_frame(right), disparity=np.full((12, 20), 4.0, np.float32))
        return gathered.row()

    assert run() == run()


def test_eyes_of_different_size_or_format_are_refused(make_frame):
    frame = make_frame(np.zeros((6, 8)))
    with pytest.raises(ValueError, match="eyes differ"):
        metrics().add(0, frame, make_frame(np.zeros((6, 10))))
    with pytest.raises(ValueError, match="eyes differ"):
        metrics().add(0, frame, make_frame(np.zeros((6, 8)), bits=10))
    with pytest.raises(ValueError, match="at least 1"):
        metrics(every=0)


def test_the_share_of_holes_is_enough_where_nobody_looks_at_them(make_frame, texture):
    frame, hole = make_frame(texture), np.zeros(texture.shape, np.bool_)
    hole[:, -4:] = True
    whole, sparing = metrics(every=4), metrics(every=4)
    looked = []
    for index in range(7):
        whole.add(index, frame, frame, hole=hole)
        looked.append(sparing.looks_at_holes(index))
        share = float(hole.mean())
        sparing.add(index, frame, frame, hole=hole if looked[-1] else None, hole_share=share)
    assert looked == [True, True, False, False, True, True, False]
    assert whole.row() == sparing.row()
