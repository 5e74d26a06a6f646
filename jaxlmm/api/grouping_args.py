"""The `groups` argument of `mixedlm`: a column of the data, or values that become one.

Called by `api.mixedlm`. Afterwards a grouping factor is always the name of a column, so that everything below, a
saved model and a prediction from new data among them, finds it by its name.
"""

from __future__ import annotations

from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd

from jaxlmm.design.table import open_table, read_columns
from jaxlmm.errors import DataError

FALLBACK = "groups"
"""Name of the column that values without a usable name become."""


def column_of_groups(data: Any, groups: Any) -> tuple[Any, str]:
    """Find the column that `groups` means, or add one to a copy of the data.

    Parameters
    ----------
    data : pandas, polars or pyarrow table, or dict of columns
        The user's data; never changed.
    groups : str, Series or array
        A column's name, or one value per row. A Series that is a column of the data, by name and by values, is that
        column; other values become a new column under the Series' name, or "groups".

    Returns
    -------
    data : table
        The user's own object, or a table of the same library with one column more.
    name : str
        The column.

    Raises
    ------
    DataError
        When there is no such column, or the values do not belong to the rows.

    Examples
    --------
    >>> import jaxlmm
    >>> dyestuff = jaxlmm.load_dataset("dyestuff")
    >>> column_of_groups(dyestuff, dyestuff["Batch"])[1]
    'Batch'
    >>> column_of_groups(dyestuff, ["a", "b"] * 15)[1]
    'groups'
    """
    if isinstance(groups, str):
        if "~" in groups:
            raise DataError(f"groups={groups!r} is a formula; write re_formula={groups!r} and name a column in groups")
        read_columns(data, [groups], "groups argument")
        return data, groups
    frame = open_table(data)
    values = _values(groups, data, len(frame))
    columns = [str(column) for column in frame.columns]
    name = values.name
    if isinstance(name, str) and columns.count(name) == 1 and _equal(values.to_list(), frame[name].to_list()):
        return data, name
    name = _free_name(name, columns)
    if isinstance(data, pd.DataFrame):
        return data.assign(**{name: values.to_numpy() if values.dtype == object else values.array}), name
    column = nw.new_series(name, values.to_list(), backend=frame.implementation)
    return frame.with_columns(column).to_native(), name


def _values(groups: Any, data: Any, n_rows: int) -> pd.Series:
    """Values of any kind as a Series of one value per row, under the name that they came with."""
    own = nw.from_native(groups, series_only=True, pass_through=True)
    if isinstance(groups, pd.DataFrame) or np.ndim(groups) > 1:
        raise DataError(
            f"groups has shape {np.shape(groups)}; pass one column, and write further grouping factors into the "
            "formula: (1 | a) + (1 | b)"
        )
    if isinstance(groups, pd.Series):
        values = groups
        if isinstance(data, pd.DataFrame) and len(values) == n_rows and not values.index.equals(data.index):
            raise DataError(
                "groups is a Series whose index is not that of the data; align it with groups.reindex(data.index), or "
                "pass groups.to_numpy() if the order of the rows is the same"
            )
    elif isinstance(own, nw.Series):
        values = pd.Series(own.to_list(), name=own.name)
    elif np.ndim(groups) == 1:
        values = pd.Series(groups, name=getattr(groups, "name", None))
    else:
        raise DataError(f"groups must be the name of a column or one value per row, not {groups!r:.60}")
    if len(values) != n_rows:
        raise DataError(
            f"groups has {len(values)} values, but the data has {n_rows} rows; give one value per row, or the name of "
            "one column"
        )
    return values


def _equal(a: list[Any], b: list[Any]) -> bool:
    """Whether two columns hold the same values, missing ones in the same rows."""
    first, second = pd.Series(a, dtype=object), pd.Series(b, dtype=object)
    return bool(((first == second) | (first.isna() & second.isna())).all())


def _free_name(name: Any, columns: list[str]) -> str:
    """A name that no column of the user's has."""
    candidates = [name] if isinstance(name, str) and name else []
    candidates += [FALLBACK, *(f"{FALLBACK}_{i}" for i in range(2, len(columns) + 3))]
    return next(candidate for candidate in candidates if candidate not in columns)
