"""Columns before their coding is known: products of numbers and of indicators of levels, which appear as rows are read.

A coded factor's columns depend on all of its levels, and on which comes first; those are known only after the last row.
What can be summed before is the indicator of each level. With D the raw columns,

    X = D C,      C made of contrast matrices, term by term (Searle 1971, Linear Models, ch. 4),

so that sums over D become sums over X by a congruence, and sums of two sites with different levels can be added. Of the
sets of factors that stand beside the same numbers only the largest are kept: the indicators of a:b add up to those of a.
Called by `stream`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from formulaic.formula import SimpleFormula
from formulaic.model_spec import ModelSpec
from formulaic.parser.types import Factor, Term

from jaxlmm.design.dictionaries import Dictionary
from jaxlmm.design.expressions import outermost_call
from jaxlmm.design.matrices import Matrix
from jaxlmm.errors import DataError, FormulaError

Numbers = tuple[str, ...]
"""Names of columns of numbers that are multiplied, one of each factor, sorted; () stands for ones."""

Cell = tuple[Hashable, ...]
"""A level of each factor of a set."""


@dataclass(frozen=True)
class Spot:
    """Numbers and factors that are multiplied: of each cell of the factors, a column for each product of the numbers.

    Attributes
    ----------
    numbers : tuple of str
        Expressions of numeric factors, sorted.
    factors : tuple of str
        Columns of the data that are factors, sorted.
    """

    numbers: tuple[str, ...]
    factors: tuple[str, ...]


@dataclass(frozen=True)
class RawColumn:
    """One column: the product of some numbers in the rows of one cell.

    Attributes
    ----------
    spot : Spot
        Where it belongs.
    numbers : tuple of str
        One column's name of each numeric factor of the spot.
    cell : tuple
        One level of each factor of the spot.
    """

    spot: Spot
    numbers: Numbers
    cell: Cell


def factor_of(factor: Factor, kinds: dict[str, bool]) -> str | None:
    """The column of the data whose values are the levels of a factor of the formula; None of a numeric one.

    Parameters
    ----------
    factor : Factor
        Of a term.
    kinds : dict of str to bool
        Whether each column of the data is a factor.

    Raises
    ------
    FormulaError
        When C(...) is called on an expression, whose levels are nobody's column.
    """
    if factor.expr in kinds:
        return factor.expr if kinds[factor.expr] else None
    call = outermost_call(factor.expr)
    if call is None or call.function != "C":
        return None
    if call.column not in kinds:
        raise FormulaError(
            f"`{factor.expr}` makes a factor of an expression, whose levels are not known before all rows were "
            "read; make it a "
            "column of the data first",
            culprit=factor.expr,
        )
    return call.column


def spots_of(effects: Iterable[Term], kinds: dict[str, bool]) -> list[Spot]:
    """The spots of terms: of the sets of factors beside the same numbers, those that no other contains."""
    sets: dict[tuple[str, ...], dict[frozenset[str], None]] = {}
    for term in effects:
        numbers, factors = set(), set()
        for factor in term.factors:
            if factor.eval_method is Factor.EvalMethod.LITERAL and factor.expr == "1":
                continue
            name = factor_of(factor, kinds)
            if name is None:
                numbers.add(factor.expr)
            else:
                factors.add(name)
        sets.setdefault(tuple(sorted(numbers)), {})[frozenset(factors)] = None
    return [
        Spot(numbers, tuple(sorted(own)))
        for numbers, several in sets.items()
        for own in several
        if not any(own < other for other in several)
    ]


class RawColumns:
    """The raw columns of one part of a formula, in the order of their first appearance.

    Parameters
    ----------
    spots : list of Spot
        What they are made of.
    columns : iterable of RawColumn
        Those that are known already.
    """

    def __init__(self, spots: list[Spot], columns: Iterable[RawColumn] = ()):
        self.spots = spots
        self._places: dict[RawColumn, int] = {}
        for column in columns:
            self._places[column] = len(self._places)

    def __len__(self) -> int:
        return len(self._places)

    @property
    def columns(self) -> list[RawColumn]:
        """All of them so far."""
        return list(self._places)

    @property
    def plain(self) -> np.ndarray:
        """Which columns (c,) are not of one cell only."""
        return np.array([not column.spot.factors for column in self._places], dtype=bool)

    @property
    def ones(self) -> int:
        """The column that is one in every row, or -1."""
        found = [place for own, place in self._places.items() if not own.spot.factors and not own.spot.numbers]
        return found[0] if found else -1

    def within(self, other: RawColumns) -> np.ndarray:
        """Where each column stands among others, or -1."""
        return np.array([other._places.get(column, -1) for column in self._places], dtype=np.int64)

    def values(
        self,
        numeric: Callable[[str], tuple[list[str], np.ndarray]],
        levels: dict[str, np.ndarray],
        dictionaries: dict[str, Dictionary],
        n_rows: int,
    ) -> np.ndarray:
        """The columns (c, n) of some rows; cells that were not seen before add columns at the end.

        Parameters
        ----------
        numeric : callable
            Names and columns (n, w) of a numeric factor.
        levels, dictionaries : dict
            Numbers (n,) of the levels of each factor, and what they number.
        n_rows : int
            Number of rows.
        """
        parts: list[tuple[np.ndarray, list[np.ndarray], np.ndarray | None]] = []
        for spot in self.spots:
            names: list[Numbers] = [()]
            products: list[np.ndarray] = [np.ones(n_rows)]
            for number, expression in enumerate(spot.numbers):
                own, columns = numeric(expression)
                names = [(*before, name) for before in names for name in own]
                products = [column if number == 0 else before * column for before in products for column in columns.T]
            if not spot.factors:
                parts.append((self._known(spot, names, ())[None], products, None))
                continue
            rows = np.column_stack([levels[name] for name in spot.factors])
            cells, where = np.unique(rows, axis=0, return_inverse=True)
            values = [dictionaries[name].values for name in spot.factors]
            labels = [tuple(own[i] for own, i in zip(values, cell, strict=True)) for cell in cells.tolist()]
            places = [self._known(spot, names, label) for label in labels]
            block = np.array(places).reshape(len(labels), len(names))
            parts.append((block, products, where.ravel()))
        answer = np.zeros((len(self), n_rows))
        every = np.arange(n_rows)
        for known, several, of_row in parts:
            for j, product in enumerate(several):
                if of_row is None:
                    answer[known[0, j]] = product
                else:
                    answer[known[of_row, j], every] = product
        return answer

    def absorb(self, other: RawColumns) -> np.ndarray:
        """Where the columns of others stand here, new ones at the end.

        Raises
        ------
        DataError
            When they are of other terms.
        """
        if set(self.spots) != set(other.spots):
            raise DataError(
                "the same formula has other columns in one place than in the other; give all places the same types"
            )
        return np.array([self._places.setdefault(own, len(self._places)) for own in other.columns], dtype=np.int64)

    def _known(self, spot: Spot, names: list[Numbers], cell: Cell) -> np.ndarray:
        """Where the columns of a cell stand."""
        return np.array([self._places.setdefault(RawColumn(spot, n, cell), len(self._places)) for n in names])


def coding(
    raw: RawColumns,
    matrix: Matrix,
    written: SimpleFormula,
    variables: dict[str, str],
    table: pd.DataFrame,
    context: dict,
) -> np.ndarray:
    """C (raw columns, columns of the model matrix).

    Parameters
    ----------
    raw : RawColumns
        All of them.
    matrix : Matrix
        The columns of the model, whose specification knows all levels.
    written : SimpleFormula
        The effects as formulaic was given them, contrasts written out.
    variables : dict of str to str
        The column of the data of each expression that is a factor.
    table : pandas.DataFrame
        Columns of the data with all levels.
    context : dict
        What the expressions may name.
    """
    spec, columns = matrix.spec, raw.columns
    parsed = {factor.expr: factor for term in written for factor in term.factors}
    answer = np.zeros((len(columns), len(matrix.names)))
    encoded = _Encoded(spec, parsed, variables, table, context)
    begin = 0
    for own in spec.structure:
        weights: dict[str, np.ndarray] = {}
        for scoped in own.scoped_terms:
            kinds = [(factor.factor.expr, factor.reduced) for factor in scoped.factors]
            options = [encoded.of(expression, reduced, columns) for expression, reduced in kinds]
            numbers = sorted(expression for expression, _ in kinds if expression not in variables)
            fits = _beside(columns, tuple(numbers), {variables[e] for e, _ in kinds if e in variables})
            for chosen in itertools.product(*(option.items() for option in reversed(options))):
                parts = [name for name, _ in reversed(chosen)] or ["Intercept"]
                weight = scoped.scale * fits
                for _, factor in chosen:
                    weight = weight * factor
                weights[":".join(parts)] = weight
        for name in own.columns:
            answer[:, begin] = weights[name]
            begin += 1
    return answer


def _beside(columns: list[RawColumn], numbers: tuple[str, ...], factors: set[str]) -> np.ndarray:
    """1 for the raw columns of the first spot that has these numbers and at least these factors, else 0."""
    for spot in dict.fromkeys(column.spot for column in columns):
        if spot.numbers == numbers and factors <= set(spot.factors):
            return np.array([float(column.spot == spot) for column in columns])
    return np.zeros(len(columns))


class _Encoded:
    """What each encoded column of a factor is in the raw columns: its weight (raw columns,) in a product."""

    def __init__(
        self,
        spec: ModelSpec,
        parsed: dict[str, Factor],
        variables: dict[str, str],
        table: pd.DataFrame,
        context: dict,
    ):
        self._spec, self._parsed, self._variables = spec, parsed, variables
        self._table, self._context = table, context

    def of(self, expression: str, reduced: bool, columns: list[RawColumn]) -> dict[str, np.ndarray]:
        """By the name of the encoded column."""
        if expression not in self._variables:
            own = dict.fromkeys(name for column in columns for name in column.numbers if _is_of(name, expression))
            return {name: np.array([float(name in column.numbers) for column in columns]) for name in own}
        variable = self._variables[expression]
        names, matrix, levels = self._contrasts(expression, reduced, variable)
        row = {level: i for i, level in enumerate(levels)}
        at = [
            row[column.cell[column.spot.factors.index(variable)]] if variable in column.spot.factors else -1
            for column in columns
        ]
        padded = np.vstack([matrix, np.zeros(matrix.shape[1])])
        return {name: padded[at, j] for j, name in enumerate(names)}

    def _contrasts(self, expression: str, reduced: bool, variable: str) -> tuple[list[str], np.ndarray, list[Hashable]]:
        """Names and contrast matrix (levels, columns) of a factor, reduced beside an intercept or not, and its levels."""
        levels = list(self._spec.encoder_state[expression][1]["categories"])
        coded = isinstance(self._table[variable].dtype, pd.CategoricalDtype)
        values = pd.Series(pd.Categorical(levels, categories=levels)) if coded else pd.Series(levels)
        intercept = [Term([Factor("1", eval_method="literal")])] if reduced else []
        formula = SimpleFormula([*intercept, Term([self._parsed[expression]])])
        known = {expression: self._spec.encoder_state[expression]}
        spec = ModelSpec(formula=formula, output="numpy", materializer="pandas", encoder_state=known)
        made = spec.get_model_matrix(pd.DataFrame({variable: values}), context=self._context)
        names = list(made.model_spec.column_names)[len(intercept) :]
        return names, np.asarray(made, dtype=float)[:, len(intercept) :], levels


def _is_of(name: str, expression: str) -> bool:
    """Whether a column's name is that of an expression, or of one of its several columns."""
    return name == expression or name.startswith(f"{expression}[")
