"""Model matrices by formulaic, and the specification that codes new data in the same way."""

from __future__ import annotations

import functools
import re
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.formula import SimpleFormula
from formulaic.model_spec import ModelSpec

from jaxlmm.design.contrasts import Codings
from jaxlmm.design.kept_rows import shown_row
from jaxlmm.errors import DataError, DesignError, FormulaError
from jaxlmm.formula import TRANSFORMS, variables_of

NOISE = 1e-13
"""A column this much smaller than the largest of its term holds nothing but rounding errors."""


@dataclass(frozen=True)
class Matrix:
    """Columns of one part of the formula.

    Attributes
    ----------
    values : (n, c) array
        The columns.
    names : tuple of str
        Their names.
    terms : tuple of (str, slice)
        Which columns each term of the formula made.
    spec : ModelSpec
        Encodes new data with the state of the old (knots, means, levels).
    """

    values: np.ndarray
    names: tuple[str, ...]
    terms: tuple[tuple[str, slice], ...]
    spec: ModelSpec

    def without_values(self) -> Matrix:
        """The same with no rows, for whoever wants names and the way to code new data."""
        return replace(self, values=np.empty((0, len(self.names))))


def model_matrix(
    effects: SimpleFormula,
    table: pd.DataFrame,
    codings: Codings,
    part: str,
    states: dict[str, dict[str, Any]] | None = None,
) -> Matrix:
    """Evaluate one part of a formula on complete rows.

    Parameters
    ----------
    effects : SimpleFormula
        Terms.
    table : pandas.DataFrame
        Normalised columns, no missing values.
    codings : Codings
        Contrasts.
    part : str
        What the columns are, for messages: "fixed effects", "(Days | Subject)".
    states : dict, optional
        What transforms know of rows that are not in the table (means, knots), by their calls.

    Raises
    ------
    FormulaError, DataError, DesignError
        When a term cannot be evaluated, gives values that are not finite, or is a factor of one level.
    """
    written = codings.write(effects)
    context = {**TRANSFORMS, **codings.context}

    given = {name: dict(state) for name, state in (states or {}).items()}

    def evaluate() -> Any:
        return written.get_model_matrix(
            table, context=context, output="numpy", na_action="ignore", transform_state=given
        )

    try:
        matrix = _evaluated(evaluate, part)
    except FormulaError as problem:
        raise _with_factors(problem, effects, table) from None
    spec = matrix.model_spec
    _check_levels(spec, codings, part)
    names = column_names(spec, codings)
    values = _finite(np.asarray(matrix, dtype=float), names, table.index, part)
    for columns in spec.term_slices.values():
        values[:, columns] = _without_noise(values[:, columns])
    terms = tuple((codings.short(str(term)), columns) for term, columns in spec.term_slices.items())
    return Matrix(values, names, terms, spec)


def encode(matrix: Matrix, table: pd.DataFrame, codings: Codings, part: str) -> np.ndarray:
    """The same columns for new data.

    Raises
    ------
    DataError
        When a factor has a level that the fit has not seen, or a value is not finite.
    """
    context = {**TRANSFORMS, **codings.context}

    def evaluate() -> Any:
        return matrix.spec.get_model_matrix(table, context=context, na_action="ignore")

    values = _evaluated(evaluate, part)
    return _finite(np.asarray(values, dtype=float), matrix.names, table.index, part)


def column_names(spec: ModelSpec, codings: Codings) -> tuple[str, ...]:
    """Names of the columns as the user would write them: short codings, whole numbers without their point."""
    names = list(spec.column_names)
    for expression, (_, state) in spec.encoder_state.items():
        levels = np.asarray(state.get("categories", ()))
        if levels.dtype.kind == "f" and whole(levels):
            level = re.compile(re.escape(f"{expression}[") + r"((?:[A-Z]\.)?-?\d+)\.0\]")
            # A function as replacement, since an expression may hold backslashes.
            short = functools.partial(_relabel, expression)
            names = [level.sub(short, name) for name in names]
    return tuple(codings.short(name) for name in names)


def _without_noise(columns: np.ndarray) -> np.ndarray:
    """Columns of one term that are rounding errors of zero, set to zero: a spline's piece that no row reaches."""
    size = np.abs(columns).max(axis=0, initial=0.0)
    return np.where(size <= NOISE * size.max(initial=0.0), 0.0, columns)


def _relabel(expression: str, match: re.Match[str]) -> str:
    return f"{expression}[{match[1]}]"


def whole(values: np.ndarray) -> bool:
    """Whether floats are integers, and so small that each stands for one."""
    return bool(np.all((values == np.floor(values)) & (np.abs(values) < 2.0**53)))


def _evaluated(evaluate, part: str) -> Any:
    """Run formulaic with its own errors and warnings turned into ours."""
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", DataMismatchWarning)
            return evaluate()
    except DataMismatchWarning as problem:
        raise DataError(f"{part}: {problem}") from None
    except FormulaicError as problem:
        factor = re.search(r"Unable to evaluate factor `(.*)`\. \[", str(problem))
        raise FormulaError(
            f"{part} cannot be evaluated: {_short(problem)}", culprit=(factor[1], part) if factor else part
        ) from None
    except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError, IndexError, NameError) as problem:
        raise FormulaError(f"{part} cannot be evaluated on these columns: {_short(problem)}", culprit=part) from None


def _finite(values: np.ndarray, names: tuple[str, ...], index: pd.Index, part: str) -> np.ndarray:
    values = values.reshape(len(index), len(names))
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = (int(i[0]) for i in np.nonzero(bad))
        raise DataError(
            f"{part}: {names[column]!r} is {values[row, column]} in row {shown_row(index, row)}; a transform such as log "
            "needs values inside its domain, and scale a column that varies",
            culprit=(names[column], re.sub(r"\[[^\]]*\]", "", names[column]), part),
        )
    return values


def _short(problem: Exception) -> str:
    """The first line of a message, without formulaic's wrapping."""
    line = str(problem).strip().split("\n")[0]
    return re.sub(r"^Unable to evaluate factor (`.*`)\. \[\w+: (.*)\]$", r"\1: \2", line)[:300]


def _with_factors(problem: FormulaError, effects: SimpleFormula, table: pd.DataFrame) -> FormulaError:
    """The same error with a word on columns of text, the usual reason."""
    factors = [v for v in variables_of(effects) if isinstance(table[v].dtype, pd.CategoricalDtype)]
    if not factors:
        return problem
    listed = ", ".join(map(repr, factors))
    if all(pd.api.types.is_bool_dtype(table[v].cat.categories.dtype) for v in factors):
        return FormulaError(
            f"{problem} (booleans, which are factors: {listed}; where numbers are meant, write "
            f"data[{factors[0]!r}] = data[{factors[0]!r}].astype(int) first)",
            culprit=problem.culprit,
        )
    return FormulaError(
        f"{problem} (text or categories: {listed}; where numbers are meant, convert with pandas.to_numeric first)",
        culprit=problem.culprit,
    )


def _check_levels(spec: ModelSpec, codings: Codings, part: str) -> None:
    for expression, (_, state) in spec.encoder_state.items():
        levels = list(state.get("categories", (None, None)))
        if len(levels) < 2:
            written = codings.short(str(expression))
            raise DesignError(
                f"{part}: the factor {written!r} has one level only ({levels[0]!r}) in the complete rows, so it has nothing "
                "to compare; leave it out",
                culprit=written,
            )
