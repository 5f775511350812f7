"""Depth without weights, from old cues: a stopgap for machines without a model, far below what a network sees.

It knows that what stands lower is usually nearer, that the near moves more than the far when the camera travels, that
what moves by itself inside the picture stands before the rest, and - weakly - that the warm and the sharp are nearer
than the blue, the bright sky and the blurred. It does not know what a person or a wall is. Saliency and centre priors
were measured and left out: they are worse than the vertical ramp alone.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.flow.dis import DisFlow, halve

VERSION = 1
COLUMNS = 96
"""Width of the grid on which cues are looked at: nothing they say is finer, and grain averages out."""
NOISE_PX = 0.4
"""Motion (pixels of half the picture) that may be the flow's own error."""

Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class CueWeights:
    """What each cue adds to the ramp, which runs from 0 at the top to 1 at the bottom.

    Measured on two stereo pairs, one RGB-D sequence and two clips with a strong network's depth: parallax and figure
    motion help, warmth and sharpness help a little, the sky does no harm.
    """

    parallax: float = 1.0
    figure: float = 0.35
    warmth: float = 0.17
    sharpness: float = 0.4
    sky: float = 0.3


class CuesDepth:
    """A depth estimator without weights; about 5 ms for a 384x216 picture on one core.

    Args:
        weights: Of the cues.
    """

    def __init__(self, weights: CueWeights | None = None) -> None:
        self.name = "cues"
        self._weights = weights or CueWeights()
        self._flow = DisFlow("dis-fast")
        self.digest = f"cues-{VERSION}" if weights is None else f"cues-{VERSION}-{weights}"

    def infer(self, request: DepthRequest) -> Map:
        """Give [N, h, w] relative inverse depth, roughly in [0, 2]; see ``DepthEstimator.infer``."""
        pairs = zip(request.pictures, request.partners, strict=True)
        return np.stack([self._one(picture, partner) for picture, partner in pairs])

    def _one(self, picture: NDArray[np.uint8], partner: NDArray[np.uint8]) -> Map:
        weights = self._weights
        grey = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)
        h, w = grey.shape
        size = min(w, COLUMNS), max(2, round(h * min(w, COLUMNS) / w))
        ramp = np.repeat(np.linspace(0, 1, size[1], dtype=np.float32)[:, None], size[0], axis=1)
        colours = _shrink(picture.astype(np.float32), size)
        sharpness = _sharpness(grey, size)
        depth = ramp + weights.warmth * _warmth(colours)
        depth += weights.sharpness * np.clip(3 * _inwardness(sharpness), 0, 1) * sharpness
        depth -= weights.sky * _sky(colours, sharpness, ramp)
        if not np.array_equal(picture, partner):
            other = np.asarray(cv2.cvtColor(partner, cv2.COLOR_RGB2GRAY), np.uint8)
            flow = self._flow.estimate(halve(grey), halve(other))
            depth += weights.parallax * _parallax(_shrink(flow, size), ramp)
            figure = _figure_motion(_shrink(flow - global_motion(flow), size))
            depth += weights.figure * np.clip(1.5 * _inwardness(figure), -1, 1) * figure
        return _follow_edges(depth.astype(np.float32), grey)


def global_motion(flow: Map, rounds: int = 6) -> Map:
    """Find the motion that a turning, zooming camera would give, by the pixels that agree with it.

    Eight numbers, linear in the flow (a homography for small angles); pixels are re-weighted by how far they are from
    the last answer (Cauchy's weights), beginning with the median motion, so no chance is involved.

    Args:
        flow: [h, w, 2] pixels.
        rounds: Of re-weighting.

    Returns:
        [h, w, 2] pixels.
    """
    h, w = flow.shape[:2]
    y, x = np.mgrid[:h, :w].astype(np.float32)
    x, y = (x - np.float32(w / 2)) / np.float32(w), (y - np.float32(h / 2)) / np.float32(w)
    step = max(1, w // 48)
    design = _motion_design(x[::step, ::step].ravel().astype(np.float64), y[::step, ::step].ravel().astype(np.float64))
    seen = flow[::step, ::step].reshape(-1, 2).T.ravel().astype(np.float64)
    pairs = seen.reshape(2, -1)
    weights = _doubt(pairs - np.median(pairs, axis=1, keepdims=True))
    answer: NDArray[np.floating] = np.zeros(8)
    for _ in range(rounds):
        weighted = design * np.concatenate((weights, weights))[:, None]
        answer = np.linalg.solve(weighted.T @ design + 1e-6 * np.eye(8), weighted.T @ seen)
        weights = _doubt((seen - design @ answer).reshape(2, -1))
    a = answer.astype(np.float32)
    bend = a[6] * x + a[7] * y
    return np.stack((a[0] + a[1] * x + a[2] * y + bend * x, a[3] + a[4] * x + a[5] * y + bend * y), axis=-1)


def _doubt(residual: NDArray[np.floating]) -> NDArray[np.floating]:
    squared = (residual**2).sum(axis=0)
    return np.asarray(1 / (1 + squared / (np.median(squared) + 1e-4)))


def _motion_design(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    one, none = np.ones_like(x), np.zeros_like(x)
    across = np.stack((one, x, y, none, none, none, x * x, x * y), axis=1)
    down = np.stack((none, none, none, one, x, y, x * y, y * y), axis=1)
    return np.concatenate((across, down))


def _parallax(flow: Map, ramp: Map) -> Map:
    """Motion against the upper third (the far end of most pictures), as far as it grows towards the bottom.

    A camera that turns moves all alike, one that travels moves the near more; a share for how well the motion follows
    the ramp, and for how far it stands out of the flow's error, keeps other motion from being read as depth.
    """
    far = np.median(flow[: max(1, len(flow) // 3)].reshape(-1, 2), axis=0).astype(np.float32)
    motion = np.linalg.norm(flow - far, axis=-1)
    seen = np.clip((_correlation(motion, ramp) - 0.2) / 0.8, 0, 1)
    certain = min(1.0, float(np.percentile(motion, 90)) / (3 * NOISE_PX))
    shape = np.minimum(motion / np.float32(np.percentile(motion, 95) + NOISE_PX), np.float32(1.2))
    return np.asarray(np.float32(seen * certain) * shape, np.float32)


def _figure_motion(residual: Map) -> Map:
    """Where motion is not the camera's, in [0, 1)."""
    squared = (residual * residual).sum(axis=-1)
    usual = max(NOISE_PX, 2 * float(np.median(np.sqrt(squared))))
    return np.asarray(squared / (squared + np.float32(usual**2)), np.float32)


def _inwardness(cue: Map) -> float:
    """Whether a cue lies inside (towards 1) or at the top and the sides (towards -1), where the background shows."""
    h, w = cue.shape
    top, side = max(1, h // 6), max(1, w // 12)
    border = np.concatenate((cue[:top].ravel(), cue[:, :side].ravel(), cue[:, -side:].ravel()))
    outer, inner = float(border.mean()), float(cue[h // 5 : h, w // 5 : w - w // 5].mean())
    return (inner - outer) / (inner + outer + 0.1)


def _warmth(colours: Map) -> Map:
    smooth = np.asarray(cv2.GaussianBlur(colours, (0, 0), 1.5), np.float32)
    warm = (smooth[..., 0] - smooth[..., 2]) / (smooth.sum(axis=-1) + np.float32(60))  # 60: the dark has no hue
    return np.asarray(np.tanh(4 * (warm - np.median(warm))), np.float32)


def _sharpness(grey: NDArray[np.uint8], size: tuple[int, int]) -> Map:
    detail = np.abs(np.asarray(cv2.Laplacian(grey, cv2.CV_32F, ksize=3), np.float32))
    smooth = np.asarray(cv2.GaussianBlur(np.log1p(_shrink(detail, size)), (0, 0), 4), np.float32)
    return np.asarray(smooth / np.float32(np.percentile(smooth, 95) + 0.3), np.float32)


def _sky(colours: Map, sharpness: Map, ramp: Map) -> Map:
    bright = np.clip((colours.mean(axis=-1) / np.float32(255) - np.float32(0.6)) / np.float32(0.4), 0, 1)
    return np.asarray(bright * (1 - ramp) ** 2 / (1 + (3 * sharpness) ** 2), np.float32)


def _correlation(a: Map, b: Map) -> float:
    a, b = a - a.mean(), b - b.mean()
    return float((a * b).mean() / np.sqrt((a * a).mean() * (b * b).mean() + 1e-12))


def _shrink(picture: Map, size: tuple[int, int]) -> Map:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _follow_edges(depth: Map, grey: NDArray[np.uint8], radius: int = 4, floor: float = 0.01) -> Map:
    """Bring [h', w'] depth to the picture's [h, w] along its edges.

    Source: He and Sun, "Fast Guided Filter", arXiv 1505.00996: the line is fitted small and applied at full size.
    """
    h, w = grey.shape
    full = grey.astype(np.float32) / np.float32(255)
    guide = _shrink(full, (depth.shape[1], depth.shape[0]))
    kernel = (2 * radius + 1, 2 * radius + 1)

    def mean(values: Map) -> Map:
        return np.asarray(cv2.blur(values, kernel, borderType=cv2.BORDER_REPLICATE), np.float32)

    mean_guide, mean_depth = mean(guide), mean(depth)
    slope = (mean(guide * depth) - mean_guide * mean_depth) / (mean(guide * guide) - mean_guide**2 + np.float32(floor))
    offset = mean_depth - slope * mean_guide
    line = np.stack((mean(slope), mean(offset)), axis=-1)
    line = np.asarray(cv2.resize(line, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)
    return np.asarray(line[..., 0] * full + line[..., 1], np.float32)
