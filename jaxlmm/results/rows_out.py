"""Rows and levels written to Parquet part by part: what would not fit into memory, or should not be held there."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import narwhals as nw
import numpy as np

from jaxlmm import report
from jaxlmm.design import NewData, Source
from jaxlmm.design.table import read_columns
from jaxlmm.errors import DataError
from jaxlmm.report import Fitted

LEVELS = 200_000
"""Levels whose modes are made into a table at a time."""


def augment_to(fitted: Fitted, path: str | os.PathLike[str], source: Source, chunk_rows: int) -> int:
    """Write the complete rows of a source with fitted, resid and fixed beside them; the number of rows written.

    Raises
    ------
    DataError
        When the source cannot be read, a column would stand twice, or the file cannot be written; then there is none.
    """
    frame, fit, kept = fitted.frame, fitted.fit, fitted.model.coordinates.kept
    formula = frame.formula
    given_by = ("weights", "offset", "counts", "within_ss")
    arguments = [name for name in map(frame.arguments.get, given_by) if isinstance(name, str)]
    columns = list(dict.fromkeys([*formula.variables, *arguments]))
    for name in ("fitted", "resid", "fixed"):
        if name in columns:
            raise DataError(f"the data has a column {name!r}, and augment() adds one of that name; rename the column")
    if isinstance(path, str | os.PathLike) and source.holds(os.fspath(path)):
        raise DataError(
            f"to={os.fspath(path)!r} is where the rows are read from, which would be lost, or stand twice; write to "
            "another place"
        )
    written = 0
    with parquet_writer(path) as write:
        for table in source.tables(columns, chunk_rows):
            if len(table) == 0:
                continue
            read = read_columns(table, columns, labels=formula.labels, numbers=[*formula.numbers, *arguments])
            complete = read.notna().all(axis=1).to_numpy()
            if not complete.any():
                continue
            given = read[complete]
            new = NewData(frame, given, frame.factors, frame.factors, with_response=True)
            fixed = new.fixed()[:, kept] @ fit.beta + new.offset()
            value = fixed.copy()
            for factor, b in zip(frame.factors, fit.b, strict=True):
                value += np.einsum("nk,nk->n", new.random(factor), b[new.codes(factor, False)])
            own = nw.from_native(table, eager_only=True).select(columns).to_arrow().filter(complete)
            for name, column in (("fitted", value), ("resid", new.response() - value), ("fixed", fixed)):
                own = own.append_column(name, [column])
            write(own)
            written += len(given)
    return written


def ranef_to(
    fitted: Fitted, which: str | list[str] | None, path: str | os.PathLike[str], variances: Any, errors: Any
) -> int:
    """Write conditional modes with standard errors, and what probes leave uncertain; the number of rows written."""
    written = 0
    with parquet_writer(path) as write:
        for part in report.ranef_parts(fitted, which, variances, errors, LEVELS):
            write(report.as_arrow(part.assign(level=part["level"].astype(str))))
            written += len(part)
    return written


@contextlib.contextmanager
def parquet_writer(path: str | os.PathLike[str]) -> Iterator[Any]:
    """A function that writes tables to one file, which is there once all of them are, and not before.

    Raises
    ------
    DataError
        When pyarrow is missing or the file cannot be written.
    """
    try:
        from pyarrow import parquet
    except ImportError:
        raise DataError("writing Parquet needs pyarrow: pip install 'jaxlmm[arrow]'") from None
    if not isinstance(path, str | os.PathLike):
        raise DataError(f"to={path!r:.60} is no path of a file; write a string or a pathlib.Path")
    path = os.fspath(path)
    handle = None
    writer: Any = None
    try:
        number, handle = tempfile.mkstemp(prefix=".writing-", dir=os.path.dirname(os.path.abspath(path)))
        os.close(number)

        def write(table: Any) -> None:
            nonlocal writer
            table = table.replace_schema_metadata(None)
            writer = parquet.ParquetWriter(handle, table.schema) if writer is None else writer
            writer.write_table(table.cast(writer.schema))

        yield write
        if writer is None:
            raise DataError("there is no row to write")
        writer.close()
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(handle, 0o666 & ~mask)
        os.replace(handle, path)
        handle = None
    except OSError as problem:
        raise DataError(
            f"{path!r} cannot be written: {problem.strerror or problem}; nothing was left there, so make room, or "
            "give a file "
            "in a folder that exists"
        ) from None
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                if writer is not None and writer.is_open:
                    writer.close()
            with contextlib.suppress(OSError):
                os.remove(handle)
