"""Columns out of any DataFrame, checked one by one.

A column becomes a float array, or a pandas Categorical whose levels are normalised: strings sorted, categories in
the order that the user gave them, unused ones removed. Everything else is an error that names the column. Called by
`design.build` for the data of a fit and by `design.newdata` for the data of a prediction.
"""

from __future__ import annotations

import decimal
import difflib
import os
from collections.abc import Iterable, Mapping
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from jaxlmm.datasets import dataset_names
from jaxlmm.errors import DataError


def open_table(data: Any, called: str = "data") -> nw.DataFrame:
    """Wrap pandas, polars, pyarrow or a dict of columns, without copying.

    Raises
    ------
    DataError
        When `data` is none of them, or has no rows.
    """
    if isinstance(data, Mapping):
        if data and all(np.isscalar(value) for value in data.values()):
            rows = ", ".join(f"{name!r}: [{value!r}]" for name, value in list(data.items())[:3])
            more = ", ..." if len(data) > 3 else ""
            raise DataError(f"{called} is a dict of single values; write a list for each column: {{{rows}{more}}}")
        try:
            data = pd.DataFrame(dict(data))
        except ValueError as problem:
            raise DataError(f"{called} is a dict whose columns do not make a table: {problem}") from None
    if isinstance(data, pd.DataFrame) and not data.columns.is_unique:
        # Only a column that the formula names must be the only one of its name: see `read_columns`.
        data = data.loc[:, ~data.columns.duplicated()]
    try:
        frame = nw.from_native(data)
    except TypeError:
        hint = "; read the file first, with pandas.read_csv or the like" if isinstance(data, str | os.PathLike) else ""
        if isinstance(data, str) and data.lower() in dataset_names():
            hint = f"; for the data set of that name write jaxlmm.load_dataset({data.lower()!r})"
        raise DataError(
            f"{called} is of type {type(data).__name__}; pass a pandas, polars or pyarrow table (a DataFrame), or a dict of "
            f"columns{hint}"
        ) from None
    except nw.exceptions.DuplicateError as problem:
        raise DataError(f"data has several columns of one name; rename all but one. {problem}") from None
    if isinstance(frame, nw.LazyFrame):
        frame = frame.collect()
    if len(frame) == 0:
        raise DataError(f"the data has no rows (and {len(frame.columns)} columns); check how it was read and filtered")
    return frame


def index_of(data: Any, n_rows: int) -> pd.Index:
    """The row labels of pandas data, else 0 to n - 1."""
    return data.index if isinstance(data, pd.DataFrame) else pd.RangeIndex(n_rows)


def read_columns(
    data: Any,
    names: Iterable[str],
    context: str = "formula",
    labels: Iterable[str] = (),
    numbers: Iterable[str] = (),
    called: str = "data",
) -> pd.DataFrame:
    """The named columns as floats and categoricals, missing values as NaN.

    Parameters
    ----------
    data : pandas, polars or pyarrow table, or dict of columns
        The user's data.
    names : iterable of str
        Columns to read.
    context : str
        What asks for them, for messages.
    labels : iterable of str
        Columns that only tell groups apart: their integers stay integers, for a float would merge those beyond 2**53.
    numbers : iterable of str
        Columns whose booleans are 0 and 1 (a response, an offset); others are factors with the levels False and True,
        as in R and statsmodels.
    called : str
        What the table is called in messages.

    Raises
    ------
    DataError
        When a column is absent, stands twice, or is of a type that a model cannot use.
    """
    frame = open_table(data, called)
    available = list(data.columns) if isinstance(data, pd.DataFrame) else frame.columns
    labels, numbers = set(labels), set(numbers)
    columns = {}
    for name in names:
        count = sum(1 for column in available if column == name)
        if count == 0:
            raise DataError(_unknown(name, [str(c) for c in available], context, called))
        if count > 1:
            raise DataError(
                f"the data has {count} columns called {name!r}, so it is not known which one the {context} means; "
                "rename all but one"
            )
        raw = data[name] if isinstance(data, pd.DataFrame) else frame[name]
        column = normalise(raw, name, name in labels)
        columns[name] = zero_one(column) if name in numbers else column
    return pd.DataFrame(columns, index=index_of(data, len(frame)))


def normalise(raw: Any, name: str, label: bool = False) -> pd.Series:
    """One column as a float Series or a Categorical Series; integers that are labels become categories.

    Raises
    ------
    DataError
        When its type has no meaning in a model: dates, durations, complex numbers, lists, mixed objects.
    """
    if not isinstance(raw, pd.Series):
        raw = _to_pandas(raw, name)
    dtype = raw.dtype
    if isinstance(dtype, pd.CategoricalDtype):
        return raw.cat.remove_unused_categories()
    if pd.api.types.is_bool_dtype(dtype):
        return _truths(raw)
    if pd.api.types.is_numeric_dtype(dtype):
        if pd.api.types.is_complex_dtype(dtype):
            raise DataError(f"column {name!r} holds complex numbers; a mixed model needs real ones")
        return _integer_labels(raw) if label and pd.api.types.is_integer_dtype(dtype) else _numeric(raw, name)
    if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
        raise _dates(name, dtype)
    if pd.api.types.is_timedelta64_dtype(dtype):
        raise _durations(name, dtype)
    return _objects(raw, name, label)


def _objects(raw: pd.Series, name: str, label: bool) -> pd.Series:
    """A column of Python objects: all strings, all booleans or all numbers, else an error."""
    present = raw[raw.notna().to_numpy()]
    if isinstance(raw.dtype, pd.StringDtype) or pd.api.types.infer_dtype(present, skipna=False) == "string":
        return pd.Series(_categories(raw, present), index=raw.index)
    kinds = {_kind(value) for value in present.array}
    if label and kinds == {"number"} and all(isinstance(value, int | np.integer) for value in present.array):
        return pd.Series(pd.Categorical(raw), index=raw.index)
    if kinds == {"boolean"}:
        return _truths(raw)
    if kinds <= {"number"}:
        return pd.Series(raw.to_numpy(dtype=float, na_value=np.nan), index=raw.index)
    if kinds == {"string"}:
        return pd.Series(_categories(raw, present), index=raw.index)
    shown = ", ".join(f"{value!r} ({type(value).__name__})" for value in _one_of_each(present))
    raise DataError(
        f"column {name!r} mixes types or holds objects that are neither numbers nor strings: {shown}; convert it, "
        f"with data[{name!r}].astype(str) for a factor or pandas.to_numeric(data[{name!r}]) for a number"
    )


def _categories(raw: pd.Series, present: pd.Series) -> pd.Categorical:
    """Strings as levels in Python's order."""
    return pd.Categorical(raw, categories=pd.Index(sorted(present.unique().tolist()), dtype=object))


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool | np.bool_):
        return "boolean"
    if isinstance(value, int | float | np.integer | np.floating | decimal.Decimal):
        return "number"
    return type(value).__name__


def _one_of_each(values: pd.Series) -> list[Any]:
    found: dict[str, Any] = {}
    for value in values.array:
        found.setdefault(_kind(value), value)
        if len(found) == 3:
            break
    return list(found.values())


def _dates(name: str, dtype: object) -> DataError:
    return DataError(
        f"column {name!r} holds dates ({dtype}); turn it into a number first, for example days since the start: "
        f"data[{name!r}] = (data[{name!r}] - data[{name!r}].min()).dt.days, or into text to group by it: "
        f"data[{name!r}].astype(str)"
    )


def _durations(name: str, dtype: object) -> DataError:
    return DataError(
        f"column {name!r} holds durations ({dtype}); turn it into a number first: "
        f"data[{name!r}] = data[{name!r}].dt.total_seconds()"
    )


def _to_pandas(column: nw.Series, name: str) -> pd.Series:
    """A column of another library as pandas, without pyarrow in between."""
    dtype = column.dtype
    native = column.to_native()
    if dtype in (nw.String, nw.Categorical) and type(native).__module__.partition(".")[0] == "pyarrow":
        return _arrow_text(native)
    if dtype in (nw.Categorical, nw.Enum):
        strings = column.cast(nw.String).to_list()
        used = {s for s in strings if s is not None}
        # The order of an Enum is the user's; that of a Categorical is the order of appearance, which means nothing.
        order = [v for v in dtype.categories if v in used] if isinstance(dtype, nw.Enum) else sorted(used)
        return pd.Series(pd.Categorical(strings, categories=order))
    if dtype == nw.Boolean:
        return pd.Series(column.to_list(), dtype=object)
    if dtype.is_integer():
        missing = column.is_null().to_numpy()
        values = column.fill_null(0).to_numpy()
        return pd.Series(pd.array(values, dtype="UInt64" if dtype.is_unsigned_integer() else "Int64")).mask(missing)
    if dtype.is_numeric():
        return pd.Series(column.cast(nw.Float64).to_numpy())
    if dtype == nw.Duration:
        raise _durations(name, dtype)
    if dtype.is_temporal():
        raise _dates(name, dtype)
    return pd.Series(column.to_list(), dtype=object)


def _arrow_text(native: Any) -> pd.Series:
    """A pyarrow column of text as a factor, without a Python object for each row; levels in Python's order."""
    coded = native if hasattr(native.type, "value_type") else native.dictionary_encode()
    whole = coded.unify_dictionaries().combine_chunks()
    texts = whole.dictionary.to_pylist()
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    used = np.unique(codes[codes >= 0])
    order = sorted({texts[code] for code in used.tolist()} - {None})
    place = {text: i for i, text in enumerate(order)}
    numbers = np.array([place.get(text, -1) for text in texts] + [-1], dtype=np.int64)
    return pd.Series(pd.Categorical.from_codes(numbers[codes], categories=pd.Index(order, dtype=object)))


def _truths(raw: pd.Series) -> pd.Series:
    """Booleans as a factor of the levels False and True, as far as they occur."""
    values = [None if missing else bool(value) for value, missing in zip(raw.array, raw.isna(), strict=True)]
    return pd.Series(pd.Categorical(values, categories=[False, True]).remove_unused_categories(), index=raw.index)


def zero_one(column: pd.Series) -> pd.Series:
    """A factor of False and True as the numbers 0 and 1; any other column as it is."""
    if not (isinstance(column.dtype, pd.CategoricalDtype) and pd.api.types.is_bool_dtype(column.cat.categories.dtype)):
        return column
    return pd.Series(column.to_numpy(dtype=object), index=column.index).astype(float)


def _numeric(raw: pd.Series, name: str) -> pd.Series:
    values = pd.Series(raw.to_numpy(dtype=float, na_value=np.nan), index=raw.index)
    if pd.api.types.is_integer_dtype(raw.dtype) and np.abs(values.fillna(0.0)).max() >= 2.0**53:
        present = [int(value) for value in raw[raw.notna().to_numpy()]]
        rounded = [value for value in present if value != int(float(value))]
        if rounded:
            raise DataError(
                f"column {name!r} holds integers beyond 2**53, such as {rounded[0]}, which double precision rounds; subtract "
                f"an origin if it is a number, or make it text if it is a label: data[{name!r}].astype(str)"
            )
    return values


def _integer_labels(raw: pd.Series) -> pd.Series:
    """Integers as categories, in order."""
    values = pd.Categorical(raw)
    categories = values.categories.astype("uint64" if pd.api.types.is_unsigned_integer_dtype(raw.dtype) else "int64")
    return pd.Series(values.rename_categories(categories), index=raw.index)


def _unknown(name: str, available: list[str], context: str, called: str) -> str:
    folded = {column.strip().casefold(): column for column in available}
    close = (
        [folded.get(name.casefold())] if name.casefold() in folded else difflib.get_close_matches(name, available, 1)
    )
    hint = f"; did you mean {close[0]!r}?" if close else "."
    table = "the data" if called == "data" else called
    shown = ", ".join(available[:12]) + (", ..." if len(available) > 12 else "")
    return f"{name!r}, which the {context} names, is not a column of {table}{hint} The columns are: {shown}"


def as_floats(values: Any, what: str) -> np.ndarray:
    """Numbers that are no column of the data, an array or a Series of any library, as floats; missing ones as NaN.

    Raises
    ------
    DataError
        When they are not numbers.
    """
    if type(values) is np.ndarray and values.dtype.kind in "iuf":
        return values.astype(float)
    try:
        array = np.asarray(nw.from_native(values, series_only=True, pass_through=True))
        if array.dtype.kind not in "biufO":
            raise TypeError
        return pd.Series(array.ravel()).to_numpy(float, na_value=np.nan).reshape(array.shape)
    except (TypeError, ValueError):
        raise DataError(f"{what} must be numeric, with one value per row") from None


def check_aligned(values: Any, labels: pd.Index | None, what: str) -> None:
    """Refuse a pandas Series or table whose row labels are not those of pandas data; anything else has no labels.

    Raises
    ------
    DataError
        Saying how to align it.
    """
    if isinstance(values, pd.Series | pd.DataFrame) and labels is not None and not values.index.equals(labels):
        kind = "Series" if isinstance(values, pd.Series) else "table"
        raise DataError(
            f"{what} is a {kind} whose index is not that of the data; align it with {what}.reindex(data.index), or pass "
            f"{what}.to_numpy() if the order of the rows is the same"
        )
