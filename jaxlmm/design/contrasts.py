"""Codings of factors by name or matrix, the same in the fixed and the random parts.

`contrasts={"cond": "contr.sum"}` makes every `cond` or `C(cond)` in the formula mean `C(cond, contr.sum)`, and the columns
keep the short names (`cond[S.a]`). Names are R's; what each coding is stands in Venables & Ripley (2002), §6.2.
"""

from __future__ import annotations

import difflib
import keyword
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.parser.types import Factor, Term

from jaxlmm.errors import DesignError
from jaxlmm.formula import CODINGS, quote


class Codings:
    """The user's `contrasts=` argument, checked against the data and ready to be written into formulas.

    Parameters
    ----------
    contrasts : mapping of str to str or matrix, or None
        Coding of each factor.
    table : pandas.DataFrame
        Normalised columns.
    parts : iterable of SimpleFormula
        Fixed effects and the effects of each random term.
    check : bool
        Whether `table` holds the data of a fit; a saved model was checked when it was fitted.

    Attributes
    ----------
    resolved : dict
        The codings as given, matrices in the order of the levels.

    Raises
    ------
    DesignError
        When a key is no factor of the formula, a name is unknown, or a matrix has the wrong shape or rank.
    """

    def __init__(
        self,
        contrasts: Mapping[str, Any] | None,
        table: pd.DataFrame,
        parts: Iterable[SimpleFormula],
        check: bool = True,
    ):
        if not isinstance(contrasts, Mapping | None):
            raise DesignError(
                f"contrasts is of type {type(contrasts).__name__}; it maps factors to codings, as in "
                "contrasts={'cond': 'contr.sum'}"
            )
        self.context: dict[str, Any] = {}
        self.resolved: dict[str, str | np.ndarray] = {}
        self._expressions: dict[str, str] = {}
        written = {factor.expr for part in parts for term in part for factor in term.factors}
        for number, (name, coding) in enumerate((contrasts or {}).items()):
            bare, wrapped = _in_a_call(str(name)), f"C({quote(str(name))})"
            if check:
                _check_key(name, table, written, wrapped)
            if isinstance(coding, str):
                self.resolved[name] = coding
                code = _named(name, coding)
            else:
                matrix = _matrix(name, coding, _levels(table[name]) if check else None)
                self.resolved[name] = self.context[f"contrast_matrix_{number}"] = matrix
                code = f"contrast_matrix_{number}"
            self._expressions[name] = f"C({bare}, {code})"
            self._expressions[wrapped] = f"C({bare}, contrasts={code})"

    def write(self, effects: SimpleFormula) -> SimpleFormula:
        """The same terms with each coded factor replaced."""
        if not self._expressions:
            return effects
        return SimpleFormula([Term([self._coded(f) for f in term.factors]) for term in effects])

    def short(self, name: str) -> str:
        """A column's name as the user would write it."""
        for factor, expression in self._expressions.items():
            name = name.replace(expression, factor)
        return name

    def _coded(self, factor: Factor) -> Factor:
        expression = self._expressions.get(factor.expr)
        if expression is None:
            return factor
        return Factor(expression, eval_method="python")


def still_written(contrasts: Mapping[str, Any] | None, parts: Iterable[SimpleFormula]) -> dict[str, Any]:
    """The entries of `contrasts` whose factor stands in a formula as `f` or `C(f)`."""
    written = {factor.expr for part in parts for term in part for factor in term.factors}
    return {name: code for name, code in (contrasts or {}).items() if written & {name, f"C({quote(str(name))})"}}


def _named(name: str, coding: str) -> str:
    key = coding if coding.startswith("contr.") else f"contr.{coding}"
    if key not in CODINGS:
        close = difflib.get_close_matches(key, CODINGS, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise DesignError(
            f"contrasts[{name!r}] = {coding!r} is not a known coding; {hint}The codings are "
            f"{', '.join(map(repr, CODINGS))}, or a matrix with one row per level"
        )
    return CODINGS[key]


def _check_key(name: Any, table: pd.DataFrame, written: set[str], wrapped: str) -> None:
    """A key must be a factor in the fixed or random effects that is not coded there already."""
    factors = [c for c in table if isinstance(table[c].dtype, pd.CategoricalDtype) and c in written]
    if wrapped in written or name in factors:
        return
    coded = [text for text in written if text.startswith(wrapped[:-1] + ",")]
    if coded:
        raise DesignError(f"contrasts names {name!r}, but the formula codes it too: {coded[0]}; say it in one place")
    raise DesignError(
        f"contrasts names {name!r}, which is not a factor in the fixed or random effects of this formula; their factors "
        f"are: {', '.join(map(repr, factors)) or 'none'} (numbers become factors with C(...))"
    )


def _levels(column: pd.Series) -> list[Any]:
    categorical = isinstance(column.dtype, pd.CategoricalDtype)
    return (column.cat.categories if categorical else pd.Index(np.unique(column))).tolist()


def _matrix(name: str, coding: Any, levels: list[Any] | None) -> np.ndarray:
    """A coding matrix, its rows in the order of the levels; without levels it is taken as it is."""
    if isinstance(coding, pd.DataFrame) and levels is not None and not isinstance(coding.index, pd.RangeIndex):
        if set(coding.index) != set(levels):
            raise DesignError(
                f"the rows of contrasts[{name!r}] are labelled {', '.join(map(str, coding.index))}, but {name!r} has the "
                f"levels {', '.join(map(str, levels))}"
            )
        coding = coding.loc[levels]
    try:
        matrix = np.asarray(coding, dtype=float)
    except (TypeError, ValueError):
        raise DesignError(f"contrasts[{name!r}] is neither the name of a coding nor a numeric matrix") from None
    if levels is None:
        return matrix
    if matrix.ndim != 2 or matrix.shape[0] != len(levels) or matrix.shape[1] >= len(levels):
        raise DesignError(
            f"contrasts[{name!r}] has shape {matrix.shape}; {name!r} has the {len(levels)} levels "
            f"{', '.join(map(str, levels))}, so the matrix needs {len(levels)} rows and at most {len(levels) - 1} columns"
        )
    if not np.isfinite(matrix).all():
        raise DesignError(f"contrasts[{name!r}] holds a value that is not a finite number")
    if np.linalg.matrix_rank(np.column_stack([np.ones(len(levels)), matrix])) < matrix.shape[1] + 1:
        raise DesignError(f"the columns of contrasts[{name!r}] and the intercept are linearly dependent")
    return matrix


def _in_a_call(name: str) -> str:
    """A column inside a call: formulaic hands Python's own words to Python even in backticks, so they go through Q()."""
    return f"Q({name!r})" if keyword.iskeyword(name) else quote(name)
