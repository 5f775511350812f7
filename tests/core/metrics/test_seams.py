import numpy as np
import pytest

from spatialdreamer_core.metrics.seams import flicker, luma_gaps, seam_step


def grey(level: int) -> np.ndarray:
    return np.full((6, 9, 3), level, np.uint8)


def test_a_lamp_that_both_eyes_see_is_no_flicker() -> None:
    film = [grey(40), grey(200), grey(40)]
    assert luma_gaps(film, film) == [0, 0, 0]


def test_the_gap_is_signed_and_in_levels() -> None:
    assert luma_gaps([grey(100), grey(100)], [grey(103), grey(98)]) == pytest.approx([3, -2])


def test_a_jump_at_each_seam_shows_in_the_ratio() -> None:
    result = seam_step([0, 1, 0, 4, 3, 4, 0, 1], seams={3, 6})
    assert (result.at_seams, result.elsewhere, result.ratio) == pytest.approx((4, 1, 4))


def test_nothing_is_said_of_what_is_not_there() -> None:
    assert flicker([1.0]) is None
    assert seam_step([1, 1], ()).at_seams is None
    assert seam_step([0, 0, 5], {2}).ratio is None
