"""Depth of pictures and videos as files for other programs: one 16-bit PNG or EXR a picture or frame.

A picture ``a/b.jpg`` becomes ``a/b_depth.png``; a video ``a/b.mp4`` becomes the folder ``a/b_depth`` with one file a
frame. A video's depth is that of ``convert``: steady, one range per shot. A picture's range is its own.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.convert.eyes import EyeMaker
from spatialdreamer_core.convert.plan import SourcePlan
from spatialdreamer_core.convert.planning import plan_source
from spatialdreamer_core.convert.small import small_rgb, small_size
from spatialdreamer_core.convert.source_depth import frame_offset, source_depth
from spatialdreamer_core.depth.export import DepthFormat, depth_file_name, depth_folder_name, depth_picture
from spatialdreamer_core.depth.guided import sharpen_depth
from spatialdreamer_core.depth.normalise import normalise, shot_range
from spatialdreamer_core.depth.protocol import DepthEstimator, DepthRequest, confidence, estimate
from spatialdreamer_core.errors import UnreadableSourceError
from spatialdreamer_core.flow.dis import FlowEstimator
from spatialdreamer_core.geometry.upsample import upsample_inverse_depth
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.video.decode import working_format
from spatialdreamer_core.video.encode import resolve_codec
from spatialdreamer_core.video.media import VIDEO_EXTENSIONS, has_extension, open_bytes, source_id
from spatialdreamer_core.video.segments import Segment

ALGORITHM = 3
"""Raise when the written bytes change for the same settings."""
PICTURE_EXTENSIONS = frozenset(["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"])
EXTENSIONS = VIDEO_EXTENSIONS | PICTURE_EXTENSIONS
MOST_PICTURE_BYTES = 1 << 30
RECORDS = ".spatialdreamer/depth"

U8 = NDArray[np.uint8]
Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class DepthFilesConfig:
    """What the written depth depends on.

    Attributes:
        form: ``png`` (16 bit, 65535 nearest) or ``exr`` (float, 1 nearest).
        full_size: Whether maps have the picture's size; else that at which depth is estimated.
        convert: How depth is made; what concerns the eyes does not matter.
    """

    form: DepthFormat = "png"
    full_size: bool = True
    convert: ConvertConfig = field(default_factory=ConvertConfig)


@dataclass(frozen=True, slots=True)
class DepthRecord:
    """What was made of one source; kept, so that the same command goes on where it was.

    Attributes:
        source: Path or URL.
        source_id: Of its content.
        key: Name of settings and weights.
        output: Key of the file, or of the folder of a video.
        frames: Files that were written so far.
        segments: Numbers of a video's finished segments.
        complete: Whether all is there.
        sure: In [0, 1] for the picture, or for the middle frame of each finished segment: how far the estimator's depth
            may be trusted; empty if it does not say.
        notes: What happened on the way, one sentence each.
    """

    source: str
    source_id: str
    key: str
    output: str
    frames: int = 0
    segments: tuple[int, ...] = ()
    complete: bool = False
    sure: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def confidence(self) -> float | None:
        """The mean of ``sure``."""
        return float(np.mean(self.sure)) if self.sure else None


@dataclass(frozen=True, slots=True)
class DepthProgress:
    """Where one source stands; the last one of a source has a complete record."""

    record: DepthRecord
    frames: int


def is_picture(uri: str) -> bool:
    """Tell by its name whether a source is one picture."""
    return has_extension(uri, PICTURE_EXTENSIONS)


def read_picture(uri: str) -> U8:
    """Read a picture of any depth and channels as [H, W, 3] uint8 RGB, turned as its EXIF says; alpha is dropped.

    Raises:
        UnreadableSourceError: If it is missing, too large or no picture.
    """
    with open_bytes(uri) as handle:
        data = handle.read(MOST_PICTURE_BYTES + 1)
    if not data or len(data) > MOST_PICTURE_BYTES:
        raise UnreadableSourceError(f"{uri}: {'empty' if not data else 'larger than 1 GiB'}; give a picture file")
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # a header that promises more pixels than OpenCV allows
        picture = None
    if picture is None:
        raise UnreadableSourceError(f"{uri}: no picture that can be read; give one of {sorted(PICTURE_EXTENSIONS)}")
    if picture.dtype == np.uint16:
        picture = picture // 256
    elif picture.dtype != np.uint8:
        picture = np.nan_to_num(np.clip(picture, 0, 1)) * 255
    return np.ascontiguousarray(picture[..., ::-1].astype(np.uint8))


def picture_depth(picture: U8, estimator: DepthEstimator, config: DepthFilesConfig) -> Map:
    """Depth of one picture by its own range: [H, W] (or the small size) float32 in [0, 1], 1 nearest.

    Args:
        picture: [H, W, 3] RGB.
        estimator: Depth.
        config: Settings.
    """
    height, width = picture.shape[:2]
    size = small_size(width, height, config.convert.depth.width)
    shrinks = size[0] * size[1] < width * height
    small = np.asarray(
        cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
    )
    request = DepthRequest(small[None], small[None], np.zeros(1, np.int64), np.zeros(1))
    raw = estimate(estimator, request)[0]
    depth = sharpen_depth(normalise(raw, shot_range([raw])), small)
    if not config.full_size:
        return depth
    luma, guide = (np.asarray(cv2.cvtColor(p, cv2.COLOR_RGB2GRAY), np.uint8) for p in (picture, small))
    return upsample_inverse_depth(depth, guide, luma)


@dataclass(frozen=True, slots=True)
class DepthWriter:
    """Writes the depth of sources below one place, and goes on where an earlier run stopped.

    Attributes:
        estimator: Depth.
        flow: Optical flow between key frames.
        place: Output.
        config: Settings.
        resume: Whether what earlier runs wrote is kept.
    """

    estimator: DepthEstimator
    flow: FlowEstimator
    place: Place
    config: DepthFilesConfig
    resume: bool = True

    @property
    def key(self) -> str:
        """Name of settings and weights: 16 hex digits."""
        identity = {"algorithm": ALGORITHM, "settings": asdict(self.config), "depth": self.estimator.digest}
        return hashlib.sha256(canonical_json(identity)).hexdigest()[:16]

    def write(self, uri: str, stem: str) -> Iterator[DepthProgress]:
        """Write the depth of one source as ``stem``_depth; tells after every segment.

        Raises:
            ClipError: If the source cannot be read or its depth not be made.
            StoreError: If something cannot be written.
        """
        name = depth_folder_name(stem)
        output = f"{name}.{self.config.form}" if is_picture(uri) else name
        fresh = DepthRecord(uri, source_id(uri), self.key, output)
        known = self._known(stem) if self.resume else None
        if known is not None and (known.source_id, known.key, known.output) == (fresh.source_id, fresh.key, output):
            if known.complete and self._is_whole(known):
                yield DepthProgress(known, known.frames)
                return
            fresh = known
        elif not is_picture(uri):
            self.place.remove_folder(output)  # of another content or other settings: they never mix
        yield from self._picture(uri, stem, fresh) if is_picture(uri) else self._video(uri, stem, fresh)

    def _picture(self, uri: str, stem: str, record: DepthRecord) -> Iterator[DepthProgress]:
        picture = read_picture(uri)
        depth = picture_depth(picture, self.estimator, self.config)
        sure = _sure(self.estimator, picture)
        self.place.publish(record.output, depth_picture(depth, self.config.form))
        yield DepthProgress(self._keep(stem, record, frames=1, complete=True, sure=sure), 1)

    def _video(self, uri: str, stem: str, record: DepthRecord) -> Iterator[DepthProgress]:
        config = self.config.convert
        plan = plan_source(uri, config, self.estimator, self.place)
        own = source_depth(self.estimator, plan.info, plan.scan)
        notes = (*plan.info.notes, *plan.scan.notes)
        for segment in plan.segments:
            if segment.index in record.segments and self._has_frames(record, plan, segment):
                continue
            sure = self._segment(record, plan, segment, own)
            done = sorted({*record.segments, segment.index})
            known = dict(zip(record.segments, record.sure, strict=False)) | dict.fromkeys([segment.index], sure)
            record = self._keep(
                stem, record, frames=sum(plan.segments[i].frames for i in done), segments=tuple(done), notes=notes,
                sure=tuple(known[i] for i in done) if sure is not None else (),
            )  # fmt: skip
            yield DepthProgress(record, len(plan.scan.pts))
        yield DepthProgress(self._keep(stem, record, complete=True), len(plan.scan.pts))

    def _segment(
        self, record: DepthRecord, plan: SourcePlan, segment: Segment, estimator: DepthEstimator
    ) -> float | None:
        video = plan.info.video
        pixel_format = working_format(plan.info, resolve_codec("auto", video.bits))
        maker = EyeMaker(plan, segment, self.config.convert, estimator, self.flow, pixel_format, StageClock())
        offset, middle, sure = frame_offset(plan.info, plan.scan), (segment.start + segment.end) // 2, None
        for deep in maker.deep_frames():
            depth = deep.inverse_depth
            if deep.index == middle:
                size = (depth.shape[1], depth.shape[0])
                sure = confidence(estimator, small_rgb(deep.frame, size, video.colour))
            if self.config.full_size:
                bits = deep.frame.format.bits
                guide = deep.grey if bits == 8 else deep.grey.astype(np.uint16) << np.uint16(bits - 8)
                depth = upsample_inverse_depth(depth, guide, deep.frame.y)
            name = depth_file_name(offset + deep.index, self.config.form)
            self.place.publish(f"{record.output}/{name}", depth_picture(depth, self.config.form))
        return sure

    def _has_frames(self, record: DepthRecord, plan: SourcePlan, segment: Segment) -> bool:
        offset = frame_offset(plan.info, plan.scan)
        return all(
            self.place.size(f"{record.output}/{depth_file_name(offset + index, self.config.form)}")
            for index in range(segment.start, segment.end)
        )

    def _is_whole(self, record: DepthRecord) -> bool:
        if is_picture(record.source):
            return bool(self.place.size(record.output))
        return len(self.place.keys(record.output)) >= record.frames

    def _known(self, stem: str) -> DepthRecord | None:
        data = self.place.read(_record_key(stem))
        if data is None:
            return None
        plain: dict[str, Any] = json.loads(data)
        plain |= {name: tuple(value) for name, value in plain.items() if isinstance(value, list)}
        return DepthRecord(**plain)

    def _keep(self, stem: str, record: DepthRecord, **changes: Any) -> DepthRecord:
        record = replace(record, **changes)
        self.place.publish(_record_key(stem), canonical_json(asdict(record)))
        return record


def _record_key(stem: str) -> str:
    return f"{RECORDS}/{stem.replace('/', '%2F')[-180:]}.json"


def _sure(estimator: DepthEstimator, picture: U8) -> tuple[float, ...]:
    sure = confidence(estimator, picture)
    return () if sure is None else (sure,)
