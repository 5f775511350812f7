"""Encode packed frames into chunks: short Matroska files that survive a crash and join without re-encoding."""

import errno
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, cast

import av
import cv2
import numpy as np
from av.video.stream import VideoStream
from llvmlite.binding import get_host_cpu_features

from spatialdreamer_core.config import Codec, Layout
from spatialdreamer_core.errors import EncodeError
from spatialdreamer_core.video.frames import PIXEL_FORMATS, Frame, PixelFormat, Plane
from spatialdreamer_core.video.source import ColourInfo

ResolvedCodec = Literal["h264", "hevc", "av1", "prores"]

CHUNK_TICK = Fraction(1, 25)
"""Seconds per picture on a chunk's own clock, which only counts pictures: Matroska rounds times to a millisecond,
so real times would be lost, and at high rates the order too. The real times travel beside the chunk."""

KEY_INTERVAL_S = 2.0

_ENCODERS: dict[ResolvedCodec, str] = {"h264": "libx264", "hevc": "libx265", "av1": "libsvtav1", "prores": "prores_ks"}
_DEFAULT_CRF: dict[ResolvedCodec, int] = {"h264": 18, "hevc": 20, "av1": 28}
_DEFAULT_PRESET: dict[ResolvedCodec, str] = {"h264": "veryfast", "hevc": "fast", "av1": "8", "prores": "hq"}
# ITU-T H.264 table D-8, frame_packing_arrangement_type; x265 and SVT-AV1 write no such message.
_FRAME_PACKING: dict[Layout, int] = {"interleaved": 2, "full-sbs": 3, "half-sbs": 3, "full-tb": 4, "half-tb": 4}
_STEREO_MODE: dict[Layout, tuple[str, str]] = {  # (as is, with swapped eyes); a misspelt word would write "mono"
    "full-sbs": ("left_right", "right_left"),
    "half-sbs": ("left_right", "right_left"),
    "full-tb": ("top_bottom", "bottom_top"),
    "half-tb": ("top_bottom", "bottom_top"),
    "interleaved": ("row_interleaved_lr", "row_interleaved_rl"),
    "anaglyph-dubois": ("anaglyph_cyan_red", "anaglyph_cyan_red"),
    "anaglyph-red-cyan": ("anaglyph_cyan_red", "anaglyph_cyan_red"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodeSpec:
    """All that the bytes of a chunk depend on, besides its frames. Every chunk of one output shares one spec.

    The sample aspect is written as it is for every layout. For ``half-sbs`` and ``half-tb`` that is what players and
    Blu-ray frame packing expect: the *packed* picture has the shape of one eye, and each half is stretched when shown.

    Attributes:
        codec: The codec, no longer ``auto`` (see ``resolve_codec``).
        width: Columns of the packed picture, even.
        height: Rows of the packed picture, even.
        format: Format that is encoded (see ``encoded_format``); frames in another one are converted.
        time_base: Seconds per tick of ``Frame.pts``, the source's.
        rate: Pictures per second on average; steers rate control and the distance of key frames, not the times.
        sample_aspect: Width of a sample over its height; 0 or 1 is square.
        colour: Colour description and HDR10 data, written into the bitstream.
        layout: How the eyes share the picture; becomes the stereo tags.
        swap_eyes: Whether the right eye comes first.
        crf: Constant quality; None takes h264 18, hevc 20, av1 28. prores has none.
        preset: The encoder's speed word; None takes veryfast (x264), fast (x265), 8 (SVT-AV1), hq (prores profile).
        threads: Encoder threads; the bytes depend on it.
    """

    codec: ResolvedCodec
    width: int
    height: int
    format: PixelFormat
    time_base: Fraction
    rate: Fraction
    sample_aspect: Fraction = Fraction(1)
    colour: ColourInfo = field(default_factory=ColourInfo)
    layout: Layout = "full-sbs"
    swap_eyes: bool = False
    crf: int | None = None
    preset: str | None = None
    threads: int = 1

    def __post_init__(self) -> None:
        if self.width % 2 or self.height % 2 or self.width < 2 or self.height < 2:
            raise EncodeError(f"packed size must be even and positive, got {self.width}x{self.height}; use packed_size")
        if self.format != encoded_format(self.codec, self.format):
            raise EncodeError(f"{self.codec} does not take {self.format.name}; use encoded_format")


def resolve_codec(codec: Codec, bits: int) -> ResolvedCodec:
    """Turn ``auto`` into h264 for 8 bit and hevc for 10 bit."""
    if codec == "auto":
        return "h264" if bits == 8 else "hevc"
    return codec


def encoded_format(codec: ResolvedCodec, source: PixelFormat) -> PixelFormat:
    """Give the format a codec is fed: prores is always 10-bit 4:2:2, SVT-AV1 only 4:2:0; the others as the source."""
    if codec == "prores":
        return PIXEL_FORMATS["yuv422p10le"]
    if codec == "av1" and source.sub_y == 1:
        return PIXEL_FORMATS["yuv420p10le"]
    return source


def stereo_mode(layout: Layout, swap_eyes: bool = False) -> str | None:
    """Matroska's StereoMode by FFmpeg's name, or None for layouts without one (separate files, depth)."""
    modes = _STEREO_MODE.get(layout)
    return modes[swap_eyes] if modes else None


def to_format(frame: Frame, target: PixelFormat, *, full_range: bool = False) -> Frame:
    """Convert bits and chroma rows; gives ``frame`` itself where nothing changes.

    8 to 10 bit is exact. 4:2:0 to 4:2:2 interpolates chroma rows halfway-sited (3/4, 1/4); back takes their mean.

    Args:
        frame: What to convert.
        target: The format wanted, of at least as many bits.
        full_range: Whether 255 means the top: then 10 bit must reach 1023, not 1020.

    Raises:
        ValueError: If bits would be lost.
    """
    if frame.format == target:
        return frame
    if target.bits < frame.format.bits:
        raise ValueError(f"{frame.format.name} to {target.name} would lose bits")
    y, u, v = (_to_bits(plane, target.bits - frame.format.bits, full_range) for plane in frame.planes)
    rows = -(-frame.height // target.sub_y)
    return Frame(y, _to_rows(u, rows), _to_rows(v, rows), target, frame.pts)


def _to_bits(plane: Plane, more: int, full_range: bool) -> Plane:
    if not more:
        return plane
    wide = plane.astype(np.uint16)
    spread = (wide << more) | (wide >> (8 - more)) if full_range else wide << more
    return spread.astype(np.uint16, copy=False)


def _to_rows(plane: Plane, rows: int) -> Plane:
    if plane.shape[0] == rows:
        return plane
    method = cv2.INTER_LINEAR if rows > plane.shape[0] else cv2.INTER_AREA
    return cast(Plane, cv2.resize(plane, (plane.shape[1], rows), interpolation=method))


def raise_if_no_room(error: BaseException) -> None:
    """Let FFmpeg's word for a full disk through as the system's own: the disk is to blame then, not the clip.

    Raises:
        OSError: If ``error`` says that there is no space left, or that a quota is used up.
    """
    if isinstance(error, av.FFmpegError) and error.errno in {errno.ENOSPC, errno.EDQUOT}:
        raise OSError(error.errno, os.strerror(error.errno)) from error


class ChunkWriter:
    """Write frames into one Matroska chunk; a context manager.

    The file plays alone and loses at most its last cluster when the process is killed. Its clock counts pictures
    (``CHUNK_TICK``); ``join`` gives them their real times. The same frames and spec give the same bytes.

    Raises:
        EncodeError: If the encoder refuses the spec or a frame, or loses a picture.
        OSError: If the disk is full.
    """

    def __init__(self, path: Path | str, spec: EncodeSpec) -> None:
        self.path = Path(path)
        self.spec = spec
        self.frames = 0
        self._packets = 0
        self._closed = False
        self._index_of: dict[int, int] = {}
        self._last_pts: int | None = None
        try:
            # bitexact: no random SegmentUID, no library versions.
            self._container = av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"})
            self._stream = _add_stream(self._container, spec)
        except (av.FFmpegError, ValueError) as error:
            raise_if_no_room(error)
            raise EncodeError(f"{self._what()} cannot be opened: {error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._container.close()

    def write(self, frame: Frame) -> None:
        """Encode one frame; ``frame.pts`` must rise."""
        if (frame.width, frame.height) != (self.spec.width, self.spec.height):
            raise EncodeError(f"{self._what()} got a frame of {frame.width}x{frame.height} at pts {frame.pts}")
        if self._last_pts is not None and frame.pts <= self._last_pts:
            raise EncodeError(f"{self._what()} got pts {frame.pts} after {self._last_pts}; they must rise")
        self._last_pts = frame.pts
        self._index_of[frame.pts] = self.frames
        self.frames += 1
        picture = _video_frame(to_format(frame, self.spec.format, full_range=self.spec.colour.range == 2))
        picture.pts, picture.time_base = frame.pts, self.spec.time_base
        # prores_ks reads these from the pictures, the other encoders from the context.
        colour = self.spec.colour
        picture.color_range, picture.colorspace = colour.range, colour.matrix
        picture.color_primaries, picture.color_trc = colour.primaries, colour.transfer
        self._mux(picture)

    def close(self) -> int:
        """Flush and close the file, once; gives the exact number of frames in it."""
        if self._closed:
            return self.frames
        self._closed = True
        if self.frames:
            self._mux(None)
        try:
            self._container.close()  # writes what is left
        except av.FFmpegError as error:
            raise_if_no_room(error)
            raise EncodeError(f"{self._what()} cannot be closed: {error}") from error
        if self._packets != self.frames:
            raise EncodeError(f"{self._what()} gave {self._packets} packets for {self.frames} frames")
        return self.frames

    def _mux(self, picture: av.VideoFrame | None) -> None:
        try:
            for packet in self._stream.encode(picture):
                if packet.pts is None:
                    raise EncodeError(f"{self._what()} gave a packet without a time")
                packet.pts = self._index_of.pop(packet.pts)
                packet.dts = self._packets - 32  # below every pts whatever the reordering; Matroska stores pts alone
                packet.duration = 1
                packet.time_base = CHUNK_TICK
                self._packets += 1
                self._container.mux(packet)
        except (av.FFmpegError, KeyError, ValueError) as error:
            raise_if_no_room(error)
            raise EncodeError(f"{self._what()} failed after {self.frames} frames: {error!r}") from error

    def _what(self) -> str:
        spec = self.spec
        return f"{_ENCODERS[spec.codec]} {spec.width}x{spec.height} {spec.format.name} into {self.path.name}"


def _add_stream(container: "av.container.OutputContainer", spec: EncodeSpec) -> VideoStream:
    stream = cast(VideoStream, container.add_stream(_ENCODERS[spec.codec], rate=spec.rate, options=_options(spec)))
    context, colour = stream.codec_context, spec.colour
    context.width, context.height, context.pix_fmt = spec.width, spec.height, spec.format.name
    context.time_base = spec.time_base
    context.framerate = spec.rate
    context.gop_size = min(max(round(KEY_INTERVAL_S * spec.rate), 12), 250)
    context.thread_count = spec.threads
    context.sample_aspect_ratio = spec.sample_aspect if spec.sample_aspect > 0 else Fraction(1)
    context.color_range, context.color_primaries = colour.range, colour.primaries
    context.color_trc, context.colorspace = colour.transfer, colour.matrix
    stream.time_base = CHUNK_TICK
    mode = stereo_mode(spec.layout, spec.swap_eyes)
    if mode:
        stream.metadata["stereo_mode"] = mode
    return stream


def _options(spec: EncodeSpec) -> dict[str, str]:
    preset = spec.preset or _DEFAULT_PRESET[spec.codec]
    options: dict[str, str] = {"flags": "+cgop+bitexact"}
    if spec.colour.chroma_location:
        options["chroma_sample_location"] = str(spec.colour.chroma_location)
    if spec.codec == "prores":
        return options | {"profile": preset, "vendor": "apl0"}
    options |= {"preset": preset, "crf": str(_DEFAULT_CRF[spec.codec] if spec.crf is None else spec.crf)}
    params = {"h264": _x264_params, "hevc": _x265_params, "av1": _svtav1_params}[spec.codec](spec)
    name = {"h264": "x264-params", "hevc": "x265-params", "av1": "svtav1-params"}[spec.codec]
    if params:
        options[name] = ":".join(params)
    return options


def _x264_params(spec: EncodeSpec) -> list[str]:
    params = _x264_instructions(get_host_cpu_features())
    if spec.layout in _FRAME_PACKING and not spec.swap_eyes:  # x264 always says that the left eye comes first
        params.append(f"frame-packing={_FRAME_PACKING[spec.layout]}")
    if spec.colour.mastering_display:
        params.append(f"mastering-display={spec.colour.mastering_display}")
    if spec.colour.content_light:
        params.append("cll={},{}".format(*spec.colour.content_light))
    return params


def _x264_instructions(features: Mapping[str, bool]) -> list[str]:
    """Keep x264 from AVX-512, with which the same pictures do not always give the same bytes.

    Three of a hundred runs of a tiny clip on a busy machine differed with it, none with AVX2 or without macroblock
    trees, whose float sums are where the two differ; it is no slower. Machines of a cluster agree then as well.
    """
    return ["asm=AVX2"] if features.get("avx512f") else []


def _x265_params(spec: EncodeSpec) -> list[str]:
    # One frame thread and a fixed pool: the bytes must not depend on the machine's cores.
    params = ["log-level=error", "info=0", "open-gop=0", "frame-threads=1"]
    params.append("pools=none" if spec.threads == 1 else f"pools={spec.threads}")
    if spec.colour.mastering_display:
        params.append(f"master-display={spec.colour.mastering_display}")
    if spec.colour.content_light:
        params.append("max-cll={},{}".format(*spec.colour.content_light))
    if spec.colour.mastering_display or spec.colour.content_light:
        params.append("hdr10=1")
    return params


def _svtav1_params(spec: EncodeSpec) -> list[str]:
    params = [f"lp={spec.threads}"]
    if spec.colour.mastering_display:
        params.append(f"mastering-display={_in_units(spec.colour.mastering_display)}")
    if spec.colour.content_light:
        params.append("content-light={},{}".format(*spec.colour.content_light))
    return params


def _in_units(mastering_display: str) -> str:
    """Rewrite x265's integers (0.00002 and 0.0001 cd/m2) as the decimals that SVT-AV1 reads."""
    parts = []
    for part in mastering_display.strip(")").split(")"):
        name, values = part.split("(")
        step = 10_000 if name == "L" else 50_000
        parts.append(f"{name}({','.join(f'{int(v) / step:.5f}' for v in values.split(','))})")
    return "".join(parts)


def _video_frame(frame: Frame) -> av.VideoFrame:
    picture = av.VideoFrame(frame.width, frame.height, frame.format.name)
    for plane, target in zip(frame.planes, picture.planes, strict=True):
        rows = np.frombuffer(memoryview(target), dtype=np.uint8)[: target.line_size * plane.shape[0]]
        rows = rows.reshape(plane.shape[0], target.line_size).view(plane.dtype)
        rows[:, : plane.shape[1]] = plane
    return picture
