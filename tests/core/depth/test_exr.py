import base64

import cv2
import numpy as np
import pytest

from spatialdreamer_core.depth.depth_frames import PictureFolder
from spatialdreamer_core.depth.export import depth_exr
from spatialdreamer_core.depth.exr import read_exr
from spatialdreamer_core.errors import DepthError
from spatialdreamer_core.training.depth.prepare import BRIGHTEST, prepare_domes


def half_exr(rgb):
    """An uncompressed scan-line OpenEXR of half floats, written byte by byte."""
    h, w = rgb.shape[:2]

    def attribute(name, kind, value):
        return name.encode() + b"\0" + kind.encode() + b"\0" + len(value).to_bytes(4, "little") + value

    channel = b"".join(c.encode() + b"\0" + (1).to_bytes(4, "little") + bytes(4) + np.array([1, 1], "<i4").tobytes()
                       for c in "BGR")  # fmt: skip
    window = np.array([0, 0, w - 1, h - 1], "<i4").tobytes()
    header = np.array([20000630, 2], "<i4").tobytes() + b"".join(
        [
            attribute("channels", "chlist", channel + b"\0"),
            attribute("compression", "compression", b"\0"),
            attribute("dataWindow", "box2i", window),
            attribute("displayWindow", "box2i", window),
            attribute("lineOrder", "lineOrder", b"\0"),
            attribute("pixelAspectRatio", "float", np.array([1], "<f4").tobytes()),
            attribute("screenWindowCenter", "v2f", np.zeros(2, "<f4").tobytes()),
            attribute("screenWindowWidth", "float", np.array([1], "<f4").tobytes()),
        ]
    )
    header += b"\0"
    lines = [np.array([y, 6 * w], "<i4").tobytes() + rgb[y][:, ::-1].T.astype("<f2").tobytes() for y in range(h)]
    first = len(header) + 8 * h
    offsets = np.cumsum([first, *(len(line) for line in lines[:-1])]).astype("<u8").tobytes()
    return header + offsets + b"".join(lines)


def picture():
    return np.random.default_rng(0).uniform(0, 20, (12, 24, 3)).astype(np.float16).astype(np.float32)


def test_half_floats_above_one_are_kept_and_colours_are_in_order():
    assert np.array_equal(read_exr(half_exr(picture())), picture())


def test_depth_in_metres_from_half_floats_is_not_cut_at_one_metre(tmp_path):
    (tmp_path / "0.exr").write_bytes(half_exr(picture()))
    assert np.allclose(PictureFolder(tmp_path).read(0, 12, 24), picture()[..., 0])


def test_what_is_written_is_read_back():
    depth = np.random.default_rng(1).random((9, 14), np.float32)
    assert np.array_equal(read_exr(depth_exr(depth)), depth)


def test_what_is_no_exr_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "x.exr").write_bytes(b"nothing")
    with pytest.raises(DepthError, match="no picture that can be read"):
        read_exr(tmp_path / "x.exr")


def test_skies_come_from_files_and_from_modules_and_suns_are_cut(tmp_path):
    bright = picture()
    bright[0, 0] = 5000
    (tmp_path / "a.exr").write_bytes(half_exr(bright))
    text = base64.b64encode(half_exr(bright)).decode()
    (tmp_path / "b.exr.js").write_text(f"export default 'data:application/exr;base64,{text}'")
    (tmp_path / "c.exr").write_bytes(b"nothing")
    assert prepare_domes(sorted(tmp_path.iterdir()), tmp_path / "domes") == 2
    first, second = (np.load(tmp_path / "domes" / f"{name}.npy") for name in "ab")
    assert first.shape == (256, 512, 3)
    assert np.array_equal(first, second)
    assert first.max() <= BRIGHTEST
    assert cv2.mean(first)[0] > 1
