"""Responses (or their weights) as columns beside a design: a table, an array, or chunks of either.

Rows are aligned on the index or by their number, checked, and cut to those that the design uses; columns are read a few at a
time, so that an array on disk is never in memory as a whole. Called by `results`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from jaxlmm.design.kept_rows import LARGEST, Rows, shown_row
from jaxlmm.design.table import as_floats, check_aligned, open_table
from jaxlmm.errors import DataError


class Columns:
    """Numeric columns over the rows of a design, read a few at a time.

    Parameters
    ----------
    values : pandas, polars or pyarrow table, dict of columns, or (n_data, R) array
        One column per response; memory maps are read piece by piece.
    what : str
        "responses" or "weights", for messages.
    rows : Rows
        Which rows of the data are used.
    labels : pandas.Index or None
        Row labels of the data, where they mean something: a pandas table must have the same.
    first : int
        Number of the first column of an array, which has no names.

    Raises
    ------
    DataError
        When rows do not match those of the data, or a column is no numbers or has the name of another.
    """

    def __init__(self, values: Any, what: str, rows: Rows, labels: pd.Index | None, first: int = 0):
        self.what, self._rows = what, rows
        n = rows.used.size
        if isinstance(values, Mapping):
            values = _side_by_side(values, what, n, labels)
        if isinstance(values, pd.Series):
            values = values.to_frame()
        if isinstance(values, np.ndarray):
            if values.ndim != 2:
                raise DataError(
                    f"{what} has shape {values.shape}; pass rows x columns, and for a single one an array of shape ({n}, 1)"
                )
            _check_kind(values.dtype, what, "the array")
            self.names: pd.Index = pd.RangeIndex(first, first + values.shape[1])
        elif isinstance(values, pd.DataFrame):
            if len(values) == n:  # another number of rows is said below
                check_aligned(values, labels, what)
            self.names = _flat(values.columns)
            for name, dtype in zip(self.names, values.dtypes, strict=True):
                _check_kind(dtype, what, f"column {name!r}")
        else:
            values = open_table(values, what)
            self.names = pd.Index(values.columns)
            for name, kind in values.schema.items():
                if not (kind.is_numeric() or kind == nw.Boolean):
                    raise _not_numbers(what, f"column {name!r}", kind)
        if not self.names.is_unique:
            raise DataError(
                f"{what} has several columns called {self.names[self.names.duplicated()][0]!r}; rename all but one"
            )
        if len(values) != n:
            raise DataError(f"{what} has {len(values)} rows, but the data has {n}; they must be the same, in one order")
        self._values = values

    def __len__(self) -> int:
        return len(self.names)

    def read(self, begin: int, end: int) -> np.ndarray:
        """Columns (n, end - begin) on the rows of the design, missing values as NaN.

        Raises
        ------
        DataError
            When a value is infinite, or too large or small to be squared.
        """
        values = self._values
        if isinstance(values, np.ndarray):
            part = values[:, begin:end]
            if isinstance(part, np.ma.MaskedArray):
                part = np.ma.filled(part.astype(float), np.nan)
        elif isinstance(values, pd.DataFrame):
            part = values.iloc[:, begin:end].to_numpy(dtype=float, na_value=np.nan)
        else:
            names = list(self.names[begin:end])
            part = values.select(nw.col(*names).cast(nw.Float64)).to_numpy()
        part = np.array(part if self._rows.used.all() else part[self._rows.used], dtype=float, order="C")
        largest = np.fmax.reduce(np.abs(part), axis=0, initial=0.0)
        wrong = (largest > LARGEST) | ((largest > 0) & (largest < 1.0 / LARGEST))
        if wrong.any():
            column = int(np.argmax(wrong))
            row = int(np.nanargmax(np.abs(part[:, column])))
            label = shown_row(self._rows.index, int(row))
            raise DataError(
                f"{self.what} {self.names[begin + column]!r} is {part[row, column]:g} in row {label}, which cannot be "
                "squared and summed; remove or correct that value, or change the unit"
            )
        return part


def chunks_of(values: Any, what: str, rows: Rows, labels: pd.Index | None) -> Iterator[Columns]:
    """Columns, from one table or from an iterator of several that stand side by side; as they are if read already."""
    if isinstance(values, Columns):
        yield values
        return
    if not isinstance(values, Iterator) and not (isinstance(values, list | tuple) and values):
        yield Columns(values, what, rows, labels)
        return
    first = 0
    for part in values:
        columns = Columns(part, what, rows, labels, first)
        first += len(columns)
        yield columns


def check_positive(weights: np.ndarray, y: np.ndarray, names: pd.Index, index: pd.Index) -> None:
    """Refuse weights (n, R) that are missing, zero or negative where the response is there.

    Raises
    ------
    DataError
        Naming the column and the row.
    """
    wrong = ~(weights > 0) & ~np.isnan(y)
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise DataError(
            f"the weight of response {names[column]!r} in row {shown_row(index, int(row))} is {weights[row, column]:g}; "
            "weights must be positive where there is a response: they are precision weights, Var = sigma**2 / weight"
        )


def _side_by_side(values: Mapping[Any, Any], what: str, n: int, labels: pd.Index | None) -> pd.DataFrame:
    """The columns of a dict as a table, none of them moved."""
    columns = []
    for name, column in values.items():
        check_aligned(column, labels, f"{what}[{name!r}]")
        array = as_floats(column, f"{what}[{name!r}]")
        if array.shape != (n,):
            raise DataError(f"{what}[{name!r}] has shape {array.shape}, but the data has {n} rows")
        columns.append(array)
    if not columns:
        raise DataError(f"{what} has no columns, so there is nothing to fit")
    table = pd.DataFrame(np.column_stack(columns), index=labels)
    return table.set_axis(pd.Index(list(values), tupleize_cols=False), axis=1)


def _flat(names: pd.Index) -> pd.Index:
    """Names of one level: those of several are tuples."""
    return pd.Index(list(names), tupleize_cols=False) if isinstance(names, pd.MultiIndex) else names


def _check_kind(dtype: Any, what: str, where: str) -> None:
    numeric = pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
    if not numeric or pd.api.types.is_complex_dtype(dtype):
        raise _not_numbers(what, where, dtype)


def _not_numbers(what: str, where: str, kind: Any) -> DataError:
    return DataError(f"{where} of {what} is of type {kind}; it must hold numbers: leave it out, or convert it")
