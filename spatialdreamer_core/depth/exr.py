"""Read OpenEXR pictures as they are: half or float samples, values above 1 kept."""

import io
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import DepthError

_ORDER = {"gbr": (2, 0, 1), "gra": (0,)}
"""The planes that hold red, green and blue (or grey), by the first letters of FFmpeg's format."""


def read_exr(source: Path | bytes) -> NDArray[np.float32]:
    """Give the colours [h, w, 3] RGB or the one channel [h, w]; alpha is dropped.

    The planes are copied as they are: FFmpeg's own conversion from half to float cuts at 1.

    Raises:
        DepthError: If it is no EXR picture that can be read.
    """
    name = "bytes" if isinstance(source, bytes) else str(source)
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
        with av.open(io.BytesIO(data), "r", format="exr_pipe") as container:
            frame = next(container.decode(video=0))
    except (av.FFmpegError, StopIteration, ValueError, OSError) as error:
        raise DepthError(f"EXR {name}: no picture that can be read: {error}") from error
    kind = frame.format.name
    sample = np.dtype("<f2" if "f16" in kind else "<f4")
    if kind[:3] not in _ORDER or not kind.rstrip("le").endswith(("f16", "f32")):
        raise DepthError(f"EXR {name}: samples of the kind {kind} are not known; write half or float")
    planes = []
    for index in _ORDER[kind[:3]]:
        plane = frame.planes[index]
        rows = np.frombuffer(bytes(plane), sample).reshape(-1, plane.line_size // sample.itemsize)
        planes.append(rows[: frame.height, : frame.width].astype(np.float32))
    return planes[0] if len(planes) == 1 else np.stack(planes, axis=-1)
