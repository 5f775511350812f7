"""What a convert actor holds: models loaded once, then one source or segment at a time."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from spatialdreamer_core.config import ConvertConfig
from spatialdreamer_core.convert.finish import copy_finished, finish_source
from spatialdreamer_core.convert.plan import SourcePlan, plan_from_bytes, work_folder
from spatialdreamer_core.convert.planning import plan_source
from spatialdreamer_core.convert.rehearse import rehearse
from spatialdreamer_core.convert.segment import Commit, convert_segment
from spatialdreamer_core.convert.source_depth import source_depth
from spatialdreamer_core.depth import parallax
from spatialdreamer_core.depth.protocol import uses_partner
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.refine.registry import create_refiner
from spatialdreamer_core.store.place import Place
from tasks.process import keep_freed_memory

PLANS_KEPT = 8


@dataclass(frozen=True, slots=True)
class SegmentJob:
    """Which segment of which plan.

    Attributes:
        work_key: Name of the work.
        source_id: Content of the source.
        uri: Where the source lies.
        index: Number of the segment.
    """

    work_key: str
    source_id: str
    uri: str
    index: int


@dataclass(frozen=True, slots=True)
class FinishJob:
    """Which source to join, or to copy from its twin, and under which name.

    Attributes:
        work_key: Name of the work.
        source_id: Content of the source.
        uri: Where the source lies.
        stem: Output path without suffix, below the output place.
    """

    work_key: str
    source_id: str
    uri: str
    stem: str


class ConvertWorker:
    """Plans, converts and joins; lives in one process and uses one core (and one GPU, if it was given one).

    Args:
        config: Settings.
        place_url: Output place.
        run_id: Goes into the rows.
        device: ``cpu`` or ``cuda``, for depth networks and the full-size refiner.

    Raises:
        ConfigError: If the depth or flow estimator or the refiner does not exist here.
    """

    def __init__(self, config: ConvertConfig, place_url: str, run_id: str, device: str = "cpu") -> None:
        import cv2

        keep_freed_memory()
        cv2.setNumThreads(1)  # one core per worker: many segments side by side beat many threads on one
        self._config = config
        self._place = Place(place_url)
        self._run_id = run_id
        self._estimator = create_depth_estimator(config.depth, device)
        self._flow = create_flow(config.flow)
        self._refiner = create_refiner(config.refine, device)
        self._plans: OrderedDict[tuple[str, str, str], SourcePlan] = OrderedDict()

    def ready(self) -> None:
        """Load or compile now what the first job would have to."""
        rehearse(self._config, self._flow, self._refiner)
        if uses_partner(self._estimator):
            parallax.rehearse()

    def run(self, kind: str, payload: Any) -> Any:
        """Do one job: ``plan`` (a uri), ``segment`` (a SegmentJob), ``finish`` or ``copy`` (a FinishJob)."""
        match kind:
            case "plan":
                return self._plan(payload)
            case "segment":
                return self._segment(payload)
            case "finish":
                return finish_source(self._load_for(payload), payload.stem, self._config, self._place)
            case "copy":
                return copy_finished(self._load_for(payload), payload.stem, self._config, self._place)
        raise ValueError(f"no job is called {kind!r}")

    def _plan(self, uri: str) -> SourcePlan:
        return plan_source(uri, self._config, self._estimator, self._place, self._refiner)

    def _segment(self, job: SegmentJob) -> Commit:
        plan = self._load(job.work_key, job.source_id, job.uri)
        estimator = source_depth(self._estimator, plan.info, plan.scan)
        segment = plan.segments[job.index]
        return convert_segment(
            plan, segment, self._config, estimator, self._flow, self._place, run_id=self._run_id, refiner=self._refiner
        )

    def _load_for(self, job: FinishJob) -> SourcePlan:
        return self._load(job.work_key, job.source_id, job.uri)

    def _load(self, work_key: str, source_id: str, uri: str) -> SourcePlan:
        name = work_key, source_id, uri
        if name not in self._plans:
            where = f"{work_folder(work_key, source_id)}/plan.npz"
            data = self._place.read(where)
            if data is None:
                raise StoreError(f"plan {where} is gone; run the same command again")
            self._plans[name] = plan_from_bytes(data, where).at(uri)
            if len(self._plans) > PLANS_KEPT:
                self._plans.popitem(last=False)
        self._plans.move_to_end(name)
        return self._plans[name]
