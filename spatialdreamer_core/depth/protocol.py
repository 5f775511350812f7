"""What a depth estimator takes and gives; everything that estimates or imports depth keeps to this."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import DepthError


@dataclass(frozen=True, slots=True)
class DepthRequest:
    """Pictures whose depth is wanted.

    Attributes:
        pictures: [N, h, w, 3] uint8 RGB, small (``DepthConfig.width`` columns).
        partners: [N, h, w, 3] uint8 RGB: for each picture another of the same shot, some frames later or earlier, so
            that motion parallax can be seen; the picture itself where the shot has no other.
        frame_indices: [N] int64, the picture's number in the source file, from 0.
        pts_s: [N] float64, presentation time in seconds of the source.
    """

    pictures: NDArray[np.uint8]
    partners: NDArray[np.uint8]
    frame_indices: NDArray[np.int64]
    pts_s: NDArray[np.float64]

    def __post_init__(self) -> None:
        n = len(self.pictures)
        if self.pictures.ndim != 4 or self.pictures.shape[3] != 3 or self.pictures.dtype != np.uint8:
            raise ValueError(f"pictures must be uint8 [N, h, w, 3], got {self.pictures.dtype} {self.pictures.shape}")
        if self.partners.shape != self.pictures.shape or self.partners.dtype != np.uint8:
            raise ValueError(f"partners must be like the pictures, got {self.partners.dtype} {self.partners.shape}")
        if self.frame_indices.shape != (n,) or self.pts_s.shape != (n,):
            raise ValueError(f"{n} pictures, but {len(self.frame_indices)} indices and {len(self.pts_s)} times")


@runtime_checkable
class DepthEstimator(Protocol):
    """Turns pictures into relative inverse depth. Loads once, in ``__init__``; ``infer`` keeps no memory between calls.

    Attributes:
        name: For people and the manifest.
        digest: Of the weights and the code's version: the same digest means the same depth for the same request.

    An estimator may also say ``uses_partner = False``: then each picture comes as its own partner, and workers read
    fewer frames around their segments.
    """

    name: str
    digest: str

    def infer(self, request: DepthRequest) -> NDArray[np.float32]:
        """Give [N, h, w] relative inverse depth: larger is nearer, any positive scale and any offset, finite.

        A picture's depth must not depend on its neighbours in the batch.
        """
        ...


def uses_partner(estimator: DepthEstimator) -> bool:
    """Tell whether an estimator looks at partners; it does unless it says otherwise."""
    return bool(getattr(estimator, "uses_partner", True))


def parallax_share(estimator: DepthEstimator, request: DepthRequest) -> float | None:
    """Tell how much of the first picture's depth motion decided, in [0, 1]; None if the estimator does not say.

    An estimator that can has a method ``parallax_share(request)``.
    """
    tell = getattr(estimator, "parallax_share", None)
    return None if tell is None else float(tell(request))


def confidence(estimator: DepthEstimator, picture: NDArray[np.uint8]) -> float | None:
    """Ask an estimator how far its depth of one picture [h, w, 3] may be trusted, in [0, 1]; None if it cannot say.

    An estimator that can has a method ``confidence(picture)``.
    """
    judge = getattr(estimator, "confidence", None)
    return None if judge is None else float(judge(picture))


def estimate(estimator: DepthEstimator, request: DepthRequest) -> NDArray[np.float32]:
    """Run an estimator and check what it gives. A constant map is legal: the scene is flat.

    Returns:
        [N, h, w] float32, contiguous, finite.

    Raises:
        DepthError: If the shape is wrong or a value is not finite.
    """
    wanted = request.pictures.shape[:3]
    depth = np.asarray(estimator.infer(request))
    if depth.shape != wanted:
        raise DepthError(f"depth {estimator.name}: made {list(depth.shape)} for pictures of {list(wanted)}")
    depth = np.ascontiguousarray(depth, dtype=np.float32)
    bad = ~np.isfinite(depth).all(axis=(1, 2))
    if bad.any():
        frame = int(request.frame_indices[int(np.argmax(bad))])
        raise DepthError(f"depth {estimator.name}: NaN or infinite values for frame {frame} of the source")
    return depth
