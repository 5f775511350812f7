"""How close a made picture is to the true one: PSNR, SSIM, MS-SSIM, whole or inside a mask.

Pictures are [H, W, 3] uint8 RGB. Per frame; a clip's figure is the mean over its frames. They are written here on
OpenCV because a library would either bring its own stack (scikit-image) or need torch (torchmetrics), and both take
several times as long; the tests hold them to the formulas.
"""

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Mask = NDArray[np.bool_]

PEAK = 255.0
MIDDLE = np.float32(128)
WINDOW, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
LEAST_SIDE = (WINDOW - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1
"""Shorter pictures have no MS-SSIM: the window would not fit into the smallest scale."""


class Similarity(NamedTuple):
    """SSIM and MS-SSIM of one picture; None where the picture is too small for it."""

    ssim: float | None
    ms_ssim: float | None


def psnr(made: Picture, true: Picture, where: Mask | None = None) -> float | None:
    """Peak signal to noise ratio, ``10 log10(255^2 / mean squared error)`` over all three channels, dB.

    Args:
        made: [H, W, 3].
        true: [H, W, 3].
        where: [H, W], which pixels count; None is all.

    Returns:
        Infinity for equal pictures; None where the mask is empty.

    Raises:
        ValueError: If the sizes differ.
    """
    check_pair(made, true)
    if where is None:
        error = cv2.norm(made, true, cv2.NORM_L2SQR) / made.size
    elif not where.any():
        return None
    else:
        mask = np.ascontiguousarray(where).view(np.uint8)
        error = cv2.norm(made, true, cv2.NORM_L2SQR, mask) / (3 * cv2.countNonZero(mask))
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def similarity(made: Picture, true: Picture, *, multi_scale: bool = True) -> Similarity:
    """Structural similarity, at one scale and at five.

    With local means, variances and covariance under a Gaussian of 11 x 11 and sigma 1.5, only where it lies wholly
    inside the picture::

        l  = (2 m_a m_b + C1) / (m_a^2 + m_b^2 + C1)         C1 = (0.01 * 255)^2
        cs = (2 s_ab + C2) / (s_a^2 + s_b^2 + C2)            C2 = (0.03 * 255)^2
        SSIM = mean(l cs)      MS-SSIM = mean(l_5 cs_5)^w5 * prod_{j < 5} mean(cs_j)^wj

    each scale being the one before averaged over 2 x 2 pixels; per channel of RGB, then the mean of the channels.

    Source: Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity", IEEE TIP 2004;
    Wang, Simoncelli and Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003. They
    look at grey pictures; the mean over RGB is what the stereo papers do. A negative factor counts as 0.

    Args:
        made: [H, W, 3].
        true: [H, W, 3].
        multi_scale: Whether MS-SSIM is wanted: a third more time.

    Raises:
        ValueError: If the sizes differ.
    """
    check_pair(made, true)
    # counted from the middle: float32 keeps variances of pictures near it exact
    a, b = made.astype(np.float32) - MIDDLE, true.astype(np.float32) - MIDDLE
    if min(a.shape[:2]) < WINDOW:
        return Similarity(None, None)
    whole, structure = _scale(a, b)
    one = float(whole.mean())
    if not multi_scale or min(a.shape[:2]) < LEAST_SIDE:
        return Similarity(one, None)
    product = np.maximum(structure, 0) ** SCALE_WEIGHTS[0]
    for weight in SCALE_WEIGHTS[1:]:
        a, b = _halve(a), _halve(b)
        whole, structure = _scale(a, b)
        last = weight == SCALE_WEIGHTS[-1]
        product *= np.maximum(whole if last else structure, 0) ** weight
    return Similarity(one, float(product.mean()))


def check_pair(made: NDArray[Any], true: NDArray[Any]) -> None:
    """Refuse what is no pair of [H, W, 3] uint8 pictures of one size."""
    if made.shape != true.shape or made.ndim != 3 or made.shape[2] != 3:
        raise ValueError(f"two [H, W, 3] pictures of one size needed, got {list(made.shape)} and {list(true.shape)}")
    if made.dtype != np.uint8 or true.dtype != np.uint8:
        raise ValueError(f"pictures must be uint8, got {made.dtype} and {true.dtype}")


def _scale(a: NDArray[np.float32], b: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over the picture, [3] each, of ``l cs`` and of ``cs``."""
    mean_a, mean_b = _blur(a), _blur(b)
    # the two variances are only needed as their sum: one blur instead of two
    variances = _blur(a * a + b * b) - (mean_a * mean_a + mean_b * mean_b)
    covariance = _blur(a * b) - mean_a * mean_b
    mean_a, mean_b = mean_a + MIDDLE, mean_b + MIDDLE
    squares, product = mean_a * mean_a + mean_b * mean_b, mean_a * mean_b
    c1, c2 = np.float32((K1 * PEAK) ** 2), np.float32((K2 * PEAK) ** 2)
    structure = (2 * covariance + c2) / (variances + c2)
    whole = (2 * product + c1) / (squares + c1) * structure
    return whole.mean((0, 1), dtype=np.float64), structure.mean((0, 1), dtype=np.float64)


def _blur(values: NDArray[np.float32]) -> NDArray[np.float32]:
    border = WINDOW // 2
    blurred = cv2.GaussianBlur(values, (WINDOW, WINDOW), SIGMA)
    return np.asarray(blurred[border:-border, border:-border], np.float32)


def _halve(values: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = values.shape[0] // 2, values.shape[1] // 2
    even = values[: 2 * rows, : 2 * columns]
    return np.asarray(cv2.resize(even, (columns, rows), interpolation=cv2.INTER_AREA), np.float32)
