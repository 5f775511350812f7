from fractions import Fraction

import cv2
import numpy as np
import pytest

from spatialdreamer_core.video.shots import SMALL, ShotDetector
from tests.media import dissolve, scene, texture

WIDTH, HEIGHT = SMALL


def starts(pictures, rate=25):
    detector = ShotDetector(Fraction(rate))
    for index, rgb in enumerate(pictures):
        detector.push(index, np.ascontiguousarray(rgb[..., ::-1]))
    return detector.finish().tolist()


def shot(seed, count=24, speed=0.5):
    return scene(count, WIDTH, HEIGHT, seed=seed, speed=speed)


def scaled(pictures, gains):
    return [np.clip(picture * gain, 0, 255).astype(np.uint8) for picture, gain in zip(pictures, gains, strict=True)]


def test_nothing_has_no_shot_and_one_picture_has_one():
    assert starts([]) == []
    assert starts(shot(0)[:1]) == [0]


def test_hard_cuts_are_found_to_the_frame():
    assert starts(shot(1, 24) + shot(2, 31) + shot(3, 20)) == [0, 24, 55]


@pytest.mark.parametrize("count", [9, 10, 12])
def test_short_shots_are_found(count):
    assert starts(shot(1, 20) + shot(2, count) + shot(3, 20)) == [0, 20, 20 + count]


def test_shots_below_the_least_length_are_joined():
    found = starts(shot(1, 20) + shot(2, 3) + shot(3, 20))
    assert len(found) == 2
    assert found[1] in {20, 23}


def test_cut_between_dark_shots_is_found():
    dark = [np.asarray(picture * 0.25, np.uint8) for picture in shot(1) + shot(2)]
    assert starts(dark) == [0, 24]


@pytest.mark.parametrize("length", [8, 12, 20, 30])
@pytest.mark.parametrize("seed", [10, 20])
def test_dissolve_is_cut_in_its_middle(length, seed):
    a, b = shot(seed, 25 + length), shot(seed + 1, 25 + length)
    found = starts(a[:25] + dissolve(a[25:], b[:length]) + b[length:])
    assert len(found) == 2
    assert abs(found[1] - (25 + length / 2)) <= 3


def test_dissolve_at_50_pictures_a_second_is_found():
    a, b = shot(5, 80, 0.3), shot(6, 80, 0.3)
    found = starts(a[:40] + dissolve(a[40:], b[:40]) + b[40:], rate=50)
    assert len(found) == 2
    assert abs(found[1] - 60) <= 3


@pytest.mark.parametrize("hold", [0, 4, 15])
def test_fade_through_black_is_one_cut_in_the_black(hold):
    ramp = np.linspace(1, 0, 12)
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * hold
    a, b = shot(7, 32), shot(8, 32)
    found = starts(a[:20] + scaled(a[20:], ramp) + black + scaled(b[:12], ramp[::-1]) + b[12:])
    assert len(found) == 2
    assert 30 <= found[1] <= 34 + hold


def test_fade_out_and_in_of_the_same_scene_is_no_cut():
    ramp = np.linspace(1, 0, 10)
    a = shot(7, 60, speed=0.1)
    assert starts(a[:20] + scaled(a[20:30], ramp) + scaled(a[30:40], ramp[::-1]) + a[40:]) == [0]


def test_fade_from_black_at_the_beginning_and_to_black_at_the_end_is_no_cut():
    ramp = np.linspace(0, 1, 12)
    a = shot(9, 40)
    assert starts(scaled(a[:12], ramp) + a[12:28] + scaled(a[28:], ramp[::-1])) == [0]


def test_hard_cut_to_black_and_out_of_it_is_one_cut():
    black = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 12
    assert starts(shot(1) + black + shot(2)) == [0, 24]
    assert starts(shot(1) + black) == [0, 24]


@pytest.mark.parametrize("length", [1, 2, 3, 5])
@pytest.mark.parametrize("share", [0.7, 1.0])
def test_flashes_do_not_cut(length, share):
    pictures = shot(11, 50)
    for at in (15, 31):
        for t in range(at, at + length):
            pictures[t] = np.asarray(pictures[t] * (1 - share) + 255 * share, np.uint8)
    assert starts(pictures) == [0]


@pytest.mark.parametrize("length", [1, 2, 4])
def test_black_pictures_in_between_do_not_cut(length):
    pictures = shot(12, 50)
    for t in range(20, 20 + length):
        pictures[t] = np.zeros_like(pictures[t])
    assert starts(pictures) == [0]


@pytest.mark.parametrize("speed", [3, 8, -14])
def test_fast_pans_do_not_cut(speed):
    assert starts(scene(50, WIDTH, HEIGHT, seed=13, speed=speed)) == [0]


def test_pan_that_starts_and_stops_does_not_cut():
    wide = scene(1, WIDTH + 300, HEIGHT, seed=14)[0]
    offsets = np.concatenate([np.zeros(15), np.arange(20) * 12, np.full(15, 19 * 12)]).astype(int)
    assert starts([np.ascontiguousarray(wide[:, x : x + WIDTH]) for x in offsets]) == [0]


def test_pan_shot_on_threes_does_not_cut():
    wide = scene(1, WIDTH + 300, HEIGHT, seed=15)[0]
    assert starts([np.ascontiguousarray(wide[:, t // 3 * 12 :][:, :WIDTH]) for t in range(60)]) == [0]


@pytest.mark.parametrize("factor", [1.03, 1.08])
def test_fast_zooms_do_not_cut(factor):
    picture = texture(16, 4 * WIDTH, 4 * HEIGHT, cell=24)
    pictures = []
    for t in range(40):
        scale = factor ** min(max(t - 10, 0), 15)
        matrix = cv2.getRotationMatrix2D((2 * WIDTH, 2 * HEIGHT), 0, scale)
        pictures.append(cv2.resize(cv2.warpAffine(picture, matrix, (4 * WIDTH, 4 * HEIGHT)), SMALL))
    assert starts(pictures) == [0]


def test_long_films_need_no_more_memory_than_short_ones():
    detector = ShotDetector(Fraction(25))
    picture = np.ascontiguousarray(shot(1)[0])
    for index in range(400):
        detector.push(index, picture)
    assert len(detector._looks) <= 60
    assert detector.finish().tolist() == [0]
