"""Depth from the network whose weights ship with the package: no hub, no torch, one CPU core."""

import hashlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.parallax import Parallax, find_parallax, fuse
from spatialdreamer_core.depth.protocol import DepthRequest
from spatialdreamer_core.depth.runtimes import RuntimeName, create_runtime
from spatialdreamer_core.errors import ConfigError
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.video.letterbox import Bars, paired_bars, picture_bars

WEIGHTS = Path(__file__).parent.parent / "weights" / "depth.onnx"
WEIGHTS_SHA256 = "3bf287e70c98b6a75ea901e2e273521c4cafa107db539f4a6ad79a14aa81711d"
"""Of the file that ships; a file with other bytes is refused."""

VERSION = 3
PARALLAX_FLOW = "dis-fast"
STRIDE = 32
AREA = 160 * 288
"""Pixels the network looks at; the sides follow the picture's aspect."""
BLACK = 8
"""Brightest colour value of a letterbox bar: codecs leave a little noise in it."""
FAINT, PLAIN = 1.0, 12.0
"""Deviation of 8-bit colours below which a picture shows nothing, and from which it has contrast enough."""
LARGE_SHARE = 0.3
"""Share of a picture's contrast that is left in 12x12 cells of any real scene; noise averages out."""
MAX_ASPECT = 4.0
"""A picture longer than this is squeezed to it: the network has seen nothing like it."""

Map = NDArray[np.float32]


def network_size(height: int, width: int, area: int = AREA) -> tuple[int, int]:
    """Rows and columns, multiples of 32, with about this area and the picture's aspect."""
    aspect = min(max(width / height, 1 / MAX_ASPECT), MAX_ASPECT)
    rows = max(1, round((area / aspect) ** 0.5 / STRIDE))
    columns = max(1, round(rows * aspect))
    return rows * STRIDE, columns * STRIDE


@cache
def read_weights(path: Path, sha256: str) -> bytes:
    """The file's bytes, if they are the ones we know.

    Raises:
        ConfigError: If the file is missing or another one.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"depth weights {path}: cannot be read ({error.strerror}); install the package again"
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise ConfigError(
            f"depth weights {path}: sha256 is {found[:12]}..., wanted {sha256[:12]}...; install the package again"
        )
    return data


def letterbox(picture: NDArray[np.uint8]) -> Bars:
    """Rows or columns of black at (top, bottom, left, right) of a picture [h, w, 3]; zeros unless in pairs."""
    brightest = np.maximum(np.maximum(picture[..., 0], picture[..., 1]), picture[..., 2])  # quicker than max
    found = picture_bars(brightest, BLACK)
    return (0, 0, 0, 0) if found is None else paired_bars(found, picture.shape[0], picture.shape[1])


class BuiltinDepth:
    """The shipped network, and parallax.

    Args:
        threads: Cores for one picture; 1 where each worker has one core. The result does not depend on it.
        flip: Also look at the mirrored picture and take the mean: twice the time, a little better.
        area: Pixels the network looks at.
        parallax: Whether a picture's partner is looked at for parallax, which corrects the network's map where the
            camera travels.
        weights: Another file than the shipped one, for development.
        sha256: Digest that the file must have; None with ``weights`` takes any file.
        runtime: What computes it.
        device: Where, for torch.

    Raises:
        ConfigError: If the runtime is missing, or the weights are missing or not the ones we know.
    """

    def __init__(
        self, *, threads: int = 1, flip: bool = False, area: int = AREA, parallax: bool = True,
        weights: Path | None = None, sha256: str | None = None, runtime: RuntimeName = "onnxruntime",
        device: str = "cpu",
    ) -> None:  # fmt: skip
        path = weights or WEIGHTS
        wanted = sha256 or (WEIGHTS_SHA256 if weights is None else hashlib.sha256(path.read_bytes()).hexdigest())
        data = read_weights(path, wanted)
        self._runtime = create_runtime(runtime, data, threads=threads, device=device)
        self._flip = flip
        self._area = area
        self.name = "builtin" if runtime != "openvino" else "builtin-openvino"
        self.uses_partner = parallax
        self._flow = create_flow(PARALLAX_FLOW)
        self._found: tuple[NDArray[np.uint8], NDArray[np.uint8], Parallax] | None = None
        self._last: tuple[NDArray[np.uint8], Map] | None = None
        ways = f"{'-flip' if flip else ''}{'-parallax' if parallax else ''}"
        ways += "" if runtime == "onnxruntime" else f"-{runtime}"
        self.digest = f"builtin-{VERSION}-{wanted[:16]}-{area}{ways}"

    def infer(self, request: DepthRequest) -> Map:
        """Give [N, h, w] relative inverse depth, about zero median; see ``DepthEstimator.infer``."""
        return np.stack([self._fused(p, q) for p, q in zip(request.pictures, request.partners, strict=True)])

    def parallax_share(self, request: DepthRequest) -> float:
        """How much of the first picture motion tells about, in [0, 1]; 0 if the camera stands or only turns."""
        return float(self._parallax(request.pictures[0], request.partners[0]).confidence.mean())

    def _fused(self, picture: NDArray[np.uint8], partner: NDArray[np.uint8]) -> Map:
        seen = self.one(picture)
        if not self.uses_partner or np.array_equal(picture, partner):
            return seen
        return fuse(seen, self._parallax(picture, partner)).inverse_depth

    def _parallax(self, picture: NDArray[np.uint8], partner: NDArray[np.uint8]) -> Parallax:
        if (
            self._found is not None
            and np.array_equal(picture, self._found[0])
            and np.array_equal(partner, self._found[1])
        ):
            return self._found[2]  # its share is asked for right after its depth
        grey, other = (np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), np.uint8) for p in (picture, partner))
        parallax = find_parallax(self._flow, grey, other)
        self._found = picture.copy(), partner.copy(), parallax
        return parallax

    def one(self, picture: NDArray[np.uint8]) -> Map:
        """Relative inverse depth [h, w] of one RGB picture [h, w, 3].

        Black bars are left out of what the network sees, and take the depth of the picture's border beside them.
        """
        if self._last is not None and np.array_equal(picture, self._last[0]):
            return self._last[1].copy()  # its confidence is asked for right after its depth
        h, w = picture.shape[:2]
        top, bottom, left, right = letterbox(picture)
        if top or left:
            inner = self._seen(np.ascontiguousarray(picture[top : h - bottom, left : w - right]))
            seen = np.asarray(np.pad(inner, ((top, bottom), (left, right)), mode="edge"), np.float32)
        else:
            seen = self._seen(picture)
        self._last = picture.copy(), seen
        return seen.copy()

    def _seen(self, picture: NDArray[np.uint8]) -> Map:
        h, w = picture.shape[:2]
        rows, columns = network_size(h, w, self._area)
        shrinks = rows * columns < h * w
        small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        batch = small.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255)
        raw = self._runtime.run(batch)
        if self._flip:
            raw = np.asarray((raw + self._runtime.run(np.ascontiguousarray(batch[..., ::-1]))[:, ::-1]) / 2, np.float32)
        return np.asarray(cv2.resize(raw, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)

    def confidence(self, picture: NDArray[np.uint8]) -> float:
        """How far the map of an RGB picture [h, w, 3] may be trusted: does a smaller, mirrored look see the same?

        The rank correlation of both maps, less where the picture has hardly any contrast, or only that of noise. It
        knows nothing of mirrors, posters and other things that look the same wrong way twice.

        Returns:
            In [0, 1]; 0 for a picture of one colour.
        """
        contrast = float(picture.std())
        if contrast < FAINT:
            return 0.0
        coarse = float(np.asarray(cv2.resize(picture, (12, 12), interpolation=cv2.INTER_AREA), np.float32).std())
        rows, columns = network_size(picture.shape[0], picture.shape[1], self._area // 3)
        own = cv2.resize(self.one(picture), (64, 64), interpolation=cv2.INTER_AREA)
        small = cv2.resize(picture[:, ::-1], (columns, rows), interpolation=cv2.INTER_AREA)
        seen = self._runtime.run(small.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255))[:, ::-1]
        other = cv2.resize(np.ascontiguousarray(seen), (64, 64), interpolation=cv2.INTER_AREA)
        a, b = (
            np.argsort(np.argsort(m.ravel(), kind="stable"), kind="stable").astype(np.float64) for m in (own, other)
        )
        related = float(np.corrcoef(a, b)[0, 1])
        return min(max(related, 0.0), 1.0) * min(contrast / PLAIN, 1.0) * min(coarse / contrast / LARGE_SHARE, 1.0)
