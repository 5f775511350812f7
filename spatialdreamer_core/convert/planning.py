"""Plan one source: probe it, scan it once, look at every shot's depth, choose its range and stereo."""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import cv2
import numpy as np
from av import VideoFrame
from numpy.typing import NDArray

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.convert.plan import (
    ShotPlan,
    SourcePlan,
    plan_from_bytes,
    plan_to_bytes,
    work_folder,
    work_key,
)
from spatialdreamer_core.convert.small import small_rgb, small_size
from spatialdreamer_core.convert.source_depth import frame_offset, source_depth
from spatialdreamer_core.depth.imported import for_source
from spatialdreamer_core.depth.normalise import normalise, shot_range
from spatialdreamer_core.depth.protocol import (
    DepthEstimator,
    DepthRequest,
    confidence,
    estimate,
    parallax_share,
    uses_partner,
)
from spatialdreamer_core.errors import UnreadableSourceError
from spatialdreamer_core.geometry.disparity import choose_stereo
from spatialdreamer_core.refine.choose import Falls, choose, count_falls, expected_hole_share, waiting_bytes
from spatialdreamer_core.refine.protocol import Refiner
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.decode import convert_frame, decode, working_format
from spatialdreamer_core.video.encode import resolve_codec
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan
from spatialdreamer_core.video.segments import plan_segments
from spatialdreamer_core.video.source import SourceInfo, SourceScan

SAMPLE_EVERY = 16
"""Frames between the pictures whose depth decides a shot's range."""
JUDGE_EVERY = 8 * SAMPLE_EVERY
"""Frames between the pictures whose depth the estimator is asked to judge."""
PARTNER_AFTER = 4
"""Frames from a sampled picture to the partner that shows it parallax."""
THUMBNAIL = (32, 18)
"""(columns, rows) to which a sampled depth map is reduced by area: its percentiles stay, its memory
goes (2.3 kB for every 16 frames, 25 MB for a film of two hours)."""


class Look(NamedTuple):
    """What is kept of the depth of one picture.

    Attributes:
        thumbnail: Raw depth reduced by area.
        falls: How far it falls from left to right.
    """

    thumbnail: NDArray[np.float32]
    falls: Falls


@dataclass(slots=True)
class ShotSampler:
    """Estimates depth of a few pictures while a source is scanned, and keeps thumbnails of it.

    Attributes:
        info: The probed source.
        config: Settings.
        estimator: Depth.
        thumbnails: Reduced depth by frame.
        falls: How far depth falls from left to right, by frame; see ``refine.choose``.
        parallax: How much of a sampled picture motion tells about, by frame, if the estimator looks at motion.
        sure: How far the depth of some of them may be trusted, by frame, if the estimator says so.
    """

    info: SourceInfo
    config: ConvertConfig
    estimator: DepthEstimator
    thumbnails: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    falls: dict[int, Falls] = field(default_factory=dict)
    parallax: dict[int, float] = field(default_factory=dict)
    sure: dict[int, float] = field(default_factory=dict)
    _waiting: tuple[int, NDArray[np.uint8], float] | None = None

    def __call__(self, index: int, picture: VideoFrame) -> None:
        """Take every decoded picture in order; looks at few of them."""
        if index == 0:  # the scan may begin again
            self.thumbnails.clear()
            self.falls.clear()
            self.parallax.clear()
            self.sure.clear()
            self._waiting = None
        place = index % SAMPLE_EVERY
        if place != 0 and not (place == PARTNER_AFTER and uses_partner(self.estimator)):
            return
        video = self.info.video
        pixel_format = working_format(self.info, resolve_codec(self.config.encode.codec, video.bits))
        size = small_size(video.width, video.height, self.config.depth.width, video.sample_aspect)
        rgb = small_rgb(convert_frame(picture, video, pixel_format, 0), size, video.colour)
        if place == 0:
            self.finish()
            self._waiting = index, rgb, float(picture.time or 0.0)
        elif self._waiting is not None:
            self._look(partner=rgb)

    def finish(self) -> None:
        """Estimate a picture that has been waiting for a partner in vain."""
        if self._waiting is not None:
            self._look(partner=self._waiting[1])

    def look_at_imported(self, scanned: SourceScan) -> None:
        """Read ready depth of a few frames; the pictures do not matter to it."""
        video, offset = self.info.video, frame_offset(self.info, scanned)
        columns, rows = small_size(video.width, video.height, self.config.depth.width, video.sample_aspect)
        blank = np.zeros((rows, columns, 3), np.uint8)
        for index in range(0, len(scanned.pts), SAMPLE_EVERY):
            seconds = float(scanned.pts[index] * video.time_base)
            self.keep(index, look(self.estimator, _request(blank, blank, offset + index, seconds)))

    def keep(self, index: int, seen: Look) -> None:
        """Remember what a look at a frame told."""
        self.thumbnails[index], self.falls[index] = seen

    def _look(self, partner: NDArray[np.uint8]) -> None:
        assert self._waiting is not None
        index, rgb, seconds = self._waiting
        self._waiting = None
        request = _request(rgb, partner, index, seconds)
        self.keep(index, look(self.estimator, request))
        if (share := parallax_share(self.estimator, request)) is not None:
            self.parallax[index] = share
        if index % JUDGE_EVERY == 0 and (sure := confidence(self.estimator, rgb)) is not None:
            self.sure[index] = sure


def look(estimator: DepthEstimator, request: DepthRequest) -> Look:
    """Estimate the raw depth of one small picture and keep little of it."""
    depth = estimate(estimator, request)[0]
    return Look(np.asarray(cv2.resize(depth, THUMBNAIL, interpolation=cv2.INTER_AREA)), count_falls(depth))


def _request(rgb: NDArray[np.uint8], partner: NDArray[np.uint8], index: int, seconds: float) -> DepthRequest:
    return DepthRequest(rgb[None], partner[None], np.array([index], np.int64), np.array([seconds]))


def plan_source(
    uri: str, config: ConvertConfig, estimator: DepthEstimator, place: Place, refiner: Refiner | None = None
) -> SourcePlan:
    """Plan a source, or read the plan that an earlier run made of the same content and settings.

    Args:
        uri: The source.
        config: Settings.
        estimator: Depth.
        place: Output place.
        refiner: What ``create_refiner`` gave for these settings.

    Raises:
        ClipError: If the source cannot be read or holds no pictures.
        StoreError: If the plan cannot be written.
    """
    _refuse_unwritable_name(uri)
    info = probe(uri)
    digest = for_source(estimator, uri).digest
    refiner_name, refiner_digest = ("none", "") if refiner is None else (refiner.name, refiner.digest)
    key = work_key(config, digest, refiner_digest)
    where = f"{work_folder(key, info.source_id)}/plan.npz"
    if (known := place.read(where)) is not None:
        return plan_from_bytes(known, where).at(uri)
    sampler = ShotSampler(info, config, estimator)
    imported = config.depth.import_from is not None
    scanned = scan(
        uri,
        info,
        start_s=config.start_s,
        duration_s=config.duration_s,
        on_picture=None if imported else sampler,
    )
    if imported:
        sampler.estimator = source_depth(estimator, info, scanned)
        sampler.look_at_imported(scanned)
    sampler.finish()
    shots = _plan_shots(info, scanned, sampler, refiner)
    segments = plan_segments(scanned.shot_starts, len(scanned.pts), config.segment_frames, config.depth.key_interval)
    plan = SourcePlan(info, scanned, shots, tuple(segments), key, estimator.name, digest, refiner_name, refiner_digest)
    place.publish(where, plan_to_bytes(plan))
    return plan


def _refuse_unwritable_name(uri: str) -> None:
    try:
        uri.encode()
    except UnicodeEncodeError as error:
        raise UnreadableSourceError(
            f"{uri}: the name is not UTF-8, so no record can name it; rename the file"
        ) from error


def _plan_shots(
    info: SourceInfo, scanned: SourceScan, sampler: ShotSampler, refiner: Refiner | None
) -> tuple[ShotPlan, ...]:
    ends = [*scanned.shot_starts[1:], len(scanned.pts)]
    shots = []
    for start, end in zip(scanned.shot_starts, ends, strict=True):
        first = -(-int(start) // SAMPLE_EVERY) * SAMPLE_EVERY
        sampled = [i for i in range(first, int(end), SAMPLE_EVERY) if i in sampler.thumbnails]
        seen = [Look(sampler.thumbnails[i], sampler.falls[i]) for i in sampled]
        seen = seen or [_look_at_middle(info, scanned, sampler, int(start), int(end))]
        depth_range = shot_range([one.thumbnail for one in seen])
        samples = [normalise(one.thumbnail, depth_range) for one in seen]
        stereo = choose_stereo(samples, sampler.config.stereo)
        shares = [sampler.parallax[i] for i in range(first, int(end), SAMPLE_EVERY) if i in sampler.parallax]
        sure = [value for index, value in sampler.sure.items() if start <= index < end]
        shot = ShotPlan(depth_range, stereo, max(shares) if shares else None, float(np.mean(sure)) if sure else None)
        shots.append(_with_refinement(shot, samples, [one.falls for one in seen], sampler, refiner))
    return tuple(shots)


def _with_refinement(
    shot: ShotPlan,
    samples: list[NDArray[np.float32]],
    falls: list[Falls],
    sampler: ShotSampler,
    refiner: Refiner | None,
) -> ShotPlan:
    video, config, stereo = sampler.info.video, sampler.config, shot.stereo
    hole_share = expected_hole_share(falls, shot.depth_range, stereo, video.width)
    pixel_format = working_format(sampler.info, resolve_codec(config.encode.codec, video.bits))
    choice = choose(
        hole_share, config.refine, config.quality, refiner, waiting_bytes(video.width, video.height, pixel_format)
    )
    away = np.concatenate([np.abs(sample - stereo.convergence).ravel() for sample in samples])
    return replace(
        shot,
        geometric=float(np.median(away)) * stereo.strength_pct / 100,
        hole_share=hole_share,
        refined=choice.refined,
        refine_reason=choice.reason,
    )


def _look_at_middle(info: SourceInfo, scanned: SourceScan, sampler: ShotSampler, start: int, end: int) -> Look:
    """A shot too short to have been sampled."""
    middle, video, config = (start + end) // 2, info.video, sampler.config
    pixel_format = working_format(info, resolve_codec(config.encode.codec, video.bits))
    size = small_size(video.width, video.height, config.depth.width, video.sample_aspect)
    frames = decode(info.uri, info, pixel_format, scanned.pts, middle, middle + 1, counted_from=scanned.counted_from)
    frame = next(iter(frames))
    rgb = small_rgb(frame, size, video.colour)
    index = frame_offset(info, scanned) + middle
    return look(sampler.estimator, _request(rgb, rgb, index, float(scanned.pts[middle] * video.time_base)))
