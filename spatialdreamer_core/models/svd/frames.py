"""Which frames are worked on together: windows of a shot, tiles of a picture, and who interacts with whom.

All of it follows from the place in the shot or picture alone, so a shot that is cut gives the same windows.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.errors import ConfigError


class Span(NamedTuple):
    """[start, stop) along time, rows or columns."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Spans(Sequence[Span]):
    """Spans of one size that cover [0, length) evenly; made when asked for, so a film of a million frames is cheap.

    Attributes:
        length: What is covered.
        size: Of every span.
        gaps: One less than there are spans.
        unit: Starts are multiples of this.
    """

    length: int
    size: int
    gaps: int
    unit: int = 1

    def __len__(self) -> int:
        return self.gaps + 1

    def __getitem__(self, index: int) -> Span:  # type: ignore[override]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        if not self.gaps:
            return Span(0, self.size)
        start = (self.length - self.size) // self.unit * (index % len(self)) // self.gaps * self.unit
        return Span(start, start + self.size)

    def touching(self, start: int, end: int) -> range:
        """The numbers of the spans that share a place with [start, end)."""
        first = bisect_right(self, start, key=lambda span: span.stop)
        return range(first, bisect_left(self, end, key=lambda span: span.start))


def overlapping_spans(length: int, size: int, overlap: int, unit: int = 1) -> Spans:
    """Cover [0, length) evenly with spans of ``size`` that share at least ``overlap`` with the next.

    Args:
        length: To be covered; no more than ``size`` gives one span.
        size: Of a span.
        overlap: Least share of two neighbours.
        unit: Starts are multiples of this; so must be ``length``, ``size`` and ``overlap``.

    Raises:
        ConfigError: If the overlap is not smaller than the size.
    """
    if not 0 <= overlap < size:
        raise ConfigError(f"an overlap of {overlap} does not fit windows or tiles of {size}; give a smaller one")
    gaps = -(-max(length - size, 0) // unit // ((size - overlap) // unit))
    return Spans(length, min(length, size), gaps, unit)


def feather(spans: Sequence[Span], index: int) -> NDArray[np.float32]:
    """Weights in (0, 1] of a span's places: 1 inside, falling in a line where it shares with the span before or after.

    Where just two spans share, their weights add up to 1; in general they are to be divided by their sum.
    """
    span = spans[index]
    weights = np.ones(span.stop - span.start, np.float32)
    if index > 0:
        weights[: spans[index - 1].stop - span.start] *= _ramp(spans[index - 1].stop - span.start)
    if index + 1 < len(spans):
        weights[spans[index + 1].start - span.start :] *= _ramp(span.stop - spans[index + 1].start)[::-1]
    return weights


def _ramp(count: int) -> NDArray[np.float32]:
    return np.arange(1, count + 1, dtype=np.float32) / np.float32(count + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionConfig:
    """Temporal interaction of the reference view's frames (TIL).

    Attributes:
        own_share: The paper's lambda, in [0, 1]: share of a frame's own attention; 1 switches the interaction off.
        neighbours: Distances of neighbouring frames, both signs; only those of the same window are asked.
        key_step: Every so many frames of the shot one is a key frame, the distant ones that are asked.
        keys: How many of the nearest key frames are asked, at most 2: one before and one after.
    """

    own_share: float = 0.7
    neighbours: tuple[int, ...] = (-1, 1)
    key_step: int = 16
    keys: int = 2

    def __post_init__(self) -> None:
        if not 0 <= self.own_share <= 1:
            raise ConfigError(f"own_share must lie in [0, 1], got {self.own_share:g}")
        if 0 in self.neighbours or len(set(self.neighbours)) != len(self.neighbours):
            raise ConfigError(f"neighbours must be different distances other than 0, got {self.neighbours}")
        if self.key_step < 1 or not 0 <= self.keys <= 2:
            raise ConfigError(f"key_step must be at least 1 and keys 0 to 2, got {self.key_step} and {self.keys}")


@dataclass(frozen=True, slots=True)
class Meeting:
    """The frames of the reference view that one window needs.

    Attributes:
        frames: Of the shot: the window's, then the key frames outside it, at most two.
        partners: For each of them, places in ``frames`` of those it is joined with.
    """

    frames: tuple[int, ...]
    partners: tuple[tuple[int, ...], ...]


def meeting(window: Span, length: int, config: InteractionConfig) -> Meeting:
    """Choose who is joined with whom in a window of a shot of ``length`` frames.

    A key frame from outside the window is only asked; itself it is not joined, for its partners are not held.
    """
    inside = range(window.start, window.stop)
    asked = {frame: _asked(frame, window, length, config) for frame in inside}
    outside = sorted({other for others in asked.values() for other in others if other not in inside})
    frames = (*inside, *outside)
    place = {frame: index for index, frame in enumerate(frames)}
    partners = tuple(tuple(place[other] for other in asked.get(frame, ())) for frame in frames)
    return Meeting(frames, partners)


def _asked(frame: int, window: Span, length: int, config: InteractionConfig) -> tuple[int, ...]:
    near = [frame + step for step in config.neighbours if window.start <= frame + step < window.stop]
    before = (frame - 1) // config.key_step * config.key_step if frame else -1
    after = (frame // config.key_step + 1) * config.key_step
    far = [key for key in (before, after) if 0 <= key < length]
    far = sorted(far, key=lambda key: abs(key - frame))[: config.keys]
    return tuple(dict.fromkeys([*near, *far]))


def window_reach(length: int, start: int, end: int, windows: Spans, config: InteractionConfig) -> Span:
    """The frames that painting [start, end) needs: its windows and the key frames that those ask."""
    needed = [
        frame for number in windows.touching(start, end) for frame in meeting(windows[number], length, config).frames
    ]
    return Span(min(needed), max(needed) + 1)
