"""Make the pairs of a corpus: look, plan, make, pack; what becomes a row, what the run amounts to. The driver's side.

The unit of work is the clip: what a worker takes, what is retried, what a crash costs. A made clip is a piece of its
shard, published whole, then recorded. When every clip of a shard is through, its pieces are joined, and the shard's
commit record makes it part of the dataset.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import zip_longest
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.errors import ClipError, FlatDepthError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.commits import ClipRecord, ShardCommit, each_commit, read_clip_records
from spatialdreamer_core.pairs.compaction import failed_row, register_work, source_failed_key
from spatialdreamer_core.pairs.manifest import PAIRS, STAGES
from spatialdreamer_core.pairs.pack import PackResult, Shard, forget_clips
from spatialdreamer_core.pairs.plan import (
    CLIPS_FOUND,
    PLAN,
    Closed,
    ShardRows,
    extend_plan,
    latest,
    read_plan,
)
from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import Place
from tasks.jobs import Failure, Job, Outcome
from tasks.pairs_worker import ClipJob, Work
from tasks.pool import Executor, FailureBudget, Pool
from tasks.progress import Progress
from tasks.set_aside import list_set_aside, readable, set_aside

LOOK_DEADLINE_S = 3600.0
PACK_DEADLINE_S = 3600.0
CLIP_DEADLINE_S = 300.0
"""A clip may take this long ..."""
FRAME_DEADLINE_S = 3.0
"""... and this much per frame that has to be decoded: far beyond honest work, near enough to end a hang."""
OPEN_AHEAD = 2
"""Clips per worker that wait while shards are opened; fewer shards open, less lies around."""


@dataclass(frozen=True, slots=True)
class PairsReport:
    """What a run amounts to.

    Attributes:
        run_id: Name of the run.
        work_key: Name of the work; shards lie below ``shards/WORK_KEY``.
        files: Sources.
        files_failed: Sources that could not be read or have no clip.
        clips_done: Samples in the dataset, earlier runs' included.
        clips_filtered: Clips that were filtered out.
        clips_failed: Clips that were set aside, and sources that failed.
        shards: Shards of the dataset.
        frames_made: Target frames made in this run.
        held_s: Worker seconds held while clips were made and packed.
        stage_s: Seconds per stage that workers reported for this run.
        start_s: Seconds from the beginning to the first job.
        look_s: Seconds for looking at sources and planning.
        work_s: Seconds for making and packing.
    """

    run_id: str
    work_key: str
    files: int
    files_failed: int
    clips_done: int
    clips_filtered: int
    clips_failed: int
    shards: int
    frames_made: int
    held_s: float
    stage_s: dict[str, float]
    start_s: float
    look_s: float
    work_s: float

    @property
    def fps(self) -> float:
        """Target frames made per second of work."""
        return self.frames_made / self.work_s if self.work_s > 0 else 0.0


@dataclass(slots=True)
class _Open:
    """A shard whose clips are being made."""

    planned: dict[str, dict[str, Any]]  # by clip id
    waiting: set[str] = field(default_factory=set)  # clips that are not through
    through: set[str] = field(default_factory=set)  # clips with a record


def in_lanes(rows: list[dict[str, Any]], lanes: int) -> list[dict[str, Any]]:
    """Order clips so that workers who take turns each go through films of their own, forwards.

    Args:
        rows: Of one shard, source by source, in the order of time.
        lanes: Workers.
    """
    films: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        films.setdefault(row["source_id"], []).append(row)
    if len(films) < lanes:  # too few: neighbours share a film, each half of it
        share = -(-len(rows) // lanes)
        parts = [rows[at : at + share] for at in range(0, len(rows), share)]
    else:
        parts = list(films.values())
    queues: list[list[dict[str, Any]]] = [[] for _ in range(lanes)]
    for part in parts:
        min(queues, key=len).extend(part)
    return [row for turn in zip_longest(*queues) for row in turn if row is not None]


def _flat_depth(record: ClipRecord) -> Failure | None:
    """A clip that was filtered out for its depth counts towards the end of a hopeless run, as failures do."""
    if record.row.get("reason") != FlatDepthError.reason:
        return None
    return Failure(FlatDepthError.reason, record.row["message"], 1)


@dataclass(frozen=True, slots=True)
class _Finished:
    """What the driver remembers of a finished shard: counts."""

    samples: int
    filtered: int
    frames: int

    @staticmethod
    def of(commit: ShardCommit) -> "_Finished":
        return _Finished(len(commit.samples), len(commit.filtered), commit.frames)


class PairsLibrary:
    """Turns outcomes into jobs and rows; knows nothing of where jobs run.

    Every planned clip ends as exactly one row: done, filtered or failed.

    Args:
        config: Settings.
        place: Output place.
        uris: Sources.
        run_id: Name of the run.
        shard_bytes: How large a shard should become.
        on_progress: Told after every event.
        resume: Whether what earlier runs did with these settings is kept; else their plan and records go, and their
            shards are orphans, unless they come out the same.
    """

    def __init__(
        self,
        config: PairsConfig,
        place: Place,
        uris: Iterable[str],
        run_id: str,
        shard_bytes: float,
        on_progress: Callable[[Progress], None] = lambda _: None,
        *,
        resume: bool = True,
    ) -> None:
        self._config, self._place, self._run_id, self._shard_bytes = config, place, run_id, shard_bytes
        self._resume = resume
        self._uris = list(uris)
        self._on_progress = on_progress
        self._work = Work("", "")
        self._plan: pa.Table = PLAN.empty_table()
        self._rows = ShardRows(self._plan)
        self._finished: dict[str, _Finished] = {}
        self._found: list[pa.Table] = []
        self._where: dict[str, str] = {}  # source id -> where it lies now
        self._lost: dict[str, Failure] = {}  # uri -> why it cannot be read
        self._set_aside: set[str] = set()
        self._open: dict[str, _Open] = {}
        self._to_open: list[str] = []
        self._slots, self._queued = 1, 0
        self._looked = 0
        self._counts = {"clips_done": 0, "clips_failed": 0, "frames": 0, "frames_done": 0, "frames_made": 0}
        self._filtered = 0
        self._flat = FailureBudget(share=1.0)  # depth that is flat for clip after clip is a broken model's
        self._stage_s = dict.fromkeys(("look", *STAGES, "pack"), 0.0)

    def run(self, executor: Executor, *, started: float, budget: FailureBudget | None = None) -> PairsReport:
        """Do everything that is not done yet.

        Args:
            executor: Where jobs run.
            started: ``time.monotonic()`` when the command began.
            budget: Stops a hopeless run.

        Raises:
            SpatialDreamerError: If the run stops early. What is done stays done.
        """
        budget = budget or FailureBudget()
        begin = time.monotonic()
        self._slots = executor.slots
        Pool(executor, self._on_work, budget).run([Job("work", "work", None)])
        Pool(executor, self._on_look, budget).run(self._look_jobs())
        self._make_plan()
        planned = time.monotonic()
        Pool(executor, self._on_made, budget).run(self._open_more())
        work_s = time.monotonic() - planned
        return PairsReport(
            run_id=self._run_id,
            work_key=self._work.key,
            files=len(self._uris),
            files_failed=len(self._lost),
            clips_done=self._counts["clips_done"],
            clips_filtered=self._filtered,
            clips_failed=self._counts["clips_failed"],
            shards=sum(shard.samples > 0 for shard in self._finished.values()),
            frames_made=self._counts["frames_made"],
            held_s=executor.slots * work_s,
            stage_s=self._stage_s,
            start_s=begin - started,
            look_s=planned - begin,
            work_s=work_s,
        )

    def _on_work(self, outcome: Outcome) -> Iterable[Job]:
        if outcome.failure is not None:
            raise ClipError(outcome.failure.message)
        self._work = outcome.value
        if not self._resume:
            self._place.remove_folder(naming.work_folder(self._work.key))
        patiently(lambda: register_work(self._place, self._work.key, self._work.depth_name, self._config))
        self._plan = latest(read_plan(self._place, self._work.key))
        self._closed()
        is_open = pc.invert(pc.is_in(self._plan["shard"], pa.array([*self._finished, None], pa.string())))
        planned = self._plan["source_uri"].filter(is_open).unique().to_pylist()
        self._uris += sorted(set(planned) - set(self._uris))  # what was begun is finished, whatever is named now
        return ()

    def _look_jobs(self) -> Iterator[Job]:
        for number, uri in enumerate(self._uris):
            yield Job(f"look {uri}", "look", uri, priority=(number,), deadline_s=LOOK_DEADLINE_S)

    def _on_look(self, outcome: Outcome) -> Iterable[Job]:
        uri: str = outcome.job.payload
        self._looked += 1
        self._stage_s["look"] += outcome.held_s
        failure = outcome.failure
        if failure is None:
            failure = self._take_found(uri, outcome.value)
        if failure is not None:
            self._lost[uri] = failure
            self._counts["clips_failed"] += 1
            row = failed_row(self._work.key, self._run_id, failure.reason, readable(failure.message), failure.attempts)
            row |= {"source_uri": readable(uri)}
            data = PAIRS.fragment([row])
            patiently(lambda: self._place.publish(source_failed_key(self._work.key, uri), data))
        self._tell(readable(failure.message) if failure else "", source=readable(uri))
        return ()

    def _take_found(self, uri: str, found: pa.Table) -> Failure | None:
        """Keep what was found in a source, unless its ready depth is no longer what its clips were planned with."""
        source_id = found["source_id"][0].as_py()
        before = self._plan.filter(pc.equal(self._plan["source_id"], source_id))
        if before.num_rows and before["depth_digest"][0].as_py() != found["depth_digest"][0].as_py():
            message = f"{uri}: its ready depth has changed since its clips were planned; give another --output"
            return Failure("depth_changed", message, 1)
        self._place.remove(source_failed_key(self._work.key, uri))
        self._where.setdefault(source_id, uri)
        self._found.append(found)
        return None

    def _make_plan(self) -> None:
        """Add what is new to the plan, and clips to be tried again; then find out what is left to do."""
        key = self._work.key
        records = list_set_aside(self._place, naming.failed_folder(key))
        self._set_aside = {record["row"]["clip_id"] for record in records.values()}
        found = pa.concat_tables([CLIPS_FOUND.empty_table(), *self._found])
        self._found.clear()
        bits = self._config.filters.max_duplicate_bits
        make = partial(extend_plan, self._place, key, found, self._closed, self._shard_bytes, bits)
        self._plan = PLAN.empty_table()  # earlier generations, no longer needed; it is read once more
        plan = latest(patiently(make))
        planned = plan["frames"].filter(pc.equal(plan["status"], "planned"))
        self._filtered = plan.num_rows - len(planned) + sum(s.filtered for s in self._finished.values())
        self._counts["frames"] = pc.sum(planned).as_py() or 0
        self._counts["clips_failed"] += len(self._set_aside)
        for shard in self._finished.values():
            self._counts["clips_done"] += shard.samples
            self._counts["frames_done"] += (shard.samples + shard.filtered) * shard.frames
        self._rows = ShardRows(plan)
        self._to_open = [name for name in reversed(self._rows.names) if name not in self._finished]
        self._forget_packed()
        self._tell()

    def _closed(self) -> Closed:
        self._finished.clear()
        through = [pa.array(sorted(self._set_aside), pa.string())]
        for commit in each_commit(self._place, self._work.key):
            self._finished[commit.shard] = _Finished.of(commit)
            through.append(pa.array([*(sample.clip_id for sample in commit.samples), *commit.filtered], pa.string()))
        return Closed(list(self._finished), pa.chunked_array(through))

    def _forget_packed(self) -> None:
        """Finish what a crash between a shard's commit and its tidying left."""
        start = f"{naming.work_folder(self._work.key)}/clips/"
        for shard in {key.removeprefix(start).split("/")[0] for key in self._place.keys(start.rstrip("/"))}:
            if shard in self._finished:
                forget_clips(self._place, self._work.key, shard)

    def _open_more(self) -> Iterator[Job]:
        """Open shards until enough clips wait for workers."""
        while self._to_open and self._queued < OPEN_AHEAD * self._slots:
            yield from self._open_shard(self._to_open.pop())

    def _open_shard(self, name: str) -> Iterator[Job]:
        shard = _Open({row["clip_id"]: row for row in self._rows.of(name)})
        self._open[name] = shard
        for record in read_clip_records(self._place, self._work.key, name).values():
            if record.clip_id in shard.planned:
                shard.through.add(record.clip_id)
                self._count(record, made=False)
        for row in in_lanes(list(shard.planned.values()), self._slots):
            clip = row["clip_id"]
            if clip in self._set_aside or clip in shard.through:
                continue
            uri = self._where.get(row["source_id"])
            if uri is None:
                lost = self._lost.get(row["source_uri"])
                message = (
                    lost.message if lost else f"{row['source_uri']}: shows something else than when it was planned"
                )
                self._fail(row, Failure(lost.reason if lost else "source_changed", message, 1))
                continue
            shard.waiting.add(clip)
            yield self._clip_job(row | {"source_uri": uri})
        if not shard.waiting:
            yield self._pack_job(name)

    def _clip_job(self, planned: dict[str, Any], again: int = 0) -> Job:
        self._queued += 1
        decoded = planned["end_frame"] - planned["start_frame"]
        return Job(
            f"{planned['source_uri']} clip {planned['clip_id']}{' again' * again}",
            "clip",
            ClipJob(self._work.key, planned),
            priority=(1,),
            deadline_s=CLIP_DEADLINE_S + FRAME_DEADLINE_S * decoded,
        )

    def _pack_job(self, name: str) -> Job:
        rows = self._open[name].planned.values()
        first = next(iter(rows))
        through = tuple(sorted(self._open[name].through))
        payload = Shard(self._work.key, name, first["split"], first["width"], first["height"], first["frames"], through)
        return Job(f"pack {name}", "pack", payload, priority=(0,), deadline_s=PACK_DEADLINE_S)

    def _on_made(self, outcome: Outcome) -> Iterable[Job]:
        if outcome.job.kind == "pack":
            self._stage_s["pack"] += outcome.held_s
            return [*self._packed(outcome.job.payload, outcome.value, outcome.failure), *self._open_more()]
        self._queued -= 1
        return [*self._made(outcome.job.payload.planned, outcome.value, outcome.failure), *self._open_more()]

    def _made(self, planned: dict[str, Any], record: ClipRecord | None, failure: Failure | None) -> Iterator[Job]:
        shard = self._open[planned["shard"]]
        shard.waiting.discard(planned["clip_id"])
        message = ""
        if failure is not None:
            self._fail(planned, failure)
            message = f"{planned['source_uri']} clip {planned['clip_id']}: {failure.message}"
        else:
            assert record is not None
            shard.through.add(planned["clip_id"])
            self._count(record, made=True)
            self._flat.record(_flat_depth(record))
        self._tell(message, source=planned["source_uri"])
        if not shard.waiting:
            yield self._pack_job(planned["shard"])

    def _packed(self, shard: Shard, result: PackResult | None, failure: Failure | None) -> Iterator[Job]:
        if failure is not None:
            raise ClipError(f"shard {shard.name} cannot be packed: {failure.message}")
        assert result is not None
        opened = self._open[shard.name]
        if result.commit is None:
            for clip in result.again:
                opened.through.discard(clip)
                opened.waiting.add(clip)
                self._uncount(opened.planned[clip])
                uri = self._where.get(opened.planned[clip]["source_id"], opened.planned[clip]["source_uri"])
                yield self._clip_job(opened.planned[clip] | {"source_uri": uri}, again=1)
            return
        self._finished[shard.name] = _Finished.of(result.commit)
        del self._open[shard.name]
        self._tell(f"shard {shard.name}: {len(result.commit.samples)} samples, {result.commit.bytes / 1e6:.0f} MB")

    def _fail(self, planned: dict[str, Any], failure: Failure) -> None:
        row = failed_row(self._work.key, self._run_id, failure.reason, failure.message, failure.attempts, planned)
        set_aside(self._place, naming.failed_key(self._work.key, planned["clip_id"]), row, failure)
        self._set_aside.add(planned["clip_id"])
        self._counts["clips_failed"] += 1

    def _count(self, record: ClipRecord, *, made: bool) -> None:
        if made:
            for stage in STAGES:
                self._stage_s[stage] += float(record.row[f"{stage}_s"])
        frames = int(record.row["frames"])
        self._counts["frames_done"] += frames
        if not record.piece:
            self._filtered += 1
            return
        self._counts["clips_done"] += 1
        self._counts["frames_made"] += frames if made else 0

    def _uncount(self, planned: dict[str, Any]) -> None:
        self._counts["clips_done"] -= 1
        self._counts["frames_done"] -= planned["frames"]

    def _tell(self, message: str = "", source: str = "") -> None:
        failed = len(self._lost)
        counts: dict[str, Any] = self._counts
        self._on_progress(
            Progress(
                len(self._uris),
                files_done=self._looked - failed,
                files_failed=failed,
                source=source,
                message=message,
                **counts,
            )
        )
