import cv2
import numpy as np
import pytest

from spatialdreamer_core.metrics.siou import siou


def scene(shift: int, height: int = 60, width: int = 90) -> np.ndarray:
    """A white square of 20 px on a black wall, ``shift`` px to the left."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[20:40, 40 - shift : 60 - shift] = 255
    return picture


def test_the_true_view_scores_one() -> None:
    assert siou(scene(5), scene(5), scene(0)) == pytest.approx(1)


def test_a_copy_of_the_left_view_scores_only_by_the_edges_that_happen_to_agree() -> None:
    left, true = scene(0), scene(5)
    edges = [cv2.Canny(cv2.cvtColor(p, cv2.COLOR_BGR2GRAY), 100, 200) > 0 for p in (left, true)]
    agreeing = (edges[0] & edges[1]).sum() / (edges[0] | edges[1]).sum()
    assert 0 < agreeing < 1
    assert siou(left, true, left) == pytest.approx(0.75 * agreeing)


def test_differences_wrap_around_as_in_the_released_code() -> None:
    """Darker by 3 reads 253 and is a change; brighter by 3 is none."""
    left = np.full((30, 40, 3), 100, np.uint8)
    left[5:20, 5:20] = 200
    darker, brighter = left - np.uint8(3), left + np.uint8(3)
    assert siou(darker, darker, left) == pytest.approx(1)
    assert siou(brighter, darker, left) == pytest.approx(0.75)


def test_two_flat_pictures_have_no_score() -> None:
    flat = np.full((30, 40, 3), 100, np.uint8)
    assert siou(flat, flat, flat) is None
