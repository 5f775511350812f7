"""The rows of a manifest as columns: what the page adds up over a million clips is added up here, by numpy."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import isnan
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from spatialdreamer_core.store.manifest import rows_to_table

Row = Mapping[str, Any]
Reals = NDArray[np.float64]
Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Clips:
    """Manifest rows in the order of source and segment, all of them or some.

    Attributes:
        table: Of the manifest's columns; not all of them need be there.
        uris: Every source, sorted; also those of which no row is among these.
        source: [n] Which of them each row belongs to; never falls.
        at: [n] Which row of the table each is.
    """

    table: pa.Table
    uris: list[str]
    source: Indices
    at: Indices
    _read: dict[str, Reals] = field(default_factory=dict)  # whole columns, shared by all that are parts of one
    _words: dict[str, tuple[Indices, list[Any]]] = field(default_factory=dict)

    @classmethod
    def of(cls, rows: Iterable[Row] | pa.Table, order: str = "segment") -> "Clips":
        """Take rows or a table.

        Args:
            rows: Of the manifest of conversions, or any table with ``source_uri``, ``status`` and ``order``.
            order: Column that orders the clips of a source.

        Raises:
            ValueError: If a row is no manifest row.
        """
        table = rows if isinstance(rows, pa.Table) else rows_to_table(rows)
        found, words = codes_of(table["source_uri"])
        by_name = np.argsort(np.array(words, object)) if words else np.zeros(0, np.int64)
        rank = np.empty(len(words), np.int64)
        rank[by_name] = np.arange(len(words))
        source = rank[found]
        segment = _reals(table[order])
        step = np.diff(source)
        in_order = bool(np.all((step > 0) | ((step == 0) & (np.diff(segment) >= 0))))  # as compaction leaves it
        at = np.arange(len(source)) if in_order else np.lexsort((segment, source))
        return cls(table, [words[place] for place in by_name], source[at], at)

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def done(self) -> Mask:
        """[n] Whether each clip was made."""
        return self.is_("status", "done")

    @cached_property
    def failed(self) -> Mask:
        """[n] Whether each clip failed; of pairs some are neither."""
        return self.is_("status", "failed")

    @cached_property
    def starts(self) -> Indices:
        """[files] The first row of each source; of all rows, so that every source has one."""
        return np.searchsorted(self.source, np.arange(len(self.uris)))

    @cached_property
    def length_s(self) -> Reals:
        """[n] Seconds of video of each clip; NaN where unknown."""
        return self.real("end_s") - self.real("start_s")

    def has(self, name: str) -> bool:
        """Whether the table has that column."""
        return name in self.table.column_names

    def real(self, name: str) -> Reals:
        """[n] A column of numbers; NaN where it is null or the manifest has no such column."""
        if name not in self._read:
            self._read[name] = _reals(self.table[name]) if self.has(name) else np.full(self.table.num_rows, np.nan)
        return self._read[name][self.at]

    def when(self, name: str) -> NDArray[np.int64]:
        """[n] A column of moments in microseconds; 0 where it is null."""
        return np.asarray(pc.fill_null(self.table[name].cast(pa.int64()), 0).to_numpy())[self.at]

    def words(self, name: str) -> tuple[Indices, list[Any]]:
        """[n] A column of texts as numbers into the list of its different texts; a null is one of them."""
        if not self.has(name):
            return np.zeros(len(self), np.int64), [None]
        if name not in self._words:
            self._words[name] = codes_of(self.table[name])
        codes, words = self._words[name]
        return codes[self.at], words

    def is_(self, name: str, word: str) -> Mask:
        """[n] Where a column of texts has that word."""
        codes, words = self.words(name)
        return codes == words.index(word) if word in words else np.zeros(len(self), np.bool_)

    def texts(self, name: str) -> list[Any]:
        """[n] The values of a column: texts, or lists of them."""
        if not self.has(name):
            return [None] * len(self)
        values: list[Any] = self.table[name].take(pa.array(self.at)).to_pylist()
        return values

    def row(self, number: int) -> dict[str, Any]:
        """One row as it stands in the manifest."""
        return {name: self.table[name][int(self.at[number])].as_py() for name in self.table.column_names}

    def only(self, which: Mask | Indices) -> "Clips":
        """Some of the rows, of the same sources."""
        return Clips(self.table, self.uris, self.source[which], self.at[which], self._read, self._words)

    def per_file(self, values: Reals, how: np.ufunc) -> Reals:
        """[files] ``np.add``, ``np.fmin`` or ``np.fmax`` of a column over the clips of each source.

        NaN counts as 0 in sums and does not count in the other two.
        """
        return reduced(values, self.starts, how)


def reduced(values: Reals, starts: Indices, how: np.ufunc) -> Reals:
    """Reduce each run of values that begins at one of ``starts``; every run has at least one value."""
    if not len(starts):
        return np.zeros(0)
    plain = np.nan_to_num(values, nan=0.0) if how is np.add else values
    return np.asarray(how.reduceat(plain, starts), np.float64)


def mean_of_runs(values: Reals, starts: Indices) -> Reals:
    """[runs] The mean of each run without its NaN; NaN where nothing is left."""
    known = reduced(np.isfinite(values).astype(np.float64), starts, np.add)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known > 0, reduced(values, starts, np.add) / known, np.nan)


def median_of_runs(values: Reals, starts: Indices, run: Indices) -> Reals:
    """[runs] The median of each run without its NaN; NaN where nothing is left.

    Args:
        values: [n]
        starts: [runs] The first value of each.
        run: [n] Which run each value belongs to.
    """
    ordered = values[np.lexsort((values, run))]  # NaN sorts last within its run
    known = reduced(np.isfinite(values).astype(np.float64), starts, np.add).astype(np.int64)
    low = starts + np.maximum(known - 1, 0) // 2
    high = starts + np.maximum(known // 2, 0)
    high = np.where(known > 0, high, starts)
    return np.where(known > 0, (ordered[low] + ordered[high]) / 2, np.nan)


def known(values: Reals) -> Reals:
    """The values that are not NaN."""
    return values[np.isfinite(values)]


def plain(values: Sequence[float] | Reals, digits: int = 3, *, scale: float = 1.0) -> list[float | None]:
    """Rounded numbers for JSON, None for NaN."""
    rounded = np.round(np.asarray(values, np.float64) * scale, digits).tolist()
    return [None if isnan(value) else value for value in rounded]


def counts(values: Sequence[float] | Reals) -> list[int | None]:
    """Whole numbers for JSON, None for NaN and for numbers below 0, which mean that there is none."""
    return [None if isnan(value) or value < 0 else int(value) for value in np.asarray(values, np.float64).tolist()]


def _reals(column: pa.ChunkedArray) -> Reals:
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def codes_of(column: pa.ChunkedArray) -> tuple[Indices, list[Any]]:
    """[n] A column of texts as numbers into the list of its different texts; a null is one of them."""
    encoded = column if pa.types.is_dictionary(column.type) else pc.dictionary_encode(column)
    whole = pa.chunked_array(encoded.chunks, encoded.type).unify_dictionaries().combine_chunks()
    words = whole.dictionary.to_pylist()
    codes = np.asarray(pc.fill_null(whole.indices, len(words)).to_numpy(zero_copy_only=False), np.int64)
    return codes, ([*words, None] if whole.null_count else words)
