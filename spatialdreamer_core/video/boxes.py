"""Read and rewrite the boxes of MP4 and MOV files (ISO/IEC 14496-12): stereo and HDR tags, index to the front.

FFmpeg writes ``st3d`` only on demand, a ``vexu`` without the packing, and no ``mdcv``/``clli`` for encoders that keep
them in the bitstream; so we write these boxes ourselves. Only the index (``moov``) is held in memory; the media data is
moved inside the file where the index changes its length.
"""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

from spatialdreamer_core.config import Layout
from spatialdreamer_core.errors import EncodeError
from spatialdreamer_core.video.source import ColourInfo

_CONTAINERS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"vexu", b"eyes", b"pack"})
_VISUAL_FIELDS = 78  # bytes of a visual sample entry before its boxes
_MAX_DEPTH = 16
_MAX_INDEX = 1 << 30
_BLOCK = 1 << 22
_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)


class BoxError(EncodeError):
    """The file is no sound MP4 or MOV: a box is truncated, lies about its size, or is missing."""

    reason = "encode_failed"


@dataclass(frozen=True, slots=True)
class Box:
    """One box with all its bytes.

    Attributes:
        kind: The four-character code.
        payload: What follows the header; for a container the fields before its children.
        children: The boxes inside, None for a box that we do not look into.
        tail: Bytes after the last child, fewer than a header or all zero (QuickTime ends some lists so).
        large: Whether the size is written with 64 bits.
    """

    kind: bytes
    payload: bytes = b""
    children: tuple["Box", ...] | None = None
    tail: bytes = b""
    large: bool = False

    def to_bytes(self) -> bytes:
        """Serialise the box and all that it holds."""
        body = self.payload + b"".join(child.to_bytes() for child in self.children or ()) + self.tail
        if self.large or len(body) + 8 >= 1 << 32:
            return struct.pack(">I4sQ", 1, self.kind, len(body) + 16) + body
        return struct.pack(">I4s", len(body) + 8, self.kind) + body


@dataclass(frozen=True, slots=True)
class Span:
    """Where a top-level box lies in the file: ``[start, end)`` with its header."""

    kind: bytes
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Moves:
    """How far bytes of the file move: those from ``jumped`` on by ``size``, those from ``after`` on by ``longer``."""

    jumped: int
    after: int
    size: int
    longer: int

    def apply(self, offset: int) -> int:
        if offset >= self.after:
            return offset + self.longer
        return offset + self.size if offset >= self.jumped else offset


def parse_boxes(data: bytes, *, depth: int = 0) -> tuple[tuple[Box, ...], bytes]:
    """Parse a run of boxes; gives them and the tail.

    Raises:
        BoxError: If a size is too small, reaches past the end, or boxes nest too deep.
    """
    if depth > _MAX_DEPTH:
        raise BoxError(f"boxes nest deeper than {_MAX_DEPTH}; the file is damaged")
    boxes: list[Box] = []
    at = 0
    while len(data) - at >= 8 and any(data[at : at + 8]):
        kind, body, at, large = _split(data, at)
        boxes.append(_parse_one(kind, body, large, depth))
    tail = data[at:]
    if any(tail):
        raise BoxError(f"{len(tail)} bytes after the last box are no box; the file is truncated or damaged")
    return tuple(boxes), tail


def scan_file(file: BinaryIO) -> list[Span]:
    """List the top-level boxes without reading them.

    Raises:
        BoxError: If a header is truncated or a box reaches past the end of the file.
    """
    total = file.seek(0, 2)
    spans: list[Span] = []
    at = 0
    while at < total:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            raise BoxError(f"the file ends inside a box header at byte {at}; it is truncated")
        size, kind = struct.unpack_from(">I4s", head)
        least = 8
        if size == 1:
            if len(head) < 16:
                raise BoxError(f"the file ends inside a box header at byte {at}; it is truncated")
            size, least = struct.unpack_from(">Q", head, 8)[0], 16
        elif size == 0:  # to the end of the file
            size = total - at
        if size < least or at + size > total:
            raise BoxError(f"box {kind!r} at byte {at} says {size} bytes, {total - at} are left; the file is damaged")
        spans.append(Span(kind, at, at + size))
        at += size
    return spans


def stereo_boxes(layout: Layout, *, swap_eyes: bool = False, hfov_deg: float | None = None) -> tuple[Box, ...]:
    """Make the boxes that say how the eyes are packed: Google's ``st3d`` and Apple's ``vexu`` and ``hfov``.

    Empty for layouts that neither can name (anaglyph, rows, picture and depth, one eye per file).

    Args:
        layout: How the eyes share the picture.
        swap_eyes: Whether the right eye comes first; ``st3d`` has a word for it side by side only.
        hfov_deg: Horizontal field of view of one eye in degrees, in (0, 360); None leaves it out.

    Raises:
        ValueError: If the field of view is out of range.
    """
    if hfov_deg is not None and not 0 < hfov_deg < 360:
        raise ValueError(f"field of view must lie in (0, 360) degrees, got {hfov_deg:g}")
    if layout not in ("full-sbs", "half-sbs", "full-tb", "half-tb"):
        return ()
    side = layout in ("full-sbs", "half-sbs")
    mode = {(True, False): 2, (True, True): 4, (False, False): 1}.get((side, swap_eyes))
    boxes = [] if mode is None else [_full(b"st3d", bytes([mode]))]
    # Both eyes are there (bits 0, 1); bit 3: in reversed order. The hero eye is the left one: the source's own picture.
    eyes = (_full(b"stri", bytes([0b1011 if swap_eyes else 0b0011])), _full(b"hero", b"\x01"))
    pack = (_full(b"pkin", b"side" if side else b"over"),)
    boxes.append(Box(b"vexu", children=(Box(b"eyes", children=eyes), Box(b"pack", children=pack))))
    if hfov_deg is not None:
        boxes.append(Box(b"hfov", struct.pack(">I", round(hfov_deg * 1000))))
    return tuple(boxes)


def hdr_boxes(colour: ColourInfo) -> tuple[Box, ...]:
    """Make ``mdcv`` (mastering display) and ``clli`` (MaxCLL, MaxFALL) from what the source says; empty if nothing."""
    boxes = []
    if colour.mastering_display:
        numbers = [
            int(n) for part in colour.mastering_display.strip(")").split(")") for n in part.split("(")[1].split(",")
        ]
        boxes.append(Box(b"mdcv", struct.pack(">8H2I", *numbers)))
    if colour.content_light:
        boxes.append(Box(b"clli", struct.pack(">2H", *colour.content_light)))
    return tuple(boxes)


def tag_stereo(path: Path | str, layout: Layout, hfov_deg: float | None = None, *, swap_eyes: bool = False) -> None:
    """Write the stereo boxes into an MP4 or MOV, in place of any that are there. Tagging twice changes nothing.

    Raises:
        BoxError: If the file cannot be parsed, is fragmented or has no video track.
    """
    rewrite_video_entry(path, stereo_boxes(layout, swap_eyes=swap_eyes, hfov_deg=hfov_deg))


def rewrite_video_entry(
    path: Path | str, boxes: Sequence[Box], *, index_first: bool = False, sample_aspect: Fraction | None = None
) -> None:
    """Put boxes into the first video track's sample entries, replacing those of the same kind and all stereo ones.

    Sizes of the boxes around and the chunk offsets follow. Works in place: give it a scratch file.

    Args:
        path: The MP4 or MOV file.
        boxes: What to add.
        index_first: Also move the index before the media data, so that players can start before the end has come.
        sample_aspect: Width of a sample over its height: the track is made as wide as it is shown; None leaves it.

    Raises:
        BoxError: If the file cannot be parsed, is fragmented or has no video track.
    """
    drop = {box.kind for box in boxes} | {b"st3d", b"vexu", b"hfov"}
    try:
        with Path(path).open("r+b") as file:
            _rewrite(file, lambda trak: _tag_track(trak, boxes, drop, sample_aspect), index_first)
    except BoxError as error:
        raise BoxError(f"{path}: {error}") from error


def set_facts(path: Path | str, *, languages: Sequence[str] = (), created: datetime | None = None) -> None:
    """Write the languages of the tracks and the date of the film into the headers. No length changes.

    FFmpeg knows only QuickTime's own language numbers in MOV and forgets every other language, though the packed
    ISO 639-2 codes of MP4 are good there too; and it leaves out the date where it is to write reproducibly.

    Args:
        path: The MP4 or MOV file.
        languages: Three letters for each track, in order; anything else leaves the track as it is.
        created: When the film was made; None leaves what is there.

    Raises:
        BoxError: If the file cannot be parsed.
    """
    with Path(path).open("r+b") as file:
        spans = scan_file(file)
        moov = _read_index(file, spans)
        rest = iter(languages)
        children = [_in_language(box, next(rest, "")) if box.kind == b"trak" else box for box in moov.children or ()]
        if created is not None:
            children = [_made_on(box, created) if box.kind == b"mvhd" else box for box in children]
        file.seek(next(span.start for span in spans if span.kind == b"moov"))
        file.write(replace(moov, children=tuple(children)).to_bytes())


def _made_on(header: Box, created: datetime) -> Box:
    seconds = int((created - _EPOCH).total_seconds())
    width = 8 if header.payload[:1] == b"\1" else 4
    if not 0 <= seconds < 1 << 8 * width:
        return header
    dates = seconds.to_bytes(width, "big") * 2  # creation and modification
    return replace(header, payload=header.payload[:4] + dates + header.payload[4 + 2 * width :])


def _in_language(trak: Box, language: str) -> Box:
    if len(language) != 3 or not all("a" <= letter <= "z" for letter in language):
        return trak
    first, second, third = (ord(letter) - 0x60 for letter in language)
    code = (first << 10 | second << 5 | third).to_bytes(2, "big")

    def write(header: Box) -> Box:
        at = 32 if header.payload[:1] == b"\1" else 20  # version 1 has longer times
        return replace(header, payload=header.payload[:at] + code + header.payload[at + 2 :])

    return _map_kind(trak, b"mdhd", write)


def video_entries(path: Path | str) -> tuple[Box, ...]:
    """Give the sample entries of the first video track, parsed."""
    with Path(path).open("rb") as file:
        moov = _read_index(file, scan_file(file))
    found: list[Box] = []

    def keep(stsd: Box) -> Box:
        found.extend(_entries(stsd))
        return stsd

    _map_video(moov, lambda trak: _map_kind(trak, b"stsd", keep))
    return tuple(found)


def _full(kind: bytes, payload: bytes) -> Box:
    return Box(kind, b"\0\0\0\0" + payload)  # version 0, no flags


def _split(data: bytes, at: int) -> tuple[bytes, bytes, int, bool]:
    size, kind = struct.unpack_from(">I4s", data, at)
    head = 8
    if size == 1:
        head = 16
        if len(data) - at < head:
            raise BoxError(f"box {kind!r} ends inside its header; the file is truncated")
        (size,) = struct.unpack_from(">Q", data, at + 8)
    if size < head or size > len(data) - at:
        raise BoxError(f"box {kind!r} says {size} bytes where {len(data) - at} are left; the file is damaged")
    return kind, data[at + head : at + size], at + size, head == 16


def _parse_one(kind: bytes, body: bytes, large: bool, depth: int) -> Box:
    if kind not in _CONTAINERS:
        return Box(kind, body, large=large)
    fields = 8 if kind == b"stsd" else 0  # version, flags and the number of entries
    if len(body) < fields:
        raise BoxError(f"box {kind!r} is shorter than its fields; the file is damaged")
    children, tail = parse_boxes(body[fields:], depth=depth + 1)
    return Box(kind, body[:fields], children, tail, large)


def _read_index(file: BinaryIO, spans: Sequence[Span]) -> Box:
    kinds = [span.kind for span in spans]
    if b"moof" in kinds:
        raise BoxError("the file is fragmented; write it with one index")
    if kinds.count(b"moov") != 1:
        raise BoxError(f"{kinds.count(b'moov')} index boxes (moov) where one is needed; the file was not finished")
    span = spans[kinds.index(b"moov")]
    if span.end - span.start > _MAX_INDEX:
        raise BoxError(f"the index has {span.end - span.start} bytes; more than {_MAX_INDEX} cannot be right")
    file.seek(span.start)
    kind, body, _, large = _split(file.read(span.end - span.start), 0)
    return _parse_one(kind, body, large, 0)


def _child(box: Box, kind: bytes) -> Box | None:
    return next((child for child in box.children or () if child.kind == kind), None)


def _is_video(trak: Box) -> bool:
    mdia = _child(trak, b"mdia")
    handler = _child(mdia, b"hdlr") if mdia else None
    return handler is not None and handler.payload[8:12] == b"vide"


def _map_kind(box: Box, kind: bytes, change: Callable[[Box], Box]) -> Box:
    """Change every descendant of a kind, at any depth."""
    if box.kind == kind:
        return change(box)
    if not box.children:
        return box
    return replace(box, children=tuple(_map_kind(child, kind, change) for child in box.children))


def _map_video(moov: Box, change: Callable[[Box], Box]) -> Box:
    """Change the first video track."""
    children = list(moov.children or ())
    at = next((k for k, box in enumerate(children) if box.kind == b"trak" and _is_video(box)), None)
    if at is None:
        raise BoxError("there is no video track to tag")
    children[at] = change(children[at])
    return replace(moov, children=tuple(children))


def _tag_track(trak: Box, boxes: Sequence[Box], drop: set[bytes], sample_aspect: Fraction | None) -> Box:
    widths: list[int] = []

    def tag(stsd: Box) -> Box:
        entries = _entries(stsd)
        widths.extend(struct.unpack_from(">H", entry.payload, 24)[0] for entry in entries)
        return replace(stsd, children=tuple(_with_boxes(entry, boxes, drop) for entry in entries))

    def widen(header: Box) -> Box:
        # The last fields are the shown width and height, in 16.16 fixed point.
        shown = round(widths[0] * (sample_aspect or 1) * (1 << 16)).to_bytes(4, "big")
        return replace(header, payload=header.payload[:-8] + shown + header.payload[-4:])

    trak = _map_kind(trak, b"stsd", tag)
    return _map_kind(trak, b"tkhd", widen) if sample_aspect and widths else trak


def _entries(stsd: Box) -> tuple[Box, ...]:
    return tuple(_open_entry(entry) for entry in stsd.children or ())


def _open_entry(entry: Box) -> Box:
    if len(entry.payload) < _VISUAL_FIELDS:
        raise BoxError(f"video sample entry {entry.kind!r} is shorter than its fields; the file is damaged")
    children, tail = parse_boxes(entry.payload[_VISUAL_FIELDS:])
    return replace(entry, payload=entry.payload[:_VISUAL_FIELDS], children=children, tail=tail)


def _with_boxes(entry: Box, boxes: Sequence[Box], drop: set[bytes]) -> Box:
    kept = tuple(child for child in entry.children or () if child.kind not in drop)
    return replace(entry, children=kept + tuple(boxes))


def _rewrite(file: BinaryIO, change: Callable[[Box], Box], index_first: bool) -> None:
    spans = scan_file(file)
    old = next((span for span in spans if span.kind == b"moov"), Span(b"moov", 0, 0))
    moov = _map_video(_read_index(file, spans), change)
    media = next((span.start for span in spans if span.kind == b"mdat"), old.start)
    target = min(media, old.start) if index_first else old.start
    index = _settle(moov, old, target)
    longer = len(index) - (old.end - old.start)
    end = spans[-1].end
    # What follows the index moves by the difference, what it jumps over by its whole length; whichever goes last
    # would be run over by the other.
    if longer > 0:
        _shift(file, old.end, end, longer)
        _shift(file, target, old.start, len(index))
    else:
        _shift(file, target, old.start, len(index))
        _shift(file, old.end, end, longer)
    file.seek(target)
    file.write(index)
    file.truncate(end + longer)


def _shift(file: BinaryIO, start: int, end: int, by: int) -> None:
    """Move the bytes ``[start, end)`` by so many, block by block from the side that they move to."""
    if not by:
        return
    starts = range(start, end, _BLOCK)
    for at in reversed(starts) if by > 0 else starts:
        file.seek(at)
        block = file.read(min(_BLOCK, end - at))
        file.seek(at + by)
        file.write(block)


def _settle(moov: Box, old: Span, target: int) -> bytes:
    """Move the chunk offsets by what the new index displaces; offsets that outgrow 32 bits become 64 bits wide."""
    length = old.end - old.start
    while True:
        size = len(moov.to_bytes())
        data = _map_offsets(moov, _Moves(target, old.end, size, size - length)).to_bytes()
        if len(data) == size:
            return data
        moov = _map_kind(moov, b"stco", _widen)


def _map_offsets(box: Box, moves: _Moves) -> Box:
    if box.kind in (b"stco", b"co64"):
        return _offsets(box, moves)
    if not box.children:
        return box
    return replace(box, children=tuple(_map_offsets(child, moves) for child in box.children))


def _offsets(box: Box, moves: _Moves) -> Box:
    values = [moves.apply(value) for value in _read_offsets(box)]
    if box.kind == b"stco" and max(values, default=0) < 1 << 32:
        return replace(box, payload=box.payload[:8] + struct.pack(f">{len(values)}I", *values))
    return Box(b"co64", box.payload[:8] + struct.pack(f">{len(values)}Q", *values))


def _widen(box: Box) -> Box:
    values = _read_offsets(box)
    return Box(b"co64", box.payload[:8] + struct.pack(f">{len(values)}Q", *values))


def _read_offsets(box: Box) -> tuple[int, ...]:
    width, code = (4, "I") if box.kind == b"stco" else (8, "Q")
    if len(box.payload) < 8:
        raise BoxError(f"box {box.kind!r} is shorter than its fields; the file is damaged")
    (count,) = struct.unpack_from(">I", box.payload, 4)
    if len(box.payload) != 8 + width * count:
        raise BoxError(f"box {box.kind!r} says {count} entries in {len(box.payload)} bytes; the file is damaged")
    return struct.unpack_from(f">{count}{code}", box.payload, 8)
