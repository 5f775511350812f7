"""What a make-pairs actor holds: models loaded once, then one source, clip or shard at a time."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spatialdreamer_core.convert.source_depth import source_depth
from spatialdreamer_core.depth import parallax
from spatialdreamer_core.depth.imported import for_source
from spatialdreamer_core.depth.protocol import uses_partner
from spatialdreamer_core.depth.registry import create_depth_estimator
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.flow.dis import create_flow
from spatialdreamer_core.pairs.clip_frames import FilmReader
from spatialdreamer_core.pairs.commits import ClipRecord
from spatialdreamer_core.pairs.look import LookedAt, at, found_clips, look_at, read_looked
from spatialdreamer_core.pairs.make_clip import make_clip
from spatialdreamer_core.pairs.naming import work_key
from spatialdreamer_core.pairs.pack import PackResult, Shard, pack_shard
from spatialdreamer_core.pairs.rehearse import rehearse
from spatialdreamer_core.store.place import Place
from tasks.process import keep_freed_memory

SOURCES_KEPT = 8


@dataclass(frozen=True, slots=True)
class Work:
    """What the estimator of the workers makes of the settings.

    Attributes:
        key: Name of the work.
        depth_name: The estimator.
    """

    key: str
    depth_name: str


@dataclass(frozen=True, slots=True)
class ClipJob:
    """Which clip to make.

    Attributes:
        work_key: Name of the work.
        planned: Its row of the plan; ``source_uri`` says where the source lies now.
    """

    work_key: str
    planned: dict[str, Any]


class PairsWorker:
    """Looks at sources, makes clips and packs shards; lives in one process and uses one core (and one GPU, if given).

    Args:
        config: Settings.
        place_url: Output place.
        run_id: Goes into the rows.
        device: ``cpu`` or ``cuda``, for depth networks.

    Raises:
        ConfigError: If the depth or flow estimator does not exist here.
    """

    def __init__(self, config: PairsConfig, place_url: str, run_id: str, device: str = "cpu") -> None:
        import cv2

        keep_freed_memory()
        cv2.setNumThreads(1)  # one core per worker: many clips side by side beat many threads on one
        self._config = config
        self._place = Place(place_url)
        self._run_id = run_id
        self._estimator = create_depth_estimator(config.depth, device)
        create_flow(config.mask.flow)  # a misspelt name is told now, not by every clip
        self._reader = FilmReader()
        self._sources: OrderedDict[tuple[str, str], LookedAt] = OrderedDict()

    def ready(self) -> None:
        """Load or compile now what the first job would have to."""
        rehearse(self._config)
        if uses_partner(self._estimator):
            parallax.rehearse()

    def run(self, kind: str, payload: Any) -> Any:
        """Do one job: ``work`` (None), ``look`` (a uri), ``clip`` (a ClipJob) or ``pack`` (a Shard)."""
        match kind:
            case "work":
                return self._work()
            case "look":
                return self._look(payload)
            case "clip":
                return self._clip(payload)
            case "pack":
                return self._pack(payload)
        raise ValueError(f"no job is called {kind!r}")

    def _work(self) -> Work:
        # ready depth differs by source, so the plan names it there
        digest = "" if self._config.depth.import_from else self._estimator.digest
        return Work(work_key(self._config, digest), self._estimator.name)

    def _look(self, uri: str) -> pa.Table:
        digest = for_source(self._estimator, uri).digest
        return found_clips(look_at(uri, self._config, self._place), self._config, digest)

    def _clip(self, job: ClipJob) -> ClipRecord:
        planned = job.planned
        source = self._source(planned["source_id"], planned["source_uri"])
        estimator = source_depth(self._estimator, source.info, source.scan)
        return make_clip(
            planned,
            source,
            self._config,
            estimator,
            self._place,
            work_key=job.work_key,
            run_id=self._run_id,
            reader=self._reader,
        )

    def _pack(self, shard: Shard) -> PackResult:
        return pack_shard(shard, self._place, run_id=self._run_id)

    def _source(self, source_id: str, uri: str) -> LookedAt:
        name = source_id, uri
        if name not in self._sources:
            self._sources[name] = at(read_looked(source_id, self._config, self._place), uri)
            if len(self._sources) > SOURCES_KEPT:
                self._sources.popitem(last=False)
        self._sources.move_to_end(name)
        return self._sources[name]
