"""Pairs of random pictures with holes, of many sizes: what a shard holds, without making it from video."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from spatialdreamer_core.convert.clock import StageClock
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.dvg.sample import PairSample
from spatialdreamer_core.pairs.commits import ClipRecord
from spatialdreamer_core.pairs.compaction import register_work
from spatialdreamer_core.pairs.make_clip import KEPT, publish_clip
from spatialdreamer_core.pairs.members import to_members
from spatialdreamer_core.pairs.pack import Shard, pack_shard
from spatialdreamer_core.pairs.plan import BYTES_PER_PIXEL, CLIPS_FOUND, Closed, ShardRows, clip_id, extend_plan
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.store.tar import piece_bytes
from tests.media import scene


def made_pair(
    key: str = "clip-0", frames: int = 3, height: int = 24, width: int = 40, *, flow: bool = False
) -> PairSample:
    """A textured pan with a moving hole; disparity rises from left to right and crosses zero."""
    seed = sum(key.encode())
    rng = np.random.default_rng(seed)
    target = np.stack(scene(frames, width, height, seed=seed))
    mask = np.zeros((frames, height, width), bool)
    for t in range(frames):
        mask[t, 3:9, 5 + t : 11 + t] = True
    condition = np.where(mask[..., None], np.uint8(0), target)
    reference = np.roll(target, 2, axis=2)
    disparity = np.broadcast_to(np.linspace(-7.3, 21.9, width, dtype=np.float32), mask.shape).copy()
    flows = rng.normal(0, 3, (frames - 1, height, width, 2)).astype(np.float16) if flow else None
    meta = {"mode": "analytic", "seed": seed, "deviation_strength": 0.25}
    return PairSample(key, target, condition, reference, mask, disparity, flows, meta)


FRAMES, HEIGHT, WIDTH = 3, 64, 96


@dataclass(frozen=True)
class MadeSet:
    """A dataset of made pairs, planned, published and packed as make-pairs does it."""

    root: Path
    place: Place
    work_key: str
    clips: tuple[str, ...]

    @staticmethod
    def make(root: Path | str, clips: int, per_shard: int, *, val_share: float = 0.0) -> "MadeSet":
        place = Place(str(root))
        register_work(place, "work", "made", PairsConfig())
        found = [planned_row(n, "val" if n < val_share * clips else "train") for n in range(clips)]
        shard_bytes = per_shard * FRAMES * HEIGHT * WIDTH * BYTES_PER_PIXEL
        table = pa.Table.from_pylist(found, schema=CLIPS_FOUND)
        plan = ShardRows(extend_plan(place, "work", table, Closed.none, shard_bytes))
        for name in plan.names:
            rows = plan.of(name)
            for row in rows:
                publish_made(place, row)
            pack_shard(shard_of(name, rows), place, run_id="made")
        return MadeSet(Path(root), place, "work", tuple(sorted(row["clip_id"] for row in found)))


def planned_row(number: int, split: str = "train") -> dict[str, Any]:
    """A clip of a source of its own."""
    return {
        "clip_id": clip_id(f"source {number}", 0, FRAMES - 1, 1),
        "source_uri": f"/films/{number}.mkv",
        "source_id": f"source {number}",
        "shot": 0,
        "start_frame": 0,
        "end_frame": FRAMES,
        "frame_step": 1,
        "start_pts": 0,
        "frames": FRAMES,
        "width": WIDTH,
        "height": HEIGHT,
        "split": split,
        "hash_first": number,
        "hash_middle": number,
        "hash_last": number,
        "status": "planned",
    }


def publish_made(place: Place, planned: dict[str, Any]) -> ClipRecord:
    """Publish the made pair of a planned clip; two in three are to train on."""
    verdict = "review" if int(planned["clip_id"], 16) % 3 == 0 else "train"
    pair = made_pair(planned["clip_id"], FRAMES, HEIGHT, WIDTH)
    data = piece_bytes(pair.key, to_members(pair, {"verdict": verdict}))
    row = {name: planned[name] for name in KEPT if name in planned}
    row |= {"work_key": "work", "status": "done", "verdict": verdict, "run_id": "made"}
    return publish_clip(data, row, place, StageClock())


def shard_of(name: str, rows: list[dict[str, Any]]) -> Shard:
    """The shard of these clips, all of them through."""
    return Shard("work", name, rows[0]["split"], WIDTH, HEIGHT, FRAMES, tuple(row["clip_id"] for row in rows))
