"""Steady depth over time: one range per shot, keys aligned and blended with their neighbours, flow between the keys.

Everything is a finite window around a frame and counts from the start of the shot, so a shot cut into segments gives
the same bytes as the whole shot, provided each segment is fed all frames from ``first_needed`` to ``end_needed``.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.depth.carry import FlowLink, blend_key, carry, link_forward, link_pictures
from spatialdreamer_core.depth.keys import MAX_REACH, KeyPlan
from spatialdreamer_core.depth.normalise import DepthRange, normalise, scale, shot_range, soft_clip
from spatialdreamer_core.depth.protocol import DepthEstimator, DepthRequest, estimate, uses_partner
from spatialdreamer_core.flow.dis import FlowEstimator

__all__ = ["DepthRange", "DepthStabiliser", "KeyPlan", "StabilisedDepth", "carry", "normalise", "shot_range"]

Sharpener = Callable[[NDArray[np.float32], NDArray[np.uint8]], NDArray[np.float32]]
"""Takes [h, w] inverse depth and its [h, w, 3] picture, gives [h, w] inverse depth."""

WEIGHTS = (3.0, 2.0, 1.0)
"""Weight in the blend of a key itself and of the keys one and two away."""


@dataclass(frozen=True, slots=True)
class StabilisedDepth:
    """One frame's steady depth, with the small pictures it belongs to.

    Attributes:
        index: Frame in the shot, from 0.
        inverse_depth: [h, w] float32 in [0, 1], 1 nearest.
        small_rgb: [h, w, 3] uint8, as it was pushed.
        small_grey: [h, w] uint8, as it was pushed.
        flows: By frame of the shot: [h', w', 2] float32 flow from this frame to that one, in pixels of its own grid,
            dx first; to the keys beside it, and from a key to those that it was blended with.
    """

    index: int
    inverse_depth: NDArray[np.float32]
    small_rgb: NDArray[np.uint8]
    small_grey: NDArray[np.uint8]
    flows: Mapping[int, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Small:
    rgb: NDArray[np.uint8]
    grey: NDArray[np.uint8]
    pts_s: float


class DepthStabiliser:
    """Take the small frames of one shot, or of a segment of it, in order; give steady depth with bounded delay.

    Make one per segment: nothing crosses a cut. The estimator gets one picture at a time, so that batching cannot
    change bits; only keys that the wanted frames need are estimated. Holds the small frames of at most
    ``2 * (reach + 1)`` key intervals and of twice the way to a key's partner.
    """

    def __init__(
        self,
        estimator: DepthEstimator,
        flow: FlowEstimator,
        depth_range: DepthRange,
        *,
        shot_length: int,
        key_interval: int,
        wanted: Sequence[int] | None = None,
        shot_start: int = 0,
        reach: int = MAX_REACH,
        half_flow: bool = True,
        sharpen: Sharpener | None = None,
    ) -> None:
        """Prepare for a shot.

        Args:
            estimator: Estimates (or imports) the keys.
            flow: Carries depth between them.
            depth_range: Of the whole shot, from ``shot_range``.
            shot_length: Frames in the whole shot.
            key_interval: K; 1 makes every frame a key.
            wanted: Frames of the shot to give, ascending; None gives all.
            shot_start: Number of the shot's first frame in the source file.
            reach: Keys on each side that a key is blended with; 0 leaves keys as they come, for depth that is steady
                already.
            half_flow: Whether flow is found at half the pictures' size.
            sharpen: Brings a steady key's depth edges onto its picture's, before flow carries it on; None leaves
                them.

        Raises:
            ValueError: If the wanted frames are none, not ascending or not the shot's.
        """
        self.plan = KeyPlan(shot_length, key_interval, reach, uses_partner(estimator))
        self._estimator, self._flow, self._range = estimator, flow, depth_range
        self._wanted = deque(range(shot_length) if wanted is None else wanted)
        if not self._wanted or not all(a < b for a, b in pairwise((-1, *self._wanted, shot_length))):
            raise ValueError(f"frames {list(self._wanted)} of {shot_length}: wanted are some, ascending, of the shot")
        self._needed = self.plan.needed(self._wanted[0], self._wanted[-1] + 1)
        self._shot_start, self._half_flow, self._sharpen = shot_start, half_flow, sharpen
        self._coloured = {frame for key in self.plan.key_frames() for frame in (key, self.plan.partner(key))}
        self._next_in = self.first_needed
        self._frames: dict[int, _Small] = {}
        self._scaled: dict[int, NDArray[np.float32]] = {}  # by key frame
        self._smooth: dict[int, NDArray[np.float32]] = {}  # by key frame, in [0, 1]
        self._links: dict[tuple[int, int], FlowLink] = {}  # between key frames

    @property
    def first_needed(self) -> int:
        """The first frame of the shot to push."""
        return self._needed.start

    @property
    def end_needed(self) -> int:
        """The frame of the shot at which pushing ends (exclusive)."""
        return self._needed.stop

    def needs_colour(self, index: int) -> bool:
        """Tell whether a frame's colours are looked at: those of keys and of their partners are."""
        return index in self._coloured

    def push(
        self, index: int, small_rgb: NDArray[np.uint8], small_grey: NDArray[np.uint8], pts_s: float = 0.0
    ) -> list[StabilisedDepth]:
        """Take the next frame; give the frames that are now certain, in order.

        Args:
            index: Frame in the shot: ``first_needed``, then one after the other.
            small_rgb: [h, w, 3]; any colours will do where ``needs_colour`` says no.
            small_grey: [h, w].
            pts_s: Presentation time, seconds.

        Raises:
            ValueError: If a frame is left out or comes twice.
            DepthError: If the estimator fails or its depth is unusable.
        """
        if index != self._next_in:
            raise ValueError(f"frame {self._next_in} of the shot is due, got {index}")
        self._next_in += 1
        self._frames[index] = _Small(small_rgb, small_grey, pts_s)
        ready = []
        while self._wanted and self.plan.horizon(self._wanted[0]) <= index:
            ready.append(self._give(self._wanted.popleft()))
            self._forget()
        return ready

    def finish(self) -> None:
        """Check that every frame has been given.

        Raises:
            ValueError: If frames are still due because too few were pushed.
        """
        if self._wanted:
            raise ValueError(
                f"{len(self._wanted)} frames of the shot from {self._wanted[0]} on are not done: "
                f"pushed up to {self._next_in}, needed up to {self.end_needed}"
            )

    def _give(self, index: int) -> StabilisedDepth:
        frame = self._frames[index]
        before, after = self.plan.around(index)
        if before == after:
            depth = self._smooth_key(before)
            flows = {other: link.flow for (key, other), link in self._links.items() if key == index}
        else:
            a, b = self.plan.key(before), self.plan.key(after)
            to_a, to_b = self._link(index, a), self._link(index, b)
            depth = carry(
                self._smooth_key(before), self._smooth_key(after), to_a, to_b, (index - a) / (b - a), frame.grey
            )
            flows = {a: to_a.flow, b: to_b.flow}
        return StabilisedDepth(index, depth, frame.rgb, frame.grey, flows)

    def _smooth_key(self, number: int) -> NDArray[np.float32]:
        key = self.plan.key(number)
        if key not in self._smooth:
            neighbours = [
                (self._scaled_key(other), self._key_link(key, other), WEIGHTS[abs(near - number)])
                for near in self.plan.window(number)
                if (other := self.plan.key(near)) != key
            ]
            own = self._scaled_key(key)
            steady = soft_clip(blend_key(own, neighbours, WEIGHTS[0]) if neighbours else own)
            self._smooth[key] = self._sharpen(steady, self._frames[key].rgb) if self._sharpen else steady
        return self._smooth[key]

    def _scaled_key(self, key: int) -> NDArray[np.float32]:
        if key not in self._scaled:
            frame = self._frames[key]
            request = DepthRequest(
                pictures=frame.rgb[None],
                partners=self._frames[self.plan.partner(key)].rgb[None],
                frame_indices=np.array([self._shot_start + key], np.int64),
                pts_s=np.array([frame.pts_s], np.float64),
            )
            self._scaled[key] = scale(estimate(self._estimator, request)[0], self._range)
        return self._scaled[key]

    def _key_link(self, key: int, other: int) -> FlowLink:
        if (key, other) not in self._links:
            early, late = min(key, other), max(key, other)  # one order, so that a pair has the same bits from both ends
            there, back = link_pictures(
                self._flow, self._frames[early].grey, self._frames[late].grey, half=self._half_flow
            )
            self._links[early, late], self._links[late, early] = there, back
        return self._links[key, other]

    def _link(self, index: int, key: int) -> FlowLink:
        return link_forward(self._flow, self._frames[index].grey, self._frames[key].grey, half=self._half_flow)

    def _forget(self) -> None:
        if not self._wanted:
            return
        before = self.plan.around(self._wanted[0])[0]
        oldest_key = self.plan.key(self.plan.window(before).start)
        oldest_frame = self.plan.memory(self._wanted[0])
        self._frames = {i: frame for i, frame in self._frames.items() if i >= oldest_frame}
        self._scaled = {i: depth for i, depth in self._scaled.items() if i >= oldest_key}
        self._smooth = {i: depth for i, depth in self._smooth.items() if i >= self.plan.key(before)}
        self._links = {pair: link for pair, link in self._links.items() if min(pair) >= oldest_key}
