"""The page of an output place, made from its manifest when a conversion ends, or by ``spatialdreamer report``."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from spatialdreamer_core.errors import StoreError
from spatialdreamer_core.pairs import naming
from spatialdreamer_core.pairs.compaction import publish_pairs
from spatialdreamer_core.pairs.manifest import PAIRS
from spatialdreamer_core.report.page import COLUMNS, write_report
from spatialdreamer_core.report.pairs_page import COLUMNS as PAIRS_COLUMNS
from spatialdreamer_core.report.pairs_page import write_pairs_report
from spatialdreamer_core.store.manifest import CLIPS, compact, read_fragment, table_bytes
from spatialdreamer_core.store.patience import patiently
from spatialdreamer_core.store.place import Place, store_error
from tasks.convert_library import FRAGMENTS

MANIFEST = "manifest.parquet"
REPORT = "report.html"


def publish_manifest(output: str) -> int:
    """Compact the fragments of all runs into one file; gives its number of rows, 0 where there is nothing to write."""
    place = Place(output)
    fragments = [(key, place.read(key)) for key in place.keys(FRAGMENTS)]
    if not fragments:  # stopped before anything was tried: an empty manifest would look like a run without sources
        return 0
    table = compact([read_fragment(data, key) for key, data in fragments if data is not None])
    place.publish(MANIFEST, table_bytes(table))
    return int(table.num_rows)


def refresh_manifest(output: str) -> int:
    """Compact what a run that is still under way has done so far; gives the number of rows.

    Raises:
        StoreError: If there is nothing to gather.
    """
    place = Place(output)
    if place.keys(FRAGMENTS):
        return publish_manifest(output)
    if rows := publish_pairs(place):
        return rows
    raise StoreError(f"{output}: no conversion has written anything there; give the output of one")


def publish_report(output: str) -> None:
    """Write the page to look at beside the manifest that it is made from.

    Raises:
        StoreError: If there is no manifest, it cannot be read, or it names a picture outside of the output.
    """
    place = Place(output)
    write = _writer(place)
    with place.scratch(".html") as path:
        write(path)
        patiently(lambda: place.publish_file(path, REPORT))


def write_report_to(output: str, path: Path) -> None:
    """Write the page to a local file, and nothing to the output place.

    Raises:
        StoreError: See ``publish_report``; also if the file cannot be written.
    """
    write = _writer(Place(output))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    except OSError as error:
        raise store_error(error, f"page {path}") from error


def _writer(place: Place) -> Callable[[Path], None]:
    """Read the manifest, of conversions or else of pairs; gives what writes its page to a file."""
    kind, name = manifest_of(place)
    with place.local_copy(name) as path:
        if kind == "clips":
            clips = CLIPS.read_columns(path, COLUMNS, f"{place} {name}")
            return lambda page: write_report(clips, lambda row: read_picture(place, row), page)
        pairs = PAIRS.read_columns(path, PAIRS_COLUMNS, f"{place} {name}")
        return lambda page: write_pairs_report(pairs, page)


def manifest_of(place: Place) -> tuple[Literal["clips", "pairs"], str]:
    """What an output place holds, and the key of its manifest.

    Raises:
        StoreError: If it holds none.
    """
    if place.size(MANIFEST) is not None:
        return "clips", MANIFEST
    if place.size(naming.MANIFEST) is not None:
        return "pairs", naming.MANIFEST
    raise StoreError(
        f"{place}: no {MANIFEST} there; give the output of a conversion, and run "
        f"`spatialdreamer report {place} --refresh` if it is still under way"
    )


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
