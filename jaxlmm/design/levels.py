"""Levels of grouping factors: coded once, looked up again for new data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from jaxlmm.design.kept_rows import shown_row
from jaxlmm.errors import DataError

CONVERTED = {"numbers": "pandas.to_numeric({})", "text": "{}.astype(str)", "booleans": "{}.astype(bool)"}
"""How a column of newdata becomes one of the fit's kind."""


@dataclass(frozen=True)
class Grouping:
    """The levels of one grouping factor, which may be an interaction of several columns.

    Attributes
    ----------
    name : str
        lme4's label: "Subject", "cask:batch".
    columns : tuple of str
        The columns whose combinations are the levels.
    parts : tuple of pandas.Index
        Levels of each column.
    keys : (L,) int array
        Combination number of each level, ascending; -1 nowhere.
    levels : pandas.Index
        Labels of the levels: the column's own values, or strings "a:A" for an interaction.
    """

    name: str
    columns: tuple[str, ...]
    parts: tuple[pd.Index, ...]
    keys: np.ndarray
    levels: pd.Index

    @property
    def n_levels(self) -> int:
        """Number of levels."""
        return self.keys.size

    def codes(self, table: pd.DataFrame) -> np.ndarray:
        """Level number of each row of a table, -1 where the level is not known."""
        combined, known = np.zeros(len(table), dtype=np.int64), np.ones(len(table), dtype=bool)
        for column, levels in zip(self.columns, self.parts, strict=True):
            code = levels.get_indexer(pd.Index(plain(table[column])))
            known &= code >= 0
            combined = combined * len(levels) + code
        found = np.minimum(np.searchsorted(self.keys, combined), self.keys.size - 1)
        known &= self.keys[found] == combined
        return np.where(known, found, -1)

    def label(self, table: pd.DataFrame, row: int) -> str:
        """What row `row` of a table says is its level, for messages."""
        return ":".join(show(plain(table[column])[row]) for column in self.columns)


def code_levels(table: pd.DataFrame, columns: tuple[str, ...], integers: frozenset[str]) -> tuple[Grouping, np.ndarray]:
    """Number the levels that occur.

    Parameters
    ----------
    table : pandas.DataFrame
        Normalised columns without missing values.
    columns : tuple of str
        Columns of the factor.
    integers : frozenset of str
        Columns whose floats were whole numbers in the user's data.

    Returns
    -------
    grouping : Grouping
    codes : (n,) int32 array
    """
    combined, parts = np.zeros(len(table), dtype=np.int64), []
    for column in columns:
        series = table[column]
        if isinstance(series.dtype, pd.CategoricalDtype):
            used = series.cat.remove_unused_categories()
            levels, code = used.cat.categories, used.cat.codes.to_numpy()
        else:
            code, values = pd.factorize(series.to_numpy(), sort=True)
            levels = pd.Index(values.astype(np.int64) if column in integers else values)
        parts.append(levels)
        combined = combined * len(levels) + code
    keys, codes = np.unique(combined, return_inverse=True)
    labels = parts[0] if len(columns) == 1 else pd.Index(joined_labels(keys, parts), dtype=object)
    name = ":".join(columns)
    if not labels.is_unique:
        label = labels[labels.duplicated()][0]
        raise DataError(
            f"two levels of {name!r} would both be called {label!r}, since a column's own values hold a colon; rename them, "
            f"for example data[{columns[0]!r}] = data[{columns[0]!r}].str.replace(':', '/')",
            culprit=columns[0],
        )
    return Grouping(name, columns, tuple(parts), keys, labels.rename(name)), codes.astype(np.int32)


def plain(series: pd.Series) -> np.ndarray:
    """Values of a normalised column, categories as themselves."""
    return np.asarray(series)


def show(value: object) -> str:
    """A level as text: whole floats without their point."""
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def unseen_level(grouping: Grouping, table: pd.DataFrame, row: int) -> DataError:
    """The error for a level that the fit has not seen."""
    other = other_kind(grouping, table, row)
    if other is not None:
        return other
    return DataError(
        f"{_found(grouping, table, row)}, a level that the fit has not seen; write allow_new_levels=True to predict it at "
        "the population mean, or random=False"
    )


def _found(grouping: Grouping, table: pd.DataFrame, row: int) -> str:
    """Where the level stands that is not known."""
    label = grouping.label(table, row)
    number = len(grouping.columns) == 1 and pd.api.types.is_numeric_dtype(plain(table[grouping.columns[0]]).dtype)
    return f"row {shown_row(table.index, row)} of newdata has {grouping.name!r} = {label if number else repr(label)}"


def other_kind(grouping: Grouping, table: pd.DataFrame, row: int) -> DataError | None:
    """The error for levels of another kind than the fit's, which are no new levels; None where the kinds agree."""
    for column, levels in zip(grouping.columns, grouping.parts, strict=True):
        kinds = [_kind(values) for values in (levels, pd.Index(plain(table[column])))]
        if kinds[0] != kinds[1]:
            own = f"newdata[{column!r}]"
            converted = CONVERTED[kinds[0]].format(own)
            return DataError(
                f"{_found(grouping, table, row)}, but the levels of {column!r} are {kinds[0]} in the fit and {kinds[1]} in "
                f"newdata; convert them: {own} = {converted}"
            )
    return None


def _kind(values: pd.Index) -> str:
    if pd.api.types.is_bool_dtype(values.dtype) or values.inferred_type == "boolean":
        return "booleans"
    return "numbers" if pd.api.types.is_numeric_dtype(values.dtype) else "text"


def joined_labels(keys: np.ndarray, parts: list[pd.Index]) -> list[str]:
    """Labels "a:A" of combinations."""
    columns = []
    for levels in reversed(parts):
        keys, code = np.divmod(keys, len(levels))
        shown = np.array([show(level) for level in levels], dtype=object)
        columns.append(shown[code])
    return [":".join(pieces) for pieces in zip(*reversed(columns), strict=True)]
