"""Columns out of any DataFrame, checked one by one; which rows enter the fit is decided here, once.

A column becomes a float array, or a pandas Categorical whose levels are normalised: strings sorted, categories in
the order that the user gave them, unused ones removed. Everything else is an error that names the column. Called by
`design.build` for the data of a fit and by `design.newdata` for the data of a prediction.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from jaxlmm.errors import DataError


@dataclass(frozen=True)
class Rows:
    """Which rows of the user's data entered the fit.

    Attributes
    ----------
    used : (n_data,) bool array
        True where no required variable was missing.
    index : pandas.Index
        Labels of the used rows.
    missing : dict of str to int
        Number of missing values of each variable that had any.
    """

    used: np.ndarray
    index: pd.Index
    missing: dict[str, int]

    @property
    def n_dropped(self) -> int:
        """Number of rows left out."""
        return int((~self.used).sum())


def open_table(data: Any) -> nw.DataFrame:
    """Wrap pandas, polars, pyarrow or a dict of columns, without copying.

    Raises
    ------
    DataError
        When `data` is none of them, or has no rows.
    """
    if isinstance(data, Mapping):
        try:
            data = pd.DataFrame(dict(data))
        except ValueError as problem:
            raise DataError(f"data is a dict whose columns do not make a table: {problem}") from None
    try:
        frame = nw.from_native(data)
    except TypeError:
        raise DataError(
            f"data is of type {type(data).__name__}; pass a pandas, polars or pyarrow table, or a dict of columns"
        ) from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if len(frame) == 0:
        raise DataError("data has no rows")
    return frame


def index_of(data: Any, n_rows: int) -> pd.Index:
    """The row labels of pandas data, else 0 to n - 1."""
    return data.index if isinstance(data, pd.DataFrame) else pd.RangeIndex(n_rows)


def read_columns(data: Any, names: Iterable[str], context: str = "formula") -> pd.DataFrame:
    """The named columns as floats and categoricals, missing values as NaN.

    Parameters
    ----------
    data : pandas, polars or pyarrow table, or dict of columns
        The user's data.
    names : iterable of str
        Columns to read.
    context : str
        What asks for them, for messages.

    Raises
    ------
    DataError
        When a column is absent, stands twice, or is of a type that a model cannot use.
    """
    frame = open_table(data)
    available = list(data.columns) if isinstance(data, pd.DataFrame) else frame.columns
    columns = {}
    for name in names:
        count = sum(1 for column in available if column == name)
        if count == 0:
            raise DataError(_unknown(name, [str(c) for c in available], context))
        if count > 1:
            raise DataError(
                f"data has {count} columns called {name!r}, so it is not known which one the {context} means; "
                "rename all but one"
            )
        raw = data[name] if isinstance(data, pd.DataFrame) else frame[name]
        columns[name] = normalise(raw, name)
    return pd.DataFrame(columns, index=index_of(data, len(frame)))


def normalise(raw: Any, name: str) -> pd.Series:
    """One column as a float Series or a Categorical Series.

    Raises
    ------
    DataError
        When its type has no meaning in a model: dates, durations, complex numbers, lists, mixed objects.
    """
    if not isinstance(raw, pd.Series):
        raw = _to_pandas(raw)
    dtype = raw.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return raw.cat.remove_unused_categories()
    if pd.api.types.is_bool_dtype(dtype) or pd.api.types.is_numeric_dtype(dtype):
        if pd.api.types.is_complex_dtype(dtype):
            raise DataError(f"column {name!r} holds complex numbers; a mixed model needs real ones")
        return _numeric(raw)
    if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        raise DataError(
            f"column {name!r} holds dates ({dtype}); turn it into a number first, for example days since the start: "
            f"data[{name!r}] = (data[{name!r}] - data[{name!r}].min()).dt.days"
        )
    if pd.api.types.is_timedelta64_dtype(dtype):
        raise DataError(
            f"column {name!r} holds durations ({dtype}); turn it into a number first: "
            f"data[{name!r}] = data[{name!r}].dt.total_seconds()"
        )
    return _objects(raw, name)


def _objects(raw: pd.Series, name: str) -> pd.Series:
    """A column of Python objects: all strings, all booleans or all numbers, else an error."""
    present = raw[raw.notna()]
    kinds = {_kind(value) for value in present.array}
    if kinds <= {"number", "boolean"} and len(kinds) <= 1:
        return raw.astype(float)
    if kinds == {"string"}:
        values = present.unique().tolist()
        return pd.Series(pd.Categorical(raw, categories=sorted(values)), index=raw.index)
    shown = ", ".join(f"{value!r} ({type(value).__name__})" for value in _one_of_each(present))
    raise DataError(
        f"column {name!r} mixes types or holds objects that are neither numbers nor strings: {shown}; convert it, "
        f"with data[{name!r}].astype(str) for a factor or pandas.to_numeric(data[{name!r}]) for a number"
    )


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | float | np.integer | np.floating):
        return "number"
    return type(value).__name__


def _one_of_each(values: pd.Series) -> list[Any]:
    found: dict[str, Any] = {}
    for value in values.array:
        found.setdefault(_kind(value), value)
        if len(found) == 3:
            break
    return list(found.values())


def _to_pandas(column: nw.Series) -> pd.Series:
    """A column of another library as pandas, without pyarrow in between."""
    dtype = column.dtype
    if dtype == nw.Categorical or dtype == nw.Enum:
        strings = column.cast(nw.String).to_list()
        levels = [str(v) for v in column.cat.get_categories().to_list()]
        used = {s for s in strings if s is not None}
        # The order of an Enum is the user's; that of a Categorical is the order of appearance, which means nothing.
        order = [v for v in levels if v in used] if dtype == nw.Enum else sorted(used)
        return pd.Series(pd.Categorical(strings, categories=order))
    if dtype.is_numeric() or dtype == nw.Boolean:
        return pd.Series(column.cast(nw.Float64).to_numpy()) if dtype != nw.Boolean else _booleans(column)
    if dtype == nw.String:
        return pd.Series(column.to_list(), dtype=object)
    if dtype.is_temporal():
        return pd.Series(pd.to_datetime(column.cast(nw.String).to_list(), errors="coerce"))
    return pd.Series(column.to_list(), dtype=object)


def _booleans(column: nw.Series) -> pd.Series:
    return pd.Series([np.nan if v is None else float(v) for v in column.to_list()])


def _numeric(raw: pd.Series) -> pd.Series:
    if isinstance(raw.dtype, np.dtype):
        return raw.astype(float)
    return pd.Series(raw.to_numpy(dtype=float, na_value=np.nan), index=raw.index)


def _unknown(name: str, available: list[str], context: str) -> str:
    close = difflib.get_close_matches(name, available, n=1, cutoff=0.6)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    shown = ", ".join(available[:12]) + (", ..." if len(available) > 12 else "")
    return f"the {context} uses {name!r}, which is not a column of the data{hint} The columns are: {shown}"


def complete_rows(table: pd.DataFrame, na_action: str) -> Rows:
    """Decide which rows enter: those where every required variable is present.

    Raises
    ------
    DataError
        With `na_action="raise"` when anything is missing; always when nothing is left.
    """
    if na_action not in ("drop", "raise"):
        raise DataError(f"na_action={na_action!r} is not known; write 'drop' (rows are counted) or 'raise'")
    absent = {name: table[name].isna().to_numpy() for name in table}
    missing = {name: int(mask.sum()) for name, mask in absent.items() if mask.any()}
    used = np.ones(len(table), dtype=bool)
    for mask in absent.values():
        used &= ~mask
    counts = ", ".join(f"{name} ({count})" for name, count in missing.items())
    if missing and na_action == "raise":
        first = table.index[int(np.flatnonzero(~used)[0])]
        raise DataError(f"missing values in {counts}, first in row {first!r}; fill them, or write na_action='drop'")
    for name, count in missing.items():
        if count == len(table):
            raise DataError(f"column {name!r} is missing in every row, so no row is left to fit")
    if not used.any():
        raise DataError(f"no row is complete: missing values in {counts}")
    return Rows(used, table.index[used], missing)


def check_finite(table: pd.DataFrame) -> None:
    """Refuse infinite values.

    Raises
    ------
    DataError
        Naming the column and the first row.
    """
    for name in table:
        column = table[name]
        if column.dtype.kind == "f" and np.isinf(column.to_numpy()).any():
            row = table.index[int(np.flatnonzero(np.isinf(column.to_numpy()))[0])]
            raise DataError(f"column {name!r} is infinite in row {row!r}; remove or correct that value")
