from fractions import Fraction

import cv2
import numpy as np
import pytest

from spatialdreamer_core.report.sheet import PANELS, contact_sheet
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame
from spatialdreamer_core.video.source import ColourInfo

BT709 = ColourInfo(range=1, matrix=1)


def flat(y, u=128, v=128, *, size=(36, 64), bits=8):
    pixel_format, scale = PIXEL_FORMATS["yuv420p" if bits == 8 else "yuv420p10le"], 1 << (bits - 8)
    h, w = size
    shapes = ((h, w), (h // 2, w // 2), (h // 2, w // 2))
    planes = [np.full(shape, value * scale, pixel_format.dtype) for shape, value in zip(shapes, (y, u, v), strict=True)]
    return Frame(*planes, pixel_format, 0)


def panels(data, width):
    sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1].astype(int)
    assert sheet.shape[1] == len(PANELS) * width
    return {name: sheet[:, i * width : (i + 1) * width] for i, name in enumerate(PANELS)}


def middle(panel):
    return panel[panel.shape[0] // 2, panel.shape[1] // 2]


@pytest.mark.parametrize("bits", [8, 10])
def test_the_panels_are_left_depth_made_and_anaglyph(bits):
    white, black = flat(235, bits=bits), flat(16, bits=bits)
    shown = panels(contact_sheet(white, np.zeros((9, 16), np.float32), black, BT709, width=64), 64)
    assert middle(shown["left"]).min() > 250
    assert middle(shown["depth"]).max() < 12
    assert middle(shown["made"]).max() < 5
    red, green, blue = middle(shown["anaglyph"])
    assert red > 200
    assert max(green, blue) < 40


def test_near_is_bright():
    grey = flat(126)
    far_to_near = np.tile(np.linspace(0, 1, 64, dtype=np.float32), (36, 1))
    depth = panels(contact_sheet(grey, far_to_near, grey, BT709, width=64), 64)["depth"]
    assert depth[18, 60].sum() > depth[18, 32].sum() > depth[18, 4].sum()


def test_the_matrix_decides_the_colour():
    red_by_709 = flat(63, 102, 240)
    depth = np.zeros((4, 4), np.float32)
    by_709 = middle(panels(contact_sheet(red_by_709, depth, red_by_709, BT709, width=64), 64)["left"])
    by_601 = middle(
        panels(contact_sheet(red_by_709, depth, red_by_709, ColourInfo(range=1, matrix=6), width=64), 64)["left"]
    )
    assert by_709[0] > 250
    assert by_709[1:].max() < 12
    assert by_601[0] < by_709[0] - 15


def test_wide_samples_make_a_flatter_panel():
    grey, depth = flat(126), np.zeros((4, 4), np.float32)
    shown = panels(contact_sheet(grey, depth, grey, BT709, sample_aspect=Fraction(2), width=64), 64)
    assert shown["left"].shape == (18, 64, 3)


def test_hdr_white_is_no_grey_mist():
    white = flat(143, bits=10)  # 58 % of PQ in limited range: 203 cd/m2
    depth = np.zeros((4, 4), np.float32)
    pq = ColourInfo(range=1, primaries=9, transfer=16, matrix=9)
    level = middle(panels(contact_sheet(white, depth, white, pq, width=64), 64)["left"])
    assert 170 < level.min() <= level.max() < 215


def test_the_same_frames_give_the_same_bytes():
    frame, depth = flat(90, 100, 150), np.full((5, 7), 0.5, np.float32)
    assert contact_sheet(frame, depth, frame, BT709) == contact_sheet(frame, depth, frame, BT709)
