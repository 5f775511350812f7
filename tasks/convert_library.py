"""Convert a library: which job follows from which, what becomes a row, what the run amounts to. The driver's side."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from spatialdreamer_core.config import ConvertConfig, GateConfig
from spatialdreamer_core.convert.finish import Finished, find_finished, forget_chunks, read_commits, read_finished
from spatialdreamer_core.convert.plan import SourcePlan
from spatialdreamer_core.convert.retake import Retake, decide, decided, take_over
from spatialdreamer_core.convert.segment import STAGES, Commit, identity_row, settings_json
from spatialdreamer_core.metrics.comfort import add_cut_changes
from spatialdreamer_core.metrics.gate import GATES, add_gate, failing_shots
from spatialdreamer_core.refine.registry import frame_deadline_s
from spatialdreamer_core.store.manifest import fragment_bytes, read_fragment
from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import Place
from spatialdreamer_core.video.segments import Segment
from tasks.convert_worker import FinishJob, SegmentJob
from tasks.jobs import Failure, Job, Outcome
from tasks.pool import Executor, FailureBudget, Pool
from tasks.progress import Progress
from tasks.set_aside import readable, set_aside

FRAGMENTS = ".spatialdreamer/manifest"

PLAN_DEADLINE_S = 3600.0
FINISH_DEADLINE_S = 3600.0
SEGMENT_DEADLINE_S = 300.0
"""A segment may take this long ..."""
FRAME_DEADLINE_S = 3.0
"""... and this much per frame and per million samples of it: far beyond honest work, near enough to end a hang."""


@dataclass(frozen=True, slots=True)
class LibraryReport:
    """What a run amounts to.

    Attributes:
        run_id: Name of the run.
        files: Sources.
        files_done: Sources whose files exist, earlier runs' included.
        files_failed: Sources with at least one failed clip.
        clips_done: Rows with status ``done``.
        clips_failed: Rows with status ``failed``.
        frames_made: Frames converted in this run.
        held_s: Worker seconds held: slots times the time from the first job to the last outcome.
        stage_s: Seconds per stage that workers reported for this run's segments.
        start_s: Seconds from the beginning to the first job: Ray, imports, listing.
        work_s: Seconds from the first job to the last outcome.
        outputs: Keys of the files that people get.
        gate: Clips by verdict of the gate.
        shots_retaken: Shots that failed the gate and were made again, in this run or before.
    """

    run_id: str
    files: int
    files_done: int
    files_failed: int
    clips_done: int
    clips_failed: int
    frames_made: int
    held_s: float
    stage_s: dict[str, float]
    start_s: float
    work_s: float
    outputs: tuple[str, ...]
    gate: dict[str, int]
    shots_retaken: int

    @property
    def fps(self) -> float:
        """Frames made per second of work."""
        return self.frames_made / self.work_s if self.work_s > 0 else 0.0


@dataclass(slots=True)
class _Source:
    """What the driver remembers of one source while it is under way."""

    uri: str
    stem: str
    plan: SourcePlan
    first_take: SourcePlan | None = None  # of which the plan is the retake
    retaken: dict[int, str] = field(default_factory=dict)  # shot -> what was changed, and why
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    failed: set[int] = field(default_factory=set)

    @property
    def frames(self) -> int:
        return len(self.plan.scan.pts)

    @property
    def frames_done(self) -> int:
        return sum(s.end - s.start for s in self.plan.segments if s.index in self.rows and s.index not in self.failed)

    @property
    def complete(self) -> bool:
        return len(self.rows) == len(self.plan.segments)


class ConvertLibrary:
    """Turns outcomes into jobs and rows; knows nothing of where jobs run.

    Every planned segment ends as exactly one row, of a source that cannot be planned there is one row for the source.

    Args:
        config: Settings.
        place: Output place.
        stems: Output path without suffix for every source.
        run_id: Name of the run.
        on_progress: Told after every event.
        gate: Limits for every clip; whether failing shots are made again.
    """

    def __init__(
        self,
        config: ConvertConfig,
        place: Place,
        stems: dict[str, str],
        run_id: str,
        on_progress: Callable[[Progress], None] = lambda _: None,
        gate: GateConfig | None = None,
    ) -> None:
        self._config, self._place, self._stems, self._run_id = config, place, stems, run_id
        self._on_progress = on_progress
        self._gate = gate or GateConfig()
        self._gate_counts: dict[str, int] = dict.fromkeys(GATES, 0)
        self._shots_retaken = 0
        self._sources: dict[str, _Source] = {}
        self._order = {uri: number for number, uri in enumerate(stems)}
        self._first: dict[tuple[str, str], str] = {}  # which source is converted for each content
        self._twins: dict[str, list[str]] = {}  # others of the same content, waiting for it
        self._ended: dict[str, bool] = {}  # uri -> finished well
        self._counts = {"clips_done": 0, "clips_failed": 0, "frames": 0, "frames_done": 0, "frames_made": 0}
        self._stage_s = dict.fromkeys(("plan", "finish", *STAGES), 0.0)
        self._outputs: list[str] = []

    def run(self, executor: Executor, *, started: float, budget: FailureBudget | None = None) -> LibraryReport:
        """Do everything that is not done yet.

        Args:
            executor: Where jobs run.
            started: ``time.monotonic()`` when the command began.
            budget: Stops a hopeless run.

        Raises:
            SpatialDreamerError: If the run stops early. What is done stays done, and has its rows.
        """
        begin = time.monotonic()
        pool = Pool(executor, self._on_outcome, budget or FailureBudget())
        try:
            pool.run(self._plan_jobs())
        finally:
            for source in list(self._sources.values()):
                self._write_fragment(source)  # what is done of an unfinished source has its rows too
        work_s = time.monotonic() - begin
        done = sum(self._ended.values())
        return LibraryReport(
            run_id=self._run_id,
            files=len(self._stems),
            files_done=done,
            files_failed=len(self._ended) - done,
            clips_done=self._counts["clips_done"],
            clips_failed=self._counts["clips_failed"],
            frames_made=self._counts["frames_made"],
            held_s=executor.slots * work_s,
            stage_s=self._stage_s,
            start_s=begin - started,
            work_s=work_s,
            outputs=tuple(self._outputs),
            gate=self._gate_counts,
            shots_retaken=self._shots_retaken,
        )

    def _plan_jobs(self) -> Iterator[Job]:
        for uri, number in self._order.items():
            yield Job(f"plan {uri}", "plan", uri, priority=(2, number), deadline_s=PLAN_DEADLINE_S)

    def _on_outcome(self, outcome: Outcome) -> Iterable[Job]:
        match outcome.job.kind:
            case "plan":
                self._stage_s["plan"] += outcome.held_s
                return list(self._planned(outcome.job.payload, outcome.value, outcome.failure))
            case "segment":
                return list(self._converted(outcome.job.payload, outcome.value, outcome.failure))
            case _:
                self._stage_s["finish"] += outcome.held_s
                return list(self._finished(outcome.job.payload, outcome.value, outcome.failure))

    def _planned(self, uri: str, plan: SourcePlan | None, failure: Failure | None) -> Iterator[Job]:
        if plan is None:
            assert failure is not None
            self._source_failed(uri, failure)
            return
        self._place.remove(_source_fragment(uri))
        content = plan.work_key, plan.info.source_id
        first = self._first.setdefault(content, uri)
        if first != uri and first not in self._ended:
            self._twins.setdefault(first, []).append(uri)
            self._sources[uri] = _Source(uri, self._stems[uri], plan)
            return
        yield from self._open(_Source(uri, self._stems[uri], plan))

    def _open(self, source: _Source) -> Iterator[Job]:
        """Start a planned source: count what is done, give the jobs that are left."""
        if (retake := self._decided(source)) is not None:
            yield from self._open_retake(source, retake)
            return
        self._sources[source.uri] = source
        self._counts["frames"] += source.frames
        plan = source.plan
        if (done := read_finished(self._place, plan, source.stem)) is not None and self._restore_rows(
            source, source.stem
        ):
            if (retake := self._decide(source)) is not None:
                yield from self._open_retake(source, retake)
                return
            self._forget_chunks(source)  # a crash may have come between the record and this
            self._close(source, done, message=f"{source.uri}: done before")
            return
        if (twin := find_finished(self._place, plan)) is not None and self._restore_rows(source, twin.stem):
            if (retake := self._decide(source)) is not None:
                yield from self._open_retake(source, retake)
                return
            yield self._finish_job("copy", source)
            return
        commits = read_commits(self._place, plan)
        for index, commit in commits.items():
            source.rows[index] = self._own(source, commit.row)
            self._count_done(plan.segments[index], made=False)
        for segment in plan.segments:
            if segment.index in source.rows:
                continue
            if (record := self._place.read(_failed_key(plan, segment))) is not None:
                source.rows[segment.index] = self._own(source, json.loads(record)["row"])
                source.failed.add(segment.index)
                self._counts["clips_failed"] += 1
                continue
            yield self._segment_job(source, segment)
        self._tell(source)
        if source.complete:
            yield from self._all_segments_ended(source)

    def _segment_job(self, source: _Source, segment: Segment) -> Job:
        plan, video = source.plan, source.plan.info.video
        megasamples = video.width * video.height / 1e6
        frame_s = FRAME_DEADLINE_S + frame_deadline_s(self._config.refine)
        return Job(
            f"{source.uri} segment {segment.index}",
            "segment",
            SegmentJob(plan.work_key, plan.info.source_id, source.uri, segment.index),
            priority=(1, self._order[source.uri], segment.index),
            deadline_s=SEGMENT_DEADLINE_S + frame_s * (segment.end - segment.start) * max(1.0, megasamples),
        )

    def _converted(self, job: SegmentJob, commit: Commit | None, failure: Failure | None) -> Iterator[Job]:
        source = self._sources[job.uri]
        segment = source.plan.segments[job.index]
        message = ""
        if failure is not None:
            row = self._failed_row(source, segment, failure)
            source.failed.add(segment.index)
            self._counts["clips_failed"] += 1
            set_aside(self._place, _failed_key(source.plan, segment), row, failure)
            message = f"{source.uri} segment {segment.index}: {failure.message}"
        else:
            assert commit is not None
            row = self._own(source, commit.row)
            for stage in STAGES:
                self._stage_s[stage] += float(row[f"{stage}_s"])
            self._count_done(segment, made=True)
        source.rows[segment.index] = row
        self._tell(source, message)
        if source.complete:
            yield from self._all_segments_ended(source)

    def _all_segments_ended(self, source: _Source) -> Iterator[Job]:
        if source.failed:
            self._close(source, None)
            yield from self._open_twins(source)
            return
        if (retake := self._decide(source)) is not None:
            yield from self._open_retake(source, retake)
            return
        yield self._finish_job("finish", source)

    def _decided(self, source: _Source) -> Retake | None:
        if not self._gate.rerender or source.first_take is not None:
            return None
        return decided(source.plan, self._gate, self._place)

    def _decide(self, source: _Source) -> Retake | None:
        """The second take that a source needs, all of whose clips are made; None if it needs none, or is one."""
        if not self._gate.rerender or source.first_take is not None:
            return None
        rows = self._gated(source)
        shots = failing_shots(rows, self._gate)
        return decide(source.plan, rows, shots, self._gate, self._place) if shots else None

    def _open_retake(self, source: _Source, retake: Retake) -> Iterator[Job]:
        """Go on with the second take; the first one is forgotten as if it had not been counted."""
        plan = source.plan
        if self._sources.pop(source.uri, None) is source and source.rows:
            self._counts["clips_done"] -= len(source.rows)
            self._counts["frames_done"] -= source.frames
            self._counts["frames"] -= source.frames
        if not self._config.export_depth:  # exported depth lies with the take that made it
            take_over(plan, retake, self._place)
        self._place.remove(_fragment(plan, source.stem))
        self._shots_retaken += len(retake.notes)
        again = _Source(source.uri, source.stem, retake.plan, first_take=plan, retaken=retake.notes)
        jobs = list(self._open(again))
        if jobs:
            text = f"{len(retake.notes)} of {len(plan.shots)} shots fail the gate and are made again, less deep"
            self._tell(again, f"{source.uri}: {text}")
        yield from jobs

    def _finish_job(self, kind: Literal["finish", "copy"], source: _Source) -> Job:
        payload = FinishJob(source.plan.work_key, source.plan.info.source_id, source.uri, source.stem)
        return Job(f"{kind} {source.uri}", kind, payload, priority=(0,), deadline_s=FINISH_DEADLINE_S)

    def _finished(self, job: FinishJob, done: Finished | None, failure: Failure | None) -> Iterator[Job]:
        source = self._sources[job.uri]
        if failure is not None:
            for segment in source.plan.segments:
                source.rows[segment.index] |= {
                    "status": "failed",
                    "reason": failure.reason,
                    "message": failure.message,
                    "attempts": failure.attempts,
                }
            self._counts["clips_failed"] += len(source.rows)
            self._counts["clips_done"] -= len(source.rows)
            self._close(source, None, message=failure.message)
        else:
            self._close(source, done, message=f"{source.uri}: done")
            self._forget_chunks(source)
        yield from self._open_twins(source)

    def _open_twins(self, source: _Source) -> Iterator[Job]:
        for uri in self._twins.pop(source.uri, []):
            yield from self._open(self._sources[uri])

    def _close(self, source: _Source, done: Finished | None, message: str = "") -> None:
        if done is not None:
            for row in source.rows.values():
                row["output"] = list(done.files)
                row["notes"] = [*row["notes"], *(note for note in done.notes if note not in row["notes"])]
            self._outputs.extend(done.files)
        self._ended[source.uri] = done is not None
        self._write_fragment(source)
        self._tell(source, message)
        del self._sources[source.uri]

    def _forget_chunks(self, source: _Source) -> None:
        for plan in (source.plan, source.first_take):
            if plan is not None:
                forget_chunks(plan, self._place)

    def _write_fragment(self, source: _Source) -> None:
        if not source.rows:
            return
        rows = self._gated(source)
        for row in rows:
            self._gate_counts[row["gate"]] += 1
            if row["status"] == "done":
                note = source.retaken.get(row["shot"])
                row["take"] = 1 if note is None else 2
                row["notes"] = [*row["notes"], *([note] if note and note not in row["notes"] else [])]
        patiently(lambda: self._place.publish(_fragment(source.plan, source.stem), fragment_bytes(rows)))

    def _gated(self, source: _Source) -> list[dict[str, Any]]:
        rows = add_cut_changes([source.rows[index] for index in sorted(source.rows)])
        return add_gate(rows, self._gate)

    def _restore_rows(self, source: _Source, stem: str) -> bool:
        """Take the rows of a source that was finished before under a name; False if they are gone."""
        name = _fragment(source.plan, stem)
        data = self._place.read(name)
        if data is None:
            return False
        rows = read_fragment(data, name).to_pylist()
        if len(rows) != len(source.plan.segments) or any(row["status"] != "done" for row in rows):
            return False
        for row in rows:
            source.rows[row["segment"]] = self._own(source, row)
            self._count_done(source.plan.segments[row["segment"]], made=False)
        return True

    def _own(self, source: _Source, row: dict[str, Any]) -> dict[str, Any]:
        """A row that was written for another name of the same content, under this source's name."""
        return row | {"source_uri": source.uri}

    def _failed_row(self, source: _Source, segment: Segment, failure: Failure) -> dict[str, Any]:
        return identity_row(source.plan, segment, self._config, self._run_id) | {
            "status": "failed",
            "reason": failure.reason,
            "message": failure.message,
            "attempts": failure.attempts,
            "notes": [],
        }

    def _source_failed(self, uri: str, failure: Failure) -> None:
        row = {
            "source_uri": readable(uri),
            "shot": -1,
            "segment": -1,
            "run_id": self._run_id,
            "settings": settings_json(self._config),
            "status": "failed",
            "reason": failure.reason,
            "message": readable(failure.message),
            "attempts": failure.attempts,
            "frames": 0,
            "notes": [],
        }
        (row,) = add_gate([row], self._gate)
        self._gate_counts["fail"] += 1
        patiently(lambda: self._place.publish(_source_fragment(uri), fragment_bytes([row])))
        self._counts["clips_failed"] += 1
        self._ended[uri] = False
        self._report(Progress(len(self._stems), source=readable(uri), message=readable(failure.message)))

    def _count_done(self, segment: Segment, *, made: bool) -> None:
        frames = segment.end - segment.start
        self._counts["clips_done"] += 1
        self._counts["frames_done"] += frames
        self._counts["frames_made"] += frames if made else 0

    def _tell(self, source: _Source, message: str = "") -> None:
        self._report(
            Progress(
                len(self._stems),
                source=source.uri,
                source_frames=source.frames,
                source_frames_done=source.frames_done,
                message=message,
            )
        )

    def _report(self, event: Progress) -> None:
        done = sum(self._ended.values())
        totals: dict[str, Any] = {"files_done": done, "files_failed": len(self._ended) - done} | self._counts
        self._on_progress(replace(event, **totals))


def _fragment(plan: SourcePlan, stem: str) -> str:
    name = hashlib.sha256(stem.encode(errors="surrogateescape")).hexdigest()[:8]
    return f"{FRAGMENTS}/{plan.work_key}-{plan.info.source_id}-{name}.parquet"


def _source_fragment(uri: str) -> str:
    return f"{FRAGMENTS}/source-{hashlib.sha256(uri.encode(errors='surrogateescape')).hexdigest()[:16]}.parquet"


def _failed_key(plan: SourcePlan, segment: Segment) -> str:
    return f"{plan.folder}/failed/{segment.index:06d}.json"
