"""The immutable plan of one source: what was found in it, its shots with their range and stereo, its segments."""

import hashlib
import io
import zipfile
from dataclasses import asdict, dataclass, replace

import numpy as np
from pydantic import TypeAdapter

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.depth.normalise import DepthRange
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.geometry.disparity import ShotStereo
from spatialdreamer_core.refine.choose import least_hole_share, paints_borders
from spatialdreamer_core.refine.paste import PASTE_VERSION
from spatialdreamer_core.store.place import canonical_json
from spatialdreamer_core.video.segments import Segment
from spatialdreamer_core.video.source import SourceInfo, SourceScan

ALGORITHM = 7
"""Raise when the made bytes change for the same settings, so that old and new work never mix."""


@dataclass(frozen=True, slots=True)
class ShotPlan:
    """What holds for a whole shot, never for a frame or a film.

    Attributes:
        depth_range: Raw depth that becomes inverse depth 0 and 1.
        stereo: Strength and convergence.
        parallax: The most of a sampled picture that motion tells about, in [0, 1]; None if the estimator does not look.
        confidence: How far the shot's depth may be trusted, in [0, 1]; None if nobody said.
        geometric: Geometric deviation strength: median size of the disparity, as a share of the width.
        hole_share: Part of the picture that is expected in wide holes, see ``refine.choose``; None if nobody asked.
        refined: Whether the refiner paints this shot's holes.
        refine_reason: Why, or why not.
    """

    depth_range: DepthRange
    stereo: ShotStereo
    parallax: float | None = None
    confidence: float | None = None
    geometric: float = 0.0
    hole_share: float | None = None
    refined: bool = False
    refine_reason: str = ""


@dataclass(frozen=True, slots=True)
class SourcePlan:
    """All that is needed to convert a source, and nothing that changes later.

    Attributes:
        info: The probed source.
        scan: Times, shots, decode errors.
        shots: One for each of ``scan.shot_starts``.
        segments: What workers take, in order.
        work_key: Name of this work: stage, algorithm, settings, and weights of depth and refiner.
        depth_name: The depth estimator.
        depth_digest: Its weights and code.
        refiner_name: The network that paints holes; ``none`` without.
        refiner_digest: Its weights and code; empty without.
    """

    info: SourceInfo
    scan: SourceScan
    shots: tuple[ShotPlan, ...]
    segments: tuple[Segment, ...]
    work_key: str
    depth_name: str
    depth_digest: str
    refiner_name: str = "none"
    refiner_digest: str = ""

    @property
    def folder(self) -> str:
        """Where the work on this source lies, below the output place."""
        return work_folder(self.work_key, self.info.source_id)

    def at(self, uri: str) -> "SourcePlan":
        """The same plan for the same content under another name."""
        return self if self.info.uri == uri else replace(self, info=replace(self.info, uri=uri))


def work_key(config: ConvertConfig, depth_digest: str, refiner_digest: str = "") -> str:
    """Name work by everything that its bytes depend on besides the source: 16 hex digits.

    Args:
        config: Settings.
        depth_digest: Of the depth estimator.
        refiner_digest: Of the refiner; empty without one, and then its settings change nothing.
    """
    settings = asdict(config)
    del settings["refine"]
    identity = {"stage": "convert", "algorithm": ALGORITHM, "settings": settings, "depth": depth_digest}
    if refiner_digest:
        least = least_hole_share(config.refine, config.quality)
        borders = paints_borders(config.refine, config.quality)
        refine = {"digest": refiner_digest, "least_hole_share": least, "borders": borders}
        refine |= {"deviation": config.refine.deviation}
        identity["refine"] = refine | {"paste": PASTE_VERSION}
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:16]


def work_folder(key: str, source_id: str) -> str:
    """Where the work of that name on that source lies, below the output place."""
    return f".spatialdreamer/work/{key}/{source_id}"


@dataclass(frozen=True, slots=True)
class _Header:
    """The part of a plan that is text: everything but the two long arrays."""

    info: SourceInfo
    shots: tuple[ShotPlan, ...]
    segments: tuple[Segment, ...]
    work_key: str
    depth_name: str
    depth_digest: str
    decode_errors: int
    timestamps_made: bool
    letterbox: tuple[int, int, int, int]
    notes: tuple[str, ...]
    skipped: int
    refiner_name: str = "none"
    refiner_digest: str = ""


_HEADER = TypeAdapter(_Header)


def plan_to_bytes(plan: SourcePlan) -> bytes:
    """Serialise a plan: an npz of the two long arrays and one JSON text; the same plan gives the same bytes."""
    scan = plan.scan
    header = _Header(
        plan.info,
        plan.shots,
        plan.segments,
        plan.work_key,
        plan.depth_name,
        plan.depth_digest,
        scan.decode_errors,
        scan.timestamps_made,
        scan.letterbox,
        scan.notes,
        scan.skipped,
        plan.refiner_name,
        plan.refiner_digest,
    )
    text = np.frombuffer(_HEADER.dump_json(header), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=text, pts=scan.pts, shot_starts=scan.shot_starts)
    return buffer.getvalue()


def plan_from_bytes(data: bytes, where: str) -> SourcePlan:
    """Read a plan back.

    Raises:
        StoreError: If the file is torn or not a plan.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            header = _HEADER.validate_json(arrays["header"].tobytes())
            pts, shot_starts = arrays["pts"], arrays["shot_starts"]
    except (ValueError, OSError, KeyError, zipfile.BadZipFile) as error:
        raise StoreError(f"plan {where} cannot be read ({error}); delete it and run again") from error
    scan = SourceScan(
        pts, shot_starts, header.decode_errors, header.timestamps_made, header.letterbox, header.notes, header.skipped
    )
    return SourcePlan(
        header.info,
        scan,
        header.shots,
        header.segments,
        header.work_key,
        header.depth_name,
        header.depth_digest,
        header.refiner_name,
        header.refiner_digest,
    )
