"""Codings of factors by name or matrix, the same in the fixed and the random parts.

`contrasts={"cond": "contr.sum"}` makes every bare `cond` in the formula mean `C(cond, contr.sum)`, and the columns
keep the short names (`cond[S.a]`). Names are R's; what each coding is stands in Venables & Ripley (2002), §6.2.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.parser.types import Factor, Term

from jaxlmm.errors import DesignError

CODINGS = {
    "contr.treatment": "contr.treatment",
    "contr.sum": "contr.sum",
    "contr.sdif": "contr.diff",
    "contr.helmert": "contr.helmert",
    "contr.poly": "contr.poly",
}
"""R's name of each coding, and formulaic's."""


class Codings:
    """The user's `contrasts=` argument, checked against the data and ready to be written into formulas.

    Parameters
    ----------
    contrasts : mapping of str to str or matrix, or None
        Coding of each factor.
    table : pandas.DataFrame
        Normalised columns.

    Raises
    ------
    DesignError
        When a key is no factor of the formula, a name is unknown, or a matrix has the wrong shape or rank.
    """

    def __init__(self, contrasts: Mapping[str, Any] | None, table: pd.DataFrame):
        self.context: dict[str, Any] = {}
        self._expressions: dict[str, str] = {}
        for number, (name, coding) in enumerate((contrasts or {}).items()):
            if name not in table or not isinstance(table[name].dtype, pd.CategoricalDtype):
                factors = [c for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)]
                raise DesignError(
                    f"contrasts names {name!r}, which is not a factor of this formula; its factors are: "
                    f"{', '.join(map(repr, factors)) or 'none'} (numbers become factors with C(...))"
                )
            if isinstance(coding, str):
                self._expressions[name] = f"C({_quoted(name)}, {_named(name, coding)})"
                continue
            self.context[f"contrast_matrix_{number}"] = _matrix(name, coding, list(table[name].cat.categories))
            self._expressions[name] = f"C({_quoted(name)}, contrast_matrix_{number})"

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
        if expression is None or factor.eval_method is not Factor.EvalMethod.LOOKUP:
            return factor
        return Factor(expression, eval_method="python")


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


def _matrix(name: str, coding: Any, levels: list[Any]) -> np.ndarray:
    try:
        matrix = np.asarray(coding, dtype=float)
    except (TypeError, ValueError):
        raise DesignError(f"contrasts[{name!r}] is neither the name of a coding nor a numeric matrix") from None
    if matrix.ndim != 2 or matrix.shape[0] != len(levels) or matrix.shape[1] >= len(levels):
        raise DesignError(
            f"contrasts[{name!r}] has shape {matrix.shape}; {name!r} has the {len(levels)} levels "
            f"{', '.join(map(str, levels))}, so the matrix needs {len(levels)} rows and at most {len(levels) - 1} columns"
        )
    if np.linalg.matrix_rank(np.column_stack([np.ones(len(levels)), matrix])) < matrix.shape[1] + 1:
        raise DesignError(f"the columns of contrasts[{name!r}] and the intercept are linearly dependent")
    return matrix


def _quoted(name: str) -> str:
    return name if name.isidentifier() else f"`{name}`"
