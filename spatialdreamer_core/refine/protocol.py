"""What a refiner takes and gives; both sizes of the network keep to this, and convert knows nothing else of them.

A refiner sees the frames of a shot in order, each with its made eye already filled, and gives colours for places in
it. It never writes into a frame: ``paste`` does, inside the holes only, matched to their rims.

**Segment invariance.** What a refiner gives for a frame may depend on the shot (``RefineShot``) and on a bounded
window of its frames that is counted from the start of the shot; never on where a segment begins, on what was pushed
before that window, on a batch, or on how much memory there is. A centred window (t - r .. t + r, cut at the ends of
the shot) has that property, and so have windows [k * step, k * step + length) counted from the shot's first frame
whose overlaps are blended by frame number, with noise drawn from the frame number. Too little memory is an error
before the work starts, never a smaller window.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.geometry.holes import HoleRuns
from spatialdreamer_core.video.frames import Frame, PixelFormat
from spatialdreamer_core.video.source import ColourInfo

LEAST_HOLE_PX = 4
"""Narrower hole runs keep the classical fill: their rims say what is between them."""


@dataclass(frozen=True, slots=True)
class RefineShot:
    """What a refiner knows of a shot before its frames come.

    Attributes:
        length: Frames of the shot.
        width: Luma columns of one eye.
        height: Luma rows.
        format: Of the planes.
        colour: Decides matrix and range: ``video.colour.rgb_matrix(format.bits, colour, height)``.
        strength_pct: Disparity from inverse depth 0 to 1, percent of the width.
        convergence: Inverse depth that lands on the screen.
        geometric: Geometric deviation strength: median size of the disparity over the shot, as a share of the width.
        deviation: Deviation strength that the user set, in the refiner's own measure; None takes what the refiner
            computes (``mini``: ``geometric``).
        borders: Whether holes that touch the left or right side of the picture are wanted; patches may cover them
            anyway, ``paste`` leaves them out.
    """

    length: int
    width: int
    height: int
    format: PixelFormat
    colour: ColourInfo
    strength_pct: float
    convergence: float
    geometric: float
    deviation: float | None = None
    borders: bool = True


@dataclass(frozen=True, slots=True)
class RefineFrame:
    """One frame with its made (right) eye, filled the classical way. Nobody writes into it.

    Attributes:
        index: Frame of the shot, from 0.
        left: The source.
        right: The made eye; its holes hold the classical fill, and real background that neighbours revealed.
        source_x: [H, W] float32, the column of ``left`` that each pixel of ``right`` shows; NaN in holes. Disparity of
            a seen pixel, in pixels and larger for nearer: ``source_x - column``.
        holes: The NaNs of ``source_x`` as runs, with the side and the disparity of the background behind each.
        revealed: [P] float32 in [0, 1], over the pixels of ``holes`` run after run: how far what stands there is real
            background from a neighbouring frame. It is kept by that share.
    """

    index: int
    left: Frame
    right: Frame
    source_x: NDArray[np.float32]
    holes: HoleRuns
    revealed: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Patch:
    """Colours for a place in the made eye. Where patches overlap, their weighted mean counts.

    Attributes:
        row: Luma row of the patch's first row; the patch lies within the picture.
        column: Luma column of its first column.
        rgb: [3, h, w] float32, non-linear RGB as the frame's own matrix gives it, 0 black to 1 white; finite.
        weight: [h, w] float32 >= 0; 0 where the patch says nothing.
    """

    row: int
    column: int
    rgb: NDArray[np.float32]
    weight: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.rgb.ndim != 3 or self.rgb.shape[0] != 3 or self.rgb.dtype != np.float32:
            raise ValueError(f"a patch must be float32 [3, h, w], got {self.rgb.dtype} {list(self.rgb.shape)}")
        if self.weight.shape != self.rgb.shape[1:] or self.weight.dtype != np.float32:
            raise ValueError(
                f"weights must be float32 {list(self.rgb.shape[1:])} like the patch, "
                f"got {self.weight.dtype} {list(self.weight.shape)}"
            )


@dataclass(frozen=True, slots=True)
class Earned:
    """What a painting that is softer than the fill has to bring to show; 8-bit levels of luma, means around a pixel.

    Attributes:
        differing: Difference from the fill up to which nothing of it shows, and from which all does.
        steps: Steps of the fill from pixel to pixel, across and down together, from which on all of it shows; less in
            proportion where the fill is flat.
    """

    differing: tuple[float, float]
    steps: float


@dataclass(frozen=True, slots=True)
class Painted:
    """What a refiner has to say about one frame.

    Attributes:
        index: Frame of the shot.
        patches: Colours; none where the frame keeps its fill.
        share: How much of them shows, in [0, 1]; the rest stays the classical fill.
        earned: What has to be so for ``share`` of them to show; None shows it everywhere.
    """

    index: int
    patches: tuple[Patch, ...]
    share: float = 1.0
    earned: Earned | None = None


class RefineStream(Protocol):
    """Paints a run of frames [start, end) of one shot, for which it is shown those of ``Refiner.span``."""

    def push(self, frame: RefineFrame) -> Iterable[Painted]:
        """Take the next frame of the span; give what is ready of [start, end), in order.

        After the last frame of the span every frame of [start, end) has been given, once. A stream keeps no more than
        its window.

        Raises:
            RefineError: If the network gives no finite colours, or the device fails.
        """
        ...


@runtime_checkable
class Refiner(Protocol):
    """Loads its weights once, in ``__init__``, where everything is refused that cannot work.

    Attributes:
        name: For people and the manifest: ``mini`` or ``svd``.
        digest: Of weights, code version and settings that change bytes: the same digest, the same colours.
    """

    name: str
    digest: str

    def span(self, length: int, start: int, end: int) -> tuple[int, int]:
        """Frames [first, stop) of a shot of ``length`` frames that painting [start, end) needs; holds [start, end)."""
        ...

    def open(self, shot: RefineShot, start: int, end: int) -> RefineStream:
        """Begin to paint frames [start, end) of a shot.

        Raises:
            RefineError: If pictures of this size cannot be painted.
        """
        ...
