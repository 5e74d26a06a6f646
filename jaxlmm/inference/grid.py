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
from formulaic.parser.types import Term

from jaxlmm.design import Frame, NewData
from jaxlmm.errors import DataError
from jaxlmm.formula import variables_of
from jaxlmm.inference.estimable import Combinations
from jaxlmm.inference.hypotheses import coded_by_levels

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
    means : Combinations
        The mean of each combination, as a function of the coefficients.
    offset : float
        Mean offset of the data.
    factors : list of str
        Variables that stand at values of the data, so that these have frequencies.
    """

    table: pd.DataFrame
    means: Combinations
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
            left, tilde, right = str(name).partition("~")
            if tilde:
                means = f"emmeans({right.strip()!r})" + (".pairs()" if left.strip() else "")
                raise DataError(f"{name!r} is R's way to name variables; write {means}, or a list of names, and by=")
            raise DataError(
                f"{name!r} is not a variable of the fixed effects of this fit; those are: {', '.join(map(repr, variables))}"
            )
    at = _checked(at, variables)
    for name, own in at.items():
        _check_levels(frame, name, own)
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
    factors = [name for name, own in values.items() if _by_levels(frame, name) or (len(own) == 2 and name not in at)]
    return Grid(table, Combinations.among(columns, x, kept), offset, factors)


def slopes(frame: Frame, grid: Grid, kept: np.ndarray, variable: str) -> Combinations:
    """Derivatives of the grid's means in a covariate, by central differences over a thousandth of its range.

    Raises
    ------
    DataError
        When the variable is no covariate of the fixed effects.
    """
    if variable not in grid.table or _by_levels(frame, variable):
        numeric = [name for name in grid.table if not _by_levels(frame, name)]
        raise DataError(
            f"var={variable!r} is not a numeric variable of the fixed effects; those are: "
            f"{', '.join(map(repr, numeric)) or 'none'}"
        )
    step = 1e-3 * float(np.ptp(frame.table[variable]))
    sides = [grid.table.assign(**{variable: grid.table[variable] + side * 0.5 * step}) for side in (1.0, -1.0)]
    high, low = (_encoded(frame, table) for table in sides)
    return Combinations.among(high - low, frame.with_rows().x, kept).over(step, grid.means)


def frequencies(frame: Frame, grid: Grid, over: list[str]) -> np.ndarray:
    """Weight of the grid's rows (g,): how many rows of the data, or how much of their weights, have the same levels of the
    factors `over`, among those whose other factors have levels that the grid has."""
    if not grid.factors:
        return np.ones(len(grid.table))
    data = frame.table[grid.factors].astype(object)
    total = data.assign(_total=frame.with_rows().row_weights).groupby(grid.factors)["_total"].sum()
    keys = [tuple(row) for row in grid.table[grid.factors].itertuples(index=False)]
    found = dict(zip((own if isinstance(own, tuple) else (own,) for own in total.index), total, strict=True))
    cells = pd.Series([found.get(key, 0.0) for key in keys])
    if not over:
        return np.ones(len(grid.table))
    shares = grid.table[over].astype(object).assign(_total=cells.to_numpy())
    return shares.groupby(over)["_total"].transform("sum").to_numpy(float)


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


def _check_levels(frame: Frame, name: str, values: list[Any]) -> None:
    """Refuse what is no level of a factor."""
    column = frame.table[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        levels = column.cat.categories.tolist()
        for value in values:
            if value not in levels:
                shown = ", ".join(map(repr, levels[:12])) + (", ..." if len(levels) > 12 else "")
                raise DataError(f"at[{name!r}] holds {value!r}, which is no level of {name!r}; its levels are: {shown}")


def _usual(frame: Frame, name: str) -> list[Any]:
    """Levels of a factor; the mean of a covariate, or both its values where it has two."""
    column = frame.table[name]
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.categories.tolist()
    distinct = np.unique(column.to_numpy())
    if distinct.size <= 2 or _by_levels(frame, name):
        return distinct.tolist()
    return [float(column.mean())]


def _by_levels(frame: Frame, name: str) -> bool:
    """Whether a variable is a factor, or stands in the formula only where it is coded by levels, as in C(nitro)."""
    if isinstance(frame.table[name].dtype, pd.CategoricalDtype):
        return True
    categorical = coded_by_levels(frame)
    own = {str(f.expr) for term in frame.formula.fixed for f in term.factors if name in variables_of([Term([f])])}
    return bool(own) and own <= categorical
