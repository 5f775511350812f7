"""Cut shots into the segments that workers take."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of frames of one shot: what a worker takes, what is retried, what a manifest row describes.

    Attributes:
        index: Number of the segment in the file.
        shot: Number of its shot.
        shot_start: First frame of the shot.
        shot_end: Frame after the shot's last.
        start: First frame of the segment.
        end: Frame after the segment's last.
    """

    index: int
    shot: int
    shot_start: int
    shot_end: int
    start: int
    end: int

    @property
    def frames(self) -> int:
        """Number of frames."""
        return self.end - self.start


def plan_segments(
    shot_starts: Sequence[int] | NDArray[np.int64], frames: int, segment_frames: int, key_interval: int
) -> list[Segment]:
    """Cut shots that are longer than ``segment_frames`` into nearly equal parts.

    Parts begin on multiples of ``key_interval`` counted from the start of their shot, so that cutting moves no key
    frame. Every frame lies in exactly one segment and no segment is longer than ``segment_frames`` (or one key
    interval, where that is longer).

    Args:
        shot_starts: [S] first frame of each shot, increasing, beginning with 0.
        frames: Number of frames of the file.
        segment_frames: Longest segment.
        key_interval: Frames from key frame to key frame.

    Returns:
        Segments in order; none for a file without frames.

    Raises:
        ValueError: If the shot starts are not increasing from 0 to below ``frames``, or a number is not positive.
    """
    if segment_frames < 1 or key_interval < 1:
        raise ValueError(f"segment frames ({segment_frames}) and key interval ({key_interval}) must be at least 1")
    starts = [int(start) for start in shot_starts]
    bounds = [*starts, frames]
    increasing = all(a < b for a, b in pairwise(bounds))
    if frames and (not starts or starts[0] != 0 or not increasing):
        raise ValueError(f"shot starts must increase from 0 to below {frames}, got {starts[:8]}")
    segments: list[Segment] = []
    for shot, (start, end) in enumerate(zip(starts, bounds[1:], strict=True)):
        cuts = [start + offset for offset in _cuts(end - start, segment_frames, key_interval)]
        for part_start, part_end in zip(cuts, [*cuts[1:], end], strict=True):
            segments.append(Segment(len(segments), shot, start, end, part_start, part_end))
    return segments


def _cuts(length: int, longest: int, key_interval: int) -> list[int]:
    """Give the starts of the parts of one shot, in whole key intervals, as even as those allow."""
    intervals = -(-length // key_interval)
    parts = -(-intervals // max(1, longest // key_interval))
    return [intervals * part // parts * key_interval for part in range(parts)]
