"""Tables of rows with an explicit schema that only ever grows, and the Parquet files that hold them.

Within a major version columns are added, never renamed, retyped or dropped. Every file carries its version in its
metadata and in a column. ``store/manifest.py`` and ``pairs/manifest.py`` say what the columns are.
"""

import io
import math
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from spatialdreamer_core.errors import StoreError

TEXT, COUNT, REAL = pa.string(), pa.int64(), pa.float64()
TEXTS, TIME = pa.list_(pa.string()), pa.timestamp("us", tz="UTC")


@dataclass(frozen=True, slots=True)
class RowTable:
    """One kind of table: its schema, what a status may be, what makes two rows tell of one thing.

    Attributes:
        schema: Columns; ``schema_version`` among them is set here. Its metadata hold ``version`` under
            ``version_key``.
        schema_name: What errors call the schema.
        version: major.minor: a new column raises the minor, anything that an older reader would misread the major.
        version_key: Name of the version in the metadata of a file; no other kind of table has it.
        statuses: What the column ``status`` may be.
        identity: Columns by which rows are sorted; the same values there, the same thing.
        better: Columns and orders; of rows that tell of one thing the first one so sorted stays.
    """

    schema: pa.Schema
    schema_name: str
    version: str
    version_key: bytes
    statuses: tuple[str, ...]
    identity: tuple[str, ...]
    better: tuple[tuple[str, str], ...]

    def from_rows(self, rows: Iterable[Mapping[str, Any]]) -> pa.Table:
        """Turn rows into a table; a missing key becomes null.

        Args:
            rows: One mapping each. Times are datetimes with a time zone, or such in ISO 8601 text.

        Raises:
            ValueError: If a key is no column, a value has the wrong type or is not finite, the status is unknown, or
                a required column is missing. The message names row, column and value.
        """
        plain = list(rows)
        for number, row in enumerate(plain):
            self._check_keys(number, row)
        return pa.Table.from_arrays([self._column(field, plain) for field in self.schema], schema=self.schema)

    def fragment(self, rows: Iterable[Mapping[str, Any]]) -> bytes:
        """Give the bytes of a Parquet file that holds these rows.

        Raises:
            ValueError: See ``from_rows``.
        """
        return table_bytes(self.from_rows(rows))

    def write(self, rows: Iterable[Mapping[str, Any]] | pa.Table, where: str | Path | IO[bytes]) -> None:
        """Write rows as one Parquet file; a path appears whole or not at all.

        Args:
            rows: Rows, or a table of this schema.
            where: Path of a local file, or a binary file open for writing.

        Raises:
            ValueError: See ``from_rows``.
        """
        data = table_bytes(rows) if isinstance(rows, pa.Table) else self.fragment(rows)
        if not isinstance(where, (str, Path)):
            where.write(data)
            return
        path = Path(where)
        scratch = path.with_name(f".{path.name}.{uuid4().hex}")
        try:
            with scratch.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)

    def read(self, where: bytes | str | Path | IO[bytes], name: str | None = None) -> pa.Table:
        """Read a file, of this version or an older one.

        Args:
            where: The bytes of the file, its local path, or a binary file open for reading.
            name: What to call it in errors; None takes the path.

        Raises:
            StoreError: If the file is missing, torn, of another kind, or of a newer major version.
        """
        called = name or (str(where) if isinstance(where, (str, Path)) else "manifest")
        opened = (
            pa.BufferReader(where) if isinstance(where, bytes) else str(where) if isinstance(where, Path) else where
        )
        with _readable(called), pq.ParquetFile(opened) as file:
            table = file.read()
        return self.conform(table, called)

    def read_columns(self, path: Path, columns: Sequence[str], name: str) -> pa.Table:
        """Read some columns of a large file; texts stay numbers into a dictionary, as they are stored.

        Args:
            path: Local file.
            columns: Of the schema; one that an older file lacks is null.
            name: What to call it in errors.

        Raises:
            StoreError: See ``read``.
        """
        with _readable(name):
            there = pq.read_schema(path)
        self.conform(there.empty_table(), name)  # its version and types
        present = [column for column in columns if column in there.names]
        texts = [column for column in present if self.schema.field(column).type == TEXT]
        with _readable(name), pq.ParquetFile(path, memory_map=True, read_dictionary=texts) as file:
            table = file.read(present)
        for column in set(columns) - set(present):
            table = table.append_column(column, pa.nulls(table.num_rows, self.schema.field(column).type))
        return table.select(list(columns))

    def conform(self, table: pa.Table, name: str = "manifest") -> pa.Table:
        """Bring a table to this schema: columns it lacks become null, columns of a newer minor are left out.

        Args:
            table: As read.
            name: What to call it in errors.

        Raises:
            StoreError: If it is of another kind, of a newer major version, or a column cannot take its type.
        """
        version = (table.schema.metadata or {}).get(self.version_key)
        if version is None:
            raise StoreError(f"{name}: a Parquet file, but not a manifest of this program; move it away")
        if _major(version.decode(), name) > _major(self.version, name):
            raise StoreError(
                f"{name}: written by a newer version (schema {version.decode()}, this program reads {self.version}); "
                "update this program"
            )
        columns = []
        for field in self.schema:
            if field.name not in table.column_names:
                if not field.nullable:
                    raise StoreError(f"{name}: column {field.name} is missing; delete the file and run again")
                columns.append(pa.nulls(table.num_rows, field.type))
                continue
            try:
                columns.append(table.column(field.name).cast(field.type))
            except pa.ArrowException as error:
                raise StoreError(
                    f"{name}: column {field.name} is no {field.type}; delete the file and run again"
                ) from error
        return pa.Table.from_arrays(columns, schema=self.schema)

    def compact(self, tables: Iterable[pa.Table]) -> pa.Table:
        """Join fragments into one table, sorted by identity, one row for each thing; the better row stays.

        Args:
            tables: Of this version or an older one; none gives an empty table.

        Raises:
            StoreError: See ``conform``.
        """
        fragments = [self.conform(table, f"fragment {number}") for number, table in enumerate(tables)]
        joined = pa.concat_tables([self.schema.empty_table(), *fragments]).combine_chunks()
        keys = [(name, "ascending") for name in self.identity]
        joined = joined.take(pc.sort_indices(joined, sort_keys=keys + list(self.better)))
        identities = zip(*(joined.column(name).to_pylist() for name in self.identity), strict=True)
        seen: set[tuple[Any, ...]] = set()
        first = []
        for identity in identities:
            first.append(identity not in seen)
            seen.add(identity)
        return joined.filter(pa.array(first, pa.bool_())).replace_schema_metadata(self.schema.metadata)

    def _check_keys(self, number: int, row: Mapping[str, Any]) -> None:
        names = set(self.schema.names)
        if not names.issuperset(row):
            unknown = ", ".join(repr(key) for key in sorted(set(row) - names))
            raise ValueError(f"row {number}: no column is called {unknown}; see {self.schema_name}")
        if row.get("status") not in self.statuses:
            raise ValueError(
                f"row {number}: status must be one of {', '.join(self.statuses)}, got {row.get('status')!r}"
            )

    def _column(self, field: pa.Field, rows: Sequence[Mapping[str, Any]]) -> pa.Array:
        name, nullable = field.name, field.nullable
        if name == "schema_version":
            return pa.array([self.version] * len(rows), field.type)
        take, wanted = _TAKERS[field.type]
        values: list[Any] = []
        for number, row in enumerate(rows):
            value = row.get(name)
            if value is None and not nullable:
                raise ValueError(f"row {number}: {name} is missing")
            try:
                values.append(None if value is None else take(value))
            except (TypeError, ValueError):
                raise ValueError(f"row {number}: {name} must be {wanted}, got {value!r}") from None
        return pa.array(values, field.type)


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Say in a sentence that a file is no Parquet, or torn."""
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise StoreError(f"{name}: not a readable Parquet file ({first_line}); delete it and run again") from error


def table_schema(
    columns: Mapping[str, pa.DataType], required: frozenset[str], version_key: bytes, version: str
) -> pa.Schema:
    """Make a schema whose metadata tell its version.

    Args:
        columns: Names and types in order.
        required: Columns that are never null.
        version_key: See ``RowTable``.
        version: See ``RowTable``.
    """
    fields = [pa.field(name, kind, nullable=name not in required) for name, kind in columns.items()]
    return pa.schema(fields, metadata={version_key: version.encode()})


def table_bytes(table: pa.Table) -> bytes:
    """Give the bytes of a Parquet file that holds this table; the same table gives the same bytes."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", version="2.6", row_group_size=64_000)
    return sink.getvalue()


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or not -(2**63) <= int(value) < 2**63:
        raise TypeError
    return int(value)


def _finite(value: Any) -> float:
    if type(value) is not float and (isinstance(value, bool) or not isinstance(value, numbers.Real)):
        raise TypeError
    if not math.isfinite(value):
        raise ValueError
    return float(value)


def _list_of_texts(value: Any) -> list[str]:
    if isinstance(value, str):
        raise TypeError
    return [_text(item) for item in value]


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if not isinstance(moment, datetime) or moment.tzinfo is None:
        raise TypeError
    return moment


_TAKERS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    TEXT: (_text, "text"),
    COUNT: (_whole, "a whole number"),
    REAL: (_finite, "a finite number"),
    TEXTS: (_list_of_texts, "a list of texts"),
    TIME: (_moment, "a datetime with a time zone"),
}


def _major(version: str, name: str) -> int:
    head = version.partition(".")[0]
    if not head.isdecimal():
        raise StoreError(f"{name}: schema version {version!r} is no version; delete the file and run again")
    return int(head)
