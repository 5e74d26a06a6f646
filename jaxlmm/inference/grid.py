"""Reference grids: the combinations of levels and values that marginal means average over (Searle, Speed & Milliken 1980,
The American Statistician 34(4); Lenth's emmeans follows the same conventions).

Factors stand at all their levels, a covariate at its mean or, where the data have two values of it, at both; `at` says
otherwise, in the units of the data. Rows are coded by the formula's own specification. Called by `marginal`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from jaxlmm.design import Frame, NewData
from jaxlmm.errors import DataError
from jaxlmm.formula import variables_of
from jaxlmm.inference.nesting import SPANNED

MOST = 1_000_000
"""Rows of a grid, beyond which a factor has too many levels for marginal means to be meant."""

WEIGHTS = ("equal", "proportional")


@dataclass(frozen=True)
class Grid:
    """A reference grid.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per combination, a column for each variable of the fixed effects.
    rows : (g, p) array
        Kept fixed-effects columns of each combination; NaN where the mean of a combination is not estimable.
    offset : float
        Mean offset of the data.
    factors : list of str
        Variables with more than one value.
    """

    table: pd.DataFrame
    rows: np.ndarray
    offset: float
    factors: list[str]


def reference_grid(frame: Frame, kept: np.ndarray, at: Mapping[str, Any] | None, wanted: Iterable[str]) -> Grid:
    """Make the grid; `wanted` are the variables that will be asked for.

    Raises
    ------
    DataError
        When a variable is none of the fixed effects, or `at` gives no usable values.
    """
    x = frame.with_rows().x
    variables = variables_of(frame.formula.fixed)
    for name in wanted:
        if name not in variables:
            raise DataError(
                f"{name!r} is not a variable of the fixed effects of this fit; those are: {', '.join(map(repr, variables))}"
            )
    at = _checked(at, variables)
    values = {name: at[name] if name in at else _usual(frame, name) for name in variables}
    count = int(np.prod([len(own) for own in values.values()], dtype=float))
    if count > MOST:
        raise DataError(f"the reference grid would have {count:,} rows; give values of some variable in at={{...}}")
    combinations = list(itertools.product(*values.values()))
    table = pd.DataFrame({name: [row[i] for row in combinations] for i, name in enumerate(values)})
    if not variables:
        table = pd.DataFrame(index=[0])
    columns = _encoded(frame, table)
    offset = 0.0 if frame.offset is None else float(np.mean(frame.offset))
    factors = [name for name, own in values.items() if len(own) > 1]
    return Grid(table, _estimable(columns, x, kept), offset, factors)


def slopes(frame: Frame, grid: Grid, kept: np.ndarray, variable: str) -> np.ndarray:
    """Derivatives (g, p) of the grid's rows in a covariate, by central differences over a thousandth of its range.

    Raises
    ------
    DataError
        When the variable is no covariate of the fixed effects.
    """
    if variable not in grid.table or isinstance(frame.table[variable].dtype, pd.CategoricalDtype):
        numeric = [name for name in grid.table if not isinstance(frame.table[name].dtype, pd.CategoricalDtype)]
        raise DataError(
            f"var={variable!r} is not a numeric variable of the fixed effects; those are: "
            f"{', '.join(map(repr, numeric)) or 'none'}"
        )
    step = 1e-3 * float(np.ptp(frame.table[variable]))
    sides = [grid.table.assign(**{variable: grid.table[variable] + side * 0.5 * step}) for side in (1.0, -1.0)]
    high, low = (_encoded(frame, table)[:, kept] for table in sides)
    return np.where(np.isnan(grid.rows).any(axis=1, keepdims=True), np.nan, (high - low) / step)


def frequencies(frame: Frame, table: pd.DataFrame, names: list[str]) -> np.ndarray:
    """How many rows of the data have each combination of some factors (g,)."""
    if not names:
        return np.ones(len(table))
    counts = frame.table.groupby(names, observed=False).size()
    keys = pd.MultiIndex.from_frame(table[names]) if len(names) > 1 else pd.Index(table[names[0]])
    return counts.reindex(keys, fill_value=0).to_numpy(float)


def _encoded(frame: Frame, table: pd.DataFrame) -> np.ndarray:
    if not table.shape[1]:
        return np.ones((1, frame.design.n_fixed))
    # Offsets are not asked for, but their columns are looked up with the others.
    extra = {
        name: [frame.table[name].iloc[0]] * len(table) for name in frame.formula.offset_columns if name not in table
    }
    return NewData(frame, table.assign(**extra), (), ()).fixed()


def _checked(at: Mapping[str, Any] | None, variables: Iterable[str]) -> dict[str, list[Any]]:
    """Values of `at` as lists."""
    if at is None:
        return {}
    if not isinstance(at, Mapping):
        raise DataError(f'at is of type {type(at).__name__}; write a dict such as at={{"age": [40, 60]}}')
    answer = {}
    for name, given in at.items():
        if name not in variables:
            raise DataError(
                f"at names {name!r}, which is not a variable of the fixed effects; those are: "
                f"{', '.join(map(repr, variables))}"
            )
        own = [given] if np.isscalar(given) or given is None else list(given)
        if not own or len(set(own)) < len(own):
            raise DataError(f"at[{name!r}] = {given!r}; give one value or several different ones")
        answer[name] = own
    return answer


def _usual(frame: Frame, name: str) -> list[Any]:
    """Levels of a factor; the mean of a covariate, or both its values where it has two."""
    column = frame.table[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.categories.tolist()
    distinct = np.unique(column.to_numpy())
    if distinct.size <= 2 or _only_as_factor(frame, name):
        return distinct.tolist()
    return [float(column.mean())]


def _only_as_factor(frame: Frame, name: str) -> bool:
    """Whether a numeric variable stands in the formula only where it is coded by levels, as in C(nitro)."""
    kinds = set()
    for term in frame.formula.fixed:
        for factor in term.factors:
            if factor.expr == name:
                kinds.add(False)
            elif name in variables_of([term]) and name in str(factor.expr):
                kinds.add(str(factor.expr).startswith("C("))
    return kinds == {True}


def _estimable(columns: np.ndarray, x: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """Kept columns of each row; NaN where a redundant column says that the data do not determine the mean."""
    rows = columns[:, kept]
    dropped = np.setdiff1d(np.arange(x.shape[1]), kept)
    if not dropped.size:
        return rows
    dependence = np.linalg.lstsq(x[:, kept], x[:, dropped], rcond=None)[0]
    off = np.abs(columns[:, dropped] - rows @ dependence).max(axis=1)
    return np.where((off > SPANNED * (1.0 + np.abs(columns).max()))[:, None], np.nan, rows)
