"""Depth for other programs: a 16-bit PNG (65535 nearest) or float EXR a frame, or one npz; ``imported`` reads all."""

import io
from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import DepthError

NEAREST = 65535
DepthFormat = Literal["png", "exr"]


def depth_folder_name(stem: str) -> str:
    """Name the folder of a source's depth pictures."""
    return f"{stem}_depth"


def depth_file_name(index: int, form: DepthFormat = "png") -> str:
    """Name the picture of a frame of the source; names sort like the frames."""
    return f"{index:06d}.{form}"


def depth_picture(inverse_depth: NDArray[np.float32], form: DepthFormat) -> bytes:
    """Write one frame in either format; see ``depth_png`` and ``depth_exr``."""
    return depth_png(inverse_depth) if form == "png" else depth_exr(inverse_depth)


def depth_exr(inverse_depth: NDArray[np.float32]) -> bytes:
    """Write one frame as a float32 EXR with the one channel Y, zip-compressed.

    Args:
        inverse_depth: [h, w] in [0, 1], 1 nearest; kept as it is.

    Raises:
        DepthError: If a value is not finite.
    """
    _check(inverse_depth)
    height, width = inverse_depth.shape
    codec = av.CodecContext.create("exr", "w")
    codec.width, codec.height, codec.pix_fmt, codec.time_base = width, height, "grayf32le", Fraction(1)
    codec.options = {"compression": "zip16"}
    codec.thread_count = 1
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(inverse_depth, np.float32), format="grayf32le")
    frame.pts = 0
    return b"".join(bytes(packet) for packet in [*codec.encode(frame), *codec.encode(None)])


def depth_png(inverse_depth: NDArray[np.float32]) -> bytes:
    """Write one frame as a 16-bit grey PNG, without loss beyond 1/65535.

    Args:
        inverse_depth: [h, w] in [0, 1], 1 nearest; what lies outside is cut.

    Raises:
        DepthError: If a value is not finite.
    """
    _check(inverse_depth)
    levels = np.rint(np.clip(inverse_depth, 0, 1) * NEAREST).astype(np.uint16)
    # the lowest level: 16-bit depth is mostly noise in the lower byte, and harder trying costs time, not bytes
    made, data = cv2.imencode(".png", levels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    if not made:
        raise DepthError(f"depth export: OpenCV cannot write a PNG of {list(inverse_depth.shape)}")
    return data.tobytes()


def _check(inverse_depth: NDArray[np.float32]) -> None:
    if inverse_depth.ndim != 2:
        raise ValueError(f"inverse depth must be [h, w], got {inverse_depth.shape}")
    if not np.isfinite(inverse_depth).all():
        raise DepthError("depth export: NaN or infinite values")


def depth_from_png(data: bytes) -> NDArray[np.float32]:
    """Read what ``depth_png`` wrote: [h, w] in [0, 1]."""
    levels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if levels is None or levels.ndim != 2 or levels.dtype != np.uint16:
        raise DepthError("this is no 16-bit grey PNG of depth")
    return np.asarray(levels, np.float32) / np.float32(NEAREST)


def depth_npz(inverse_depths: Sequence[NDArray[np.float32]]) -> bytes:
    """Write all frames of a source as one compressed npz: ``depth`` uint16 [T, h, w], 65535 nearest.

    Holds all frames in memory: for clips, not for films.
    """
    levels = np.stack([np.rint(np.clip(frame, 0, 1) * NEAREST).astype(np.uint16) for frame in inverse_depths])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, depth=levels)
    return buffer.getvalue()
