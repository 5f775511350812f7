"""The page of an output place, made from its manifest when a conversion ends, or by ``spatialdreamer report``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.report.page import COLUMNS, write_report
from spatialdreamer_core.store.manifest import compact, read_columns, read_fragment, table_bytes
from spatialdreamer_core.store.place import Place, store_error
from tasks.convert_library import FRAGMENTS

MANIFEST = "manifest.parquet"
REPORT = "report.html"


def publish_manifest(output: str) -> int:
    """Compact the fragments of all runs into one file; gives its number of rows."""
    place = Place(output)
    fragments = [(key, place.read(key)) for key in place.keys(FRAGMENTS)]
    table = compact([read_fragment(data, key) for key, data in fragments if data is not None])
    place.publish(MANIFEST, table_bytes(table))
    return int(table.num_rows)


def refresh_manifest(output: str) -> int:
    """Compact what a conversion that is still under way has done so far; gives the number of rows.

    Raises:
        StoreError: If there is nothing to gather.
    """
    if not Place(output).keys(FRAGMENTS):
        raise StoreError(f"{output}: no conversion has written anything there; give the output of one")
    return publish_manifest(output)


def publish_report(output: str) -> None:
    """Write the page to look at beside the manifest that it is made from.

    Raises:
        StoreError: If there is no manifest, it cannot be read, or it names a picture outside of the output.
    """
    place = Place(output)
    table = _read(place)
    with place.scratch(".html") as path:
        _write(place, table, path)
        place.publish_file(path, REPORT)


def write_report_to(output: str, path: Path) -> None:
    """Write the page to a local file, and nothing to the output place.

    Raises:
        StoreError: See ``publish_report``; also if the file cannot be written.
    """
    place = Place(output)
    table = _read(place)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(place, table, path)
    except OSError as error:
        raise store_error(error, f"page {path}") from error


def _write(place: Place, table: pa.Table, path: Path) -> None:
    write_report(table, lambda row: read_picture(place, row), path)


def _read(place: Place) -> pa.Table:
    if place.size(MANIFEST) is None:
        raise StoreError(
            f"{place}: no {MANIFEST} there; give the output of a conversion, and --refresh if it is still under way"
        )
    with place.local_copy(MANIFEST) as path:
        return read_columns(path, COLUMNS, f"{place} {MANIFEST}")


def read_picture(place: Place, row: Mapping[str, Any]) -> bytes | None:
    """The contact sheet that a row names, or None.

    Raises:
        StoreError: If it lies outside of the output: such a manifest is not ours.
    """
    if not row.get("sheet"):
        return None
    try:
        return place.read(row["sheet"])
    except ValueError as error:
        raise StoreError(
            f"{place} {MANIFEST}: names a picture outside of the output, {row['sheet']!r}; "
            "this is no manifest of this program, look where it comes from"
        ) from error
