"""The clips of one output place as DuckDB sees them: read once, whole, and nothing else can be asked for."""

import os
import threading
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pyarrow as pa

from flows.report import manifest_of
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs.manifest import PAIRS
from spatialdreamer_core.report.clips import codes_of
from spatialdreamer_core.report.pairs_page import COLUMNS as PAIRS_COLUMNS
from spatialdreamer_core.store.manifest import CLIPS
from spatialdreamer_core.store.place import Place

COLUMNS = (
    *("source_uri", "shot", "segment", "start_s", "end_s", "frames", "width", "height", "status", "reason", "message"),
    *("attempts", "notes", "output", "sheet", "work_key", "run_id", "settings", "depth_name", "depth_digest"),
    *("code_version", "strength_pct", "convergence", "comfort_score", "comfort_flags", "cut_jump_pct"),
    *("disparity_p1_pct", "disparity_p50_pct", "disparity_p99_pct", "hole_share_mean", "hole_share_max"),
    *("luma_step_max", "e_warp_ratio", "sharpness_ratio", "fps", "total_s", "peak_memory_mb", "host"),
    *("started_at", "ended_at", "gate", "gate_reasons", "take"),
)
"""What the dashboard reads of the manifest."""
ANSWERS_KEPT = 200
PATIENCE_S = 1.0
"""How long a reader waits for a new manifest before the old one is shown once more."""


@dataclass(frozen=True, slots=True)
class Library:
    """One version of a manifest; what was asked once is remembered, for the rows never change.

    Attributes:
        place: The output place.
        kind: ``clips`` of a conversion or training ``pairs``; the table is called ``clips`` for both.
        version: Changes when the manifest does.
        rows: How many.
        settings: Every different settings text; the column ``asked`` of ``clips`` counts into it.
        connection: Knows the table ``clips`` and neither files nor the network.
    """

    place: Place
    kind: Literal["clips", "pairs"]
    version: str
    rows: int
    settings: list[str | None]
    connection: duckdb.DuckDBPyConnection
    _answers: OrderedDict[str, pa.Table] = field(default_factory=OrderedDict)

    def ask(self, query: str, *values: Any) -> pa.Table:
        """Answer a query over ``clips``; ``?`` in it stands for the values."""
        asked = repr((query, values))
        answer = self._answers.get(asked)
        if answer is None:
            answer = self.connection.cursor().sql(query, params=list(values)).to_arrow_table()
            self._answers[asked] = answer
            if len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)
        return answer

    def rows_of(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """The answer as plain rows."""
        rows: list[dict[str, Any]] = self.ask(query, *values).to_pylist()
        return rows


def manifest_version(place: Place) -> str:
    """A word that changes when the manifest does.

    Raises:
        StoreError: If there is none.
    """
    return str(place.version(manifest_of(place)[1]))


def open_library(url: str) -> Library:
    """Read the manifest of an output place.

    Raises:
        StoreError: If there is none, or it is torn or foreign.
    """
    place = Place(url)
    kind, name = manifest_of(place)
    version = manifest_version(place)
    with place.local_copy(name) as path:
        schema, columns = (CLIPS, COLUMNS) if kind == "clips" else (PAIRS, PAIRS_COLUMNS)
        table = schema.read_columns(path, columns, f"{place} {name}")
    settings: list[str | None] = []
    if kind == "clips":
        asked, settings = codes_of(table["settings"])
        table = table.drop_columns(["settings"]).append_column("asked", pa.array(asked, pa.int32()))
    table = table.append_column("number", pa.array(np.arange(table.num_rows)))
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"})
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("manifest", table)
    connection.execute("CREATE TABLE clips AS SELECT * FROM manifest")
    connection.unregister("manifest")
    connection.execute("SET python_enable_replacements = false")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return Library(place, kind, version, table.num_rows, settings, connection)


class Latest:
    """Gives the newest version of one library; reads again only when the manifest has changed.

    A large new manifest is read beside the old one, which is shown until then.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._place = Place(url)
        self._lock = threading.Lock()
        self._library: Library | None = None
        self._reading: Future[Library] | None = None
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="manifest")

    def __call__(self) -> Library:
        """The library now.

        Raises:
            StoreError: See ``open_library``.
        """
        with self._lock:
            if self._library is not None and self._library.version == manifest_version(self._place):
                return self._library
            if self._reading is None:
                self._reading = self._reader.submit(open_library, self._url)
            reading, old = self._reading, self._library
        done, _ = wait([reading], None if old is None else PATIENCE_S)
        if not done:
            assert old is not None, "only an old library makes waiting end early"
            return old
        with self._lock:
            if self._reading is reading:
                self._reading = None
        self._library = reading.result()
        return self._library


@lru_cache(maxsize=4)
def latest(url: str) -> Latest:
    """One reader for all who look, and for the command that starts the server."""
    return Latest(url)


def checked_key(place: Place, key: str) -> str:
    """Give back a key of the manifest that really lies in the output place.

    Raises:
        StoreError: If it leads out of it, by its name or by a symbolic link.
    """
    try:
        path = place.full(key)
    except ValueError as error:
        raise StoreError(f"{place}: {key!r} lies outside of the output and is not shown") from error
    if place.is_local:
        root = Path(os.path.realpath(place.full("x"))).parent
        if not Path(os.path.realpath(path)).is_relative_to(root):
            raise StoreError(f"{place}: {key!r} leads out of the output and is not shown")
    return key
