"""What is known of a source file before any work: the result of probing and scanning it, as plain data."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ColourInfo:
    """Colour description by FFmpeg's integer codes (ITU-T H.273); 2 means unspecified.

    Attributes:
        range: 0 unspecified, 1 limited (16..235), 2 full.
        primaries: 1 = BT.709, 9 = BT.2020, ...
        transfer: 1 = BT.709, 16 = PQ, 18 = HLG, ...
        matrix: 1 = BT.709, 5/6 = BT.601, 9 = BT.2020 non-constant, ...
        chroma_location: FFmpeg's AVChromaLocation; 0 unspecified, 1 left.
        mastering_display: HDR10 mastering display as x265's text ``G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)``, or None.
        content_light: HDR10 (MaxCLL, MaxFALL) in cd/m2, or None.
    """

    range: int = 0
    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    chroma_location: int = 0
    mastering_display: str | None = None
    content_light: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One stream of a source that is not the picture we convert.

    Attributes:
        index: Stream index in the container.
        kind: ``video``, ``audio``, ``subtitle``, ``data`` or ``attachment``.
        codec: FFmpeg's codec name, empty where unknown.
        language: ISO 639 code from the tags, or empty.
        title: Title from the tags, or empty.
    """

    index: int
    kind: str
    codec: str
    language: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The video stream that is converted; sizes are as shown (after rotation).

    Attributes:
        index: Stream index in the container.
        codec: FFmpeg's codec name.
        width: Columns as shown, in the samples' own aspect.
        height: Rows as shown.
        rotation: Degrees counter-clockwise that decoding applies to show the picture upright: 0, 90, 180 or 270.
        sample_aspect: Width of a sample over its height, as shown (after rotation).
        pixel_format: FFmpeg's name of the coded format.
        bits: Bits per sample of the coded format.
        interlaced: Whether the first pictures are flagged interlaced.
        time_base: Seconds per tick of the stream.
        average_rate: Pictures per second on average.
        start_pts: pts of the first picture, ticks.
        colour: Colour description and HDR10 data.
        stereo: FFmpeg's stereo type where the source says that it is already stereo, else empty.
    """

    index: int
    codec: str
    width: int
    height: int
    rotation: int
    sample_aspect: Fraction
    pixel_format: str
    bits: int
    interlaced: bool
    time_base: Fraction
    average_rate: Fraction
    start_pts: int
    colour: ColourInfo
    stereo: str = ""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """One source file, probed.

    Attributes:
        uri: Where it was read: a path or an fsspec URL.
        source_id: Identity by content (size and hash of head, middle and tail), 16 hex digits; not the path.
        container: FFmpeg's format name.
        bytes: Size of the file.
        duration_s: Length in seconds, 0 where the container does not say.
        video: The stream to convert.
        others: Every other stream.
        chapters: Number of chapters.
        notes: Things a user should know, one sentence each (a second video stream is left out, ...).
    """

    uri: str
    source_id: str
    container: str
    bytes: int
    duration_s: float
    video: VideoInfo
    others: tuple[StreamInfo, ...]
    chapters: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SourceScan:
    """What one pass over all pictures tells.

    Attributes:
        pts: [N] int64, strictly increasing presentation times in ticks.
        shot_starts: [S] int64, frame index where each shot begins; the first is 0.
        decode_errors: Packets that the decoder refused; the pictures around them are gone.
        timestamps_made: Whether times were missing and have been made from the frame rate.
        letterbox: (top, bottom, left, right) black bars in samples, the same for the whole file; zeros if none.
        notes: Things a user should know, one sentence each.
        skipped: Pictures of the file before ``pts[0]``; decoding by count needs it where times have been made.
    """

    pts: NDArray[np.int64]
    shot_starts: NDArray[np.int64]
    decode_errors: int
    timestamps_made: bool
    letterbox: tuple[int, int, int, int]
    notes: tuple[str, ...] = ()
    skipped: int = 0

    @property
    def counted_from(self) -> int | None:
        """What ``decode`` needs to count pictures from the start of the file; None where their times can be trusted."""
        return self.skipped if self.timestamps_made else None
