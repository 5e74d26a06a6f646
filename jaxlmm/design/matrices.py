"""Model matrices by formulaic, and the specification that codes new data in the same way."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.formula import SimpleFormula
from formulaic.model_spec import ModelSpec

from jaxlmm.design.contrasts import Codings
from jaxlmm.errors import DataError, FormulaError
from jaxlmm.formula import TRANSFORMS


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


def model_matrix(effects: SimpleFormula, table: pd.DataFrame, codings: Codings, part: str) -> Matrix:
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

    Raises
    ------
    FormulaError, DataError
        When a term cannot be evaluated, or gives values that are not finite.
    """
    written = codings.write(effects)
    context = {**TRANSFORMS, **codings.context}

    def evaluate() -> Any:
        return written.get_model_matrix(table, context=context, output="numpy", na_action="ignore")

    matrix = _evaluated(evaluate, part)
    spec = matrix.model_spec
    names = tuple(codings.short(name) for name in spec.column_names)
    values = _finite(np.asarray(matrix, dtype=float), names, table.index, part)
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
        raise FormulaError(f"{part} cannot be evaluated: {_short(problem)}") from problem
    except (TypeError, ValueError, KeyError, ArithmeticError, AttributeError, IndexError, NameError) as problem:
        raise FormulaError(f"{part} cannot be evaluated on these columns: {_short(problem)}") from problem


def _finite(values: np.ndarray, names: tuple[str, ...], index: pd.Index, part: str) -> np.ndarray:
    values = values.reshape(len(index), len(names))
    bad = ~np.isfinite(values)
    if bad.any():
        row, column = (int(i[0]) for i in np.nonzero(bad))
        raise DataError(
            f"{part}: {names[column]!r} is {values[row, column]} in row {index[row]!r}; a transform such as log needs "
            "values inside its domain"
        )
    return values


def _short(problem: Exception) -> str:
    return str(problem).strip().split("\n")[0][:300]
