import io

import cv2
import numpy as np
import pytest

from spatialdreamer_core.depth.export import depth_file_name, depth_from_png, depth_npz, depth_png
from spatialdreamer_core.errors import DepthError


def test_a_png_comes_back_within_one_level_and_the_nearest_is_65535() -> None:
    depth = np.random.default_rng(0).random((5, 7)).astype(np.float32)
    depth[0, 0], depth[4, 6] = 1, 0
    levels = cv2.imdecode(np.frombuffer(depth_png(depth), np.uint8), cv2.IMREAD_UNCHANGED)
    assert levels.dtype == np.uint16
    assert (levels[0, 0], levels[4, 6]) == (65535, 0)
    np.testing.assert_allclose(depth_from_png(depth_png(depth)), depth, atol=0.6 / 65535)


def test_the_same_depth_gives_the_same_bytes() -> None:
    depth = np.random.default_rng(1).random((9, 4)).astype(np.float32)
    assert depth_png(depth) == depth_png(depth.copy())
    assert depth_npz([depth]) == depth_npz([depth.copy()])


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(DepthError, match="NaN"):
        depth_png(np.full((3, 4), np.nan, np.float32))
    with pytest.raises(DepthError, match="16-bit"):
        depth_from_png(b"no picture")


def test_names_sort_like_frames() -> None:
    names = [depth_file_name(index) for index in (0, 9, 10, 100, 99999)]
    assert names == sorted(names)


def test_an_npz_holds_all_frames() -> None:
    depths = [np.full((2, 3), value, np.float32) for value in (0, 0.5, 1)]
    with np.load(io.BytesIO(depth_npz(depths))) as file:
        np.testing.assert_array_equal(file["depth"][:, 0, 0], [0, 32768, 65535])
