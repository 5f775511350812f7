"""Where shots begin: hard cuts by PySceneDetect, dissolves and fades by our own test for a linear blend.

Everything looks at small pictures in a bounded window, so that a film of any length streams through.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray
from scenedetect import AdaptiveDetector, FrameTimecode

SMALL = (96, 54)
"""Columns and rows of the pictures that the detector wants; the aspect does not matter."""

MIN_SHOT_FRAMES = 8

_FINE = (64, 36)  # for comparing across a cut, with a search for motion
_COARSE = (32, 18)  # for the linear blend
_LOOK = 8  # pictures on each side of a candidate that are searched for the same scene (a flash has it on both)
_SAME_SCENE = 0.75  # correlation, after alignment, from which two pictures show the same scene
_ZOOMS = (1.0, 0.88, 0.77)  # how much nearer the camera may come between two pictures of one scene
_ZOOM_HANDICAP = 0.1  # small pieces are found by chance more often
_BLANK_STD = 4.0  # grey levels; less than this is black, white or any other flat picture
_DIM_SHARE = 0.6  # a picture with less than this share of the contrast before a fade belongs to the fade
_CONTENT_THRESHOLD = 27.0  # scenedetect's own default for ContentDetector
_DISSOLVE_S = (0.28, 0.4, 0.6, 0.85, 1.2, 1.7)  # tested lengths of a dissolve, seconds
_MIN_DISSOLVE_FRAMES = 6
_MIN_CHANGE = 12.0  # grey levels, root mean square over the picture, between the ends of a dissolve
_MAX_STEP = 0.45  # the blend's largest step from picture to picture; a hard cut steps by 1
_MAX_RESIDUAL = 0.5  # what the blend leaves unexplained, as a share of the ends' difference: room for motion
_MIN_DIP = 0.15  # share of contrast that blending these two ends must cost in the middle to be told from motion
_MAX_UNDIPPED = 0.35  # share of that cost that may be missing; motion leaves the contrast as it is, near 1


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of one picture."""

    index: int
    fine: NDArray[np.float32]  # [36, 64] luma
    coarse: NDArray[np.float32]  # [18 * 32] luma
    mean: float  # of the luma
    contrast: float  # standard deviation of the luma, grey levels

    @property
    def blank(self) -> bool:
        """Whether this is black, white or any other flat picture."""
        return self.contrast < _BLANK_STD


@dataclass(slots=True)
class _Dissolve:
    """The windows of the dissolve that is going on, as (change between the ends, picture in the middle)."""

    windows: list[tuple[float, int]]
    until: int


@dataclass(slots=True)
class _Fade:
    """A run of blank pictures and what it leads from.

    Attributes:
        start: The first blank picture.
        end: The first picture after the blank ones, once it is known.
        before: The picture of most contrast before it and the last one that has most of it.
        same: Whether what comes back is what went.
        divides: Whether another scene comes back.
    """

    start: int
    before: tuple[_Look, ...]
    end: int | None = None
    same: bool = False
    divides: bool = False


class _CutDetector(AdaptiveDetector):  # type: ignore[misc]  # scenedetect has no types
    """Both of scenedetect's tests on one score per picture, which is most of their work.

    A picture is a candidate where its change stands out from its neighbours' (adaptive) or is large (content).
    """

    def process_frame(self, timecode: FrameTimecode, frame_img: NDArray[np.uint8]) -> list[FrameTimecode]:
        """Take the next picture; gives the candidates that it settles."""
        cuts = list(super().process_frame(timecode, frame_img))
        if self._frame_score is not None and self._frame_score >= _CONTENT_THRESHOLD:
            cuts.append(timecode)
        return cuts


@dataclass(slots=True)
class ShotDetector:
    """Find shot starts in a stream of small pictures.

    Attributes:
        rate: Pictures per second, which sets how many pictures a dissolve may take.
        min_frames: Cuts nearer to each other than this become one.
    """

    rate: Fraction = Fraction(25)
    min_frames: int = MIN_SHOT_FRAMES
    _looks: deque[_Look] = field(init=False)
    _spans: tuple[int, ...] = field(init=False)
    _detector: "_CutDetector" = field(init=False)
    _candidates: list[int] = field(init=False, default_factory=list)
    _hard: list[int] = field(init=False, default_factory=list)
    _soft: list[int] = field(init=False, default_factory=list)
    _dissolve: _Dissolve | None = field(init=False, default=None)
    _fade: _Fade | None = field(init=False, default=None)
    _fades: list[_Fade] = field(init=False, default_factory=list)
    _contrasts: list[float] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        rate = float(min(max(self.rate, Fraction(1)), Fraction(120)))
        self._spans = tuple(sorted({max(_MIN_DISSOLVE_FRAMES, round(length * rate)) for length in _DISSOLVE_S}))
        self._looks = deque(maxlen=max(self._spans[-1] + 1, 2 * _LOOK + 2))
        # No minimal length inside the detectors: they would keep the first cut of a burst, not the true one.
        self._detector = _CutDetector(adaptive_threshold=3.0, min_scene_len=0, min_content_val=12.0, window_width=2)

    def push(self, index: int, bgr: NDArray[np.uint8]) -> None:
        """Take the next picture.

        Args:
            index: Its number; counts up by one from 0.
            bgr: [54, 96, 3] small picture.
        """
        luma = cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY).astype(np.float32)
        coarse: NDArray[np.float32] = np.ravel(cv2.resize(luma, _COARSE, interpolation=cv2.INTER_AREA))
        mean = float(coarse.mean())
        look = _Look(
            index=index,
            fine=np.asarray(cv2.resize(luma, _FINE, interpolation=cv2.INTER_AREA), np.float32),
            coarse=coarse,
            mean=mean,
            contrast=math.sqrt(max(0.0, float(coarse @ coarse) / coarse.size - mean * mean)),
        )
        self._looks.append(look)
        self._contrasts.append(look.contrast)
        timecode = FrameTimecode(index, fps=25.0)
        for cut in self._detector.process_frame(timecode, bgr):
            if cut.frame_num > 0 and cut.frame_num not in self._candidates:
                self._candidates.append(cut.frame_num)
        self._settle_candidates(upto=index - _LOOK + 1)
        self._watch_fade(look)
        self._watch_dissolve(look)

    def finish(self) -> NDArray[np.int64]:
        """Say where shots begin.

        Returns:
            [S] int64 increasing picture numbers; the first is 0 (empty if nothing was pushed).
        """
        count = len(self._contrasts)
        if not count:
            return np.zeros(0, np.int64)
        self._settle_candidates(upto=count)
        self._close_dissolve()
        hard, soft = self._hard, self._soft
        if self._fade is not None:
            self._fades.append(self._fade)
        for fade in self._fades:
            hard, soft = self._with_fade(fade, hard, soft)
        return np.array(_merge(hard, soft, count, self.min_frames), np.int64)

    def _settle_candidates(self, upto: int) -> None:
        for cut in sorted(self._candidates):
            if cut < upto:
                self._candidates.remove(cut)
                if self._is_cut(cut):
                    self._hard.append(cut)

    def _is_cut(self, cut: int) -> bool:
        """Tell a cut from a flash or a fast move: nothing before it may look like anything after it."""
        before = [look for look in self._looks if cut - _LOOK <= look.index < cut]
        after = [look for look in self._looks if cut <= look.index < cut + _LOOK]
        if not before or not after:
            return bool(after)
        if _same_scene(before[-1], after[0]):
            return False
        # One picture on either side may be a flash or a blend; the scene is the same if any later pair agrees.
        pairs = [(before[-1], look) for look in after[1:]] + [(look, after[0]) for look in before[:-1]]
        return not any(_same_scene(left, right) for left, right in pairs)

    def _watch_fade(self, look: _Look) -> None:
        """Note a fade out and in again if another scene comes back than went."""
        if look.blank:
            if self._fade is None:
                self._fade = _Fade(look.index, self._pictures_before_fade())
            self._fade.end = None
            return
        fade = self._fade
        if fade is None:
            return
        if fade.end is None:
            fade.end = look.index
        if any(look.contrast > _DIM_SHARE * past.contrast and _same_scene(past, look) for past in fade.before):
            fade.same = True
        rising = look.contrast > self._contrasts[look.index - 1] * 1.02
        if (rising or look.index < fade.end + 3) and look.index < fade.end + self._spans[-1]:
            return  # wait until the new scene has come up
        self._fade = None
        fade.divides = bool(fade.before) and not fade.same and not any(_same_scene(p, look) for p in fade.before)
        self._fades.append(fade)

    def _pictures_before_fade(self) -> tuple[_Look, ...]:
        seen = [past for past in self._looks if not past.blank]
        if not seen:
            return ()
        clearest = max(seen, key=lambda past: past.contrast)
        latest = [past for past in seen if past.contrast > _DIM_SHARE * clearest.contrast][-1]
        return clearest, latest

    def _with_fade(self, fade: _Fade, hard: list[int], soft: list[int]) -> tuple[list[int], list[int]]:
        """Let one cut stand for a fade: the hard one at its edge, else the middle of the blank pictures.

        None at all stands for a fade at the beginning or the end, or into the same scene again.
        """
        end = len(self._contrasts) if fade.end is None else fade.end
        edges = [cut for cut in hard if cut in (fade.start, end) and self._is_abrupt(cut)]
        first = self._ramp(fade.start - 1, -1)
        last = self._ramp(end, 1)
        hard = [cut for cut in hard if not first <= cut <= last]
        soft = [cut for cut in soft if not first <= cut <= last]
        if edges:
            hard.append(edges[0])
        elif fade.divides:
            soft.append((fade.start + end) // 2)
        return hard, soft

    def _is_abrupt(self, cut: int) -> bool:
        """Tell a cut to or from black from the last step of a fade."""
        bright, beyond = (cut - 1, cut - 4) if self._contrasts[cut] < _BLANK_STD else (cut, cut + 3)
        beyond = min(max(beyond, 0), len(self._contrasts) - 1)
        return self._contrasts[bright] > _DIM_SHARE * self._contrasts[beyond]

    def _ramp(self, index: int, step: int) -> int:
        """Follow the contrast away from black for as long as it grows."""
        last = len(self._contrasts) - 1
        while 0 <= index + step <= last and self._contrasts[index + step] > self._contrasts[index] * 1.01:
            index += step
        return index

    def _watch_dissolve(self, look: _Look) -> None:
        if self._dissolve is not None and look.index > self._dissolve.until:
            self._close_dissolve()
        if look.blank:
            return
        for span in self._spans:
            if len(self._looks) <= span:
                break
            start = self._looks[-1 - span]
            difference = look.coarse - start.coarse
            change = math.sqrt(float(difference @ difference) / difference.size)
            if start.blank or change < _MIN_CHANGE:
                continue
            middle = self._blend_middle(start, look, difference, span)
            if middle is None or _same_scene(start, look):
                continue
            if self._dissolve is None:
                self._dissolve = _Dissolve([], 0)
            self._dissolve.windows.append((change, middle))
            self._dissolve.until = look.index + self._spans[-1] // 2

    def _blend_middle(self, start: _Look, end: _Look, difference: NDArray[np.float32], span: int) -> int | None:
        """Give the picture in the middle of the blend if all pictures between are blends of the ends, in order.

        Two signs must agree: each picture is near a weighted mean of the ends, with weights that grow; and the
        contrast falls between the ends as it does when pictures that have little in common are mixed. Motion
        inside a shot fails the second, a hard cut the first.
        """
        dip = _mixing_cost(start, end, span)
        if dip is None:
            return None
        energy = float(difference @ difference)
        shares = [0.0]
        contrast = 0.0
        for step in range(1, span):
            look = self._looks[step - 1 - span]
            offset = look.coarse - start.coarse
            share = float(offset @ difference) / energy
            if share - shares[-1] > _MAX_STEP or share < shares[-1] - 0.1:
                return None
            if float(offset @ offset) - share * share * energy > _MAX_RESIDUAL * _MAX_RESIDUAL * energy:
                return None
            shares.append(share)
            contrast += look.contrast**2
        mixed, unmixed = dip
        if 1 - shares[-1] > _MAX_STEP or contrast - mixed > _MAX_UNDIPPED * (unmixed - mixed):
            return None
        return start.index + int(np.searchsorted(np.maximum.accumulate(shares), 0.5))

    def _close_dissolve(self) -> None:
        if self._dissolve is None:
            return
        # Windows that reach over the whole dissolve show the most change; those inside it know no middle.
        most = max(change for change, _ in self._dissolve.windows)
        middles = sorted(middle for change, middle in self._dissolve.windows if change >= 0.92 * most)
        self._soft.append(middles[len(middles) // 2])
        self._dissolve = None


def _mixing_cost(start: _Look, end: _Look, span: int) -> tuple[float, float] | None:
    """Sum the variance between two pictures over ``span`` even steps, if they are mixed and if it just changes over.

    Returns:
        The sums (mixed, unmixed), or None where mixing would hardly show.
    """
    squares = (span - 1) * (2 * span - 1) / (6 * span)  # of the weights k / span, k = 1 .. span - 1
    products = (span - 1) / 2 - squares  # of each weight and its complement
    first, second = start.contrast**2, end.contrast**2
    covariance = float(start.coarse @ end.coarse) / start.coarse.size - start.mean * end.mean
    unmixed = (span - 1) / 2 * (first + second)
    mixed = squares * (first + second) + 2 * products * covariance
    in_the_middle = 1 - (first + second + 2 * covariance) / (2 * (first + second))
    return (mixed, unmixed) if in_the_middle > _MIN_DIP else None


def _same_scene(left: _Look, right: _Look) -> bool:
    """Tell whether the middle of one picture is found somewhere in the other, whatever the brightness."""
    if left.blank or right.blank:
        return left.blank and right.blank and abs(left.mean - right.mean) < _MIN_CHANGE
    return max(_found(left.fine, right.fine), _found(right.fine, left.fine)) > _SAME_SCENE


def _found(picture: NDArray[np.float32], where: NDArray[np.float32]) -> float:
    """Correlate the middle of a picture, also made smaller, with the best place in another one."""
    columns, rows = _FINE
    part = picture[rows // 5 : -(rows // 5), columns // 5 : -(columns // 5)]
    if float(part.std()) < _BLANK_STD / 2:
        return 0.0
    best = -1.0
    for scale in _ZOOMS:
        small = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else part
        found = float(cv2.matchTemplate(where, small, cv2.TM_CCOEFF_NORMED).max())
        best = max(best, found if scale == 1 else found - _ZOOM_HANDICAP)
    return best


def _merge(hard: Sequence[int], soft: Sequence[int], count: int, min_frames: int) -> list[int]:
    """Join cuts that lie too near; a hard cut wins over a dissolve, the earlier one otherwise."""
    kept: list[int] = [0]
    for cuts in (sorted(hard), sorted(soft)):
        for cut in cuts:
            if cut < count and all(abs(cut - other) >= min_frames for other in kept):
                kept.append(cut)
    return sorted(kept)
