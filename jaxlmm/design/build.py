"""From a parsed formula and a table to a `Design` and the names that belong to it.

Steps: read the columns, decide the rows once, evaluate each part of the formula once, code each grouping factor
once, and put terms on the same factor into one block. Called by `api`; everything below sees only `Design`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.parser.types import Factor, Term

from jaxlmm.covariance import STRUCTURES, Structure
from jaxlmm.design import table as tables
from jaxlmm.design.arrays import Design, RandomEffects
from jaxlmm.design.checks import advice_on_response, check_effects, check_factor, check_names, check_response
from jaxlmm.design.contrasts import Codings
from jaxlmm.design.kept_rows import Rows, check_finite, complete_rows, shown_row
from jaxlmm.design.levels import Grouping, code_levels
from jaxlmm.design.matrices import Matrix, model_matrix, whole
from jaxlmm.errors import DataError, FormulaError
from jaxlmm.formula import MixedFormula, RandomEffectsTerm

STAND_IN = [88, 7, 1991, 20261123]
"""Seed of the stand-in for responses that are given elsewhere: one that no simulated column has."""


@dataclass(frozen=True)
class TermColumns:
    """One random-effects term with the names of its columns.

    Attributes
    ----------
    source : str
        "(Days | Subject)".
    matrix : Matrix
        Its columns (values are dropped; they are in `design.random`).
    structure : Structure
        Covariance of its columns.
    """

    source: str
    matrix: Matrix
    structure: Structure


@dataclass(frozen=True)
class FactorTerms:
    """One grouping factor with all its terms.

    Attributes
    ----------
    grouping : Grouping
        Its levels.
    terms : tuple of TermColumns
        In the formula's order.
    """

    grouping: Grouping
    terms: tuple[TermColumns, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of all random-effects columns."""
        return tuple(name for term in self.terms for name in term.matrix.names)


@dataclass(frozen=True)
class Frame:
    """The named side of a design.

    Attributes
    ----------
    formula : MixedFormula
        As parsed.
    design : Design
        The arrays.
    rows : Rows
        Which rows of the data were used.
    fixed : Matrix
        Fixed effects (values are dropped; they are `design.x`).
    factors : tuple of FactorTerms
        In the order of `design.random`.
    term_order : tuple of (int, int)
        (factor, term) in lme4's order of random-effects terms.
    response : str
        The response as written.
    offset : (n,) array or None
        Sum of all offsets.
    offsets : tuple of Matrix
        Those of the formula, one column each (values are dropped).
    table : pandas.DataFrame
        The normalised columns of the used rows.
    codings : Codings
        Contrasts.
    arguments : dict
        What `build` was called with besides the formula and the data.
    notices : tuple of str
        What the user should know about the data.
    """

    formula: MixedFormula
    design: Design
    rows: Rows
    fixed: Matrix
    factors: tuple[FactorTerms, ...]
    term_order: tuple[tuple[int, int], ...]
    response: str
    offset: np.ndarray | None
    offsets: tuple[Matrix, ...]
    table: pd.DataFrame
    codings: Codings
    arguments: dict[str, Any]
    notices: tuple[str, ...]

    def labelled_terms(self) -> Iterator[tuple[str, int, int, slice]]:
        """Label (unique as in lme4: "Subject", "Subject.1"), factor, number and columns of every random-effects term, in
        lme4's order."""
        seen: dict[str, int] = {}
        for f, t in self.term_order:
            factor = self.factors[f]
            begin = sum(term.structure.size for term in factor.terms[:t])
            name = factor.grouping.name
            count = seen.get(name, 0)
            seen[name] = count + 1
            yield f"{name}.{count}" if count else name, f, t, slice(begin, begin + factor.terms[t].structure.size)

    def with_rows(self) -> Design:
        """The design, for a question about the rows of the fit.

        Raises
        ------
        DataError
            When the rows were not kept.
        """
        if self.design.n_obs == 0 and self.arguments.get("counts") is not None:
            raise DataError(
                "this fit is of cells (counts=), whose single rows are not known, and this question is about rows; fit the "
                "rows themselves"
            )
        if self.design.n_obs == 0:
            raise DataError(
                "this model was loaded from a file without its rows, or its rows were read from a source and not kept; keep "
                "them with save(path, rows=True), or pass lmer() a table in memory"
            )
        return self.design


def build(
    formula: MixedFormula,
    data: Any,
    *,
    weights: Any = None,
    offset: Any = None,
    contrasts: Mapping[str, Any] | None = None,
    na_action: str = "drop",
    responses_elsewhere: bool = False,
) -> Frame:
    """Evaluate a formula on data.

    Parameters
    ----------
    formula : MixedFormula
        Parsed formula with at least one random-effects term.
    data : pandas, polars or pyarrow table, or dict of columns
    weights, offset : str, array or Series, optional
        A column's name, or values aligned with the rows of `data`.
    contrasts : mapping, optional
        Coding of factors.
    na_action : {"drop", "raise"}
        What to do with rows that miss a required value.
    responses_elsewhere : bool
        Whether responses are given by themselves: the formula has none, and the design gets a stand-in that no model fits.

    Raises
    ------
    FormulaError, DataError, DesignError
        When the model cannot be built; the message says what to change.
    """
    if not formula.random:
        raise FormulaError(
            "the formula has no random effects; add a term such as (1 | group), or fit a linear model with "
            "statsmodels' ols",
            formula.source,
            len(formula.source.rstrip()),
        )
    if not isinstance(data, pd.DataFrame):
        data = tables.open_table(data)  # a lazy frame is collected once
    with _blaming(formula.variables):
        table = tables.read_columns(data, formula.variables, labels=formula.labels, numbers=formula.numbers)
    extra = {
        "weights": _aligned(weights, data, table.index, "weights"),
        "offset": _aligned(offset, data, table.index, "offset"),
    }
    arguments = {f"{name}=": values for name, values in extra.items() if values is not None}
    joined = table.assign(**arguments)
    with _blaming(formula.variables):
        rows = complete_rows(joined, na_action)
        check_finite(joined[rows.used])
    table = _used(table, rows)
    codings = Codings(contrasts, table, (formula.fixed, *(term.effects for term in formula.random)))

    if responses_elsewhere:
        name, y = "the responses", np.random.default_rng(STAND_IN).normal(size=len(table))
    else:
        name, y = response_of(formula, table, codings)
    fixed = model_matrix(formula.fixed, table, codings, "the fixed effects")
    check_names(fixed.names)
    notices = check_response(name, y, fixed.values, fixed.names)
    weight_values = None
    if extra["weights"] is not None:
        called = f"weights={weights!r}" if isinstance(weights, str) else "weights"
        weight_values = check_weights(extra["weights"].to_numpy()[rows.used], rows.index, called)
    known = tuple(offset_matrix(text, table, codings) for text in formula.offsets)
    offsets = [matrix.values[:, 0] for matrix in known]
    if extra["offset"] is not None:
        offsets.append(extra["offset"].to_numpy()[rows.used])
    total = np.sum(offsets, axis=0) if offsets else None

    factors, blocks, order = _random_part(formula.random, table, codings, _whole_numbers(table))
    design = Design(fixed.values, y if total is None else y - total, weight_values, blocks)
    return Frame(
        formula,
        design,
        rows,
        fixed.without_values(),
        factors,
        order,
        name,
        total,
        tuple(matrix.without_values() for matrix in known),
        table,
        codings,
        {"weights": weights, "offset": offset, "contrasts": contrasts, "na_action": na_action},
        notices,
    )


def response_of(formula: MixedFormula, table: pd.DataFrame, codings: Codings) -> tuple[str, np.ndarray]:
    """Name and values (n,) of the response."""
    if formula.response is None:
        raise FormulaError("the formula has no response; begin it with the response and ~", formula.source)
    response = model_matrix(formula.response, table, codings, "the response")
    if response.values.shape[1] != 1:
        written = str(formula.response[0])
        factor = any(kind is Factor.Kind.CATEGORICAL for kind, _ in response.spec.encoder_state.values())
        what = "is a factor" if factor else "has several columns"
        raise DataError(
            f"the response {written!r} {what}; a linear mixed model needs a numeric one, a number per row"
            f"{advice_on_response(written, table)}",
            culprit=written,
        )
    return response.names[0], response.values[:, 0]


@contextmanager
def _blaming(names: Iterable[str]) -> Iterator[None]:
    """Mark the variable that an error names first as its culprit."""
    try:
        yield
    except DataError as problem:
        said = str(problem)
        named = [name for name in names if repr(name) in said]
        problem.culprit = (min(named, key=lambda name: said.index(repr(name))),) if named else ()
        raise


def _random_part(terms: tuple[RandomEffectsTerm, ...], table: pd.DataFrame, codings: Codings, integers):
    """Code the factors, put their terms together, and order everything as lme4 does."""
    groupings: dict[tuple[str, ...], tuple[Grouping, np.ndarray]] = {}
    columns: dict[tuple[str, ...], list[tuple[int, TermColumns]]] = {}
    for number, term in enumerate(terms):
        if term.group not in groupings:
            groupings[term.group] = code_levels(table, term.group, integers)
        matrix = model_matrix(term.effects, table, codings, term.source)
        structure = STRUCTURES[term.covariance](matrix.values.shape[1])
        check_factor(groupings[term.group][0], term.source, structure.size, len(table))
        check_effects(term, matrix.names, [(t.source, t.matrix.names) for _, t in columns.get(term.group, [])])
        columns.setdefault(term.group, []).append((number, TermColumns(term.source, matrix, structure)))
    order = lme4_order([groupings[term.group][0].n_levels for term in terms])
    groups = list(dict.fromkeys(terms[number].group for number in order))
    factors, blocks, where = [], [], {}
    for f, group in enumerate(groups):
        grouping, codes = groupings[group]
        members = columns[group]
        for t, (number, _) in enumerate(members):
            where[number] = (f, t)
        own = tuple(member for _, member in members)
        z = own[0].matrix.values if len(own) == 1 else np.column_stack([member.matrix.values for member in own])
        own = tuple(replace(member, matrix=member.matrix.without_values()) for member in own)
        blocks.append(RandomEffects(codes, z, grouping.n_levels, tuple(member.structure for member in own)))
        factors.append(FactorTerms(grouping, own))
    return tuple(factors), tuple(blocks), tuple(where[number] for number in order)


def lme4_order(n_levels: list[int]) -> list[int]:
    """Positions of the terms in lme4's order: by decreasing number of levels.

    Terms that are in that order already stay; otherwise they are sorted and ties come out in reverse, as lme4's
    results show (Bates et al. 2015, §3.2).
    """
    terms = list(range(len(n_levels)))
    if all(a >= b for a, b in itertools.pairwise(n_levels)):
        return terms
    return sorted(terms, key=lambda i: n_levels[i])[::-1]


def without_rows(n_fixed: int, factors: tuple[FactorTerms, ...]) -> Design:
    """The design of a model whose rows are not kept."""
    blocks = tuple(
        RandomEffects(
            np.zeros(0, np.int32),
            np.zeros((0, len(own.columns))),
            own.grouping.n_levels,
            tuple(term.structure for term in own.terms),
        )
        for own in factors
    )
    return Design(np.zeros((0, n_fixed)), np.zeros(0), None, blocks)


def _aligned(values: Any, data: Any, index: pd.Index, name: str) -> pd.Series | None:
    """Weights or an offset as a float Series on the rows of the data."""
    if values is None:
        return None
    if isinstance(values, str):
        column = tables.read_columns(data, [values], f"argument {name}=", numbers=[values])[values]
        if isinstance(column.dtype, pd.CategoricalDtype):
            raise DataError(f"{name}={values!r} is a column of strings or categories; it must hold numbers")
        return column
    tables.check_aligned(values, index if isinstance(data, pd.DataFrame) else None, name)
    array = tables.as_floats(values, f"{name} that is not the name of a column")
    if array.ndim == 0:
        raise DataError(f"{name} is one number, {float(array)}; give one per row, or the name of a column")
    if array.shape != (len(index),):
        raise DataError(f"{name} has shape {array.shape}, but the data has {len(index)} rows")
    return pd.Series(array, index=index)


def check_weights(values: np.ndarray, index: pd.Index, called: str) -> np.ndarray:
    bad = np.flatnonzero(values <= 0)
    if bad.size:
        raise DataError(
            f"{called} must be positive, but row {shown_row(index, bad[0])} has {values[bad[0]]:g} ({bad.size} "
            "such rows); they are precision weights, Var = sigma**2 / weight: leave rows of no weight out of the data"
        )
    return values


def offset_effects(text: str, table: pd.DataFrame) -> SimpleFormula:
    """The formula of one offset: a column of the table, or an expression."""
    return SimpleFormula([Term([Factor(text, eval_method="lookup" if text in table else "python")])])


def offset_matrix(text: str, table: pd.DataFrame, codings: Codings) -> Matrix:
    """One offset of the formula, a matrix of one column."""
    matrix = model_matrix(offset_effects(text, table), table, codings, f"offset({text})")
    if matrix.values.shape[1] != 1:
        raise DataError(f"offset({text}) is a factor; it must be one number per row", culprit=(f"offset({text})", text))
    return matrix


def _used(table: pd.DataFrame, rows: Rows) -> pd.DataFrame:
    if rows.n_dropped:
        table = table[rows.used]
        factors = [c for c in table if isinstance(table[c].dtype, pd.CategoricalDtype)]
        table = table.assign(**{c: table[c].cat.remove_unused_categories() for c in factors})
    return table


def _whole_numbers(table: pd.DataFrame) -> frozenset[str]:
    """Columns of floats that hold whole numbers, whose levels are written without a point."""
    return frozenset(c for c in table if table[c].dtype.kind == "f" and whole(table[c].to_numpy()))
