"""Optical flow between two small grey pictures by OpenCV's Dense Inverse Search: no weights, always the same bytes."""

from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import ConfigError

PRESETS: dict[str, int] = {
    "dis-ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "dis-fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "dis-fine": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "dis-medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
}
FINE_SCALE = 1
"""Halvings at which ``dis-fine`` stops: OpenCV's fast presets stop at 2, which is 40 columns of a picture of 160.
Finer and without variational refinement it costs as much as ``dis-fast`` and loses fewer small things."""
SMALLEST = 16
"""Fewest rows or columns that DIS is given; smaller pictures are padded by their border."""
SIZES_KEPT = 8
"""Sizes for which a search is kept: a worker sees few, one with many must not grow."""
PATCH = 8
"""Rows and columns of the patches that DIS matches."""


class FlowEstimator(Protocol):
    """What finds, for each pixel of one picture, where it went in another."""

    name: str

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Find the motion from ``first`` to ``second``.

        Args:
            first: [h, w] grey.
            second: [h, w] grey.

        Returns:
            [h, w, 2] pixels, dx first: what ``first`` shows at x, ``second`` shows at x + flow.
        """
        ...


class DisFlow:
    """Dense Inverse Search at one of OpenCV's presets, or at ours.

    384x216 on one core: ultrafast 0.9 ms, fast 1.9 ms, medium 9.4 ms. One object serves one thread at a time.

    Source: Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, in OpenCV.
    """

    def __init__(self, name: str = "dis-fast") -> None:
        if name not in PRESETS:
            raise ConfigError(f"no optical flow is called {name!r}; choose one of {', '.join(PRESETS)}")
        self.name = name
        self._searches: dict[tuple[int, int], cv2.DISOpticalFlow] = {}

    def estimate(self, first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Find the motion from ``first`` to ``second``; see ``FlowEstimator``.

        Raises:
            ValueError: If the pictures are not two [h, w] uint8 arrays of the same shape.
        """
        if first.ndim != 2 or first.shape != second.shape or first.dtype != np.uint8 or second.dtype != np.uint8:
            raise ValueError(f"two [h, w] uint8 pictures needed, got {first.shape} {first.dtype} and {second.shape}")
        h, w = first.shape
        below, beside = max(0, _fewest_rows(max(w, SMALLEST)) - h), max(0, SMALLEST - w)
        if below or beside:
            first, second = (
                np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_REPLICATE), np.uint8)
                for picture in (first, second)
            )
        # a flow handed in would be where the search begins; None begins at rest
        flow = self._search(first.shape).calc(np.ascontiguousarray(first), np.ascontiguousarray(second), None)  # type: ignore[call-overload]
        return np.ascontiguousarray(flow[:h, :w], dtype=np.float32)

    def _search(self, shape: tuple[int, ...]) -> cv2.DISOpticalFlow:
        """Give the search for one size of pictures.

        OpenCV's object fits its finest scale to small pictures and keeps it so for the large ones that follow: one
        object for all sizes would make a clip's flow depend on the clips before it.
        """
        size = shape[0], shape[1]
        if size not in self._searches:
            if len(self._searches) >= SIZES_KEPT:
                self._searches.clear()
            search = self._searches[size] = cv2.DISOpticalFlow.create(PRESETS[self.name])
            if self.name == "dis-fine":
                search.setFinestScale(FINE_SCALE)
        return self._searches[size]


def _fewest_rows(columns: int) -> int:
    """How many rows a picture must have so that OpenCV does not read beside it.

    It chooses the coarsest of its halvings by the width alone; in a wide strip that has fewer rows than a patch, and
    OpenCV 5.0 then dies with a segmentation fault.
    """
    coarsest = max(0, int(np.floor(np.log2(2 * columns / (5 * PATCH)))))
    return max(SMALLEST, (PATCH + 2) << coarsest)


def create_flow(name: str) -> FlowEstimator:
    """Make the optical flow estimator of that name.

    Args:
        name: ``dis-ultrafast``, ``dis-fast``, ``dis-fine`` or ``dis-medium``.

    Raises:
        ConfigError: If no estimator has that name.
    """
    return DisFlow(name)


def halve(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Shrink [h, w] to [ceil(h / 2), ceil(w / 2)] by averaging."""
    h, w = picture.shape
    return np.asarray(cv2.resize(picture, ((w + 1) // 2, (h + 1) // 2), interpolation=cv2.INTER_AREA), np.uint8)


def upscale_flow(flow: NDArray[np.float32], h: int, w: int) -> NDArray[np.float32]:
    """Bring [h', w', 2] flow to [h, w, 2], vectors scaled to the new pixels."""
    small_h, small_w = flow.shape[:2]
    scale = np.array([w / small_w, h / small_h], np.float32)
    return np.asarray(cv2.resize(flow * scale, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)


def half_size_flow(
    estimator: FlowEstimator, first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Find flow at half the pictures' size, a quarter of the time.

    Returns:
        [ceil(h / 2), ceil(w / 2), 2] in pixels of that grid; tiny pictures keep theirs.
    """
    if min(first.shape) < 2 * SMALLEST:
        return estimator.estimate(first, second)
    return estimator.estimate(halve(first), halve(second))
