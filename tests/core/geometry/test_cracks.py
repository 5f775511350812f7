import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from spatialdreamer_core.geometry.splat import CRACK_PX, close_cracks, forward_map


def plainly(source_x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The rule, target by target."""
    out = source_x.copy()
    for row in out:
        for t in range(row.size - 1):
            if not row[t + 1] < row[t] - 1:
                continue
            for k in range(2, CRACK_PX + 2):
                if t + k < row.size and row[t + k] > row[t]:
                    if np.floor(row[t + k]) - np.ceil(row[t]) <= 2:
                        row[t + 1 : t + k] = np.linspace(row[t], row[t + k], k + 1)[1:-1]
                    break
    return out


def test_the_background_does_not_show_through_a_surface_that_steps_by_two_pixels():
    disparity = np.zeros((1, 60), np.float32)
    disparity[0, 20:40] = 14
    disparity[0, 30:40] = 12  # a step within one thing
    cracked = forward_map(disparity)
    crack = (cracked < 20) & (np.arange(60) > 8) & (np.arange(60) < 24)
    assert crack.any(), "the rule alone shows it"
    closed = close_cracks(cracked.copy())
    inside = closed[0, 6:28]
    assert (inside >= 20).all()
    assert (np.diff(inside) > 0).all()
    assert np.array_equal(closed[0, 28:], cracked[0, 28:], equal_nan=True)


def test_a_slit_that_the_picture_has_stays_open():
    disparity = np.zeros((1, 60), np.float32)
    disparity[0, 20:30] = disparity[0, 33:43] = 12  # two fingers, three columns of background between
    cracked = forward_map(disparity)
    assert (cracked[0, 18:21] < 25).any()
    assert np.array_equal(close_cracks(cracked.copy()), cracked, equal_nan=True)


@settings(deadline=None)
@given(arrays(np.float32, (2, 24), elements=st.integers(-6, 30).map(lambda v: v / 2)))
def test_the_kernel_equals_the_plain_rule_and_opens_no_hole(disparity: NDArray[np.float32]):
    source_x = forward_map(disparity)
    closed = close_cracks(source_x.copy())
    np.testing.assert_allclose(closed, plainly(source_x), atol=1e-4, equal_nan=True)
    assert not (np.isnan(closed) & ~np.isnan(source_x)).any()
