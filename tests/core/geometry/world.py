"""A world with two flat layers whose two eyes, holes, disparity and flow are known exactly, in whole pixels."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.geometry.reveal import Reveal
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame, PixelFormatName

LOW = 4  # full-size pixels per low-resolution pixel


@dataclass(frozen=True)
class World:
    """A textured wall behind a textured board that moves ``speed`` px a frame, the camera ``pan`` px."""

    height: int = 64
    width: int = 160
    wall_disparity: int = 2
    board_disparity: int = 14
    board: tuple[int, int] = (64, 112)
    speed: int = 12
    pan: int = 0
    noise: int = 0
    format: PixelFormatName = "yuv420p"

    def left(self, t: int) -> Frame:
        return self._frame(t, 0, 0)

    def right(self, t: int) -> Frame:
        """What a real right eye would see; the hidden wall is there."""
        return self._frame(t, self.wall_disparity, self.board_disparity)

    def disparity(self, t: int) -> NDArray[np.float32]:
        out = np.full((self.height, self.width), self.wall_disparity, np.float32)
        out[:, self._board(t)] = self.board_disparity
        return out

    def splat(self, t: int) -> tuple[Frame, NDArray[np.float32]]:
        """The warped right eye, black in its holes, and its ``source_x``."""
        x = np.arange(self.width)
        board = self._board(t)
        source = (x + self.wall_disparity).astype(np.float32)
        hidden = (source >= board.start) & (source < board.stop)
        source[hidden | (source >= self.width)] = np.nan
        before = (x + self.board_disparity >= board.start) & (x + self.board_disparity < board.stop)
        source[before] = x[before] + self.board_disparity
        source_x = np.tile(source, (self.height, 1))
        right, step = self.right(t), (PIXEL_FORMATS[self.format].sub_y, PIXEL_FORMATS[self.format].sub_x)
        grids = (source_x, source_x[:: step[0], :: step[1]], source_x[:: step[0], :: step[1]])
        y, u, v = (np.where(np.isnan(g), 0, p).astype(p.dtype) for p, g in zip(right.planes, grids, strict=True))
        return Frame(y, u, v, right.format, t), source_x

    def reveal(self, t: int, n: int, *, wrong_flow_px: float = 0.0) -> Reveal:
        low = (slice(LOW // 2, None, LOW), slice(LOW // 2, None, LOW))
        flow = np.zeros((self.height // LOW, self.width // LOW, 2), np.float32)
        flow[..., 0] = -self.pan * n / LOW + wrong_flow_px / LOW
        board = self.disparity(t)[low] == self.board_disparity
        flow[board, 0] += self.speed * n / LOW
        return Reveal(frame=self.left(t + n), disparity=self.disparity(t + n)[low].copy(), flows=[flow])

    def _board(self, t: int) -> slice:
        shift = (self.speed - self.pan) * t
        return slice(max(self.board[0] + shift, 0), min(max(self.board[1] + shift, 0), self.width))

    def _frame(self, t: int, wall_shift: int, board_shift: int) -> Frame:
        layout = PIXEL_FORMATS[self.format]
        scale = 1 << (layout.bits - 8)
        noise = np.random.default_rng(1000 + t)
        planes = []
        for index in range(3):
            x = np.arange(self.width)
            wall = _texture(index, self.height)[:, x + 200 + wall_shift + self.pan * t]
            board = _texture(index + 3, self.height)[:, x + 200 + board_shift - (self.speed - self.pan) * t]
            inside = np.zeros(self.width, bool)
            hit = self._board(t)
            shown = x + board_shift
            inside[(shown >= hit.start) & (shown < hit.stop)] = True
            plane = np.where(inside, board, wall) + noise.integers(-self.noise, self.noise + 1, wall.shape)
            step = (1, 1) if index == 0 else (layout.sub_y, layout.sub_x)
            planes.append((np.clip(plane[:: step[0], :: step[1]], 0, 255) * scale).astype(layout.dtype))
        return Frame(planes[0], planes[1], planes[2], layout, t)


def _texture(seed: int, height: int) -> NDArray[np.float32]:
    """Smooth blobs of about 4 px; wall and board differ in brightness."""
    rough = np.random.default_rng(seed).normal(0, 1, (height, 800)).astype(np.float32)
    blobs = cv2.GaussianBlur(rough, (0, 0), 2.0)
    return (90.0 if seed < 3 else 170.0) + 28 * blobs / blobs.std()


def hole_psnr(made: Frame, true: Frame, source_x: NDArray[np.float32], plane: int = 0) -> float:
    """PSNR of one plane inside the holes, dB of the sample range."""
    step = (1, 1) if plane == 0 else (true.format.sub_y, true.format.sub_x)
    hole = np.isnan(source_x[:: step[0], :: step[1]])
    error = made.planes[plane].astype(float) - true.planes[plane].astype(float)
    peak = (1 << true.format.bits) - 1
    return float(10 * np.log10(peak**2 / max(np.mean(error[hole] ** 2), 1e-9)))
