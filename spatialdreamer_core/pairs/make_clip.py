"""Make one clip: its pair, its piece of a shard, its row; published in that order, the record last."""

import hashlib
from dataclasses import asdict
from typing import Any

from spatialdreamer_core import __version__
from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.corpus.buckets import place_clip
from spatialdreamer_core.corpus.clips import Clip
from spatialdreamer_core.corpus.filters import reasons_against, score_clip
from spatialdreamer_core.depth.protocol import DepthEstimator
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.dvg.draw import draw
from spatialdreamer_core.dvg.flows import clip_flows
from spatialdreamer_core.dvg.make import make_pair
from spatialdreamer_core.dvg.sample import PairMetrics, PairSample
from spatialdreamer_core.errors import ClipError, FlatDepthError, FlowError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.clip_frames import FilmReader, PlacedClip
from spatialdreamer_core.pairs.commits import ClipRecord, clip_record
from spatialdreamer_core.pairs.look import LookedAt
from spatialdreamer_core.pairs.manifest import DRAWN, FILTERS, IDENTITY, MEASURES, PLACE, SCORES, STAGES
from spatialdreamer_core.pairs.members import to_members
from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.store.tar import piece_bytes

KEPT = (*IDENTITY, *SCORES, *PLACE)
"""Columns of the plan that a manifest row has too."""


def make_clip(
    planned: dict[str, Any],
    source: LookedAt,
    config: PairsConfig,
    estimator: DepthEstimator,
    place: Place,
    *,
    work_key: str,
    run_id: str,
    reader: FilmReader | None = None,
) -> ClipRecord:
    """Make a planned clip's piece and record; of two racing workers one wins, and both get its record.

    A clip that the filters refuse, whose depth is flat or whose flow cannot be believed gets a record without a piece.

    Args:
        planned: Its row of the plan.
        source: Its source.
        config: Settings.
        estimator: Depth, of this source.
        place: Output place.
        work_key: Name of the work.
        run_id: Goes into the row.
        reader: Goes on in the film where the clip before ended.

    Raises:
        ClipError: If the clip cannot be made.
        StoreError: If something cannot be written.
    """
    clock = StageClock()
    row = {name: planned[name] for name in KEPT} | {
        "work_key": work_key,
        "run_id": run_id,
        "code_version": __version__,
        "depth_name": estimator.name,
        "attempts": 1,
    }
    data = b""
    try:
        placed = _place(planned, source, config)
        with clock.stage("decode"):
            frames = placed.frames(reader)
        with clock.stage("flow"):
            flows = clip_flows(frames, config.mask)
            scores = score_clip(frames, flows)
        row |= asdict(scores)
        if codes := reasons_against(scores, config.filters):
            row |= {"status": "filtered", "reason": ",".join(codes), "message": _sentence(codes)}
        else:
            with clock.stage("depth"):
                depth = placed.depth(frames, estimator, config)
            with clock.stage("pair"):
                sample, metrics = make_pair(frames, depth, config, planned["clip_id"], flows)
            row |= {"status": "done"} | _measured(sample, metrics)
            with clock.stage("encode"):
                data = piece_bytes(sample.key, to_members(sample, _facts(row, source, config, estimator)))
    except (FlatDepthError, FlowError) as error:
        row |= {"status": "filtered", "reason": error.reason, "message": str(error)}
    return publish_clip(data, row, place, clock)


def publish_clip(data: bytes, row: dict[str, Any], place: Place, clock: StageClock) -> ClipRecord:
    """Publish a clip's piece, then its record; of two racing workers one wins, and both get its record.

    Args:
        data: The piece; empty if the clip was filtered out.
        row: Its manifest row; what it took is added here.
        place: Output place.
        clock: Counts ``write``.

    Raises:
        StoreError: If something cannot be written.
    """
    key, shard, clip = row["work_key"], row["shard"], row["clip_id"]
    piece, digest = "", ""
    if data:
        with clock.stage("write"):
            digest = hashlib.sha256(data).hexdigest()
            piece = f"{naming.pieces_folder(key, shard)}/{clip}-{digest[:12]}.tar"
            patiently(lambda: place.publish(piece, data))
    record = ClipRecord(clip, piece, digest, len(data), row | clock.cost_row(STAGES, row["frames"]))
    where = naming.clip_key(key, shard, clip)
    if patiently(lambda: place.create(where, canonical_json(asdict(record)))):
        return record
    other = clip_record(place.read(where) or b"", where)  # another worker was first
    if piece and other.piece != piece:
        place.remove(piece)
    return other


def _sentence(codes: tuple[str, ...]) -> str:
    return f"not worth making into a pair: {', '.join(code.replace('_', ' ') for code in codes)}"


def _place(planned: dict[str, Any], source: LookedAt, config: PairsConfig) -> PlacedClip:
    info, scan = source.info, source.scan
    clip = Clip(planned["shot"], planned["start_frame"], planned["frames"], planned["frame_step"])
    if clip.end > len(scan.pts) or int(scan.pts[clip.start]) != planned["start_pts"]:
        raise ClipError(f"{info.uri}: is not the file that was planned; give the one that was, or plan anew elsewhere")
    placement = place_clip(
        info.video.width,
        info.video.height,
        (planned["width"], planned["height"]),
        draw(planned["clip_id"], config),
        sample_aspect=info.video.sample_aspect,
        bars=scan.letterbox,
    )
    return PlacedClip(info, scan, clip, placement)


def _measured(sample: PairSample, metrics: PairMetrics) -> dict[str, Any]:
    """The columns that say what was drawn and what came of it."""
    return {
        **{name: sample.meta[name] for name in DRAWN},
        **{name: getattr(metrics, name) for name in MEASURES},
        "verdict": metrics.verdict,
        "verdict_reasons": metrics.reasons,
    }


def _facts(row: dict[str, Any], source: LookedAt, config: PairsConfig, estimator: DepthEstimator) -> dict[str, Any]:
    """What a sample's JSON says beside its pictures; nothing that another run would say otherwise."""
    indices = range(row["start_frame"], row["end_frame"], row["frame_step"])
    return {
        "source": {name: row[name] for name in (*IDENTITY, *SCORES)},
        "pts": [int(source.scan.pts[index]) for index in indices],
        "time_base": str(source.info.video.time_base),
        "measured": {name: row[name] for name in (*DRAWN, *FILTERS, *MEASURES, "verdict", "verdict_reasons")},
        "work_key": row["work_key"],
        "settings": asdict(config),
        "depth": {"name": estimator.name, "digest": estimator.digest},
    }
