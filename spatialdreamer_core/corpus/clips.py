"""Cut shots into clips of one length."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.dvg.config import ClipsConfig
from spatialdreamer_core.errors import ShortClipError


@dataclass(frozen=True, slots=True)
class Clip:
    """A run of frames of one shot.

    Attributes:
        shot: Number of the shot in its source.
        start: First frame, counted in the source's scan.
        frames: How many.
        step: Source frames from one to the next.
    """

    shot: int
    start: int
    frames: int
    step: int

    @property
    def indices(self) -> range:
        """The frames of the source's scan that the clip holds."""
        return range(self.start, self.start + self.frames * self.step, self.step)

    @property
    def end(self) -> int:
        """The frame after the last."""
        return self.indices[-1] + 1


def cut_clips(shot_starts: Sequence[int] | NDArray[np.int64], frames: int, config: ClipsConfig) -> list[Clip]:
    """List the clips of a source, in order; none crosses a cut.

    A shot's clips begin at its start and every ``stride`` frames after; what is left at its end is spread over both
    ends of the shot, so that clips stay away from cuts, which detectors miss by a frame or two.

    Args:
        shot_starts: [S] first frame of each shot, increasing from 0.
        frames: Frames of the source.
        config: Length, step and stride.

    Returns:
        Clips; none for a shot that is too short.
    """
    clips, stride = [], config.stride or config.span
    bounds = [*(int(start) for start in shot_starts), frames]
    for shot, (start, end) in enumerate(pairwise(bounds)):
        free = end - start - config.span
        if free < 0:
            continue
        first = start + free % stride // 2
        clips += [
            Clip(shot, at, config.frames, config.frame_step) for at in range(first, end - config.span + 1, stride)
        ]
    return clips


def require_clips(name: str, clips: Sequence[Clip], frames: int, config: ClipsConfig) -> None:
    """Refuse a source without a clip.

    Raises:
        ShortClipError: If there is none.
    """
    if not clips:
        raise ShortClipError(
            f"{name}: no shot of its {frames} frame(s) is as long as a clip ({config.span} frames); "
            "lower the clip frames or the frame step"
        )
