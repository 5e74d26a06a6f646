"""Where rows come from when they do not stand in memory: files, readers, queries, iterators. One pass gives tables.

A source is replayable if a second pass gives the same rows: files, datasets, queries and callables are, readers and iterators
are not, and are never read twice. The Arrow C stream interface is tried before anything that is special to a library. A new
kind of source is one line in `open_source`. Called by `stream`'s users; nothing here knows a formula.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from jaxlmm.datasets import dataset_names
from jaxlmm.errors import DataError

CHUNK_ROWS = 250_000
"""Rows that are held in memory at a time, unless a source gives smaller tables."""

Columns = list[str]


@dataclass(frozen=True)
class Source:
    """Rows that are read table by table.

    Attributes
    ----------
    described : str
        For messages: "the Parquet file 'visits.parquet'".
    replayable : bool
        Whether it may be read again.
    n_rows : int or None
        Where that is known without reading.
    read : callable
        One pass over the named columns: tables that `design.table` can read, each of at most so many rows, roughly.
    path : str or None
        The file or folder, where it is one.
    """

    described: str
    replayable: bool
    n_rows: int | None
    read: Callable[[Columns, int], Iterator[Any]]
    path: str | None = None

    def holds(self, path: str) -> bool:
        """Whether a path is that of the source, or inside its folder."""
        if self.path is None:
            return False
        own, other = os.path.realpath(self.path), os.path.realpath(path)
        return other == own or other.startswith(os.path.join(own, ""))

    def tables(self, columns: Columns, chunk_rows: int) -> Iterator[Any]:
        """One pass over the rows; errors of whoever reads become ours.

        Raises
        ------
        DataError
            When the source can no longer be read, saying after how many rows.
        """
        seen = 0
        tables = self.read(columns, chunk_rows)
        while True:
            try:
                table = next(tables, None)
            except DataError:
                raise
            except Exception as problem:
                # Whatever a file system, a decoder, a database or the caller's own generator raises.
                said = str(problem).strip().split("\n")[0] or type(problem).__name__
                raise DataError(
                    f"{self.described} cannot be read beyond row {seen:,} ({type(problem).__name__}: {said}); nothing was "
                    "fitted: mend the source, or leave that part of it out, and start again"
                ) from problem
            if table is None:
                return
            seen += len(table)
            yield table


def in_memory(data: Any) -> bool:
    """Whether data are a table that stands in memory, which `build` reads as a whole."""
    if isinstance(data, pd.DataFrame | Mapping):
        return True
    try:
        return isinstance(nw.from_native(data, pass_through=True, eager_only=True), nw.DataFrame)
    except nw.exceptions.DuplicateError:
        return True


def is_source(data: Any) -> bool:
    """Whether data are no table in memory, but something that `open_source` can read; a guess that costs nothing."""
    if in_memory(data) or data is None or nw.from_native(data, pass_through=True, series_only=True) is not data:
        return False
    if isinstance(data, str):
        return data.lower() not in dataset_names() and (os.path.exists(data) or data.endswith((".parquet", ".pq")))
    if isinstance(data, list | tuple):
        return bool(data) and all(in_memory(item) or type(item).__name__ == "RecordBatch" for item in data)
    streams = ("__arrow_c_stream__", "__next__", "to_batches", "collect_batches")
    return isinstance(data, os.PathLike) or callable(data) or any(hasattr(data, name) for name in streams)


def check_chunk_rows(value: Any) -> None:
    """Refuse a number of rows that is none.

    Raises
    ------
    DataError
        Saying what to write.
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise DataError(f"chunk_rows={value!r} is no number of rows; write a whole number, 1 or more")


def open_source(data: Any) -> Source:  # noqa: PLR0911
    """Find out how data can be read.

    Raises
    ------
    DataError
        When they are of no kind that is known, or a file is not there.
    """
    if isinstance(data, Source):
        return data
    if in_memory(data):
        return _tables([data], "the table", _slices, len(nw.from_native(_framed(data))))
    if isinstance(data, str | os.PathLike):
        return _files(os.fspath(data))
    kind = type(data).__name__
    if _is_duckdb(data):
        return Source("the DuckDB relation", True, None, lambda columns, rows: _duckdb(data, columns, rows))
    if _is_polars(data):
        return Source("the polars LazyFrame", True, None, lambda columns, rows: _polars(data, columns, rows))
    if hasattr(data, "to_reader") and hasattr(data, "projected_schema"):
        # A scanner has chosen its columns and rows; it can be read again.
        return Source("the pyarrow Scanner", True, None, lambda columns, rows: _stream(data.to_reader(), columns, rows))
    if hasattr(data, "to_batches") and hasattr(data, "count_rows"):
        return Source(f"the pyarrow {kind}", True, None, lambda columns, rows: _dataset(data, columns, rows))
    if hasattr(data, "__arrow_c_stream__"):
        return Source(f"the Arrow stream ({kind})", False, None, lambda columns, rows: _stream(data, columns, rows))
    if hasattr(data, "__next__"):
        return Source(f"the iterator ({kind})", False, None, lambda columns, rows: _each(data, columns, rows))
    if callable(data):
        return Source(
            f"what {getattr(data, '__name__', kind)}() gives",
            True,
            None,
            lambda columns, rows: _called(data, columns, rows),
        )
    if isinstance(data, Iterable):
        return _tables(list(data), f"the {kind} of tables", _slices, None)
    raise DataError(
        f"data is of type {kind}; pass a table, a path of a Parquet file or folder, a pyarrow dataset or reader, a DuckDB "
        "relation, a polars LazyFrame, an iterator of tables, or a function without arguments that gives one of them"
    )


def _is_duckdb(data: Any) -> bool:
    return type(data).__module__.partition(".")[0].lstrip("_") == "duckdb" and hasattr(data, "project")


def _is_polars(data: Any) -> bool:
    return type(data).__module__.partition(".")[0] == "polars" and hasattr(data, "collect_batches")


def _tables(items: list[Any], described: str, cut: Callable[..., Iterator[Any]], n_rows: int | None) -> Source:
    """Tables in memory, cut into chunks."""

    def read(columns: Columns, rows: int) -> Iterator[Any]:
        for item in items:
            yield from cut(item, columns, rows)

    return Source(described, True, n_rows, read)


def _framed(data: Any) -> Any:
    """A dict of columns as a table."""
    if not isinstance(data, Mapping):
        return data
    try:
        return pd.DataFrame(dict(data))
    except ValueError as problem:
        raise DataError(f"data is a dict whose columns do not make a table: {problem}") from None


def _slices(data: Any, columns: Columns, rows: int) -> Iterator[Any]:
    """A table in memory, some rows at a time; a record batch becomes a table."""
    if type(data).__name__ == "RecordBatch":
        data = _arrow().Table.from_batches([data])
    data = _framed(data)
    try:
        whole = nw.from_native(data, eager_only=True)
    except TypeError:
        raise DataError(
            f"the source gave an object of type {type(data).__name__}, which is no table; it must give pandas, polars or "
            "pyarrow tables, or dicts of columns"
        ) from None
    for begin in range(0, len(whole), rows):
        # A slice in pandas itself keeps the row labels.
        part = slice(begin, begin + rows)
        yield data.iloc[part] if isinstance(data, pd.DataFrame) else nw.to_native(whole[part])


def _files(path: str) -> Source:
    if not os.path.exists(path):
        hint = f"; for the data set of that name write jaxlmm.load_dataset({path!r})" if path in dataset_names() else ""
        raise DataError(f"there is no file or folder {path!r}{hint}")
    _arrow()
    import pyarrow.dataset as datasets

    what = "folder" if os.path.isdir(path) else "file"
    try:
        # Where pages have checksums, a damaged one is an error and no number.
        # Without a buffered stream, a file's row groups are all held once they were begun.
        checked = datasets.ParquetFragmentScanOptions(
            page_checksum_verification=True, pre_buffer=False, use_buffered_stream=True
        )
        reader = datasets.ParquetFileFormat(default_fragment_scan_options=checked)
        found = datasets.dataset(path, format=reader, partitioning="hive" if what == "folder" else None)
        n_rows = found.count_rows()
    except Exception as problem:
        said = str(problem).split("\n")[0]
        raise DataError(
            f"{path!r} is no Parquet {what} that pyarrow can read ({said}); other files go through their own reader: "
            "pyarrow.dataset.dataset(path, format='csv'), or duckdb.read_csv(path)"
        ) from None
    return Source(
        f"the Parquet {what} {path!r}", True, n_rows, lambda columns, rows: _dataset(found, columns, rows), path
    )


def _dataset(data: Any, columns: Columns, rows: int) -> Iterator[Any]:
    arrow = _arrow()
    # One batch is decoded while another is summed; the default, sixteen of four files at once, would hold them all.
    ahead = {"batch_readahead": 2, "fragment_readahead": 1}
    for batch in data.to_batches(columns=_present(columns, data.schema.names), batch_size=rows, **ahead):
        yield arrow.Table.from_batches([batch])
    # What pyarrow keeps for further reading is wanted by the fit.
    arrow.default_memory_pool().release_unused()


def _stream(data: Any, columns: Columns, rows: int) -> Iterator[Any]:
    arrow = _arrow()
    with arrow.RecordBatchReader.from_stream(data) as reader:
        wanted = _present(columns, reader.schema.names)
        for batch in reader:
            for begin in range(0, batch.num_rows, rows):
                yield arrow.Table.from_batches([batch.slice(begin, rows)]).select(wanted)


def _duckdb(data: Any, columns: Columns, rows: int) -> Iterator[Any]:
    quoted = ['"' + name.replace('"', '""') + '"' for name in _present(columns, data.columns)]
    table = _arrow().Table
    projected = data.project(", ".join(quoted))
    # The newer name first; the older one warns where both are.
    reader = projected.to_arrow_reader if hasattr(projected, "to_arrow_reader") else projected.fetch_arrow_reader
    for batch in reader(rows):
        yield table.from_batches([batch])


def _polars(data: Any, columns: Columns, rows: int) -> Iterator[Any]:
    names = data.collect_schema().names()
    yield from data.select(_present(columns, names)).collect_batches(chunk_size=rows, maintain_order=True)


def _each(data: Iterator[Any], columns: Columns, rows: int) -> Iterator[Any]:
    for item in data:
        yield from _slices(item, columns, rows)


def _called(data: Callable[[], Any], columns: Columns, rows: int) -> Iterator[Any]:
    given = data()
    if given is None or callable(given):
        raise DataError(
            f"the function given as data returned {type(given).__name__}; it must return a table, a reader or an iterator of "
            "tables, a new one at each call"
        )
    yield from open_source(given).read(columns, rows)


def _present(columns: Columns, available: list[str]) -> Columns:
    """The wanted columns that are there; one that is not is found by whoever reads the table, with all names in its error."""
    wanted = [name for name in columns if name in available]
    return wanted if len(wanted) == len(columns) else available


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise DataError("reading streams needs pyarrow: pip install 'jaxlmm[arrow]'") from None
    return pyarrow
