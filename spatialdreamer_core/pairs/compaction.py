"""The manifest of pairs from what lies in the store: plans, rows of finished shards, records of clips set aside."""

import hashlib
import json
import logging
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from spatialdreamer_core import __version__
from spatialdreamer_core.dvg.config import PairsConfig
from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.commits import ShardCommit, read_commits
from spatialdreamer_core.pairs.manifest import IDENTITY, PAIRS, PAIRS_SCHEMA, PLACE, SCORES
from spatialdreamer_core.pairs.plan import latest, read_plan
from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import Place, canonical_json
from spatialdreamer_core.store.rows import table_bytes
from spatialdreamer_core.store.tar import read_piece

log = logging.getLogger(__name__)

_FROM_PLAN = (*IDENTITY, *SCORES, *PLACE, "status", "reason", "message")


def register_work(place: Place, work_key: str, depth_name: str, config: PairsConfig) -> None:
    """Say with which settings this work is done; the manifest and readers find works by this."""
    record = {"work_key": work_key, "depth_name": depth_name, "settings": asdict(config), "code_version": __version__}
    place.create(naming.work_file(work_key), canonical_json(record | {"layout": naming.LAYOUT}))


def list_works(place: Place) -> dict[str, dict[str, Any]]:
    """Every work in an output place, by key.

    Raises:
        StoreError: If a record is torn, or of a layout that this program does not know.
    """
    keys = [naming.work_file(name) for name in place.children(naming.WORKS)]
    records = [_work_record(data, key) for key, data in place.read_many(keys).items()]
    return {record["work_key"]: record for record in records}


def _work_record(data: bytes, where: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(data)
        layout = record.get("layout", 1)  # the first layout did not say so
        if record["work_key"] and layout == naming.LAYOUT:
            return record
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{where} cannot be read ({error!r}); restore it: it says what the work beside it is"
        ) from error
    raise StoreError(
        f"{where}: layout {layout} was written by another version ({record.get('code_version')}), this one knows "
        f"{naming.LAYOUT}; use that version on this place"
    )


def source_failed_key(work_key: str, uri: str) -> str:
    """Where the row of a source that could not be read lies."""
    digest = hashlib.sha256(uri.encode(errors="surrogateescape")).hexdigest()[:16]
    return f"{naming.sources_folder(work_key)}/{digest}.parquet"


def failed_row(
    work_key: str, run_id: str, reason: str, message: str, attempts: int, planned: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The row of a clip or source that failed."""
    known = {name: planned[name] for name in (*IDENTITY, *SCORES, *PLACE)} if planned else {}
    return known | {
        "work_key": work_key,
        "run_id": run_id,
        "code_version": __version__,
        "status": "failed",
        "reason": reason,
        "message": message,
        "attempts": attempts,
    }


def publish_pairs(place: Place) -> int:
    """Compact everything into the manifest; gives its number of rows, 0 where there is nothing to write.

    Raises:
        StoreError: If something cannot be read or written.
    """
    tables = [table for key, record in list_works(place).items() for table in _work_tables(place, key, record)]
    manifest = PAIRS.compact(tables)
    if not manifest.num_rows and place.size(naming.MANIFEST) is None:  # stopped before anything was tried
        return 0
    data = table_bytes(manifest)
    patiently(lambda: place.publish(naming.MANIFEST, data))
    return int(manifest.num_rows)


def _work_tables(place: Place, work_key: str, work: dict[str, Any]) -> list[pa.Table]:
    plan = latest(read_plan(place, work_key))
    filtered = plan.filter(pc.equal(plan["status"], "filtered")).select(_FROM_PLAN)
    for name in ("work_key", "depth_name", "code_version"):
        filtered = filtered.append_column(name, pa.array([work[name]] * filtered.num_rows, pa.string()))
    tables = [PAIRS.conform(filtered.replace_schema_metadata(PAIRS_SCHEMA.metadata), f"plan of {work_key}")]
    commits = read_commits(place, work_key)
    fragments = place.read_many([commit.fragment for commit in commits.values()])
    for commit in commits.values():
        tables.append(_shard_rows(place, work_key, work, commit, fragments.get(commit.fragment), plan))
    sources = place.read_many(place.keys(naming.sources_folder(work_key)))
    tables += [PAIRS.read(data, key) for key, data in sources.items()]
    failed = place.read_many(place.keys(naming.failed_folder(work_key)))
    tables.append(PAIRS.from_rows([json.loads(data)["row"] for data in failed.values()]))
    return tables


def _shard_rows(
    place: Place, work_key: str, work: dict[str, Any], commit: ShardCommit, data: bytes | None, plan: pa.Table
) -> pa.Table:
    """The rows of a finished shard; made again from its samples if their file is torn or gone."""
    try:
        if data is not None:
            return PAIRS.read(data, commit.fragment)
    except StoreError as error:
        log.warning("%s; its rows are made again from %s", error, commit.file)
    planned = {row["clip_id"]: row for row in plan.filter(pc.equal(plan["shard"], commit.shard)).to_pylist()}
    rows = rows_from_shard(place, work_key, work, commit, planned)
    table = PAIRS.from_rows(rows)
    patiently(lambda: place.publish(commit.fragment, table_bytes(table)))
    return table


def rows_from_shard(
    place: Place, work_key: str, work: dict[str, Any], commit: ShardCommit, planned: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Make a finished shard's rows from what its samples say; only what they cost is lost.

    Raises:
        StoreError: If the shard cannot be read.
    """
    same = {"work_key": work_key, "run_id": commit.run_id, "code_version": commit.code_version} | {
        "depth_name": work["depth_name"]
    }
    rows = []
    for sample in commit.samples:
        data = place.read_range(commit.file, sample.offset, sample.offset + sample.bytes)
        key, members = read_piece(data, f"{commit.file} at {sample.offset}")
        facts = json.loads(members["json"])
        rows.append(
            same
            | facts["source"]
            | {name: planned[key][name] for name in PLACE if key in planned}
            | facts["measured"]
            | {"status": "done", "attempts": 1, "file": commit.file}
            | {"offset": sample.offset, "bytes": sample.bytes, "sha256": sample.sha256}
        )
    for clip in commit.filtered:
        row = {name: planned[clip][name] for name in (*IDENTITY, *SCORES, *PLACE)} if clip in planned else {}
        why = {"status": "filtered", "reason": "unknown", "message": "filtered out while it was made"}
        rows.append(same | row | why)
    return rows
