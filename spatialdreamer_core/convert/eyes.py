"""Both eyes of every frame of a segment: decode, depth, warp and fill, as a stream with a bounded window.

Nothing here remembers more than the window, and the window counts from the start of the shot, so a segment gives
the same bytes wherever its shot was cut.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.convert.plan import SourcePlan
from spatialdreamer_core.convert.small import small_grey, small_rgb, small_size
from spatialdreamer_core.convert.source_depth import frame_offset
from spatialdreamer_core.depth.edges import snap_edges
from spatialdreamer_core.depth.guided import sharpen_depth
from spatialdreamer_core.depth.keys import KeyPlan
from spatialdreamer_core.depth.protocol import DepthEstimator
from spatialdreamer_core.depth.stabilise import DepthStabiliser
from spatialdreamer_core.flow.dis import FlowEstimator, half_size_flow
from spatialdreamer_core.geometry.disparity import disparity_from_inverse_depth
from spatialdreamer_core.geometry.fill import Filled, fill_and_tell
from spatialdreamer_core.geometry.fringes import open_fringes
from spatialdreamer_core.geometry.holes import hole_pixels
from spatialdreamer_core.geometry.reveal import Reveal
from spatialdreamer_core.geometry.splat import close_cracks, forward_map, resample
from spatialdreamer_core.geometry.upsample import upsample_disparity
from spatialdreamer_core.refine.choose import paints_borders
from spatialdreamer_core.refine.paste import paste
from spatialdreamer_core.refine.protocol import RefineFrame, Refiner, RefineShot
from spatialdreamer_core.video.decode import decode
from spatialdreamer_core.video.frames import Frame, PixelFormat
from spatialdreamer_core.video.segments import Segment

REVEAL_FRAMES = 4
"""How far away, in frames, a key must be at least to be asked for the background that it may show."""
WINDOW_BYTES = 1 << 30
"""Full-size frames held at once stay below this; larger pictures go without neighbours."""


@dataclass(frozen=True, slots=True)
class StereoFrame:
    """One frame's two eyes and what they were made from.

    Attributes:
        index: Frame of the source, in its scan.
        left: The source, untouched.
        right: The made eye.
        source_x: [H, W] float32, the column of ``left`` that each pixel of ``right`` shows; NaN where it was filled.
        hole_share: Part of ``right`` that was filled, in [0, 1].
        inverse_depth: [h, w] float32 in [0, 1], 1 nearest.
        disparity: [h, w] float32, pixels of the full width.
        small_grey: [h, w] uint8 luma of the source.
        refined_share: Part of ``right`` that a network painted, in [0, 1].
    """

    index: int
    left: Frame
    right: Frame
    source_x: NDArray[np.float32]
    hole_share: float
    inverse_depth: NDArray[np.float32]
    disparity: NDArray[np.float32]
    small_grey: NDArray[np.uint8]
    refined_share: float = 0.0


class _Made(NamedTuple):
    """A frame on its way to the refiner: what comes out if nobody paints, and what the refiner is shown."""

    stereo: StereoFrame
    filled: Filled


@dataclass(frozen=True, slots=True)
class DeepFrame:
    """A frame with its steady depth, before its other eye is made; see ``StereoFrame``.

    ``flows`` are those of ``StabilisedDepth``, by frame of the source instead of the shot.
    """

    index: int
    frame: Frame
    inverse_depth: NDArray[np.float32]
    disparity: NDArray[np.float32]
    grey: NDArray[np.uint8]
    flows: Mapping[int, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class EyeMaker:
    """Makes the eyes of one segment.

    Attributes:
        plan: Of the source.
        segment: Which frames.
        config: Settings.
        estimator: Depth.
        flow: Optical flow.
        pixel_format: Working format.
        clock: Counts the time of each stage.
        refiner: Paints holes after the fill, if the plan says so of this shot.
    """

    plan: SourcePlan
    segment: Segment
    config: ConvertConfig
    estimator: DepthEstimator
    flow: FlowEstimator
    pixel_format: PixelFormat
    clock: StageClock
    refiner: Refiner | None = None

    @property
    def looks_around(self) -> bool:
        """Whether background that other frames of the shot reveal is used: memory may not do for very large frames."""
        if not self.config.fill.temporal or self.config.fill.name != "background":
            return False
        video = self.plan.info.video
        frame_bytes = video.width * video.height * 1.5 * (self.pixel_format.bits // 8 or 1)
        return frame_bytes * (REVEAL_FRAMES + 5 * self.config.depth.key_interval) <= WINDOW_BYTES

    @property
    def _keys(self) -> KeyPlan:
        return KeyPlan(self.segment.shot_end - self.segment.shot_start, self.config.depth.key_interval)

    def _ways(self, index: int) -> list[tuple[int, ...]]:
        """Where frame ``index`` looks for background: the frames on the way there from itself to a key on each side.

        The way goes by the key beside the frame, since the depth has needed those flows already.
        """
        if not self.looks_around:
            return []
        origin, keys = self.segment.shot_start, self._keys
        beside = [origin + keys.key(number) for number in keys.around(index - origin)]
        ways: list[tuple[int, ...]] = []
        for there in (origin + key for key in keys.apart(index - origin, REVEAL_FRAMES)):
            by = beside[there > index]
            ways.append((index, there) if by in (index, there) else (index, by, there))
        return ways

    @property
    def _refines(self) -> Refiner | None:
        return self.refiner if self.plan.shots[self.segment.shot].refined else None

    @property
    def _span(self) -> tuple[int, int]:
        """Frames [first, stop) of the source whose right eye is made: the segment's, and those the refiner looks at."""
        segment = self.segment
        if (refiner := self._refines) is None:
            return segment.start, segment.end
        origin = segment.shot_start
        first, stop = refiner.span(segment.shot_end - origin, segment.start - origin, segment.end - origin)
        return origin + first, origin + stop

    def stereo_frames(self) -> Iterator[StereoFrame]:
        """Give the segment's frames in order, both eyes each."""
        refiner = self._refines
        given = self.segment.start
        for stereo in (made.stereo for made in self._made()) if refiner is None else self._refined(refiner):
            yield stereo
            given += 1
        assert given == self.segment.end, f"{given} of {self.segment.end} frames made"

    def _made(self) -> Iterator[_Made]:
        """The frames of the span, filled."""
        window: dict[int, DeepFrame] = {}
        next_out, end = self._span
        ways = self._ways(next_out)
        for deep in self.deep_frames():
            window[deep.index] = deep
            while next_out < end and deep.index >= max([next_out, *(way[-1] for way in ways)]):
                yield self._make(window, ways, next_out)
                next_out += 1
                ways = self._ways(next_out)
                window = {index: one for index, one in window.items() if self._still_needed(index, next_out)}

    def _still_needed(self, index: int, next_out: int) -> bool:
        """Whether a frame is to come, or is a key in which one to come looks."""
        origin, interval = self.segment.shot_start, self.config.depth.key_interval
        frame, oldest = index - origin, next_out - origin - REVEAL_FRAMES
        return index >= next_out or (frame % interval == 0 and frame >= oldest // interval * interval)

    def _refined(self, refiner: Refiner) -> Iterator[StereoFrame]:
        """The segment's frames, with holes that the refiner painted."""
        segment, origin = self.segment, self.segment.shot_start
        waiting: dict[int, tuple[StereoFrame, RefineFrame]] = {}
        shot = self._refine_shot()
        stream = refiner.open(shot, segment.start - origin, segment.end - origin)
        for stereo, filled in self._made():
            frame = RefineFrame(
                stereo.index - origin, stereo.left, stereo.right, stereo.source_x, filled.runs, filled.revealed
            )
            if segment.start <= stereo.index < segment.end:
                waiting[frame.index] = stereo, frame
            with self.clock.stage("refine"):
                painted = list(stream.push(frame))
            for done in painted:
                with self.clock.stage("refine"):
                    kept, shown = waiting.pop(done.index)
                    pasted = paste(shown, done, shot.colour, borders=shot.borders)
                yield replace(kept, right=pasted.frame, refined_share=pasted.share)

    def _refine_shot(self) -> RefineShot:
        video, segment, shot = self.plan.info.video, self.segment, self.plan.shots[self.segment.shot]
        return RefineShot(
            segment.shot_end - segment.shot_start,
            video.width,
            video.height,
            self.pixel_format,
            video.colour,
            shot.stereo.strength_pct,
            shot.stereo.convergence,
            shot.geometric,
            self.config.refine.deviation,
            paints_borders(self.config.refine, self.config.quality),
        )

    def deep_frames(self) -> Iterator[DeepFrame]:
        """Depth of the frames of the span, and of the keys beside it in which the fill looks."""
        segment, stereo = self.segment, self.plan.shots[self.segment.shot].stereo
        stabiliser = DepthStabiliser(
            self.estimator,
            self.flow,
            self.plan.shots[segment.shot].depth_range,
            shot_length=segment.shot_end - segment.shot_start,
            key_interval=self.config.depth.key_interval,
            wanted=self._wanted(),
            shot_start=frame_offset(self.plan.info, self.plan.scan) + segment.shot_start,
            reach=self.config.depth.blend_keys,
            sharpen=snap_edges if self.config.depth.import_from else sharpen_depth,
        )
        size, colour = self._small_size, self.plan.info.video.colour
        blank = np.zeros((size[1], size[0], 3), np.uint8)  # where nobody looks at colours
        frames: dict[int, Frame] = {}
        for index, frame in self._decoded(stabiliser.first_needed, stabiliser.end_needed):
            with self.clock.stage("shrink"):
                grey = small_grey(frame, size)
                rgb = small_rgb(frame, size, colour) if stabiliser.needs_colour(index) else blank
            frames[index] = frame
            with self.clock.stage("depth"):
                steady = stabiliser.push(index, rgb, grey, self._seconds(segment.shot_start + index))
            for depth in steady:
                with self.clock.stage("depth"):
                    disparity = disparity_from_inverse_depth(
                        depth.inverse_depth,
                        strength_pct=stereo.strength_pct,
                        convergence=stereo.convergence,
                        width_px=self.plan.info.video.width,
                    )
                kept = frames.pop(depth.index)
                frames = {i: frame for i, frame in frames.items() if i > depth.index}  # the lead-in is spent
                yield DeepFrame(
                    segment.shot_start + depth.index, kept, depth.inverse_depth, disparity, depth.small_grey,
                    {segment.shot_start + other: flow for other, flow in depth.flows.items()},
                )  # fmt: skip
        stabiliser.finish()

    def _wanted(self) -> list[int]:
        """Frames of the shot whose depth is wanted."""
        origin, (start, stop) = self.segment.shot_start, self._span
        ends = [way[-1] for index in (start, stop - 1) for way in self._ways(index)]
        first, last = min([start, *ends]) - origin, max([stop - 1, *ends]) - origin
        beside = [key for key in self._keys.key_frames() if first <= key <= last]
        return sorted({*beside, *range(start - origin, stop - origin)})

    def _decoded(self, first: int, end: int) -> Iterator[tuple[int, Frame]]:
        """(index in the shot, frame) of the shot's frames [first, end)."""
        start = self.segment.shot_start
        source, scan = self.plan.info, self.plan.scan
        frames = decode(
            source.uri,
            source,
            self.pixel_format,
            scan.pts,
            start + first,
            start + end,
            counted_from=scan.counted_from,
        )
        for index in range(first, end):
            with self.clock.stage("decode"):
                frame = next(frames)
            yield index, frame

    def _make(self, window: dict[int, DeepFrame], ways: list[tuple[int, ...]], index: int) -> _Made:
        here, bits = window[index], self.pixel_format.bits
        with self.clock.stage("warp"):
            guide = here.grey if bits == 8 else here.grey.astype(np.uint16) << np.uint16(bits - 8)
            disparity = upsample_disparity(here.disparity, guide, here.frame.y)
            source_x = close_cracks(forward_map(disparity))
            warped = resample(here.frame, source_x)
            runs = open_fringes(warped, source_x)
        with self.clock.stage("flow"):
            reveals = [self._reveal([window[frame] for frame in way]) for way in ways]
        with self.clock.stage("fill"):
            filled = fill_and_tell(warped, source_x, self.config.fill, reveals, runs)
        hole_share = hole_pixels(filled.runs) / source_x.size
        stereo = StereoFrame(
            index, here.frame, filled.frame, source_x, hole_share, here.inverse_depth, here.disparity, here.grey
        )
        return _Made(stereo, filled)

    def _reveal(self, way: list[DeepFrame]) -> Reveal:
        """What a key shows, and the flows to it; where the depth has not needed them, one to the key itself."""
        here, there = way[0], way[-1]
        flows = [one.flows.get(other.index) for one, other in pairwise(way)]
        known = [flow for flow in flows if flow is not None]
        if len(known) < len(flows):
            known = [half_size_flow(self.flow, here.grey, there.grey)]
        return Reveal(there.frame, there.disparity, known)

    @property
    def _small_size(self) -> tuple[int, int]:
        video = self.plan.info.video
        return small_size(video.width, video.height, self.config.depth.width, video.sample_aspect)

    def _seconds(self, index: int) -> float:
        video = self.plan.info.video
        return float(self.plan.scan.pts[index] * video.time_base)
