"""Correct one thing in a finished Matroska file that PyAV cannot say: the shape of the samples.

Matroska has no sample aspect, only the size at which one eye's picture is shown. The numbers are overwritten in place
and keep their lengths, so nothing in the file moves.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from spatialdreamer_core.errors import EncodeError

_SEGMENT, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0xE0
_CRC, _STEREO_MODE, _DISPLAY_WIDTH, _DISPLAY_HEIGHT, _PIXEL_WIDTH = 0xBF, 0x53B8, 0x54B0, 0x54BA, 0xB0
_HEAD = 1 << 22  # the tracks stand before the pictures; fonts come after them


@dataclass(frozen=True, slots=True)
class _Element:
    ident: int
    start: int
    end: int


def set_shape(path: Path | str, sample_aspect: Fraction, *, stereo_mode: int | None = None) -> None:
    """Write the shown size of the first picture track, as it is for square samples times their shape.

    Args:
        path: A Matroska file that has the elements ``DisplayWidth`` and ``DisplayHeight``, as FFmpeg writes them for
            square samples with a stereo mode.
        sample_aspect: Width of a sample over its height.
        stereo_mode: The number to write over the stereo mode, which then no longer means half the width; None leaves
            it.

    Raises:
        EncodeError: If the elements are not there.
    """
    with Path(path).open("r+b") as file:
        data = bytearray(file.read(_HEAD))
        try:
            tracks = _find(data, _find(data, _Element(0, 0, len(data)), _SEGMENT), _TRACKS)
            video = _find(data, _find(data, tracks, _ENTRY), _VIDEO)
            wide, high = _find(data, video, _DISPLAY_WIDTH), _find(data, video, _DISPLAY_HEIGHT)
            mode, full = _find(data, video, _STEREO_MODE), _find(data, video, _PIXEL_WIDTH)
        except (LookupError, IndexError) as error:
            raise EncodeError(f"{path}: the shown size of the picture is not where it is expected") from error
        width, height = _number(data, full if stereo_mode is not None else wide), _number(data, high)
        if stereo_mode is not None:
            _put(data, mode, stereo_mode)
        shown = width * sample_aspect
        # The numbers keep their lengths; where the true ones do not fit, smaller ones of the same shape do.
        fit = min(Fraction(1), _most(wide) / shown, Fraction(_most(high), height))
        _put(data, wide, max(1, round(shown * fit)))
        _put(data, high, max(1, round(height * fit)))
        _renew_checksum(data, tracks)
        file.seek(tracks.start)
        file.write(data[tracks.start : tracks.end])


def _elements(data: bytearray, parent: _Element) -> Iterator[_Element]:
    at = parent.start
    while at < min(parent.end, len(data)):
        ident, at = _integer(data, at, marked=True)
        size, at = _integer(data, at, marked=False)
        yield _Element(ident, at, min(at + size, parent.end))
        at += size


def _find(data: bytearray, parent: _Element, ident: int) -> _Element:
    for element in _elements(data, parent):
        if element.ident == ident:
            return element
    raise LookupError(hex(ident))


def _integer(data: bytearray, at: int, *, marked: bool) -> tuple[int, int]:
    """Read a number of variable length: (value, where it ends)."""
    length = 9 - data[at].bit_length()
    value = int.from_bytes(data[at : at + length], "big")
    return value if marked else value & ((1 << 7 * length) - 1), at + length


def _number(data: bytearray, element: _Element) -> int:
    return int.from_bytes(data[element.start : element.end], "big")


def _most(element: _Element) -> int:
    return (1 << 8 * (element.end - element.start)) - 1


def _put(data: bytearray, element: _Element, value: int) -> None:
    data[element.start : element.end] = value.to_bytes(element.end - element.start, "big")


def _renew_checksum(data: bytearray, parent: _Element) -> None:
    first = next(_elements(data, parent))
    if first.ident == _CRC:
        data[first.start : first.end] = zlib.crc32(data[first.end : parent.end]).to_bytes(4, "little")
