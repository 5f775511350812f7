"""The benchmark of holes: what has a say in its figures, and what has none."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.holes import grown, near_holes


class Difference:
    """Stands for LPIPS: the mean difference within a mask."""

    def features(self, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
        return picture.astype(float).mean(2)

    def inside(self, made: Any, true: Any, where: NDArray[np.bool_]) -> float | None:
        return float(np.abs(made - true)[where].mean()) if where.any() else None


def masks() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    interior, strip = np.zeros((40, 60), bool), np.zeros((40, 60), bool)
    interior[10:20, 20:26] = True
    strip[:, -4:] = True
    return interior, strip


def distances(made: NDArray[np.uint8], true: NDArray[np.uint8]) -> dict[str, float | None]:
    interior, strip = masks()
    truth = Difference().features(true)
    return near_holes(Difference(), truth, made, true, interior, strip)


def test_what_a_method_shows_outside_holes_has_no_say() -> None:
    interior, strip = masks()
    true = np.full((40, 60, 3), 90, np.uint8)
    made = np.where((interior | strip)[..., None], true, np.uint8(255))
    assert distances(made, true) == {"hole": 0, "interior": 0, "strip": 0}


def test_what_lies_in_the_strip_has_no_say_in_interior_holes() -> None:
    interior, strip = masks()
    true = np.full((40, 60, 3), 90, np.uint8)
    made = np.where(strip[..., None], np.uint8(190), np.where(interior[..., None], np.uint8(100), true))
    found = distances(made, true)
    assert found["interior"] == 10 * interior.sum() / grown(interior).sum()
    assert found["strip"] is not None
    assert found["strip"] > 30


def test_holes_grow_by_eight_pixels_on_every_side() -> None:
    dot = np.zeros((40, 60), bool)
    dot[20, 30] = True
    assert np.argwhere(grown(dot)).min(0).tolist() == [12, 22]
    assert np.argwhere(grown(dot)).max(0).tolist() == [28, 38]
