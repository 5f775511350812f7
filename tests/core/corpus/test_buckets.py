from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from spatialdreamer_core.corpus.buckets import choose_bucket, fit, fit_frame, place_clip
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.dvg.draw import draw
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame
from spatialdreamer_core.video.source import ColourInfo

BUCKETS = PairsConfig().clips.buckets


def test_the_bucket_follows_the_shape_that_is_seen() -> None:
    assert choose_bucket(1280, 720, BUCKETS) == (512, 288)
    assert choose_bucket(720, 1280, BUCKETS) == (288, 512)
    assert choose_bucket(480, 480, BUCKETS) == (384, 384)
    assert choose_bucket(720, 576, BUCKETS, sample_aspect=Fraction(64, 45)) == (512, 288)
    assert choose_bucket(1280, 720, BUCKETS, bars=(0, 0, 280, 280)) == (384, 384)


def ramp(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    return np.stack([(x + 0.5) / width, (y + 0.5) / height], axis=-1)


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1283, 717), (640, 272), (176, 144)])
def test_colour_and_depth_at_any_size_show_the_same_place(width: int, height: int) -> None:
    drawn = draw("a clip", PairsConfig())
    for turned in (0.0, 4.0):
        placement = place_clip(width, height, (512, 288), replace(drawn, rotate_deg=turned))
        large = fit(ramp(height, width), placement)
        small = fit(ramp(2 * height // 5, 2 * width // 5), placement)
        assert large.shape == (288, 512, 2)
        assert np.abs(large - small).max() < 1.5 / (2 * height // 5)


def test_no_border_enters_a_turned_picture() -> None:
    drawn = replace(draw("a clip", PairsConfig()), rotate_deg=5.0, crop_pct=0.0)
    picture = np.full((720, 1280), 200, np.uint8)
    picture[0], picture[-1], picture[:, 0], picture[:, -1] = 0, 0, 0, 0
    assert fit(picture, place_clip(1280, 720, (512, 288), drawn)).min() > 100


def test_a_turn_is_anticlockwise_as_seen_and_keeps_lengths() -> None:
    picture = np.zeros((300, 400), np.uint8)
    cv2.circle(picture, (300, 150), 6, 255, -1)  # right of the middle
    drawn = replace(draw("a clip", PairsConfig()), rotate_deg=10.0, crop_pct=0.0, crop_x=0.5, crop_y=0.5)
    placement = place_clip(400, 300, (384, 288), drawn)
    rows, columns = np.nonzero(fit(picture, placement) > 128)
    x, y = columns.mean() - 191.5, rows.mean() - 143.5
    assert np.degrees(np.arctan2(-y, x)) == pytest.approx(10, abs=0.6)
    assert np.hypot(x, y) == pytest.approx(100 * placement.upscale, abs=1.0)


def test_black_bars_are_left_out() -> None:
    picture = np.full((720, 1280), 200, np.uint8)
    picture[:90], picture[-90:] = 16, 16
    placement = place_clip(1280, 720, (512, 288), bars=(90, 90, 0, 0))
    assert fit(picture, placement).min() == 200


@pytest.mark.parametrize("name", PIXEL_FORMATS)
def test_frames_of_every_format_become_rgb_of_the_bucket(name: str) -> None:
    form = PIXEL_FORMATS[name]  # type: ignore[index]
    unit = 1 << (form.bits - 8)
    chroma = (-(-271 // form.sub_y), -(-481 // form.sub_x))
    frame = Frame(
        np.full((271, 481), 235 * unit, form.dtype),
        np.full(chroma, 128 * unit, form.dtype),
        np.full(chroma, 128 * unit, form.dtype),
        form,
        0,
    )
    placement = place_clip(481, 271, (512, 288))
    rgb = fit_frame(frame, placement, ColourInfo(1, 1, 1, 1, 0))
    assert rgb.shape == (288, 512, 3)
    assert rgb.min() >= 254
    assert placement.upscale > 1
