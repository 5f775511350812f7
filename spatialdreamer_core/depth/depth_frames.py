"""Readers of ready depth: pictures in a folder, arrays, videos; a frame at a time, so memory does not grow."""

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.coloured import (
    GREY,
    ColourName,
    LumaCode,
    colour_table,
    luma_code,
    nearest_colours,
    recognise_colours,
)
from spatialdreamer_core.depth.exr import read_exr
from spatialdreamer_core.errors import DepthError

PICTURES = (".png", ".exr", ".tif", ".tiff")
ARRAYS = (".npz", ".npy")
VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm")
SEEK_BEYOND = 48
"""Frames ahead that are decoded through rather than sought."""

Map = NDArray[np.float32]


class DepthFrames(Protocol):
    """Ready depth, frame by frame.

    Attributes:
        path: Where it lies.
        count: Number of frames.
        times_s: [count] seconds from the first frame, ascending; None where frames carry no times.
    """

    path: Path
    count: int
    times_s: NDArray[np.float64] | None

    def read(self, index: int, h: int, w: int) -> Map:
        """Give frame ``index`` as [h, w] raw values, as the file has them (nothing inverted)."""
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...


def open_depth_frames(path: Path, colours: ColourName | None = None) -> DepthFrames:
    """Open a folder of pictures, an array file or a video.

    Args:
        path: An existing file or folder.
        colours: How values were painted; None recognises it.

    Raises:
        DepthError: If it holds no depth that we read.
    """
    if path.is_dir():
        return PictureFolder(path, colours)
    suffix = path.suffix.lower()
    if suffix in ARRAYS:
        return ArrayFrames(path)
    if suffix in VIDEOS:
        return VideoFrames(path, colours)
    raise DepthError(f"depth {path}: neither a folder nor one of {', '.join((*ARRAYS, *VIDEOS))}")


def natural_order(name: str) -> list[tuple[int, int | str]]:
    """Make a sort key under which frame10 comes after frame9."""
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"(\d+)", name) if part]


def pictures_in(folder: Path) -> list[Path]:
    """List a folder's depth pictures in natural order."""
    found = [file for file in folder.iterdir() if file.suffix.lower() in PICTURES and not file.name.startswith(".")]
    return sorted(found, key=lambda file: natural_order(file.name))


def resize_depth(depth: Map, h: int, w: int) -> Map:
    """Bring depth to [h, w] without making values that lie between a figure and what is behind it.

    Shrinking takes the median around each new pixel's centre; growing interpolates.
    """
    if depth.shape == (h, w):
        return depth
    shrink = min(depth.shape[0] / h, depth.shape[1] / w)
    if shrink < 1:
        return np.asarray(cv2.resize(depth, (w, h), interpolation=cv2.INTER_LINEAR), np.float32)
    if shrink >= 1.5:
        depth = np.asarray(cv2.medianBlur(np.ascontiguousarray(depth), 3 if shrink < 3 else 5), np.float32)
    return np.asarray(cv2.resize(depth, (w, h), interpolation=cv2.INTER_NEAREST_EXACT), np.float32)


class PictureFolder:
    """Pictures in natural order: frame i is the i-th file. 8 or 16-bit PNG or TIFF, grey or painted; EXR."""

    def __init__(self, path: Path, colours: ColourName | None = None) -> None:
        self.path = path
        self.times_s: NDArray[np.float64] | None = None
        self._files = pictures_in(path)
        self._colours = colours
        self.count = len(self._files)
        if not self.count:
            raise DepthError(f"depth {path}: no pictures ({', '.join(PICTURES)}) in this folder")

    def read(self, index: int, h: int, w: int) -> Map:
        """See ``DepthFrames.read``."""
        file = self._files[index]
        picture = _first_channel(file) if file.suffix.lower() == ".exr" else _read_picture(file)
        if picture.ndim == 2:
            return resize_depth(picture.astype(np.float32), h, w)
        if self._colours is None:
            looked_at = [_read_picture(self._files[i]) for i in _probes(self.count)]
            self._colours = recognise_colours(
                np.concatenate([_rgb8(seen).reshape(1, -1, 3) for seen in looked_at], axis=1)
            )
        if self._colours == "grey":  # the same value three times, perhaps with 16 bits
            return resize_depth(picture[..., 1].astype(np.float32), h, w)
        return _values_by_colour(_rgb8(picture), self._colours, file, h, w)

    def close(self) -> None:
        """Nothing stays open."""


class ArrayFrames:
    """``.npy`` or ``.npz`` with [T, h, w]; a frame is read when it is asked for, also from a compressed npz."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.times_s: NDArray[np.float64] | None = None
        self._zip: zipfile.ZipFile | None = None
        try:
            if path.suffix.lower() == ".npy":
                array = np.load(path, mmap_mode="r", allow_pickle=False)
                self._array, shape = array, array.shape
            else:
                shape = self._open_member()
        except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
            raise DepthError(f"depth {path}: {error}") from error
        sizes = [size for size in shape[1:] if size != 1]
        if len(shape) < 3 or len(sizes) > 2:
            raise DepthError(f"depth {path}: an array of [frames, rows, columns] is needed, this is {list(shape)}")
        self.count = shape[0]
        self._frame_shape = (shape[1], shape[2]) if len(shape) == 3 else (sizes[0], sizes[1])

    def read(self, index: int, h: int, w: int) -> Map:
        """See ``DepthFrames.read``."""
        if self._zip is None:
            frame = np.asarray(self._array[index], np.float32)
        else:
            per_frame = int(np.prod(self._frame_shape)) * self._dtype.itemsize
            self._member.seek(self._data_at + index * per_frame)  # backwards starts again; frames come in order
            frame = np.frombuffer(self._member.read(per_frame), self._dtype).astype(np.float32)
        return resize_depth(np.ascontiguousarray(frame.reshape(self._frame_shape)), h, w)

    def close(self) -> None:
        """See ``DepthFrames.close``."""
        if self._zip is not None:
            self._member.close()
            self._zip.close()

    def _open_member(self) -> tuple[int, ...]:
        self._zip = zipfile.ZipFile(self.path)
        for name in sorted(self._zip.namelist(), key=lambda name: (name != "depth.npy", name)):
            self._member: Any = self._zip.open(name)
            version = np.lib.format.read_magic(self._member)
            read_header = (
                np.lib.format.read_array_header_1_0 if version[0] == 1 else np.lib.format.read_array_header_2_0
            )
            shape, fortran, self._dtype = read_header(self._member)
            if len(shape) >= 3 and not fortran and not self._dtype.hasobject:
                self._data_at = self._member.tell()
                return tuple(shape)
            self._member.close()
        raise DepthError(f"depth {self.path}: no array of [frames, rows, columns] in this npz")


class VideoFrames:
    """A depth video: grey of 8 to 16 bits, or painted with a known colour map. Seeks by its own timestamps."""

    def __init__(self, path: Path, colours: ColourName | None = None) -> None:
        self.path = path
        try:
            self._container = av.open(str(path))
            self._stream = self._container.streams.video[0]
            self._stream.thread_type = "AUTO"
            pts = [
                packet.pts for packet in self._container.demux(self._stream) if packet.size and packet.pts is not None
            ]
        except (av.FFmpegError, IndexError, OSError) as error:
            raise DepthError(f"depth {path}: no video that can be read: {error}") from error
        self._pts = np.array(sorted(set(pts)), np.int64)
        self.count = len(self._pts)
        if not self.count:
            raise DepthError(f"depth {path}: a video without pictures or without times")
        assert self._stream.time_base is not None
        self.times_s = (self._pts - self._pts[0]).astype(np.float64) * float(self._stream.time_base)
        self._colours = colours
        self._luma: LumaCode | None = None
        self._knows_colours = False
        self._decoded: Iterator[av.VideoFrame] = iter(())
        self._at: int | None = None  # number of the last decoded frame; None seeks

    def read(self, index: int, h: int, w: int) -> Map:
        """See ``DepthFrames.read``."""
        try:
            if not self._knows_colours:
                self._learn_colours()
            frame = self._frame(index)
        except av.FFmpegError as error:
            raise DepthError(f"depth {self.path}: frame {index} cannot be decoded: {error}") from error
        if self._luma is not None:
            return resize_depth(self._luma.values(_luma16(frame)), h, w)
        return _values_by_colour(_rgb(frame), self._colours, self.path, h, w)

    def close(self) -> None:
        """See ``DepthFrames.close``."""
        self._container.close()

    def _learn_colours(self) -> None:
        """Look at the same few frames whichever is asked for first, so that every reader learns the same."""
        frames = [self._frame(i) for i in _probes(self.count)]
        rgb = np.concatenate([_rgb(frame) for frame in frames])
        self._colours = self._colours or recognise_colours(rgb)
        if self._colours == "grey":
            self._luma = GREY
        elif self._colours is not None:
            self._luma = luma_code(self._colours, rgb, np.concatenate([_luma16(frame) for frame in frames]))
        self._knows_colours = True

    def _frame(self, index: int) -> av.VideoFrame:
        if self._at is None or not self._at < index <= self._at + SEEK_BEYOND:
            self._container.seek(int(self._pts[index]), stream=self._stream, backward=True)
            self._decoded = self._container.decode(self._stream)
        wanted = self._pts[index]
        for frame in self._decoded:
            if frame.pts is not None and frame.pts >= wanted:
                self._at = index
                return frame  # type: ignore[no-any-return,unused-ignore]
        self._at = None
        raise DepthError(f"depth {self.path}: the video breaks off before frame {index} of {self.count}")


def _probes(count: int) -> list[int]:
    """Frames whose colours are looked at; not the first, which is often black."""
    return sorted({count // 4, count // 2, count * 3 // 4})


def _rgb(frame: av.VideoFrame) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def _luma16(frame: av.VideoFrame) -> NDArray[np.uint16]:
    """The luma as it is stored, scaled to 16 bits.

    Not by way of a conversion: it would stretch 16..235 to 0..255, and grey depth is often written over the full range
    without saying so; its ends would be cut.
    """
    form = frame.format
    if form.is_rgb or (not form.is_planar and not form.name.startswith("gray")) or form.name.endswith("be"):
        return np.asarray(frame.reformat(format="gray16le").to_ndarray(), np.uint16)
    bits, plane = form.components[0].bits, frame.planes[0]
    stored = np.frombuffer(memoryview(plane), np.uint8 if bits == 8 else np.dtype("<u2"))
    rows = stored.reshape(plane.height, -1)[:, : plane.width]  # lines are padded
    if form.name.startswith("p0"):  # these keep their bits at the upper end already
        return np.asarray(rows, np.uint16)
    top = 2**bits - 1
    return np.asarray((rows.astype(np.uint32) * 65535 + top // 2) // top, np.uint16)


def _rgb8(picture: NDArray[Any]) -> NDArray[np.uint8]:
    """OpenCV's [h, w], [h, w, 3 or 4] of 8 or 16 bits as [h, w, 3] RGB of 8."""
    colours = picture[..., 2::-1] if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    return np.ascontiguousarray(colours >> 8 if colours.dtype == np.uint16 else colours).astype(np.uint8)


def _values_by_colour(rgb: NDArray[np.uint8], colours: ColourName | None, path: Path, h: int, w: int) -> Map:
    if colours is None:
        raise DepthError(f"depth {path}: neither grey nor a colour map that we know; say which with ?colours=NAME")
    if rgb.shape[0] > h and rgb.shape[1] > w:  # colours between two of a map mean nothing: pick, do not average
        rgb = np.asarray(cv2.resize(rgb, (w, h), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8)
    pixels = np.ascontiguousarray(rgb.reshape(-1, 3), np.float32)
    values = nearest_colours(pixels, colour_table(colours)).reshape(rgb.shape[:2])
    return resize_depth(values, h, w)


def _read_picture(file: Path) -> NDArray[Any]:
    picture = cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise DepthError(f"depth {file}: no picture that can be read")
    return np.asarray(picture)


def _first_channel(file: Path) -> NDArray[np.float32]:
    picture = read_exr(file)
    return picture if picture.ndim == 2 else picture[..., 0]
