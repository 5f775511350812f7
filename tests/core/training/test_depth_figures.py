import cv2
import numpy as np
import pytest

from spatialdreamer_core.training.depth import benchmark
from spatialdreamer_core.training.depth.benchmark import (
    constant,
    drift,
    flicker,
    full_size,
    measure_static,
    ramp,
    table,
)
from spatialdreamer_core.training.depth.eyes import Pair, eye_figures, known_everywhere
from spatialdreamer_core.training.depth.figures import edge_f1, still_figures
from spatialdreamer_core.training.depth.gallery import CELL, gallery
from tests.media import scene, texture, write_video

H, W = 90, 160
EVERYWHERE = np.ones((H, W), bool)


def box(left=60, right=100):
    truth = np.full((H, W), 2, np.float32)
    truth[30:70, left:right] = 8
    return truth


def pair():
    """A box 8 px in front of a wall 2 px in front of the screen, both textured; the right view drawn from its parts."""
    wall, front = texture(1, W + 40, H, cell=4), texture(2, W + 40, H, cell=4)
    left, right = wall[:, 10 : 10 + W].copy(), wall[:, 12 : 12 + W].copy()
    left[30:70, 60:100] = front[30:70, 60:100]
    right[30:70, 52:92] = front[30:70, 60:100]
    return Pair(left, right, box(), EVERYWHERE)


def test_edges_that_agree_score_one_soft_or_misplaced_ones_less_and_none_nought():
    soft = np.asarray(cv2.GaussianBlur(box(), (0, 0), 9), np.float32)
    scores = [edge_f1(m, box(), EVERYWHERE) for m in (3 * box() + 1, box(61, 101), soft, box(75, 115), 0 * box())]
    assert scores[0] == pytest.approx(1)
    assert scores[1] > 0.9
    assert scores[1] > scores[3] > 0.2
    assert scores[2] < 0.3
    assert scores[4] == 0


def test_a_truth_without_edges_says_nothing_of_them():
    slope = np.broadcast_to(np.linspace(0, 1, H, dtype=np.float32)[:, None], (H, W)).copy()
    assert np.isnan(edge_f1(slope, slope, EVERYWHERE))
    assert still_figures(slope, slope, EVERYWHERE).spearman == pytest.approx(1)


def test_the_true_disparity_makes_the_best_eye_and_a_flat_one_the_worst():
    soft = np.asarray(cv2.GaussianBlur(box(), (0, 0), 6), np.float32)
    true, blurred, flat = (eye_figures(pair(), depth) for depth in (None, soft, np.zeros((H, W), np.float32)))
    assert true.whole > blurred.whole > flat.whole
    assert true.halo > blurred.halo > flat.halo
    assert true.found == 1
    assert flat.found == 0
    assert eye_figures(pair(), 3 * box() - 1) == true


def test_unknown_disparity_is_taken_from_the_farther_side():
    known = EVERYWHERE.copy()
    known[:, 95:110] = False
    known[0] = False
    filled = known_everywhere(box(), known)
    assert filled[50, 94] == 8
    assert (filled[50, 95:110] == 2).all()
    assert np.isfinite(filled).all()


def test_flicker_and_drift_are_nought_for_a_still_map_and_grow_with_change():
    still = [box()] * 12
    shaken = [box() + 0.1 * (i % 2) for i in range(12)]
    moved = [box() + 0.1 * i for i in range(12)]
    assert flicker(still) == drift(still) == 0
    assert flicker(shaken) > 0.03
    assert drift(moved) > flicker(moved)


def test_the_table_has_a_row_for_every_competitor_and_one_for_the_truth(tmp_path, monkeypatch):
    monkeypatch.setattr(benchmark, "measured_pairs", lambda data: iter([pair()]))
    reference = tmp_path / "depth_reference"
    reference.mkdir()
    write_video(reference / "a.mp4", scene(12, 64, 36))
    write_video(reference / "a_depth_inferno.mp4", scene(12, 64, 36, seed=1))
    write_video(tmp_path / "still.mkv", scene(12, 64, 48, speed=0))
    rows = table({"constant": constant, "ramp": ramp}, tmp_path, None, tmp_path / "still.mkv")
    assert [row["depth"] for row in rows] == ["constant", "ramp", "true disparity"]
    assert rows[0]["unseen nrmse"] == rows[0]["stereo nrmse"] == 1
    assert rows[1]["steady flicker"] < 0.01
    assert {"a spearman", "a nrmse", "stereo edge_f1", "eye halo", "eye hole"} <= rows[1].keys()
    assert rows[2]["eye whole"] > rows[1]["eye whole"]


def test_a_wobbling_estimate_is_steadied(tmp_path):
    write_video(tmp_path / "still.mkv", scene(30, 64, 48, speed=0))
    rng = np.random.default_rng(0)

    def wobbling(picture, partner):
        return ramp(picture, partner) * np.float32(1 + 0.1 * rng.random()) + np.float32(0.1 * rng.random())

    found = measure_static(wobbling, tmp_path / "still.mkv")
    assert found["steady flicker"] < 0.3 * found["static flicker"]


def test_sharpening_keeps_the_size_and_makes_steps_of_ramps():
    soft = np.asarray(cv2.GaussianBlur(box(), (0, 0), 4), np.float32)
    picture = np.where(box()[..., None] > 4, 220, 40).astype(np.uint8) * np.ones(3, np.uint8)
    sharp = full_size(soft, np.asarray(picture, np.uint8))
    assert sharp.shape == (H, W)
    assert edge_f1(sharp, box(), EVERYWHERE) > edge_f1(soft, box(), EVERYWHERE) + 0.05


def test_a_gallery_shows_three_places_of_each_clip_two_cases_a_row(tmp_path):
    write_video(tmp_path / "a.mkv", scene(30, 64, 48))
    sheet = gallery(ramp, [tmp_path / "a.mkv"])
    assert sheet.shape == (2 * CELL[1], 2 * 3 * CELL[0], 3)
    depth = sheet[: CELL[1], CELL[0] : 2 * CELL[0]].astype(int).sum(axis=2)
    assert depth[-20:].mean() > depth[:20].mean() + 200, "near is bright"
    assert not sheet[CELL[1] :, 3 * CELL[0] :].any(), "what is left of the last row stays black"
