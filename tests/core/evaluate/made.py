"""Stereo pairs with known truth: a dark wall, a bright board before it, both textured."""

from pathlib import Path

import cv2
import numpy as np

H, W = 64, 128
WALL, BOARD = 3, 11


def texture(seed: int, width: int) -> np.ndarray:
    rough = np.random.default_rng(seed).uniform(0, 255, (H, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(rough, (0, 0), 1.5)
    return ((smooth - smooth.min()) / np.ptp(smooth) * 160).astype(np.uint8)


def pair(shift: int = 0, *, wall: int = WALL, board: int = BOARD) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Left view, right view and disparity of the left, everything moved ``shift`` px to the right."""
    wide, front = texture(0, W + 80), texture(1, 36) + np.uint8(90)
    begin = 40 - shift
    left, right = wide[:, begin : begin + W].copy(), wide[:, begin + wall : begin + wall + W].copy()
    at = 56 + shift
    left[12:52, at : at + 36] = front[12:52]
    right[12:52, at - board : at - board + 36] = front[12:52]
    disparity = np.full((H, W), wall, np.float32)
    disparity[12:52, at : at + 36] = board
    return left, right, disparity


def write_pfm(path: Path, values: np.ndarray) -> None:
    h, w = values.shape
    path.write_bytes(f"Pf\n{w} {h}\n-1\n".encode() + values[::-1].astype("<f4").tobytes())


def write_png(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture[..., ::-1])


def write_clip(folder: Path, name: str, frames: int = 3) -> Path:
    """A clip as folders of pictures, ``NAME_left``, ``NAME_right``, ``NAME_disparity``; gives the folder."""
    (folder / f"{name}_disparity").mkdir(parents=True)
    for t in range(frames):
        left, right, disparity = pair(2 * t)
        write_png(folder / f"{name}_left" / f"{t:03d}.png", left)
        write_png(folder / f"{name}_right" / f"{t:03d}.png", right)
        write_pfm(folder / f"{name}_disparity" / f"{t:03d}.pfm", disparity)
    return folder


def write_still(folder: Path, *, disparity: bool = True) -> Path:
    """A pair as Middlebury has them."""
    left, right, truth = pair()
    write_png(folder / "im0.png", left)
    write_png(folder / "im1.png", right)
    if disparity:
        write_pfm(folder / "disp0GT.pfm", truth)
    return folder
