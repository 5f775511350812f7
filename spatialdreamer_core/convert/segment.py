"""Convert one segment: both eyes of its frames into a chunk, its measures into a row, published in that order."""

import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from spatialdreamer_core import __version__
from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.convert.eyes import EyeMaker, StereoFrame
from spatialdreamer_core.convert.plan import SourcePlan
from spatialdreamer_core.depth.export import depth_file_name, depth_png
from spatialdreamer_core.depth.protocol import DepthEstimator
from spatialdreamer_core.errors import ConfigError, EncodeError
from spatialdreamer_core.flow.dis import FlowEstimator
from spatialdreamer_core.metrics.shot_metrics import SegmentMetrics
from spatialdreamer_core.refine.protocol import Refiner
from spatialdreamer_core.report.sheet import contact_sheet
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.video.decode import working_format
from spatialdreamer_core.video.encode import ChunkWriter, EncodeSpec, encoded_format, resolve_codec
from spatialdreamer_core.video.frames import Frame
from spatialdreamer_core.video.layouts import depth_plane, file_count, pack, packed_size
from spatialdreamer_core.video.segments import Segment
from spatialdreamer_core.video.source import ColourInfo, VideoInfo

LEAST_CONFIDENCE = 0.4
"""Confidence of an estimator in a shot's depth below which its rows say so."""
LEAST_PARALLAX = 0.05
"""Share of a picture that motion must tell about somewhere in a shot, or its row says that there is no parallax."""


@dataclass(frozen=True, slots=True)
class Commit:
    """What says that a segment is done; exists only after everything that it names.

    Attributes:
        segment: Number of the segment.
        chunks: Keys of the chunk files, one per output file.
        sha256: Digests of the chunks.
        frames: Pictures in each chunk.
        row: The manifest row.
    """

    segment: int
    chunks: tuple[str, ...]
    sha256: tuple[str, ...]
    frames: int
    row: dict[str, Any]


def commit_key(plan: SourcePlan, segment: Segment) -> str:
    """Where a segment's commit record lies, below the output place."""
    return f"{plan.folder}/commits/{segment.index:06d}.json"


def commit_from_bytes(data: bytes) -> Commit:
    """Read a commit record."""
    plain = json.loads(data)
    return Commit(plain["segment"], tuple(plain["chunks"]), tuple(plain["sha256"]), plain["frames"], plain["row"])


def encode_spec(plan: SourcePlan, config: ConvertConfig) -> EncodeSpec:
    """What every chunk of this source is encoded with."""
    video, encode = plan.info.video, config.encode
    codec = resolve_codec(encode.codec, video.bits)
    source = working_format(plan.info, codec)
    size = packed_size(video.width, video.height, encode.layout, encode.max_width, source)
    return EncodeSpec(
        codec=codec,
        width=size.width,
        height=size.height,
        format=encoded_format(codec, source),
        time_base=video.time_base,
        rate=video.average_rate,
        sample_aspect=video.sample_aspect,
        colour=video.colour,
        layout=encode.layout,
        swap_eyes=config.stereo.swap_eyes,
        crf=encode.crf,
        preset=encode.preset,
        threads=encode.threads,
    )


def convert_segment(
    plan: SourcePlan,
    segment: Segment,
    config: ConvertConfig,
    estimator: DepthEstimator,
    flow: FlowEstimator,
    place: Place,
    *,
    run_id: str,
    attempt: int = 1,
    refiner: Refiner | None = None,
) -> Commit:
    """Make a segment's chunk, sheet and row, then its commit record; of two racing workers one wins.

    Args:
        plan: Of the source.
        segment: Which.
        config: Settings.
        estimator: Depth.
        flow: Optical flow.
        place: Output place.
        run_id: Goes into the row.
        attempt: Goes into the row.
        refiner: The one that the plan names.

    Raises:
        ConfigError: If the plan names another refiner.
        ClipError: If the segment cannot be converted.
        StoreError: If something cannot be written.
    """
    clock = StageClock()
    video = plan.info.video
    spec = encode_spec(plan, config)
    _refuse_other_refiner(plan, refiner)
    maker = EyeMaker(plan, segment, config, estimator, flow, working_format(plan.info, spec.codec), clock, refiner)
    metrics, refined = SegmentMetrics(flow), 0.0
    middle, sheet = (segment.start + segment.end) // 2, b""
    with _Outputs(place, spec, file_count(config.encode.layout)) as outputs:
        for made in maker.stereo_frames():
            with clock.stage("encode"):
                outputs.write(_packed(made, config, video.colour))
            refined += made.refined_share
            with clock.stage("metrics"):
                hole = np.isnan(made.source_x) if metrics.looks_at_holes(made.index) else None
                metrics.add(
                    made.index, made.left, made.right,
                    hole=hole, hole_share=made.hole_share, disparity=made.disparity,
                )  # fmt: skip
                if made.index == middle:
                    sheet = contact_sheet(
                        made.left, made.inverse_depth, made.right, video.colour, sample_aspect=video.sample_aspect
                    )
            if config.export_depth:
                with clock.stage("encode"):
                    place.publish(f"{plan.folder}/depth/{depth_file_name(made.index)}", depth_png(made.inverse_depth))
        with clock.stage("encode"):
            chunks, digests = outputs.publish(f"{plan.folder}/chunks/{segment.index:06d}", segment.end - segment.start)
    sheet_key = f"{plan.folder}/sheets/{segment.index:06d}.jpg"
    place.publish(sheet_key, sheet)
    row = (
        identity_row(plan, segment, config, run_id)
        | clock.cost_row(STAGES, segment.end - segment.start)
        | metrics.row()
        | {"refined_share": refined / (segment.end - segment.start)}
    )
    row |= {"status": "done", "attempts": attempt, "sheet": sheet_key, "notes": _notes(plan, config, maker)}
    commit = Commit(segment.index, chunks, digests, segment.end - segment.start, row)
    key = commit_key(plan, segment)
    if not place.create(key, canonical_json(asdict(commit))):
        return commit_from_bytes(place.read(key) or b"")  # another worker was first; its work is the same
    return commit


def identity_row(plan: SourcePlan, segment: Segment, config: ConvertConfig, run_id: str) -> dict[str, Any]:
    """The columns that say which clip this is and how it was to be made."""
    video, pts, shot = plan.info.video, plan.scan.pts, plan.shots[segment.shot]
    ticks = int(pts[segment.end]) if segment.end < len(pts) else int(pts[-1]) + frame_ticks(video)
    origin = int(pts[0])
    return {
        "source_uri": plan.info.uri,
        "source_id": plan.info.source_id,
        "shot": segment.shot,
        "segment": segment.index,
        "start_frame": segment.start,
        "end_frame": segment.end,
        "start_s": float((int(pts[segment.start]) - origin) * video.time_base),
        "end_s": float((ticks - origin) * video.time_base),
        "width": video.width,
        "height": video.height,
        "work_key": plan.work_key,
        "run_id": run_id,
        "settings": settings_json(config),
        "depth_name": plan.depth_name,
        "depth_digest": plan.depth_digest,
        "code_version": __version__,
        "refiner": plan.refiner_name if shot.refined else "none",
        "refine_reason": shot.refine_reason or None,
        "expected_hole_share": shot.hole_share,
        "strength_pct": shot.stereo.strength_pct,
        "convergence": shot.stereo.convergence,
        "frames": segment.end - segment.start,
        "decode_errors": plan.scan.decode_errors,
    }


def frame_ticks(video: VideoInfo) -> int:
    """Ticks that one picture lasts on average."""
    return max(1, round(1 / (video.average_rate * video.time_base)))


def settings_json(config: ConvertConfig) -> str:
    """The settings as canonical JSON, for the manifest."""
    return canonical_json(asdict(config)).decode()


class _Outputs:
    """The chunk files of one segment, in scratch until they are whole."""

    def __init__(self, place: Place, spec: EncodeSpec, count: int) -> None:
        self._place, self._spec, self._count = place, spec, count
        self._stack = ExitStack()
        self._paths: list[Path] = []
        self._writers: list[ChunkWriter] = []

    def __enter__(self) -> Self:
        with self._stack as stack:
            self._paths = [stack.enter_context(self._place.scratch(".mkv")) for _ in range(self._count)]
            self._writers = [stack.enter_context(ChunkWriter(path, self._spec)) for path in self._paths]
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> bool | None:
        return self._stack.__exit__(*error)

    def write(self, frames: tuple[Frame, ...]) -> None:
        """Encode one packed picture per file."""
        for writer, frame in zip(self._writers, frames, strict=True):
            writer.write(frame)

    def publish(self, stem: str, frames: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Close the files and publish them under names made of their content; gives their keys and digests."""
        keys, digests = [], []
        for number, (writer, path) in enumerate(zip(self._writers, self._paths, strict=True)):
            if writer.close() != frames:
                raise EncodeError(f"chunk {stem}: {writer.frames} pictures written, {frames} planned")
            digest = file_sha256(path)
            key = f"{stem}-{number}-{digest[:12]}.mkv"
            self._place.publish_file(path, key)
            keys.append(key)
            digests.append(digest)
        return tuple(keys), tuple(digests)


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, 64 hex digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _packed(made: StereoFrame, config: ConvertConfig, colour: ColourInfo) -> tuple[Frame, ...]:
    depth = None
    if config.encode.layout == "rgbd":
        left = made.left
        depth = depth_plane(made.inverse_depth, left.width, left.height, left.format, colour)
    return pack(
        made.left,
        made.right,
        config.encode.layout,
        depth=depth,
        swap_eyes=config.stereo.swap_eyes,
        colour=colour,
        max_width=config.encode.max_width,
    )


STAGES = ("decode", "shrink", "depth", "flow", "warp", "fill", "refine", "metrics", "encode")


def _refuse_other_refiner(plan: SourcePlan, refiner: Refiner | None) -> None:
    own = "" if refiner is None else refiner.digest
    if own != plan.refiner_digest:
        raise ConfigError(
            f"{plan.info.uri}: planned with refiner {plan.refiner_digest or 'none'}, but this machine has "
            f"{own or 'none'}; install the same weights on every machine, or use --refine none"
        )


def _notes(plan: SourcePlan, config: ConvertConfig, maker: EyeMaker) -> list[str]:
    video, encode = plan.info.video, config.encode
    notes = [*plan.info.notes, *plan.scan.notes]
    size = packed_size(video.width, video.height, encode.layout, encode.max_width, maker.pixel_format)
    if size.limited:
        notes.append(
            f"eyes made smaller, {size.content_width}x{size.content_height}, to stay within {encode.max_width} columns"
        )
    if (size.eye_width, size.eye_height) != (size.content_width, size.content_height):
        notes.append(f"eyes padded to even sizes, {size.eye_width}x{size.eye_height}")
    if config.fill.temporal and config.fill.name == "background" and not maker.looks_around:
        notes.append("pictures too large to look for background in neighbouring frames")
    shot = plan.shots[maker.segment.shot]
    if shot.confidence is not None and shot.confidence < LEAST_CONFIDENCE:
        notes.append(f"depth of this shot is hardly to be trusted (confidence {shot.confidence:.2f})")
    if shot.parallax is not None and shot.parallax < LEAST_PARALLAX:
        notes.append("no usable parallax in this shot: its depth comes from single pictures")
    return notes
