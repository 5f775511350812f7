"""Look at a source once: probe it, scan it, hash its shots, cut them into clips; kept, for it decodes everything."""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
from av import VideoFrame
from numpy.typing import NDArray
from pydantic import TypeAdapter

from spatialdreamer_core.corpus.buckets import choose_bucket, place_clip
from spatialdreamer_core.corpus.clips import Clip, cut_clips, require_clips
from spatialdreamer_core.corpus.duplicates import gap_places, hash_places, picture_hash
from spatialdreamer_core.corpus.split import split_of
from spatialdreamer_core.dvg.config import ClipsConfig, PairsConfig
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs.naming import look_folder
from spatialdreamer_core.pairs.plan import BETWEEN, CLIPPER, CLIPS_FOUND, HASHES, clip_id
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.video.probe import probe
from spatialdreamer_core.video.scan import scan
from spatialdreamer_core.video.source import SourceInfo, SourceScan


@dataclass(frozen=True, slots=True)
class LookedAt:
    """A source that has been looked at.

    Attributes:
        info: Probed.
        scan: Scanned.
        clips: Cut from its shots, in order.
        hashes: [C, K] uint64, what each clip looks like, and what lies between it and the next one if that is more
            than nothing; see ``corpus.duplicates``.
    """

    info: SourceInfo
    scan: SourceScan
    clips: tuple[Clip, ...]
    hashes: NDArray[np.uint64]


def look_key(config: PairsConfig) -> str:
    """Name what looking at a source depends on besides the source: 16 hex digits."""
    hashed = "clips and gaps" if _leaves_gaps(config.clips) else "clips"
    identity = {"stage": "look", "clipper": CLIPPER, "hashed": hashed, "clips": asdict(config.clips)}
    return hashlib.sha256(canonical_json(identity)).hexdigest()[:16]


def look_at(uri: str, config: PairsConfig, place: Place) -> LookedAt:
    """Look at a source, or read what an earlier run found in the same content.

    Raises:
        ClipError: If the source cannot be read, or no shot is as long as a clip.
        StoreError: If what was found cannot be written.
    """
    info = probe(uri)
    where = looked_file(config, info.source_id)
    known = place.read(where)
    if known is not None:
        return at(looked_from_bytes(known, where), uri)
    hashes: list[int] = []

    def look(index: int, picture: VideoFrame) -> None:
        del hashes[index:]  # the scan may begin again
        hashes.append(picture_hash(grey_picture(picture)))

    scanned = scan(uri, info, on_picture=look)
    clips = cut_clips(scanned.shot_starts, len(scanned.pts), config.clips)
    require_clips(uri, clips, len(scanned.pts), config.clips)
    looks = _clip_hashes(clips, np.array(hashes, np.uint64), scanned.shot_starts, config.clips)
    looked = LookedAt(info, scanned, tuple(clips), looks)
    place.publish(where, looked_to_bytes(looked))
    return looked


def read_looked(source_id: str, config: PairsConfig, place: Place) -> LookedAt:
    """Read what was found in a source.

    Raises:
        StoreError: If it is gone or torn.
    """
    where = looked_file(config, source_id)
    data = place.read(where)
    if data is None:
        raise StoreError(f"{where} is gone; run the same command again")
    return looked_from_bytes(data, where)


def found_clips(looked: LookedAt, config: PairsConfig, depth_digest: str) -> pa.Table:
    """List a source's clips as rows of ``CLIPS_FOUND``, with what speaks against each."""
    rows = [_row(looked, number, config, depth_digest) for number in range(len(looked.clips))]
    return pa.Table.from_pylist(rows, schema=CLIPS_FOUND)


def grey_picture(picture: VideoFrame) -> NDArray[np.uint8]:
    """The luma of a decoded picture in 8 bit, shrunk so that hashing it costs little; as coded, not upright."""
    small = picture.reformat(width=64, height=64, format="gray", interpolation="AREA")
    return np.asarray(small.to_ndarray(), np.uint8)


def _leaves_gaps(config: ClipsConfig) -> bool:
    return config.stride is not None and config.stride > config.span


def _clip_hashes(
    clips: Sequence[Clip], hashes: NDArray[np.uint64], shot_starts: NDArray[np.int64], config: ClipsConfig
) -> NDArray[np.uint64]:
    ends = [*shot_starts[1:].tolist(), len(hashes)]
    frames = [[clip.indices[place] for place in hash_places(clip.frames)] for clip in clips]
    if _leaves_gaps(config):
        stride = config.stride or config.span
        for clip, own in zip(clips, frames, strict=True):
            own.extend(gap_places(clip.start, config.span, stride, ends[clip.shot]))
    return np.stack([hashes[own] for own in frames])


def _row(looked: LookedAt, number: int, config: PairsConfig, depth_digest: str) -> dict[str, Any]:
    clip = looked.clips[number]
    info, pts, video = looked.info, looked.scan.pts, looked.info.video
    width, height = choose_bucket(
        video.width, video.height, config.clips.buckets, sample_aspect=video.sample_aspect, bars=looked.scan.letterbox
    )
    placement = place_clip(
        video.width, video.height, (width, height), sample_aspect=video.sample_aspect, bars=looked.scan.letterbox
    )
    start, last = int(pts[clip.start]), int(pts[clip.indices[-1]])
    hashes = looked.hashes[number]
    row = {
        "clip_id": clip_id(info.source_id, start, last, clip.step),
        "source_uri": info.uri,
        "source_id": info.source_id,
        "shot": clip.shot,
        "start_frame": clip.start,
        "end_frame": clip.end,
        "frame_step": clip.step,
        "start_pts": start,
        "end_pts": last,
        "start_s": float((start - int(pts[0])) * video.time_base),
        "end_s": float((last - int(pts[0])) * video.time_base + 1 / video.average_rate),
        "frames": clip.frames,
        "width": width,
        "height": height,
        "split": split_of(info.source_id, config.val_share),
        "depth_digest": depth_digest,
        "upscale": placement.upscale,
        **dict(zip(HASHES, hashes[: len(HASHES)].tolist(), strict=True)),
        BETWEEN: hashes[len(HASHES) :].astype("<u8").tobytes() or None,
        "status": "planned",
    }
    if placement.upscale > config.clips.max_upscale:
        row |= {
            "status": "filtered",
            "reason": "too_small",
            "message": f"would be enlarged {placement.upscale:.2f} times; max_upscale is {config.clips.max_upscale:g}",
        }
    return row


@dataclass(frozen=True, slots=True)
class _Header:
    """The part that is text: everything but the long arrays."""

    info: SourceInfo
    clips: tuple[Clip, ...]
    decode_errors: int
    timestamps_made: bool
    letterbox: tuple[int, int, int, int]
    notes: tuple[str, ...]
    skipped: int


_HEADER = TypeAdapter(_Header)


def looked_file(config: PairsConfig, source_id: str) -> str:
    """Where it is kept, below the output place."""
    return f"{look_folder(look_key(config), source_id)}/look.npz"


def looked_to_bytes(looked: LookedAt) -> bytes:
    """Serialise: an npz of the long arrays and one JSON text; the same source gives the same bytes."""
    s = looked.scan
    header = _Header(
        looked.info,
        looked.clips,
        s.decode_errors,
        s.timestamps_made,
        s.letterbox,
        s.notes,
        s.skipped,
    )
    buffer = io.BytesIO()
    text = np.frombuffer(_HEADER.dump_json(header), np.uint8)
    np.savez_compressed(buffer, header=text, pts=s.pts, shot_starts=s.shot_starts, hashes=looked.hashes)
    return buffer.getvalue()


def looked_from_bytes(data: bytes, where: str) -> LookedAt:
    """Read it back.

    Raises:
        StoreError: If the file is torn or something else.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            h = _HEADER.validate_json(arrays["header"].tobytes())
            pts, shot_starts, hashes = arrays["pts"], arrays["shot_starts"], arrays["hashes"]
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise StoreError(f"{where} cannot be read ({error}); delete it and run again") from error
    scanned = SourceScan(pts, shot_starts, h.decode_errors, h.timestamps_made, h.letterbox, h.notes, h.skipped)
    return LookedAt(h.info, scanned, h.clips, hashes)


def at(looked: LookedAt, uri: str) -> LookedAt:
    """The same content under another name."""
    return looked if looked.info.uri == uri else replace(looked, info=replace(looked.info, uri=uri))
