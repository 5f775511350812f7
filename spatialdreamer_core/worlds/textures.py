"""Textures: one flat buffer of mip levels for the kernels, and patterns that need no picture."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

U8 = NDArray[np.uint8]

LEVELS = 8
MAX_SIDE = 512


class TextureBank:
    """Collects RGBA pictures with their mip levels. ``add`` gives the number that materials use."""

    def __init__(self) -> None:
        self._chunks: list[U8] = []
        self._rows: list[list[tuple[int, int, int]]] = []
        self._size = 0
        self.has_holes: list[bool] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, picture: U8) -> int:
        """Take [H, W, 3] or [H, W, 4] uint8 RGB(A); larger than 512 is reduced."""
        if picture.shape[2] == 3:
            picture = np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])
        scale = MAX_SIDE / max(picture.shape[:2])
        if scale < 1:
            size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        rows = []
        level = np.ascontiguousarray(picture)
        for _ in range(LEVELS):
            h, w = level.shape[:2]
            rows.append((self._size, w, h))
            self._chunks.append(level.ravel())
            self._size += level.size
            if min(h, w) > 1:
                smaller = cv2.resize(level, (max(1, w // 2), max(1, h // 2)), interpolation=cv2.INTER_AREA)
                level = np.ascontiguousarray(smaller, np.uint8)
        self._rows.append(rows)
        self.has_holes.append(bool((picture[..., 3] < 128).any()))
        return len(self._rows) - 1

    def arrays(self) -> tuple[U8, NDArray[np.int32]]:
        """The texels [N] and the table [T, levels, 3] of offset, width, height."""
        if not self._rows:
            return np.zeros(4, np.uint8), np.zeros((1, LEVELS, 3), np.int32)
        return np.concatenate(self._chunks), np.array(self._rows, np.int32)


def noise(rng: np.random.Generator, side: int = 256, *, power: float = 1.5) -> NDArray[np.float32]:
    """Cloud noise [side, side] in [0, 1] that repeats: amplitude falls with frequency to the given power."""
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij"))
    f[0, 0] = 1
    spectrum = (rng.normal(size=f.shape) + 1j * rng.normal(size=f.shape)) / f**power
    spectrum[0, 0] = 0
    field = np.fft.irfft2(spectrum, s=(side, side))
    lo, hi = np.percentile(field, [1, 99])
    return np.asarray(np.clip((field - lo) / max(hi - lo, 1e-12), 0, 1), np.float32)


def _mix(rng: np.random.Generator, share: NDArray[np.float32]) -> U8:
    a = rng.uniform(0, 255, 3)
    a = a.mean() + (a - a.mean()) * rng.uniform(0.05, 0.8)  # the world is greyer than chance
    b = np.clip(a + rng.normal(0, 60) + rng.normal(0, 20, 3), 0, 255)
    return np.asarray(
        np.clip(a + (b - a) * share[..., None] + rng.normal(0, 5, share.shape)[..., None], 0, 255), np.uint8
    )


def _clouds(rng: np.random.Generator) -> U8:
    return _mix(rng, noise(rng, power=rng.uniform(0.6, 2.2)))


def _stripes(rng: np.random.Generator) -> U8:
    y, x = np.mgrid[0:256, 0:256] / 256
    n = rng.integers(1, 14)
    wave = np.sin(2 * np.pi * n * (x if rng.random() < 0.5 else y))
    share = np.clip(wave * rng.uniform(1, 8), -1, 1) * 0.5 + 0.5
    return _mix(rng, (share * (0.8 + 0.2 * noise(rng))).astype(np.float32))


def _checks(rng: np.random.Generator) -> U8:
    y, x = np.mgrid[0:256, 0:256]
    n = int(rng.choice([2, 4, 8, 16, 32]))
    return _mix(rng, (((x * n // 256 + y * n // 256) % 2) * (0.7 + 0.3 * noise(rng))).astype(np.float32))


def _bricks(rng: np.random.Generator) -> U8:
    y, x = np.mgrid[0:256, 0:256]
    rows, cols = int(rng.choice([8, 16])), int(rng.choice([4, 8]))
    shift = (y * rows // 256 % 2) * (128 // cols) * rng.integers(0, 2)
    u, v = ((x + shift) * cols / 256) % 1, (y * rows / 256) % 1
    joint = (u < 0.06) | (v < 0.1)
    tone = rng.random((rows, cols + 1))[y * rows // 256, ((x + shift) * cols // 256) % cols]
    return _mix(rng, np.where(joint, 1.0, 0.5 * tone * (0.6 + 0.4 * noise(rng, power=1))).astype(np.float32))


def _tiles(rng: np.random.Generator) -> U8:
    y, x = np.mgrid[0:256, 0:256]
    n = int(rng.choice([1, 2, 4]))
    joint = ((x * n) % 256 < 6) | ((y * n) % 256 < 6)
    return _mix(rng, np.where(joint, 1.0, 0.35 * noise(rng)).astype(np.float32))


def _planks(rng: np.random.Generator) -> U8:
    y, x = np.mgrid[0:256, 0:256]
    n = int(rng.choice([4, 6, 8]))
    tone = rng.random(n)[x * n // 256]
    grain = noise(rng, power=1.2)[:, (x[0] * 1) % 256][(y // 12) % 256, x]
    joint = (x * n) % 256 < 8
    base = np.array([rng.uniform(90, 200), rng.uniform(60, 130), rng.uniform(30, 90)])
    value = (0.6 + 0.25 * tone + 0.3 * grain) * np.where(joint, 0.5, 1)
    return np.asarray(np.clip(base * value[..., None], 0, 255), np.uint8)


def _spots(rng: np.random.Generator) -> U8:
    y, x = np.mgrid[0:256, 0:256]
    n = int(rng.choice([2, 4, 8]))
    u, v = (x * n / 256) % 1 - 0.5, (y * n / 256) % 1 - 0.5
    return _mix(rng, (np.hypot(u, v) < rng.uniform(0.15, 0.45)).astype(np.float32))


def _grass(rng: np.random.Generator) -> U8:
    base = np.array([rng.uniform(50, 130), rng.uniform(90, 160), rng.uniform(20, 70)])
    value = 0.4 + 0.5 * noise(rng, power=0.5) + 0.5 * noise(rng, power=1.4)
    return np.asarray(np.clip(base * value[..., None], 0, 255), np.uint8)


def _ground(rng: np.random.Generator) -> U8:
    base = rng.uniform(50, 190) + rng.normal(0, 12, 3)
    value = 0.7 + 0.3 * noise(rng, power=0.3) + 0.3 * noise(rng, power=1.6)
    return np.asarray(np.clip(base * value[..., None], 0, 255), np.uint8)


def facade(rng: np.random.Generator) -> U8:
    """Rows of windows on a wall, 4 x 4 of them; at night some are lit."""
    wall = _ground(rng) if rng.random() < 0.5 else _bricks(rng)
    y, x = np.mgrid[0:256, 0:256]
    n = int(rng.choice([2, 3, 4, 5]))
    u, v = (x * n / 256) % 1, (y * n / 256) % 1
    w, h = rng.uniform(0.15, 0.42), rng.uniform(0.2, 0.42)
    pane = (abs(u - 0.5) < w) & (abs(v - 0.5) < h)
    frame = (abs(u - 0.5) < w + 0.05) & (abs(v - 0.5) < h + 0.05) & ~pane
    lit = rng.random((n, n))[y * n // 256, x * n // 256] < rng.uniform(0, 0.6)
    glass = rng.uniform(10, 130) + rng.normal(0, 15, 3) + 30 * noise(rng)[..., None]
    glass = np.where(lit[..., None], np.array([230, 200, 130]) * rng.uniform(0.6, 1.1), glass)
    out = np.where(frame[..., None], rng.uniform(30, 230), wall)
    return np.asarray(np.clip(np.where(pane[..., None], glass, out), 0, 255), np.uint8)


def fence(rng: np.random.Generator) -> U8:
    """A repeatable picture with holes: bars, mesh or slats."""
    y, x = np.mgrid[0:128, 0:128] / 128
    n = rng.integers(2, 7)
    kind = rng.integers(0, 3)
    bars = (x * n) % 1 < rng.uniform(0.08, 0.5)
    rails = (abs(y - 0.15) < 0.05) | (abs(y - 0.85) < 0.05)
    cross = (((x + y) * n) % 1 < 0.12) | (((x - y) * n) % 1 < 0.12)
    solid = bars | rails if kind == 0 else (cross | rails if kind == 1 else ((y * n) % 1 < 0.5) | (x < 0.06))
    colour = np.broadcast_to(rng.uniform(0, 255, 3), (128, 128, 3))
    return np.dstack([colour, np.where(solid, 255, 0)]).astype(np.uint8)


def foliage(rng: np.random.Generator) -> U8:
    """A bush or tree crown on a transparent ground."""
    y, x = np.mgrid[0:256, 0:256] / 128 - 1.0
    ragged = noise(rng, power=1.0) * 0.9 + noise(rng, power=0.4) * 0.5
    solid = np.hypot(x * rng.uniform(1, 1.5), y) < 0.35 + 0.55 * ragged
    base = np.array([rng.uniform(30, 120), rng.uniform(70, 140), rng.uniform(15, 60)])
    value = (0.35 + 0.9 * noise(rng, power=0.5)) * (0.8 - 0.3 * y)
    return np.dstack([np.clip(base * value[..., None], 0, 255), np.where(solid, 255, 0)]).astype(np.uint8)


PATTERNS: tuple[Callable[[np.random.Generator], U8], ...] = (
    _clouds, _stripes, _checks, _bricks, _tiles, _planks, _spots, _grass, _ground, facade,
)  # fmt: skip
GROUNDS = (_grass, _ground, _tiles, _planks, _bricks, _clouds)


def pattern(rng: np.random.Generator) -> U8:
    """Any pattern, [H, W, 3]."""
    return PATTERNS[int(rng.integers(len(PATTERNS)))](rng)


def ground(rng: np.random.Generator) -> U8:
    """A pattern fit for a floor or the ground, [H, W, 3]."""
    return GROUNDS[int(rng.integers(len(GROUNDS)))](rng)
